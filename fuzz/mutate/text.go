package mutate

import "bytes"

// The bounds of what is told apart: so many lines or tokens, in a long text from a
// random place on.
const (
	maxPieces = 1 << 9
	longText  = 4 << 10
)

// lines are the lines of b with their ends, from a random line on if there are many.
func (e *edit) lines(b []byte) []span {
	out, at := make([]span, 0, 64), 0
	if len(b) > longText {
		at = e.r.IntN(len(b))
		at += bytes.IndexByte(b[at:], '\n') + 1
	}
	for at < len(b) && len(out) < maxPieces {
		end := len(b)
		if n := bytes.IndexByte(b[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		out = append(out, span{at, end})
		at = end
	}
	return out
}

// duplicateLine puts a copy of a line before a line.
func (e *edit) duplicateLine() bool {
	all := e.lines(e.b)
	if len(all) == 0 {
		return false
	}
	s := one(e.r, all)
	p := append([]byte(nil), e.b[s.from:s.to]...)
	if p[len(p)-1] != '\n' {
		p = append(p, '\n')
	}
	return e.insert(one(e.r, all).from, p)
}

// dropLine removes a line of several.
func (e *edit) dropLine() bool {
	all := e.lines(e.b)
	if len(all) < 2 {
		return false
	}
	s := one(e.r, all)
	return e.replace(s.from, s.to, nil)
}

// swapLines exchanges two lines.
func (e *edit) swapLines() bool {
	all := e.lines(e.b)
	if len(all) < 2 {
		return false
	}
	i, j := e.two(len(all))
	return e.swap(all[i], all[j])
}

// shuffleLines brings 3 to 16 neighbouring lines into another order.
func (e *edit) shuffleLines() bool {
	all := e.lines(e.b)
	if len(all) < 3 {
		return false
	}
	n := 3 + e.r.IntN(min(len(all), 16)-2)
	first := e.r.IntN(len(all) - n + 1)
	part := append([]span(nil), all[first:first+n]...)
	from, to := part[0].from, part[n-1].to
	e.r.Shuffle(n, func(i, j int) { part[i], part[j] = part[j], part[i] })
	var out []byte
	for _, s := range part {
		out = append(out, e.b[s.from:s.to]...)
	}
	return e.replace(from, to, out)
}

// spliceLine inserts a line of the other input, or replaces a line by it.
func (e *edit) spliceLine() bool {
	all, others := e.lines(e.b), e.lines(e.other)
	if len(all) == 0 || len(others) == 0 {
		return false
	}
	s, o := one(e.r, all), one(e.r, others)
	if e.r.IntN(2) == 0 {
		s.to = s.from
	}
	return e.replace(s.from, s.to, e.other[o.from:o.to])
}

// lineEnding ends a line in another way, or joins it to the next one, or breaks it.
func (e *edit) lineEnding() bool {
	all := e.lines(e.b)
	if len(all) == 0 {
		return false
	}
	s := one(e.r, all)
	text := len(bytes.TrimRight(e.b[s.from:s.to], "\r\n"))
	if e.r.IntN(4) == 0 {
		at := s.from + e.r.IntN(text+1)
		return e.insert(at, []byte("\n"))
	}
	return e.replace(s.from+text, s.to, []byte(one(e.r, lineEnds[:])))
}

var lineEnds = [...]string{"", "\n", "\r\n", "\r", "\n\n", " \n", "\\\n", "\n ", "\x00", "\u2028"}

func wordByte(c byte) bool {
	return c == '_' || isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}

// tokens are the words, and the runs of what stands between them without white
// space, of b, from a random place on if it is long.
func (e *edit) tokens(b []byte) []span {
	out, at := make([]span, 0, min(len(b)/3+1, maxPieces)), 0
	if len(b) > longText {
		at = e.r.IntN(len(b) - longText/2)
	}
	for at < len(b) && len(out) < maxPieces {
		if b[at] <= ' ' {
			at++
			continue
		}
		end, word := at+1, wordByte(b[at])
		for end < len(b) && b[end] > ' ' && wordByte(b[end]) == word {
			end++
		}
		out = append(out, span{at, end})
		at = end
	}
	return out
}

// swapTokens exchanges two tokens.
func (e *edit) swapTokens() bool {
	all := e.tokens(e.b)
	if len(all) < 2 {
		return false
	}
	i, j := e.two(len(all))
	return e.swap(all[i], all[j])
}

// duplicateToken repeats a token where it stands, at times very often, and with
// the white space that follows it.
func (e *edit) duplicateToken() bool {
	all := e.tokens(e.b)
	if len(all) == 0 {
		return false
	}
	s := one(e.r, all)
	if e.r.IntN(2) == 0 && s.to < len(e.b) && e.b[s.to] <= ' ' {
		s.to++
	}
	times := 1
	if e.r.IntN(16) == 0 {
		times = 1 + e.r.IntN(1<<10)
	}
	return e.insert(s.to, bytes.Repeat(e.b[s.from:s.to], min(times, e.max/(s.to-s.from)+1)))
}

// deleteToken removes a token.
func (e *edit) deleteToken() bool {
	all := e.tokens(e.b)
	if len(all) == 0 {
		return false
	}
	s := one(e.r, all)
	return e.replace(s.from, s.to, nil)
}

// replaceToken puts another token of the input, one of the other input or an entry
// of the dictionary in the place of a token.
func (e *edit) replaceToken() bool {
	all := e.tokens(e.b)
	if len(all) == 0 {
		return false
	}
	s, from := one(e.r, all), one(e.r, all)
	p := e.b[from.from:from.to]
	switch n := e.r.IntN(4); {
	case n < 2 && len(e.dict) > 0:
		p = one(e.r, e.dict)
	case n == 2:
		if others := e.tokens(e.other); len(others) > 0 {
			o := one(e.r, others)
			p = e.other[o.from:o.to]
		}
	}
	return e.replace(s.from, s.to, p)
}
