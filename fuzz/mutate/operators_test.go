package mutate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// find returns the operator of a name.
func find(t *testing.T, name string) operator {
	t.Helper()
	for _, o := range operators {
		if o.name == name {
			return o.apply
		}
	}
	t.Fatalf("no operator %q", name)
	return nil
}

// differing is how many bits of two texts of one length differ.
func differing(a, b []byte) int {
	if len(a) != len(b) {
		return -1
	}
	n := 0
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// tlv is a record of a type and a length of one byte each.
func tlv(kind byte, value string) string {
	return string([]byte{kind, byte(len(value))}) + value
}

// promise is what an operator, alone and applied once, can make of an input.
type promise struct {
	operator, what string
	in, other      string
	dict           []string
	hit            func(in, out string) bool
}

func is(want string) func(in, out string) bool {
	return func(_, out string) bool { return out == want }
}

func holds(part string) func(in, out string) bool {
	return func(_, out string) bool { return strings.Contains(out, part) }
}

var promises = []promise{
	{operator: "flip bits", what: "one bit", in: "\x00\x00\x00\x00", hit: func(in, out string) bool { return differing([]byte(in), []byte(out)) == 1 }},
	{operator: "flip bits", what: "two bits", in: "\x00\x00\x00\x00", hit: is("\x00\x60\x00\x00")},
	{operator: "flip bits", what: "four bits over a boundary", in: "\x00\x00\x00\x00", hit: is("\x00\x03\xc0\x00")},
	{operator: "set byte", what: "a random byte", in: "aaaa", hit: is("aXaa")},
	{operator: "set byte", what: "a byte of nothing", in: "", hit: func(_, out string) bool { return len(out) == 1 }},
	{operator: "add to byte", what: "plus 35", in: "\x00\x00", hit: is("\x00\x23")},
	{operator: "add to byte", what: "minus 35", in: "\x00\x00", hit: is("\xdd\x00")},
	{operator: "add to word", what: "16 bits, big endian, with carry", in: "\x00\xff", hit: is("\x01\x00")},
	{operator: "add to word", what: "16 bits, little endian, with carry", in: "\xff\x00", hit: is("\x00\x01")},
	{operator: "add to word", what: "32 bits, big endian, with borrow", in: "\x00\x01\x00\x00", hit: is("\x00\x00\xff\xff")},
	{operator: "add to word", what: "32 bits, little endian, with borrow", in: "\x00\x00\x01\x00", hit: is("\xff\xff\x00\x00")},
	{operator: "add to word", what: "64 bits, big endian, with borrow", in: "\x00\x00\x00\x01\x00\x00\x00\x00", hit: is("\x00\x00\x00\x00\xff\xff\xff\xff")},
	{operator: "add to word", what: "64 bits, little endian, with borrow", in: "\x00\x00\x00\x00\x01\x00\x00\x00", hit: is("\xff\xff\xff\xff\x00\x00\x00\x00")},
	{operator: "interesting byte", what: "the smallest", in: "aa", hit: is("a\x80")},
	{operator: "interesting word", what: "16 bits, big endian", in: "aaaa", hit: is("a\x03\xe8a")},
	{operator: "interesting word", what: "16 bits, little endian", in: "aaaa", hit: is("a\xe8\x03a")},
	{operator: "interesting word", what: "32 bits, big endian", in: "aaaaaa", hit: is("a\x7f\xff\xff\xffa")},
	{operator: "interesting word", what: "32 bits, little endian", in: "aaaaaa", hit: is("a\xff\xff\xff\x7fa")},
	{operator: "interesting word", what: "64 bits", in: "aaaaaaaaa", hit: is("a\x7f\xff\xff\xff\xff\xff\xff\xff")},
	{operator: "delete block", what: "from the middle", in: "0123456789", hit: is("01289")},
	{operator: "clone block", what: "elsewhere", in: "start-end", hit: is("start-end-end")},
	{operator: "clone block", what: "often", in: "ab[", hit: holds(strings.Repeat("ab[", 30))},
	{operator: "insert filler", what: "a byte of the input", in: "ab", hit: is("aaaaab")},
	{operator: "insert filler", what: "a long one", in: "ab", hit: func(_, out string) bool { return len(out) > 2000 }},
	{operator: "overwrite block", what: "with another", in: "abcdef", hit: is("abcabc")},
	{operator: "overwrite block", what: "with filler", in: "abcdef", hit: is("ab\x00\x00\x00f")},
	{operator: "swap blocks", what: "of unequal length", in: "abc-de", hit: is("de-abc")},
	{operator: "insert entry", what: "inside", in: "ab", dict: []string{"TOKEN"}, hit: is("aTOKENb")},
	{operator: "overwrite entry", what: "inside", in: "abcdefg", dict: []string{"TOKEN"}, hit: is("aTOKENg")},
	{operator: "splice tail", what: "head and tail", in: "abcd", other: "wxyz", hit: is("abyz")},
	{operator: "splice block", what: "inserted", in: "abcd", other: "wxyz", hit: is("abxycd")},
	{operator: "splice block", what: "overwritten", in: "abcd", other: "wxyz", hit: is("axyd")},

	{operator: "next number", what: "plus 1", in: "size=41;", hit: is("size=42;")},
	{operator: "next number", what: "below zero", in: "size=0;", hit: is("size=-1;")},
	{operator: "next number", what: "of more than 64 bits", in: "99999999999999999999", hit: is("100000000000000000000")},
	{operator: "next number", what: "a negative one", in: "x -5", hit: is("x -4")},
	{operator: "next number", what: "after a hyphen that is no sign", in: "a-5", hit: is("a-6")},
	{operator: "interesting number", what: "the edge of 32 bits", in: "size=41;", hit: is("size=4294967296;")},
	{operator: "interesting number", what: "no integer", in: "size=41;", hit: is("size=1e400;")},
	{operator: "digits of number", what: "more in front", in: "=41;", hit: is("=00041;")},
	{operator: "digits of number", what: "more at the end", in: "=41;", hit: is("=41999;")},
	{operator: "digits of number", what: "one less", in: "=-41;", hit: is("=-4;")},
	{operator: "sign of number", what: "negated", in: "=41;", hit: is("=-41;")},
	{operator: "sign of number", what: "negated again", in: "=-41;", hit: is("=41;")},
	{operator: "sign of number", what: "plus", in: "=41;", hit: is("=+41;")},

	{operator: "corrupt length", what: "one more than there is, 8 bits", in: "\x05hello", hit: is("\x06hello")},
	{operator: "corrupt length", what: "all, 16 bits, big endian", in: "M\x00\x05hello", hit: is("M\xff\xffhello")},
	{operator: "corrupt length", what: "one less, 32 bits, little endian", in: "M\x05\x00\x00\x00hello", hit: is("M\x04\x00\x00\x00hello")},
	{operator: "corrupt length", what: "a length that counts its own bytes", in: "M\x00\x07hello", hit: is("M\x00\x08hello")},
	{operator: "resize with length", what: "shorter, 8 bits", in: "M\x05hello", hit: is("M\x03heo")},
	{operator: "resize with length", what: "longer, 32 bits, big endian", in: "M\x00\x00\x00\x05hello", other: "XYZ", hit: is("M\x00\x00\x00\x07heYZllo")},
	{operator: "resize with length", what: "a length that counts its own bytes", in: "M\x00\x07hello", hit: is("M\x00\x05heo")},
	{operator: "resize with length", what: "what an inner field measures", in: "\x00\x00\x00\x00" + "\x00\x05hello" + strings.Repeat("z", 40), hit: holds("\x00\x03heozz")},
	{operator: "duplicate record", what: "of types and lengths of 8 bits", in: tlv(1, "ab") + tlv(2, "c"), hit: is(tlv(1, "ab") + tlv(1, "ab") + tlv(2, "c"))},
	{operator: "drop record", what: "inside another", in: tlv(0x30, tlv(2, "a")+tlv(4, "bc")+tlv(5, "")), hit: is("\x30\x09" + tlv(2, "a") + tlv(5, ""))},
	{operator: "drop record", what: "inside another, with its length", in: tlv(0x30, tlv(2, "a")+tlv(4, "bc")+tlv(5, "")), hit: is(tlv(0x30, tlv(2, "a")+tlv(5, "")))},
	{operator: "duplicate record", what: "inside two others, with their lengths", in: tlv(0x30, tlv(2, "")+tlv(0x31, tlv(4, "bc")+tlv(5, "x"))), hit: is(tlv(0x30, tlv(2, "")+tlv(0x31, tlv(4, "bc")+tlv(4, "bc")+tlv(5, "x"))))},
	{operator: "truncate record", what: "inside another, with both lengths", in: "\x00\x00\x00\x09" + tlv(4, "bcd") + tlv(5, "xy"), hit: is("\x00\x00\x00\x08" + tlv(4, "bc") + tlv(5, "xy"))},
	{operator: "swap records", what: "of types and lengths of 16 bits", in: "\x00\x01\x00\x01a\x00\x02\x00\x02bc", hit: is("\x00\x02\x00\x02bc\x00\x01\x00\x01a")},
	{operator: "swap records", what: "chunks of PNG", in: "\x89PNG\r\n\x1a\n\x00\x00\x00\x02aaaaAAcrc1\x00\x00\x00\x01bbbbBcrc2", hit: is("\x89PNG\r\n\x1a\n\x00\x00\x00\x01bbbbBcrc2\x00\x00\x00\x02aaaaAAcrc1")},
	{operator: "truncate record", what: "with its length", in: tlv(1, "abcd") + tlv(2, "c"), hit: is(tlv(1, "ab") + tlv(2, "c"))},
	{operator: "truncate record", what: "whose length counts the header", in: "\x00\x00\x00\x0cmoovDATA\x00\x00\x00\x09mdatX", hit: is("\x00\x00\x00\x0amoovDA\x00\x00\x00\x09mdatX")},
	{operator: "extend record", what: "with its length", in: tlv(1, "ab") + tlv(2, "c"), hit: is(tlv(1, "abbb") + tlv(2, "c"))},

	{operator: "duplicate line", what: "elsewhere", in: "a\nb\nc\n", hit: is("a\nb\na\nc\n")},
	{operator: "duplicate line", what: "without an end", in: "a\nb", hit: is("b\na\nb")},
	{operator: "drop line", what: "the middle one", in: "a\nb\nc\n", hit: is("a\nc\n")},
	{operator: "swap lines", what: "the outer ones", in: "a\nbb\nccc\n", hit: is("ccc\nbb\na\n")},
	{operator: "shuffle lines", what: "all", in: "a\nb\nc\nd\n", hit: is("c\na\nd\nb\n")},
	{operator: "splice line", what: "inserted", in: "a\nb\n", other: "x\ny\n", hit: is("a\nx\nb\n")},
	{operator: "splice line", what: "in the place of one", in: "a\nb\n", other: "x\ny\n", hit: is("a\ny\n")},
	{operator: "line ending", what: "CR LF", in: "a\nb\n", hit: is("a\r\nb\n")},
	{operator: "line ending", what: "joined", in: "a\nb\n", hit: is("ab\n")},
	{operator: "line ending", what: "broken", in: "abcd\n", hit: is("ab\ncd\n")},

	{operator: "swap tokens", what: "words", in: "one = two", hit: is("two = one")},
	{operator: "duplicate token", what: "with its space", in: "one two", hit: is("one one two")},
	{operator: "duplicate token", what: "very often", in: "((a))", hit: holds(strings.Repeat("(", 500))},
	{operator: "delete token", what: "a word", in: "one = two", hit: is("one = ")},
	{operator: "replace token", what: "by one of the input", in: "one = two", hit: is("two = two")},
	{operator: "replace token", what: "by one of the other input", in: "one = two", other: "x + y", hit: is("one + two")},
	{operator: "replace token", what: "by an entry", in: "one = two", dict: []string{"ENTRY"}, hit: is("one = ENTRY")},

	{operator: "nest node", what: "deeply", in: `{"k":[1]}`, hit: func(_, out string) bool {
		return strings.HasPrefix(out, `{"k":`+strings.Repeat("[", 2000)) && strings.HasSuffix(out, strings.Repeat("]", 2000)+"}")
	}},
	{operator: "nest node", what: "without an end", in: `[1]`, hit: is("[[[[1]")},
	{operator: "nest node", what: "elements", in: "<x><b>t</b></x>", hit: is("<x><b><b>t</b></b></x>")},
	{operator: "nest node", what: "text in elements", in: "<x>t</x>", hit: is("<x><a><a>t</a></a></x>")},
	{operator: "duplicate node", what: "an element of an array", in: `[1,{"a":2}]`, hit: is(`[1,{"a":2},{"a":2}]`)},
	{operator: "duplicate node", what: "a member with its key", in: `{"a":[1]}`, hit: is(`{"a":[1],"a":[1]}`)},
	{operator: "duplicate node", what: "an element with what is in it", in: "<x><b>t</b></x>", hit: is("<x><b>t</b><b>t</b></x>")},
	{operator: "duplicate node", what: "very often", in: "[1]", hit: func(_, out string) bool { return strings.Count(out, ",1") > 500 }},
	{operator: "delete node", what: "an element with its comma", in: "[1, 2, 3]", hit: is("[1, 3]")},
	{operator: "delete node", what: "the first one", in: "[1, 2]", hit: is("[ 2]")},
	{operator: "delete node", what: "a member", in: `{"a": {"b": 1}, "c": 2}`, hit: is(`{ "c": 2}`)},
	{operator: "delete node", what: "the value alone", in: `{"a": 1}`, hit: is(`{"a": }`)},
	{operator: "delete node", what: "an element", in: "<x><b>t</b>u</x>", hit: is("<x>u</x>")},
	{operator: "swap nodes", what: "of different types", in: `{"a":[1,2],"b":"s"}`, hit: is(`{"a":"s","b":[1,2]}`)},
	{operator: "swap nodes", what: "elements", in: `<x><b/><c d="e">t</c></x>`, hit: is(`<x><c d="e">t</c><b/></x>`)},
	{operator: "copy node", what: "a subtree into itself", in: `{"a":[1]}`, hit: is(`{"a":[{"a":[1]}]}`)},
	{operator: "splice node", what: "an object for a number", in: `[1]`, other: `{"x":[{"y":0}]}`, hit: is(`[{"y":0}]`)},
	{operator: "splice node", what: "an element for a text", in: "<x>t</x>", other: "<y><z>1</z></y>", hit: is("<x><z>1</z></x>")},
	{operator: "change scalar", what: "the type", in: `{"a":"s"}`, hit: is(`{"a":null}`)},
	{operator: "change scalar", what: "half a surrogate pair", in: `{"a":"s"}`, hit: is(`{"a":"\ud800"}`)},
	{operator: "change scalar", what: "of what is nearly JSON", in: `{a: 'it', b: [1,2,`, hit: is(`{a: 'it', b: [1e400,2,`)},
	{operator: "change scalar", what: "a text", in: `<x a="b">t</x>`, hit: is(`<x a="b">&#0;</x>`)},
	{operator: "change scalar", what: "an attribute", in: `<x a="b">t</x>`, hit: is(`<x a="UTF-16">t</x>`)},
	{operator: "drop delimiter", what: "the closing one", in: `{"a":[1]}`, hit: is(`{"a":[1}`)},
	{operator: "drop delimiter", what: "the opening one", in: `{"a":[1]}`, hit: is(`"a":[1]}`)},
	{operator: "drop delimiter", what: "a closing tag", in: "<x><b>t</b></x>", hit: is("<x><b>t</x>")},
	{operator: "rename delimiter", what: "both", in: `[1]`, hit: is(`{1}`)},
	{operator: "rename delimiter", what: "one", in: `[1]`, hit: is(`[1)`)},
	{operator: "rename delimiter", what: "a closing tag", in: "<x><b>t</b></x>", hit: is("<x><b>t</x></x>")},

	{operator: "insert character", what: "an overlong one", in: "ab", hit: is("a\xc0\xafb")},
	{operator: "insert character", what: "in the place of one", in: "aüb", hit: is("a\ufeffb")},
	{operator: "break character", what: "of three bytes", in: "a€b", hit: is("a\xe2\x82b")},
}

func TestEachOperatorKeepsItsPromises(t *testing.T) {
	kept := make(map[string]bool)
	for _, p := range promises {
		kept[p.operator] = true
		t.Run(p.operator+"/"+p.what, func(t *testing.T) {
			apply, r := find(t, p.operator), newRand(1)
			for range 100_000 {
				e := edit{r: r, b: []byte(p.in), other: []byte(p.other), max: MaxInput}
				for _, d := range p.dict {
					e.dict = append(e.dict, []byte(d))
				}
				if apply(&e) && p.hit(p.in, string(e.b)) {
					return
				}
			}
			t.Errorf("not seen in 100000 results from %q", p.in)
		})
	}
	if last := operators[havocOperators-1].name; last != "splice block" {
		t.Errorf("the last of AFL's operators is %q", last)
	}
	for _, o := range operators {
		if !kept[o.name] {
			t.Errorf("operator %q promises nothing in this test", o.name)
		}
	}
}

// samples are inputs of every class, and those that are hard to work on.
var samples = []string{
	"", "a", "\x00", "\n", "<", "{", "}", `"`, "-", "0", "\xff\xfe", strings.Repeat("[", 600), strings.Repeat("<a>", 300), strings.Repeat("1", 200),
	"plain text, 12 words -3.\nand a second line\r\n\r\n", `{"a": [1, -2.5, "x\"y", null], "b": {"c": {}}}`, `{a: 'b', [1, 2`, "<x a='1' b=\"2\"><!-- c --><y/>t<z>u</z></x>", "<x><y></x></y>",
	"\x05hello", "\x00\x00\x00\x05hello", tlv(1, "ab") + tlv(2, "") + tlv(3, "abc"), strings.Repeat("\x00", 300), "\xe2\x82\xac\xf0\x9f\x98\x80",
}

func TestNoOperatorExceedsTheCapOrWritesToWhatItWasGiven(t *testing.T) {
	for _, o := range operators {
		t.Run(o.name, func(t *testing.T) {
			r := newRand(2)
			for i, in := range samples {
				other := []byte(samples[(i*7+3)%len(samples)])
				dict := Dictionary{[]byte("token"), {0}}
				for _, limit := range []int{len(in), len(in) + 1, len(in) + 40} {
					for range 50 {
						e := edit{r: r, b: []byte(in), other: other, dict: dict, max: limit}
						if changed := o.apply(&e); len(e.b) > limit {
							t.Fatalf("%d bytes of %q, cap %d", len(e.b), in, limit)
						} else if !changed && string(e.b) != in {
							t.Fatalf("%q became %q, said to be unchanged", in, e.b)
						}
					}
				}
				if string(other) != samples[(i*7+3)%len(samples)] || string(dict[0]) != "token" || dict[1][0] != 0 {
					t.Fatalf("the other input or the dictionary was written to: %q %q", other, dict)
				}
			}
		})
	}
}

func TestClassifyTellsBytesTextTreesAndMarkup(t *testing.T) {
	cases := []struct {
		in   string
		want class
	}{
		{"", textClass},
		{"key = value\n# comment\n", textClass},
		{"Grüße, 世界\n", textClass},
		{"a note (in brackets) within a sentence that goes on for a while, as sentences do", textClass},
		{`{"a": 1}`, treeClass},
		{"\ufeff\n [1, 2", treeClass},
		{"int main(void) { return f(1)[2]; }", treeClass},
		{"(define (f x) (+ x 1))", treeClass},
		{"<?xml version='1.0'?><a/>", markupClass},
		{"  <!DOCTYPE html>\n<p>", markupClass},
		{"< no tag", textClass},
		{"\x7fELF\x02\x01\x01\x00\x00", binaryClass},
		{"text\x00\x00\x00\x00", binaryClass},
		{"latin \xe9\xe8\xe0\xfc", binaryClass},
	}
	for _, c := range cases {
		if got := classify([]byte(c.in)); got != c.want {
			t.Errorf("%q is of class %d, want %d", c.in, got, c.want)
		}
	}
}

// Which operators come up depends on the input, and none is out of reach.
func TestDrawPrefersWhatFitsTheInput(t *testing.T) {
	count := func(c class) map[string]int {
		r, n := newRand(3), make(map[string]int)
		for range 200_000 {
			n[fmt.Sprintf("%p", draw(r, c))]++
		}
		return n
	}
	byClass := [classes]map[string]int{}
	for c := range classes {
		byClass[c] = count(c)
		if len(byClass[c]) != len(operators) {
			t.Errorf("class %d: %d operators of %d drawn", c, len(byClass[c]), len(operators))
		}
	}
	for _, p := range []struct {
		operator     string
		more, seldom class
	}{
		{"resize with length", binaryClass, textClass},
		{"swap lines", textClass, binaryClass},
		{"copy node", treeClass, textClass},
		{"copy node", markupClass, binaryClass},
		{"next number", textClass, binaryClass},
	} {
		key := fmt.Sprintf("%p", find(t, p.operator))
		if a, b := byClass[p.more][key], byClass[p.seldom][key]; a < 3*b {
			t.Errorf("%s: %d times for class %d, %d times for class %d", p.operator, a, p.more, b, p.seldom)
		}
	}
}

func TestNodesOfBrokenTextsStayInsideIt(t *testing.T) {
	r := newRand(4)
	for i := range 5_000 {
		b := []byte(one(r, samples))
		if i%50 == 0 {
			b = bytes.Repeat(b, maxTree/50) // some are longer than is read at once
		}
		b = Bytes(r, b, ByteOptions{Other: []byte(one(r, samples)), Max: len(b) + 300})
		for _, n := range (&edit{r: r}).nodes(b) {
			if n.from < 0 || n.to > len(b) || n.from >= n.to || n.open+n.shut > n.to-n.from || n.scalar() && n.shut > 0 {
				t.Fatalf("%+v of %d bytes: %q", n, len(b), b)
			}
		}
	}
}

func FuzzBytes(f *testing.F) {
	for i, s := range samples {
		f.Add(uint64(i), []byte(s), []byte(samples[len(samples)-1-i]), 100)
	}
	f.Fuzz(func(t *testing.T, seed uint64, data, other []byte, limit int) {
		in, partner := bytes.Clone(data), bytes.Clone(other)
		limit = 1 + int(uint(limit)%(1<<12))
		o := ByteOptions{Other: other, Dictionary: Dictionary{[]byte("token")}, Max: limit}
		got := Bytes(newRand(seed), data, o)
		if len(got) > limit || !bytes.Equal(data, in) || !bytes.Equal(other, partner) {
			t.Fatalf("%d bytes, cap %d; input written to: %t, partner: %t", len(got), limit, !bytes.Equal(data, in), !bytes.Equal(other, partner))
		}
		if again := Bytes(newRand(seed), data, o); !bytes.Equal(got, again) {
			t.Fatalf("one seed made %q and %q", got, again)
		}
	})
}

// A field that fits is changed so that it fits again.
func TestResizeWithLengthLeavesLengthsThatFit(t *testing.T) {
	r := newRand(5)
	in := append([]byte("\xff\xff\xff\xff"), binary.BigEndian.AppendUint32(nil, 40)...)
	in = append(in, bytes.Repeat([]byte("v"), 40)...)
	fits, changed := 0, 0
	for range 5000 {
		e := edit{r: r, b: slices.Clone(in), max: 200}
		if !e.resizeWithLength() {
			continue
		}
		changed++
		if len(e.b) >= 8 && binary.BigEndian.Uint32(e.b[4:]) == uint32(len(e.b)-8) {
			fits++
		}
	}
	if changed < 1000 || fits != changed {
		t.Errorf("%d of %d changed inputs have a length that fits", fits, changed)
	}
}

func TestCharactersAreMostlyNotWhatReadersExpect(t *testing.T) {
	invalid := 0
	for _, c := range characters {
		if !utf8.ValidString(c) {
			invalid++
		}
	}
	if invalid < 15 || invalid == len(characters) {
		t.Errorf("%d of %d characters are invalid UTF-8", invalid, len(characters))
	}
}
