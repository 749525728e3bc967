package fuzz

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// separators stand between a key and its value.
var separators = []string{"=", "=", "=", " = ", ": ", " : ", ":", " ", " ", "\t", ", ", ""}

// line is one of a file or of the input. What stands between a key and its value is the same in all of a file.
func (a *attempt) line(between string) string {
	texts, numbers := a.clues[ClueText], a.clues[ClueNumber]
	if len(texts) > 0 && len(numbers) > 0 && numbers[0].Distance <= texts[0].Distance && a.r.IntN(4) == 0 { // the value decides last
		return nearest(a.r, texts).Text + between + a.decimal()
	}
	switch a.r.IntN(10) {
	case 0, 1:
		return a.term()
	case 2:
		return a.marked()
	case 3:
		return a.term() + between + a.some()
	case 4:
		return a.term() + between + a.decimal()
	case 5, 6, 7:
		if len(texts) > 1 { // what is farther is looked for first
			i := nearest(a.r, texts[1:])
			j := max(slices.Index(texts, i)-1, 0)
			return i.Text + between + texts[j].Text
		}
	}
	return a.term() + between + a.term()
}

// marked is a term with characters around it for which something is looked.
func (a *attempt) marked() string {
	var marks []string
	for _, k := range a.clues[ClueNumber] {
		if k.Size == 1 && ' ' < k.Number && k.Number < 0x7f {
			marks = append(marks, string(rune(k.Number)))
		}
	}
	t := a.term()
	if len(marks) == 0 {
		return t
	}
	mark := func() string { return nearest(a.r, marks) }
	switch a.r.IntN(4) {
	case 0:
		return t + mark()
	case 1:
		return mark() + t
	case 2:
		return mark() + t + mark() + mark()
	}
	return mark() + t + mark()
}

