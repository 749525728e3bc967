package mutate

import (
	"bytes"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// directive is one statement of a configuration: a setting, or a block with all that is in it. Those in a block
// follow it.
type directive struct {
	span         // all of it: without it the rest is still well-formed, mostly
	core  span   // what is written again to repeat it
	glue  string // what stands between two of them
	key   string // what it sets; may be empty
	value span   // what it is set to; empty where that is nothing
	marks []span // what makes it a comment, from the first to the last line; nil where it is none
}

// notation is how a configuration is written.
type notation uint8

const (
	notationLines      notation = iota // a line each: key value, key = value, key: value, <key value>, [section]
	notationStatements                 // key value; and key value { ... }
	notationJSON
)

// maxConfiguration bounds what is understood as one, in bytes.
const maxConfiguration = 1 << 20

// notationOf guesses it from the look of the text.
func notationOf(b []byte) notation {
	if text := bytes.TrimSpace(b); len(text) > 0 && text[0] == '{' || bytes.HasPrefix(text, []byte("[")) && bytes.HasSuffix(text, []byte("]")) {
		return notationJSON
	}
	lines, statements := 0, 0
	for line := range bytes.Lines(b) {
		text := string(bytes.TrimSpace(line))
		if text == "" || comment.MatchString(text) {
			continue
		}
		lines++
		if strings.HasSuffix(text, ";") || strings.HasSuffix(text, "{") || strings.HasSuffix(text, "}") {
			statements++
		}
	}
	if lines > 0 && 2*statements > lines {
		return notationStatements
	}
	return notationLines
}

// directives are those of a configuration in any notation, those in comments also.
func directives(b []byte) ([]directive, notation) {
	b = b[:min(len(b), maxConfiguration)]
	n := notationOf(b)
	switch n {
	case notationJSON:
		p := members{b: b}
		p.value()
		return p.found, n
	case notationStatements:
		return statements(b), n
	}
	return settings(b), n
}

var (
	comment = lazyregexp.New(`^[ \t]*(#+|;+|//+)[ \t]*`)
	// What a comment must look like to be a directive that somebody has turned off, and no prose.
	assigned = lazyregexp.New(`^[\w.-]+[ \t]*=|^(-[ \t]+)?[a-z_][\w.-]*:([ \t]|$)`)
	bare     = lazyregexp.New(`^[A-Za-z][\w.-]*([ \t]+[^\s]+){0,4}$`)
	closed   = lazyregexp.New(`[;{}]$|^</?\w.*>$|^\[[^\]]+\]$`)
)

// off reports whether the text of a comment is a directive.
func off(text string) bool {
	text = strings.TrimSpace(text)
	prose := strings.ContainsAny(text[max(0, len(text)-1):], ".,:?!") || strings.Contains(text, ". ")
	return text != "" && (closed.MatchString(text) || assigned.MatchString(text) || bare.MatchString(text) && !prose)
}

// commented collects the directives in the comments of neighbouring lines: each by itself, and all together, for
// a block that is turned off is many lines.
type commented struct {
	out  []directive
	from int // of those that belong together, in out
}

func (c *commented) add(d directive) { c.out = append(c.out, d) }

// end ends what belongs together.
func (c *commented) end() {
	if n := len(c.out) - c.from; n > 1 {
		all := directive{span: span{c.out[c.from].span.from, c.out[len(c.out)-1].span.to}}
		for _, d := range c.out[c.from:] {
			all.marks = append(all.marks, d.marks...)
		}
		all.core = all.span
		c.out = append(c.out, all)
	}
	c.from = len(c.out)
}

// line is one with what it is made of.
type line struct {
	span
	indent int
	text   string // without white space around it
}

func linesOf(b []byte) (out []line) {
	at := 0
	for text := range bytes.Lines(b) {
		trimmed := strings.TrimSpace(string(text))
		out = append(out, line{span{at, at + len(text)}, len(text) - len(bytes.TrimLeft(text, " \t")), trimmed})
		at += len(text)
	}
	return out
}

// settings are the directives of a text with one in each line.
func settings(b []byte) []directive {
	var out []directive
	var notes commented
	all := linesOf(b)
	for i, l := range all {
		mark := comment.FindStringIndex(string(b[l.from:l.to]))
		switch {
		case l.text == "":
			notes.end()
		case mark != nil:
			if rest := string(b[l.from+mark[1] : l.to]); off(rest) {
				d := setting(b, span{l.from + mark[1], l.to})
				d.span, d.core, d.marks = l.span, l.span, []span{{l.from + l.indent, l.from + mark[1]}}
				notes.add(d)
			}
		case strings.HasPrefix(l.text, "</"):
		default:
			d := setting(b, l.span)
			d.span.to = all[last(all, i)].to
			d.core = d.span
			if d.glue = ""; b[d.to-1] != '\n' {
				d.glue = "\n"
			}
			out = append(out, d)
		}
	}
	notes.end()
	return append(out, notes.out...)
}

// last is the index of the last line of what begins at line i: a section, a block in tags, or what is indented.
func last(all []line, i int) int {
	head := all[i]
	tag, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(head.text, ">"), "<"), " ")
	switch {
	case strings.HasPrefix(head.text, "["):
		for j := i + 1; j < len(all); j++ {
			if strings.HasPrefix(all[j].text, "[") {
				return j - 1
			}
		}
		return len(all) - 1
	case strings.HasPrefix(head.text, "<") && !strings.Contains(head.text, "</"):
		depth := 1
		for j := i + 1; j < len(all); j++ {
			if strings.HasPrefix(all[j].text, "<"+tag) {
				depth++
			} else if strings.HasPrefix(all[j].text, "</"+tag) {
				depth--
			}
			if depth == 0 {
				return j
			}
		}
		return i
	}
	end := i
	for j := i + 1; j < len(all) && (all[j].text == "" || all[j].indent > head.indent); j++ {
		if all[j].text != "" {
			end = j
		}
	}
	return end
}

