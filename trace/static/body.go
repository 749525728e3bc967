package static

import (
	"encoding/binary"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// body is a function's code, for the flow of data in it.
type body struct {
	at    []uint64
	insns []image.Insn
	preds [][]int // by which instructions one is come to
	lost  []bool  // that it may be come to otherwise
}

// drop takes away the way from an instruction to the next.
func (b *body) drop(i int) {
	if i+1 < len(b.at) {
		b.preds[i+1] = slices.DeleteFunc(b.preds[i+1], func(p int) bool { return p == i })
	}
}

// index is that of the instruction at an address, -1 if there is none.
func (b *body) index(at uint64) int {
	if i, ok := slices.BinarySearch(b.at, at); ok {
		return i
	}
	return -1
}

// decoded returns the body of a function. What calls do not return from leads nowhere.
func (f *function) decoded() *body {
	if f.code != nil {
		return f.code
	}
	b := &body{}
	f.sweep(f.start, f.end, func(at uint64, in image.Insn) {
		b.at = append(b.at, at)
		b.insns = append(b.insns, in)
	})
	b.preds = make([][]int, len(b.at))
	b.lost = make([]bool, len(b.at))
	var pointers []int // jumps by pointers
	for i, in := range b.insns {
		falls := true
		switch in.Op {
		case image.OpReturn, image.OpStop:
			falls = false
		case image.OpJump:
			falls = false
			if x := f.flowAt(b.at[i]); x != nil && x.unknown {
				pointers = append(pointers, i)
			}
		case image.OpCall:
			x := f.flowAt(b.at[i])
			falls = x == nil || x.continues()
		}
		if (in.Op == image.OpJump || in.Op == image.OpBranch) && in.Src.Kind == image.Immediate {
			if j := b.index(uint64(in.Src.Value)); j >= 0 {
				b.preds[j] = append(b.preds[j], i)
			}
		}
		if falls && i+1 < len(b.at) {
			b.preds[i+1] = append(b.preds[i+1], i)
		}
	}
	for at := range f.labels {
		if i := b.index(at); i >= 0 {
			b.lost[i] = true
		}
	}
	tables := f.tables(b, len(pointers) > 0)
	for i := range b.at {
		if i == 0 {
			continue
		}
		if tables[i] || len(b.preds[i]) == 0 && len(pointers) > 0 && b.insns[i].Op != image.OpNop {
			b.preds[i] = append(b.preds[i], pointers...)
		}
		if len(b.preds[i]) == 0 {
			if b.insns[i].Op == image.OpNop { // it fills space, and leads nowhere
				b.drop(i)
				continue
			}
			b.lost[i] = b.lost[i] || f.unwinds
		}
	}
	f.code = b
	return b
}

// maxCases bounds a jump table.
const maxCases = 1 << 14

// tables finds the instructions that jump tables of the function lead to: tables of
// addresses, or of distances from the table.
func (f *function) tables(b *body, jumps bool) map[int]bool {
	found := map[int]bool{}
	if !jumps {
		return found
	}
	inside := func(at uint64) int {
		if at < f.start || at >= f.end {
			return -1
		}
		return b.index(at)
	}
	for _, in := range b.insns {
		for _, o := range []image.Operand{in.Src, in.Touched} {
			table := uint64(o.Value)
			if o.Value <= 0 || o.Kind != image.Absolute && (o.Kind != image.Memory || !f.Fixed) && (o.Kind != image.Immediate || !f.Fixed) || f.Exec(table) && !f.Fixed {
				continue
			}
			for t := table; t < table+4*maxCases; t += 4 {
				entry := f.Bytes(t, 4)
				if len(entry) < 4 {
					break
				}
				i := inside(table + uint64(int64(int32(binary.LittleEndian.Uint32(entry)))))
				if i < 0 {
					break
				}
				found[i] = true
			}
			for t := table; t < table+8*maxCases; t += 8 {
				to, ok := f.Word(t)
				if r, moved := f.Relocs[t]; moved {
					to, ok = r.Address, true
				}
				i := inside(to)
				if !ok || i < 0 {
					break
				}
				found[i] = true
			}
		}
	}
	return found
}
