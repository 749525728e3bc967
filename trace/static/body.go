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
	// preds are the instructions by which one is come to. Behind the last one there is a
	// place that all jumps by pointers lead to, and that leads to where they may go.
	preds [][]int
	lost  []bool // that it may be come to otherwise

	escapes bool           // it makes pointers into its part of the stack
	framed  bool           // RBP points there
	stores  map[uint8]bool // through RSP, and through RBP
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
	hub := len(b.at)
	b.preds = make([][]int, hub+1)
	b.lost = make([]bool, hub+1)
	b.stack()
	pointers := func() bool { return len(b.preds[hub]) > 0 }
	for i, in := range b.insns {
		falls := true
		switch in.Op {
		case image.OpReturn, image.OpStop:
			falls = false
		case image.OpJump:
			falls = false
			if x := f.flowAt(b.at[i]); x != nil && x.unknown {
				b.preds[hub] = append(b.preds[hub], i)
			}
		case image.OpCall:
			x := f.flowAt(b.at[i])
			falls = x == nil || x.continues()
			if in.Src.Kind == image.Immediate && !f.Exec(uint64(in.Src.Value)) { // data amid code
				falls = false
			}
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
	tables := f.tables(b, pointers())
	for i := range b.at {
		if i == 0 {
			continue
		}
		if pointers() && (tables[i] || len(b.preds[i]) == 0 && b.insns[i].Op != image.OpNop) {
			b.preds[i] = append(b.preds[i], hub)
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

// stack finds out what the function does with pointers into its part of the stack. Of these,
// RBP is one where it is made a copy of RSP.
func (b *body) stack() {
	b.stores = map[uint8]bool{}
	is := func(o image.Operand, kind image.OperandKind, reg uint8) bool { return o.Kind == kind && o.Reg == reg }
	copies := func(in image.Insn, reg uint8) bool { // it makes a pointer from one
		return in.Op == image.OpAddress && is(in.Src, image.Memory, reg) || is(in.Touched, image.Register, reg) && in.Op == image.OpOther && in.Size <= 8 ||
			(in.Op == image.OpMove || in.Op == image.OpMaybe) && is(in.Src, image.Register, reg)
	}
	for _, in := range b.insns {
		if copies(in, image.RSP) && in.Dst.Kind == image.Register && in.Dst.Reg == image.RBP {
			b.framed = true
		}
	}
	for _, in := range b.insns {
		for _, reg := range []uint8{image.RSP, image.RBP} {
			if reg == image.RBP && !b.framed {
				continue
			}
			if in.Stores && is(in.Dst, image.Memory, reg) {
				b.stores[reg] = true
				b.escapes = b.escapes || in.Dst.Indexed
			}
			within := in.Dst.Kind == image.Register && (in.Dst.Reg == image.RSP || in.Dst.Reg == image.RBP)
			b.escapes = b.escapes || copies(in, reg) && !within || reg == image.RSP && in.Op == image.OpPush && is(in.Src, image.Register, reg)
		}
	}
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
	// A table has no more entries than there are places to go, but for those of switches that
	// name some of them often; and there is no use in looking at one twice.
	seen := map[uint64]bool{}
	left := maxCases + 16*len(b.insns)
	for _, in := range b.insns {
		for _, o := range []image.Operand{in.Src, in.Touched} {
			table := uint64(o.Value)
			if o.Value <= 0 || o.Kind != image.Absolute && (o.Kind != image.Memory || !f.Fixed) && (o.Kind != image.Immediate || !f.Fixed) || f.Exec(table) && !f.Fixed {
				continue
			}
			if seen[table] {
				continue
			}
			seen[table] = true
			for t := table; t < table+4*maxCases; t += 4 {
				entry := f.Bytes(t, 4)
				if left--; len(entry) < 4 || left < 0 {
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
				if left--; !ok || i < 0 || left < 0 {
					break
				}
				found[i] = true
			}
		}
	}
	if left < 0 {
		for i := range b.insns {
			found[i] = true
		}
	}
	return found
}