// setting takes one line apart.
func setting(b []byte, l span) (d directive) {
	text := string(b[l.from:l.to])
	at := len(text) - len(strings.TrimLeft(text, " \t-"))
	text = strings.TrimRight(text, " \t\r\n")
	d.span = l
	if at >= len(text) {
		d.value = span{l.from + len(text), l.from + len(text)}
		return d
	}
	if strings.HasPrefix(text[at:], "<") { // <key value> or <key>value</key>
		key, _, _ := strings.Cut(strings.TrimPrefix(text[at:], "<"), ">")
		d.key, _, _ = strings.Cut(key, " ")
		from, to := at+1+len(d.key), len(text)-1
		if end := strings.LastIndex(text, "</"); end > at {
			from, to = min(at+1+len(key)+1, end), end // a tag may be cut off
		}
		for from < to && text[from] == ' ' {
			from++
		}
		d.value = span{l.from + from, l.from + max(from, to)}
		return d
	}
	n := strings.IndexAny(text[at:], " \t=:")
	if n < 0 && strings.Contains(text[:at], "-") { // an element of a list
		d.value = span{l.from + at, l.from + len(text)}
		return d
	}
	if n < 0 {
		n = len(text) - at
	}
	d.key = text[at : at+n]
	from := at + n
	for from < len(text) && (text[from] == ' ' || text[from] == '\t') {
		from++
	}
	if from < len(text) && (text[from] == '=' || text[from] == ':') {
		from++
	}
	for from < len(text) && (text[from] == ' ' || text[from] == '\t') {
		from++
	}
	d.value = span{l.from + from, l.from + len(text)}
	return d
}

// statements are the directives of a text in which each ends in a semicolon or a block.
func statements(b []byte) []directive {
	var out []directive
	var notes commented
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '#' || bytes.HasPrefix(b[i:], []byte("//")):
			end := lineEnd(b, i)
			if blank(b[lineStart(b, i):i]) {
				text := b[i:end]
				mark := comment.FindIndex(text)
				if rest := text[mark[1]:]; off(string(rest)) && closed.Match(bytes.TrimSpace(rest)) {
					d := statement(b, span{i + mark[1], i + len(bytes.TrimRight(text, " \t\r\n;{"))})
					d.span = span{lineStart(b, i), end}
					d.core, d.marks = d.span, []span{{i, i + mark[1]}}
					notes.add(d)
				}
			}
			i = end
		case bytes.HasPrefix(b[i:], []byte("/*")):
			n := bytes.Index(b[i+2:], []byte("*/"))
			if n < 0 {
				n = len(b) - i - 4
			}
			i += n + 4
		case c <= ' ' || c == ';' || c == '}':
			if c == '}' || c == '\n' && blank(b[lineStart(b, i):i]) {
				notes.end()
			}
			i++
		default:
			notes.end()
			end := until(b, i, ";{}")
			d := statement(b, span{i, end})
			to := end
			if end < len(b) && b[end] == '{' {
				to = blockEnd(b, end)
			}
			for to < len(b) && b[to] == ';' {
				to++
			}
			d.span = wholeLines(b, span{i, to})
			if d.core = d.span; d.to > 0 && b[d.to-1] != '\n' {
				d.glue = "\n"
			}
			out = append(out, d)
			i = end + 1
		}
	}
	notes.end()
	return append(out, notes.out...)
}

