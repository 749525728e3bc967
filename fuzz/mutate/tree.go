package mutate

import (
	"bytes"
	"strings"
)

// node is a part of a text that its delimiters or its place mark as a whole: a list
// or an object in brackets, an element in tags, a scalar.
type node struct {
	span
	open, shut int // lengths of the delimiters at its ends; 0 for a scalar, shut 0 for what is not closed
}

func (n node) scalar() bool { return n.open == 0 }

// The bounds of what is read for nodes, and of their number.
const (
	maxTree  = 8 << 10
	maxNodes = 1 << 10
)

// nodes parses b, or if it is long a part of it: its start, or what follows a
// random comma, tag or line. It is lenient: what is not closed ends where that part
// does.
func (e *edit) nodes(b []byte) []node {
	parse, from := bracketNodes, 0
	if tagged(b) {
		parse = tagNodes
	}
	if len(b) > maxTree && e.r.IntN(2) == 0 {
		from = e.r.IntN(len(b) - maxTree/2)
		from += bytes.IndexAny(b[from:], ",>\n") + 1
	}
	out := parse(b[from:min(len(b), from+maxTree)])
	for i := range out {
		out[i].from += from
		out[i].to += from
	}
	return out
}

// tagged reports whether b begins like a text in tags.
func tagged(b []byte) bool {
	start := bytes.TrimLeft(b, " \t\r\n\xef\xbb\xbf")
	return len(start) > 0 && start[0] == '<'
}

// closing is the bracket that closes c, 0 if c opens none.
func closing(c byte) byte {
	switch c {
	case '(':
		return ')'
	case '[':
		return ']'
	case '{':
		return '}'
	}
	return 0
}

// bracketNodes are what stands in brackets, quoted strings, and the words and
// numbers of a text like JSON. Brackets inside a string are part of it; a bracket
// that closes none is skipped.
func bracketNodes(b []byte) []node {
	out := make([]node, 0, min(len(b)/4+1, maxNodes))
	var stack []int // indices into out
	for at := 0; at < len(b) && len(out) < maxNodes; {
		c := b[at]
		switch {
		case closing(c) != 0:
			stack = append(stack, len(out))
			out = append(out, node{span{at, len(b)}, 1, 0})
		case c == ')' || c == ']' || c == '}':
			for i := len(stack) - 1; i >= 0; i-- {
				if n := &out[stack[i]]; closing(b[n.from]) == c {
					n.to, n.shut = at+1, 1
					for _, inner := range stack[i+1:] { // never closed: they end here
						out[inner].to = at
					}
					stack = stack[:i]
					break
				}
			}
		case c == '"' || c == '\'' && (at == 0 || !wordByte(b[at-1])): // no apostrophe
			end := quotedEnd(b, at)
			out = append(out, node{span{at, end}, 0, 0})
			at = end
			continue
		case wordByte(c) || c == '-' || c == '+' || c == '.':
			end := at + 1
			for end < len(b) && (wordByte(b[end]) || b[end] == '.' || b[end] == '-' || b[end] == '+') {
				end++
			}
			out = append(out, node{span{at, end}, 0, 0})
			at = end
			continue
		}
		at++
	}
	return out
}

// quotedEnd is the end of the string whose opening quote stands at a place: after
// its closing quote, or at the end of the line for want of one.
func quotedEnd(b []byte, at int) int {
	for i := at + 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case b[at]:
			return i + 1
		case '\n':
			return i
		}
	}
	return len(b)
}

// tagNodes are the elements of a text like XML, the text between tags, comments and
// the like, and the values of attributes.
func tagNodes(b []byte) []node {
	out := make([]node, 0, min(len(b)/8+1, maxNodes))
	var stack []int
	for at := 0; at < len(b) && len(out) < maxNodes; {
		if b[at] != '<' {
			end := at + bytes.IndexByte(b[at:], '<')
			if end < at {
				end = len(b)
			}
			if len(bytes.TrimSpace(b[at:end])) > 0 {
				out = append(out, node{span{at, end}, 0, 0})
			}
			at = end
			continue
		}
		end := tagEnd(b, at)
		tag := b[at:end]
		switch {
		case bytes.HasPrefix(tag, []byte("<!")) || bytes.HasPrefix(tag, []byte("<?")):
			out = append(out, node{span{at, end}, 0, 0})
		case bytes.HasPrefix(tag, []byte("</")):
			for i := len(stack) - 1; i >= 0; i-- {
				if n := &out[stack[i]]; bytes.Equal(tagName(b[n.from+1:]), tagName(tag[2:])) {
					n.to, n.shut = end, end-at
					for _, inner := range stack[i+1:] {
						out[inner].to = at
					}
					stack = stack[:i]
					break
				}
			}
		case bytes.HasSuffix(tag, []byte("/>")):
			out = append(out, node{span{at, end}, end - at, 0})
			out = attributes(out, b, at, end)
		default:
			stack = append(stack, len(out))
			out = append(out, node{span{at, len(b)}, end - at, 0})
			out = attributes(out, b, at, end)
		}
		at = end
	}
	return out
}