// lines are some, perhaps below headings. Many are tried at once half of the time: few programs mind those that
// they do not know.
func (a *attempt) lines() []byte {
	var b bytes.Buffer
	if a.r.IntN(4) == 0 {
		b.WriteString("[" + a.text() + "]\n")
	}
	between := one(a.r, separators)
	line, many := a.line(between), 0
	if a.r.IntN(2) == 0 {
		many = 16
	}
	for n := 0; n < 32 && (n <= many || a.r.IntN(2) == 0); n++ {
		if n > 0 && a.r.IntN(8) == 0 {
			b.WriteString("[" + a.text() + "]\n")
		}
		if many > 0 || a.r.IntN(2) == 0 {
			line = a.line(between)
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// amend puts something into a text: before it, behind it, behind a line, or in the place of one or of all.
func (a *attempt) amend(text, what []byte) []byte {
	var begin []int // of lines
	for i := range text {
		if i == 0 || text[i-1] == '\n' {
			begin = append(begin, i)
		}
	}
	from, to := 0, 0
	switch a.r.IntN(6) {
	case 0:
		to = len(text)
	case 1, 2:
		from, to = len(text), len(text)
	case 3, 4:
		if len(begin) > 1 {
			i := a.r.IntN(len(begin))
			from, to = begin[i], begin[i]
			if a.r.IntN(2) == 0 {
				to = append(begin, len(text))[i+1]
			}
		}
	}
	if from > 0 && text[from-1] != '\n' && a.r.IntN(4) != 0 {
		what = append([]byte{'\n'}, what...)
	}
	out := slices.Concat(text[:from], what, text[to:])
	return out[:min(len(out), a.limit())]
}

// feed sees to it that there is an input.
func (a *attempt) feed() {
	if a.s.usesInput() {
		return
	}
	if a.o.varies(dimArgv) && len(a.s.Argv) < maxWords && a.r.IntN(2) == 0 {
		a.s.Argv = slices.Concat(a.s.Argv, []string{mutate.Input})
		return
	}
	a.s.Stdin = StdinFile + StdinKind(a.r.IntN(2))
}

// content writes lines, or a text, into the input.
func (a *attempt) content() {
	a.feed()
	what := a.lines()
	if a.r.IntN(3) == 0 {
		what = []byte(a.term())
	}
	a.s.Input = a.amend(a.s.Input, what)
}

func (a *attempt) limit() int {
	if a.o.MaxInput > 0 {
		return a.o.MaxInput
	}
	return mutate.MaxInput
}

// bytes are a number as it may lie in memory.
func (a *attempt) bytes() []byte {
	k := nearest(a.r, a.clues[ClueNumber])
	size := max(k.Size, 1)
	if size == 4 && k.Number < 1<<16 && a.r.IntN(2) == 0 {
		size = 2
	}
	b := binary.LittleEndian.AppendUint64(nil, k.Number)[:size]
	if a.r.IntN(2) == 0 {
		slices.Reverse(b)
	}
	return b
}

// magic writes a number into the input, in either order of its bytes, mostly where formats have theirs.
func (a *attempt) magic() {
	a.feed()
	if numbers := a.clues[ClueNumber]; len(numbers) > 1 && a.r.IntN(4) == 0 {
		// What is farther is looked for first, and stands in front.
		k := nearest(a.r, numbers[1:])
		j := max(slices.Index(numbers, k)-1, 0)
		head := append(binary.LittleEndian.AppendUint64(nil, k.Number)[:max(k.Size, 1)], binary.LittleEndian.AppendUint64(nil, numbers[j].Number)[:max(numbers[j].Size, 1)]...)
		at := min(one(a.r, []int{0, 0, 4, 8}), len(a.s.Input))
		in := slices.Concat(a.s.Input[:at], head, a.s.Input[min(at+len(head), len(a.s.Input)):])
		a.s.Input = in[:min(len(in), a.limit())]
		return
	}
	for n := 0; n < 3 && (n == 0 || a.r.IntN(2) == 0); n++ {
		b := a.bytes()
		size := len(b)
		if a.r.IntN(3) == 0 { // wherever it is looked for
			const until = 64
			at := min(one(a.r, []int{0, 0, 2, 4, 8}), len(a.s.Input))
			a.s.Input = slices.Concat(a.s.Input[:at], bytes.Repeat(b, max((until-at)/size, 1)), a.s.Input[min(max(until, at), len(a.s.Input)):])
			a.s.Input = a.s.Input[:min(len(a.s.Input), a.limit())]
			continue
		}
		at := one(a.r, []int{0, 0, 0, 4, 8, 16, 2, 1, 12, 24, -1, -2})
		switch {
		case at == -1:
			at = a.r.IntN(len(a.s.Input) + 1)
		case at == -2:
			at = max(len(a.s.Input)-size, 0)
		}
		in := slices.Clone(a.s.Input)
		if missing := at + size - len(in); missing > 0 {
			in = append(in, make([]byte, missing)...)
		}
		copy(in[at:], b)
		if a.r.IntN(4) == 0 { // what is decided by more than it follows
			in = append(in, make([]byte, 16)...)
		}
		a.s.Input = in[:min(len(in), a.limit())]
	}
}

// size makes the input as long as a number says, or have as many lines.
func (a *attempt) size() {
	a.feed()
	n := int(min(a.number(), uint64(a.limit())))
	unit := []byte("a")
	if len(a.clues[ClueText]) > 0 && a.r.IntN(2) == 0 {
		unit = []byte(a.text() + "\n")
	}
	if len(unit)*n > a.limit() {
		unit = []byte("a")
	}
	a.s.Input = bytes.Repeat(unit, n)
}

// tweak changes a byte of the first ones, where headers are, or says there how long all is: what is computed, no clue tells.
func (a *attempt) tweak() {
	const head = 32
	n := len(a.s.Input)
	if n == 0 { // by now
		return
	}
	a.s.Input = slices.Clone(a.s.Input)
	if size := 2 << a.r.IntN(3); n >= 2*size && a.r.IntN(4) == 0 {
		b := binary.LittleEndian.AppendUint64(nil, uint64(n))[:size]
		if a.r.IntN(2) == 0 {
			slices.Reverse(b)
		}
		copy(a.s.Input[size*a.r.IntN(min(n, head)/size):], b)
		return
	}
	a.s.Input[a.r.IntN(min(n, head))] = byte(a.r.IntN(256))
}
