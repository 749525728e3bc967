package mutate

import "unicode/utf8"

// characters are those at which readers of UTF-8 go wrong: encodings that are not
// allowed, edges of ranges, characters that change length or direction or join with
// others, and those that other encodings begin with. Source: Markus Kuhn's UTF-8
// stress test, and Unicode's special casing.
var characters = [...]string{
	"\xc0\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", // overlong
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80", // surrogates, alone and as a pair
	"\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", // beyond the last one
	"\xe2\x82", "\xf0\x9f\x98", "\xc3", "\x80", "\xbf", "\xfe", "\xff", // incomplete, or never a part of it
	"\x00", "\x7f", "\u0080", "\u0085", "\u07ff", "\u0800", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0010ffff", // edges
	"\ufeff", "\xff\xfe", "\xfe\xff", "\xff\xfe\x00\x00", "+/v8-", // byte order marks
	"\u00df", "\u0130", "\u0131", "\u0149", "\u1e9e", "\ufb03", "\u0345", "\u03c2", // change length with their case
	"\u0301", "a\u0301\u0301\u0301\u0301", "\u200d", "\u200b", "\u202e", "\u2066", "\u00ad", "\u2028", "\u2029", "\u3000", "\u00a0", // join, turn, or look like nothing
	"\u0660", "\uff10", "\u2160", "\u00b2", // digits, to some
	"\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u1100\u1161\u11a8", "\u0e33", // one to the reader, several to the program
}

// insertCharacter inserts one of characters, or puts it in the place of a character.
func (e *edit) insertCharacter() bool {
	at := e.position()
	to := at
	if e.r.IntN(2) == 0 && at < len(e.b) {
		_, n := utf8.DecodeRune(e.b[at:])
		to = at + n
	}
	return e.replace(at, to, []byte(one(e.r, characters[:])))
}

// breakCharacter cuts off the end of a character of several bytes.
func (e *edit) breakCharacter() bool {
	if len(e.b) == 0 {
		return false
	}
	start := e.r.IntN(len(e.b))
	for at := start; at < min(len(e.b), start+longText); at++ {
		if c, n := utf8.DecodeRune(e.b[at:]); n > 1 && c != utf8.RuneError {
			return e.replace(at+1+e.r.IntN(n-1), at+n, nil)
		}
	}
	return false
}
