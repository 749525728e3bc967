package corpora

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// plainFamilies are the formats without syntax: what nearly every program can be
// given.
func plainFamilies() []family {
	return []family{
		{"empty", []Seed{
			odd("file", ""),
		}},
		{"text", []Seed{
			valid("lines", "The quick brown fox\njumps over the lazy dog.\n\nPack my box with five dozen\nliquor jugs, 1234567890 times.\n"),
			valid("words", "pear\napple\nfig\nbanana\napple\ncherry\n"),
			valid("numbers", "10\n9\n-3\n2.5\n1e3\n0x1f\n007\n1K\n3M\n"),
			valid("columns", "alice   30  paris\nbob     25  rome\ncarol   41  oslo\nbob     25  rome\n"),
			odd("crlf", "one\r\ntwo\r\nthree\r\n"),
			odd("no-newline-at-end", "first\nlast"),
			odd("only-newlines", strings.Repeat("\n", 50)),
			odd("tabs-and-controls", "a\tb\vc\fd\be\a\x1b[31mred\x1b[0m\x7f\n"),
			odd("long-line", strings.Repeat("abcdefghij", 400)),
			odd("many-lines", manyLines(400)),
		}},
		{"utf8", []Seed{
			valid("languages", "Grüße aus Köln\nΚαλημέρα κόσμε\nДоброе утро\nこんにちは世界\nשלום עולם\n😀 👩‍👩‍👧 e\u0301 é\n"),
			odd("bom", "\ufeffwith a byte order mark\n"),
			odd("borders", "\u007f\u0080\u07ff\u0800\uffff\U00010000\U0010ffff\u200b\u202e\u2028\n"),
			broken("invalid", "\xc0\x80 \xe2\x82 \xed\xa0\x80 \xf5\x80\x80\x80 \xff\n"),
		}},
		{"utf16", []Seed{
			valid("little-endian", utf16Bytes(binary.LittleEndian, "\ufeffGrüße, 世界 😀\r\n")),
			valid("big-endian", utf16Bytes(binary.BigEndian, "\ufeffGrüße, 世界 😀\r\n")),
			broken("half-surrogate", []byte{0xff, 0xfe, 'a', 0, 0x3d, 0xd8, 'b', 0, 'c'}),
		}},
		{"latin1", []Seed{
			valid("german", "Gr\xfc\xdfe aus K\xf6ln, \xa9 \xbd \xff\n"),
		}},
		{"bytes", []Seed{
			valid("all-values", allBytes()),
			odd("one", []byte{'A'}),
			odd("nul", []byte{0}),
			odd("nuls", make([]byte, 512)),
			odd("ones", bytes.Repeat([]byte{0xff}, 512)),
			odd("text-with-nuls", "name\x00value\x00other\x00\x00end\n"),
			odd("integers", integers()),
			odd("noise", noise(1024)),
		}},
		{"words", []Seed{
			valid("sorted", "aardvark\nabacus\nbadger\ncabin\ndaffodil\neagle\nzebra\n"),
			odd("mixed-case", "Zebra\nalpha\nBeta\nALPHA\nbeta's\n"),
		}},
		{"regex", []Seed{
			valid("basic", "^[a-z]*$\nfoo\\(bar\\)*\n[[:digit:]]\\{2,4\\}\n"),
			valid("extended", "(foo|bar)+baz?\n^#.*$\n[^ ]+@[^ ]+\\.(com|org)\n\\bword\\b\n"),
			odd("back-reference", "\\(a*\\)*\\1\n(.)(.)\\2\\1\n"),
			broken("unbalanced", "(a[b-\n*a\n\\\n[[:nosuch:]]\na{9999999}\n"),
		}},
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i*7919%n)
	}
	return b.String()
}

func utf16Bytes(order binary.AppendByteOrder, s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// integers holds the values at which sizes, counts and offsets go wrong, in both
// byte orders.
func integers() []byte {
	var b []byte
	for _, v := range []uint64{0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		b = binary.LittleEndian.AppendUint64(b, v)
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// noise is what no compressor can shrink: the output of xorshift64 (Marsaglia,
// "Xorshift RNGs", 2003).
func noise(n int) []byte {
	b := make([]byte, 0, n)
	for x := uint64(88172645463325252); len(b) < n; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b = append(b, byte(x))
	}
	return b
}

// cut returns the first half of b: the commonest way for a file to be broken.
func cut(b []byte) []byte { return b[:len(b)/2] }

// flip returns b with all bits of the byte at i inverted; a negative i counts
// from the end.
func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	if i < 0 {
		i += len(b)
	}
	b[i] ^= 0xff
	return b
}