// tagEnd is the end of the tag, comment or section that begins at a place.
func tagEnd(b []byte, at int) int {
	for _, section := range [...][2]string{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}} {
		if bytes.HasPrefix(b[at:], []byte(section[0])) {
			if n := bytes.Index(b[at:], []byte(section[1])); n >= 0 {
				return at + n + len(section[1])
			}
		}
	}
	for i := at + 1; i < len(b); i++ {
		switch b[i] {
		case '"', '\'':
			if n := bytes.IndexByte(b[i+1:min(len(b), i+1+maxQuoted)], b[i]); n >= 0 {
				i += n + 1
			}
		case '>':
			return i + 1
		case '<':
			return i
		}
	}
	return len(b)
}

// maxQuoted is how long the value of an attribute may be for its quotes to matter.
const maxQuoted = 512

// tagName is the name that b begins with.
func tagName(b []byte) []byte {
	n := 0
	for n < len(b) && (wordByte(b[n]) || b[n] == ':' || b[n] == '-' || b[n] == '.') {
		n++
	}
	return b[:n]
}

// attributes appends the quoted values of the tag b[from:to].
func attributes(out []node, b []byte, from, to int) []node {
	for i := from; i < to; i++ {
		if b[i] == '"' || b[i] == '\'' {
			n := bytes.IndexByte(b[i+1:to], b[i])
			if n < 0 {
				break
			}
			out = append(out, node{span{i, i + n + 2}, 0, 0})
			i += n + 1
		}
	}
	return out
}

// pickNode is a random node of the input.
func (e *edit) pickNode() (node, bool) {
	all := e.nodes(e.b)
	if len(all) == 0 {
		return node{}, false
	}
	return one(e.r, all), true
}

// pickGroup is a random node with delimiters.
func (e *edit) pickGroup() (node, bool) {
	all := e.nodes(e.b)
	groups := all[:0]
	for _, n := range all {
		if !n.scalar() {
			groups = append(groups, n)
		}
	}
	if len(groups) == 0 {
		return node{}, false
	}
	return one(e.r, groups), true
}

// deepest is how deep nodes are nested at most: stacks of 8 MiB end sooner in many
// parsers that recurse, and those with a limit have it lower.
const deepest = 8 << 10

// nestNode puts a node into many pairs of delimiters, its own or brackets. Once in
// four times the closing ones are missing.
func (e *edit) nestNode() bool {
	n, ok := e.pickNode()
	if !ok {
		return false
	}
	open, shut := "[", "]"
	switch {
	case n.open > 0 && n.shut > 0:
		open, shut = string(e.b[n.from:n.from+n.open]), string(e.b[n.to-n.shut:n.to])
	case tagged(e.b):
		open, shut = "<a>", "</a>"
	case e.r.IntN(2) == 0:
		open, shut = `{"a":`, "}"
	}
	times := 1 + e.r.IntN([...]int{2, 2, 16, 16, 16, 256, 256, deepest}[e.r.IntN(8)])
	times = min(times, (e.max-len(e.b))/(len(open)+len(shut)))
	if times <= 0 {
		return false
	}
	inner := string(e.b[n.from:n.to])
	p := strings.Repeat(open, times) + inner
	if e.r.IntN(4) != 0 {
		p += strings.Repeat(shut, times)
	}
	return e.replace(n.from, n.to, []byte(p))
}

// duplicateNode repeats a node right after it, with what stands before it when that
// separates it from another; in an object that is a member with its key, too.
func (e *edit) duplicateNode() bool {
	n, ok := e.pickNode()
	if !ok {
		return false
	}
	p := append([]byte(nil), e.b[n.from:n.to]...)
	if !tagged(e.b) {
		from := n.from
		if e.r.IntN(2) == 0 {
			from = memberStart(e.b, n.from)
		}
		p = append([]byte{','}, e.b[from:n.to]...)
	}
	times := 1
	if e.r.IntN(16) == 0 {
		times = 1 + e.r.IntN(1<<10)
	}
	return e.insert(n.to, bytes.Repeat(p, min(times, e.max/len(p)+1)))
}

// memberStart is where the key begins that stands with a colon before a value, or
// the place of the value itself.
func memberStart(b []byte, value int) int {
	i := len(bytes.TrimRight(b[:value], " \t\r\n"))
	if i == 0 || b[i-1] != ':' {
		return value
	}
	i = len(bytes.TrimRight(b[:i-1], " \t\r\n"))
	if i == 0 || b[i-1] != '"' {
		return value
	}
	for k := i - 2; k >= 0 && b[k] != '\n'; k-- {
		if b[k] == '"' && (k == 0 || b[k-1] != '\\') {
			return k
		}
	}
	return value
}

// deleteNode removes a node, with its key and one comma beside it mostly, so that
// the rest stays what it was.
func (e *edit) deleteNode() bool {
	n, ok := e.pickNode()
	if !ok {
		return false
	}
	s := n.span
	if !tagged(e.b) && e.r.IntN(4) != 0 {
		s.from = memberStart(e.b, s.from)
		if left := len(bytes.TrimRight(e.b[:s.from], " \t\r\n")); left > 0 && e.b[left-1] == ',' {
			s.from = left - 1
		} else if right := bytes.TrimLeft(e.b[s.to:], " \t\r\n"); len(right) > 0 && right[0] == ',' {
			s.to = len(e.b) - len(right) + 1
		}
	}
	return e.replace(s.from, s.to, nil)
}