// statement takes what comes before a semicolon or a block apart.
func statement(b []byte, s span) directive {
	text := b[s.from:max(s.from, s.to)]
	n := bytes.IndexAny(text, " \t\r\n")
	if n < 0 {
		n = len(text)
	}
	value := bytes.TrimLeft(text[n:], " \t\r\n")
	from := s.from + len(text) - len(value)
	return directive{key: string(text[:n]), value: span{from, from + len(bytes.TrimRight(value, " \t\r\n"))}}
}

// until is the place of the first byte of any of stops from at on that stands in no quotes, or the end.
func until(b []byte, at int, stops string) int {
	var quote byte
	for ; at < len(b); at++ {
		switch c := b[at]; {
		case c == '\\':
			at++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte(stops, c) >= 0:
			return at
		}
	}
	return len(b)
}

// blockEnd is behind the brace that closes the one at at.
func blockEnd(b []byte, at int) int {
	for depth := 0; at < len(b); at++ {
		if at = until(b, at, "{}#"); at == len(b) {
			break
		}
		switch b[at] {
		case '#':
			at = lineEnd(b, at) - 1
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return len(b)
}

func lineStart(b []byte, at int) int { return bytes.LastIndexByte(b[:at], '\n') + 1 }

func lineEnd(b []byte, at int) int {
	if n := bytes.IndexByte(b[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(b)
}

func blank(b []byte) bool { return len(bytes.TrimSpace(b)) == 0 }

// wholeLines is s with the white space around it, if nothing else stands in its lines.
func wholeLines(b []byte, s span) span {
	from, to := lineStart(b, s.from), lineEnd(b, s.to)
	if blank(b[from:s.from]) && blank(b[s.to:to]) {
		return span{from, to}
	}
	return s
}

// members collects the members of objects and the elements of arrays in JSON. What is no JSON ends it.
type members struct {
	b     []byte
	at    int
	depth int
	found []directive
}

func (p *members) space() {
	for p.at < len(p.b) && p.b[p.at] <= ' ' {
		p.at++
	}
}

// value passes over one, and reports whether there was one.
func (p *members) value() bool {
	p.space()
	if p.at == len(p.b) || p.depth > 64 {
		return false
	}
	switch c := p.b[p.at]; c {
	case '{', '[':
		p.at++
		p.depth++
		defer func() { p.depth-- }()
		return p.list(c == '{')
	case '"':
		end := quoteEnd(p.b, p.at)
		if end < 0 {
			return false
		}
		p.at = end
		return true
	}
	from := p.at
	for p.at < len(p.b) && !strings.ContainsRune(" \t\r\n,:]}", rune(p.b[p.at])) {
		p.at++
	}
	return p.at > from
}

// quoteEnd is behind the string that begins at at, -1 where it does not end.
func quoteEnd(b []byte, at int) int {
	for i := at + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// list passes over what stands between brackets.
func (p *members) list(object bool) bool {
	comma := -1 // before the member at hand
	for {
		if p.space(); p.at == len(p.b) {
			return false
		}
		if c := p.b[p.at]; c == '}' || c == ']' {
			p.at++
			return true
		}
		n := len(p.found)
		p.found = append(p.found, directive{glue: ","})
		from, key := p.at, ""
		if object {
			if !p.value() {
				p.found = p.found[:n]
				return false
			}
			key = strings.Trim(string(p.b[from:p.at]), `"`)
			if p.space(); p.at == len(p.b) || p.b[p.at] != ':' {
				p.found = p.found[:n]
				return false
			}
			p.at++
			p.space()
		}
		start := p.at
		if !p.value() {
			p.found = p.found[:n]
			return false
		}
		d := &p.found[n]
		d.key, d.value, d.core = key, span{start, p.at}, span{from, p.at}
		d.span = d.core
		p.space()
		switch {
		case p.at < len(p.b) && p.b[p.at] == ',':
			comma = p.at
			p.at++
			d.span.to = p.at
		case comma >= 0:
			d.span.from = comma
		}
	}
}
