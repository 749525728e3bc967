package mutate

import (
	"bytes"
	"math/rand/v2"
	"unicode/utf8"
)

// class is what an input looks like, as far as the choice of operators goes.
type class uint8

// The classes. They index the weights of an operator.
const (
	binaryClass class = iota // bytes that are not text
	textClass                // lines of words
	treeClass                // text in brackets: JSON and what resembles it, programs, S-expressions
	markupClass              // text in tags
	classes
)

// sampled is how much of an input is looked at to tell its class.
const sampled = 1 << 10

// classify tells by the bytes that are not text, one in sixteen or more, and then by
// how the text begins or how many brackets it has.
func classify(b []byte) class {
	b = b[:min(len(b), sampled)]
	if len(b) == 0 {
		return textClass // most programs read text, and the operators for bytes do not starve
	}
	foreign, brackets := 0, 0
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c >= utf8.RuneSelf:
			c, n := utf8.DecodeRune(b[i:])
			if c == utf8.RuneError && n == 1 {
				foreign++
			}
			i += n
			continue
		case c < ' ' && c != '\n' && c != '\t' && c != '\r':
			foreign++
		case c == '(' || c == ')' || c == '[' || c == ']' || c == '{' || c == '}':
			brackets++
		}
		i++
	}
	start := bytes.TrimLeft(b, " \t\r\n\xef\xbb\xbf")
	switch {
	case foreign*16 >= len(b):
		return binaryClass
	case tagged(b) && bytes.IndexByte(start, '>') > 0:
		return markupClass
	case brackets > 0 && (bytes.IndexByte([]byte("{[("), start[0]) >= 0 || brackets*32 >= len(b)):
		return treeClass
	}
	return textClass
}

// operator is one kind of change. It reports whether it found something to work on.
type operator func(*edit) bool

// operators are the kinds with their weights by class: binary, text, tree, markup.
// The name is for tests.
var operators = [...]struct {
	name    string
	apply   operator
	weights [classes]uint16
}{
	// AFL's havoc stage. Blocks that go are likelier than blocks that come: inputs
	// that shrink run faster and minimize better.
	{"flip bits", (*edit).flipBits, [classes]uint16{10, 4, 3, 3}},
	{"set byte", (*edit).setByte, [classes]uint16{10, 6, 5, 5}},
	{"add to byte", (*edit).arith8, [classes]uint16{8, 4, 3, 3}},
	{"add to word", (*edit).arithWide, [classes]uint16{10, 1, 1, 1}},
	{"interesting byte", (*edit).interesting8, [classes]uint16{8, 2, 2, 2}},
	{"interesting word", (*edit).interestingWide, [classes]uint16{10, 1, 1, 1}},
	{"delete block", (*edit).deleteBlock, [classes]uint16{16, 10, 8, 8}},
	{"clone block", (*edit).cloneBlock, [classes]uint16{8, 6, 4, 4}},
	{"insert filler", (*edit).insertFiller, [classes]uint16{6, 4, 3, 3}},
	{"overwrite block", (*edit).overwriteBlock, [classes]uint16{8, 5, 3, 3}},
	{"swap blocks", (*edit).swapBlocks, [classes]uint16{5, 4, 3, 3}},
	{"insert entry", (*edit).insertEntry, [classes]uint16{8, 12, 10, 10}},
	{"overwrite entry", (*edit).overwriteEntry, [classes]uint16{8, 6, 5, 5}},
	{"splice tail", (*edit).spliceTail, [classes]uint16{4, 4, 3, 3}},
	{"splice block", (*edit).spliceBlock, [classes]uint16{6, 5, 4, 4}},

	{"next number", (*edit).nextNumber, [classes]uint16{1, 5, 5, 4}},
	{"interesting number", (*edit).interestingNumber, [classes]uint16{1, 6, 6, 4}},
	{"digits of number", (*edit).numberDigits, [classes]uint16{1, 3, 3, 2}},
	{"sign of number", (*edit).numberSign, [classes]uint16{1, 3, 3, 2}},

	{"corrupt length", (*edit).corruptLength, [classes]uint16{10, 0, 0, 0}},
	{"resize with length", (*edit).resizeWithLength, [classes]uint16{14, 0, 0, 0}},
	{"duplicate record", (*edit).duplicateRecord, [classes]uint16{8, 0, 0, 0}},
	{"drop record", (*edit).dropRecord, [classes]uint16{8, 0, 0, 0}},
	{"swap records", (*edit).swapRecords, [classes]uint16{6, 0, 0, 0}},
	{"truncate record", (*edit).truncateRecord, [classes]uint16{6, 0, 0, 0}},
	{"extend record", (*edit).extendRecord, [classes]uint16{6, 0, 0, 0}},

	{"duplicate line", (*edit).duplicateLine, [classes]uint16{0, 6, 3, 3}},
	{"drop line", (*edit).dropLine, [classes]uint16{0, 6, 3, 3}},
	{"swap lines", (*edit).swapLines, [classes]uint16{0, 4, 2, 2}},
	{"shuffle lines", (*edit).shuffleLines, [classes]uint16{0, 2, 1, 1}},
	{"splice line", (*edit).spliceLine, [classes]uint16{0, 5, 2, 2}},
	{"line ending", (*edit).lineEnding, [classes]uint16{0, 2, 1, 1}},

	{"swap tokens", (*edit).swapTokens, [classes]uint16{1, 6, 5, 4}},
	{"duplicate token", (*edit).duplicateToken, [classes]uint16{1, 5, 4, 3}},
	{"delete token", (*edit).deleteToken, [classes]uint16{1, 6, 5, 4}},
	{"replace token", (*edit).replaceToken, [classes]uint16{1, 12, 10, 8}},

	{"nest node", (*edit).nestNode, [classes]uint16{0, 1, 6, 6}},
	{"duplicate node", (*edit).duplicateNode, [classes]uint16{0, 1, 8, 8}},
	{"delete node", (*edit).deleteNode, [classes]uint16{0, 1, 8, 8}},
	{"swap nodes", (*edit).swapNodes, [classes]uint16{0, 1, 8, 8}},
	{"copy node", (*edit).copyNode, [classes]uint16{0, 1, 10, 10}},
	{"splice node", (*edit).spliceNode, [classes]uint16{0, 1, 10, 10}},
	{"change scalar", (*edit).changeScalar, [classes]uint16{0, 1, 12, 10}},
	{"drop delimiter", (*edit).dropDelimiter, [classes]uint16{0, 1, 4, 4}},
	{"rename delimiter", (*edit).renameDelimiter, [classes]uint16{0, 1, 4, 4}},

	{"insert character", (*edit).insertCharacter, [classes]uint16{1, 4, 3, 3}},
	{"break character", (*edit).breakCharacter, [classes]uint16{0, 2, 1, 1}},
}

// havocOperators is how many of the operators, the first ones, are AFL's.
const havocOperators = 15

// totals are the sums of the weights.
var totals = func() (t [classes]int) {
	for _, o := range operators {
		for c, w := range o.weights {
			t[c] += int(w)
		}
	}
	return t
}()

// draw chooses an operator. Once in 16 times it is one for another class: what an
// input looks like is a guess, and a program may take it for something else.
func draw(r *rand.Rand, c class) operator {
	if r.IntN(16) == 0 {
		c = class(r.IntN(int(classes)))
	}
	x := r.IntN(totals[c])
	for _, o := range operators {
		if x -= int(o.weights[c]); x < 0 {
			return o.apply
		}
	}
	panic("totals exceed the weights")
}