// swapNodes exchanges two nodes of which none lies in the other.
func (e *edit) swapNodes() bool {
	all := e.nodes(e.b)
	if len(all) < 2 {
		return false
	}
	for range 8 {
		i, j := e.two(len(all))
		if a, b := all[i], all[j]; a.to <= b.from {
			return e.swap(a.span, b.span)
		}
	}
	return false
}

// copyNode puts a copy of a node in the place of another one: a subtree into itself,
// among others.
func (e *edit) copyNode() bool {
	all := e.nodes(e.b)
	if len(all) < 2 {
		return false
	}
	i, j := e.two(len(all))
	if e.r.IntN(2) == 0 {
		i, j = j, i
	}
	a, b := all[i], all[j]
	return e.replace(a.from, a.to, e.b[b.from:b.to])
}

// spliceNode puts a node of the other input in the place of a node.
func (e *edit) spliceNode() bool {
	others := e.nodes(e.other)
	n, ok := e.pickNode()
	if !ok || len(others) == 0 {
		return false
	}
	o := one(e.r, others)
	return e.replace(n.from, n.to, e.other[o.from:o.to])
}

// scalars are values of every type that JSON and its kin have, those that belong to
// none of them, and what ends a string where it should not.
var scalars = [...]string{
	"null", "true", "false", "0", "-0", "1", "-1", "1.5", "1e400", "1E-400", "9007199254740993", "18446744073709551616", "NaN", "-Infinity", "0x1F",
	`""`, `"a"`, `"\u0000"`, `"\ud800"`, `"\udc00\ud800"`, `"\\"`, `"\"`, `"`, "'a'", `"\q"`, `"a` + "\n" + `b"`, "[]", "{}", "[[]]", `{"":0}`, `{"a":1,"a":2}`, "()", ",", ":", "",
}

// markupTexts are scalars of markup: references, sections, and what is not allowed.
var markupTexts = [...]string{
	"", "0", "&lt;", "&amp;", "&#0;", "&#x10FFFF;", "&#xD800;", "&undefined;", "&", "<![CDATA[a]]>", "<![CDATA[", "]]>", "<!-- -->", "<!--", "--", "<?a?>", "<a/>", "<a>", "</a>", `<a b="c" b="d"/>`, "<!DOCTYPE a [<!ENTITY e \"x\">]>", "\u00a0", "<", ">",
}

// values that an attribute is given.
var quotedTexts = [...]string{`""`, `"0"`, `"-1"`, `"&#0;"`, `"&lt;"`, `"&undefined;"`, `"<"`, "'a'", `"`, `"file:///dev/null"`, `"http://localhost:1/"`, `"UTF-16"`, `"1.1"`}

// changeScalar puts a value of another type in the place of a scalar, or one of the
// values that parsers treat specially.
func (e *edit) changeScalar() bool {
	all := e.nodes(e.b)
	leaves := all[:0]
	for _, n := range all {
		if n.scalar() {
			leaves = append(leaves, n)
		}
	}
	if len(leaves) == 0 {
		return false
	}
	n := one(e.r, leaves)
	list := scalars[:]
	if tagged(e.b) {
		if list = markupTexts[:]; e.b[n.from] == '"' || e.b[n.from] == '\'' {
			list = quotedTexts[:]
		}
	}
	return e.replace(n.from, n.to, []byte(one(e.r, list)))
}

// dropDelimiter removes the closing delimiter of a node, or the opening one.
func (e *edit) dropDelimiter() bool {
	n, ok := e.pickGroup()
	if !ok {
		return false
	}
	if n.shut == 0 || e.r.IntN(4) == 0 {
		return e.replace(n.from, n.from+n.open, nil)
	}
	return e.replace(n.to-n.shut, n.to, nil)
}

// renameDelimiter makes the delimiters of a node, both or one, those of another
// kind: other brackets, or the tags of another name.
func (e *edit) renameDelimiter() bool {
	n, ok := e.pickGroup()
	if !ok {
		return false
	}
	open, shut := []byte(nil), []byte(nil)
	if tagged(e.b) {
		other, _ := e.pickGroup() // there is one
		name := append([]byte(nil), tagName(e.b[other.from+1:])...)
		rest := e.b[n.from+1+len(tagName(e.b[n.from+1:])) : n.from+n.open]
		open = append(append([]byte("<"), name...), rest...)
		shut = append(append([]byte("</"), name...), '>')
	} else {
		open = []byte{"([{"[e.r.IntN(3)]}
		shut = []byte{closing(open[0])}
	}
	which := e.r.IntN(4)
	changed := false
	if n.shut > 0 && which != 0 {
		changed = e.replace(n.to-n.shut, n.to, shut)
	}
	if which != 1 && len(e.b)+len(open)-n.open <= e.max {
		changed = e.replace(n.from, n.from+n.open, open) || changed
	}
	return changed
}
