package static

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// kept are the registers that calls leave as they are (System V ABI, 3.2.1).
const kept = 1<<3 | 1<<image.RSP | 1<<image.RBP | 1<<12 | 1<<13 | 1<<14 | 1<<15

// back goes over the instruction i, which comes before that of the state.
func (s state) back(b *body, i int, strict bool, push, lose func(state), constant func(uint64)) {
	next := s
	next.index = i
	if i == len(b.insns) {
		push(next)
		return
	}
	in := b.insns[i]
	loc := &next.loc
	writes := in.Dst.Kind == image.Register && in.Dst.Reg == loc.reg && !in.Stores
	switch in.Op {
	case image.OpCall:
		if s.f.Go && !(loc.memory && loc.reg == image.RSP) || !s.f.Go && kept>>loc.reg&1 == 0 {
			if loc.reg != image.RSP {
				lose(next)
				return
			}
		}
		push(next)
		return
	case image.OpPush, image.OpPop, image.OpLeave:
		next.stack(in, push, lose, constant)
		return
	}
	if v, ok := b.equals(i, s.index, *loc); ok {
		constant(uint64(v))
		return
	}
	if in.Clobbers>>loc.reg&1 != 0 {
		lose(next)
		return
	}
	if loc.memory {
		if in.Stores && in.Dst.Kind == image.Memory && in.Dst.Reg == loc.reg && next.overwritten(in, push, lose, constant) {
			return
		}
		switch {
		case !writes:
			push(next)
		case in.Op == image.OpMove && in.Src.Kind == image.Register && in.Size >= 4:
			next.rebase(b, in.Src.Reg, 0, push, lose)
		case in.Op == image.OpMove && in.Src.Kind == image.Absolute && !in.Src.Indexed:
			// A pointer that lies at a fixed address: see what is written there.
			next.pointed(uint64(in.Src.Value), push, lose)
		case in.Op == image.OpMove && in.Src.Kind == image.Memory && !in.Src.Indexed && in.Size == 8 && !s.pointer:
			next.pointer, next.distance = true, loc.disp
			*loc = location{memory: true, reg: in.Src.Reg, disp: in.Src.Value}
			push(next)
		case in.Op == image.OpAddress && in.Src.Kind == image.Memory && !in.Src.Indexed:
			next.rebase(b, in.Src.Reg, in.Src.Value, push, lose)
		case in.Op == image.OpAddress && in.Src.Kind == image.Absolute && !in.Src.Indexed:
			loc.fixed, loc.disp, loc.reg = true, loc.disp+in.Src.Value, 0
			push(next)
		case in.Op == image.OpAdd:
			loc.disp += in.Src.Value
			push(next)
		case in.Op == image.OpMaybe && in.Src.Kind == image.Register:
			push(next)
			loc.reg = in.Src.Reg
			push(next)
		case in.Op == image.OpAnd && loc.reg == image.RSP: // the stack is aligned
			push(next)
		default:
			lose(next)
		}
		return
	}
	if !writes {
		push(next)
		return
	}
	ok := true
	switch in.Op {
	case image.OpMove:
		ok = next.follow(in.Src, in.Size, push, constant)
	case image.OpMaybe:
		push(next)
		ok = next.follow(in.Src, in.Size, push, constant)
	case image.OpAddress:
		switch {
		case in.Src.Kind == image.Absolute && !in.Src.Indexed:
			constant(uint64(in.Src.Value))
		case in.Src.Kind == image.Memory && !in.Src.Indexed:
			if ok = next.then(image.OpAdd, in.Src.Value); ok {
				loc.reg = in.Src.Reg
				push(next)
			}
		default:
			ok = false
		}
	case image.OpAdd, image.OpAnd, image.OpOr, image.OpXor:
		switch {
		case in.Src.Kind != image.Immediate:
			ok = false
		case in.Op == image.OpOr && in.Src.Value == -1:
			constant(^uint64(0))
		default:
			if ok = next.then(in.Op, in.Src.Value); ok {
				push(next)
			}
		}
	case image.OpInsert:
		if ok = next.then(image.OpOr, in.Src.Value&0xff) && next.then(image.OpAnd, ^0xff); ok {
			push(next)
		}
	case image.OpFlag:
		if next.n > 0 && next.changes[next.n-1] == (change{image.OpAnd, 0xff}) || !strict {
			constant(0)
			constant(1)
			return
		}
		// What lies above the lowest byte stays.
		for v := range int64(2) {
			set := next
			if !set.then(image.OpOr, v) || !set.then(image.OpAnd, ^0xff) {
				ok = false
				break
			}
			push(set)
		}
	case image.OpMask:
		constant(0)
		constant(^uint64(0))
	default:
		ok = false
	}
	if !ok {
		lose(next)
	}
}

// rebase goes on with memory at another register, of which the one so far is a copy. What
// is on the stack may have been written through the stack pointer since.
func (s state) rebase(b *body, reg uint8, distance int64, push, lose func(state)) {
	from := s.index
	old := s.loc.reg
	s.loc.reg = reg
	s.loc.disp += distance
	if reg == image.RSP && old != image.RSP {
		if s.origin < from {
			lose(s)
			return
		}
		moved, written := false, false
		for _, in := range b.insns[from:s.origin] {
			moved = moved || in.Op == image.OpPush || in.Op == image.OpPop || in.Op == image.OpLeave || in.Dst.Kind == image.Register && in.Dst.Reg == image.RSP
			written = written || in.Stores && in.Dst.Kind == image.Memory && in.Dst.Reg == image.RSP
		}
		switch {
		case !moved:
			s.index = s.origin
		case written || s.loc.disp < 0:
			lose(s)
			return
		}
	}
	push(s)
}

// equals is the value of a register behind a branch that is taken, or not, when it is equal to
// that.
func (b *body) equals(branch, to int, loc location) (int64, bool) {
	in := b.insns[branch]
	if loc.memory || in.Op != image.OpBranch || branch == 0 || in.Cond == image.CondOther {
		return 0, false
	}
	taken := b.index(uint64(in.Src.Value)) == to
	if taken == (branch+1 == to) || taken != (in.Cond == image.CondEqual) {
		return 0, false
	}
	before := b.insns[branch-1]
	if before.Op != image.OpCompare || before.Touched.Kind != image.Register || before.Touched.Reg != loc.reg ||
		before.Src.Kind != image.Immediate || before.Size < 4 || !slices.Contains(b.preds[branch], branch-1) || len(b.preds[branch]) > 1 {
		return 0, false
	}
	return before.Src.Value, true
}

// overwritten handles a store to memory at the same register; it is false for one
// that lies elsewhere.
func (s state) overwritten(in image.Insn, push, lose func(state), constant func(uint64)) bool {
	const width = 4 // of what is asked for: a number
	switch distance := s.loc.disp - in.Dst.Value; {
	case distance <= -width || distance >= int64(in.Size) || in.Dst.Indexed:
		return false
	case distance == 0 && in.Op == image.OpMove && in.Size >= 4:
		if s.follow(in.Src, in.Size, push, constant) {
			return true
		}
	case distance == 4 && !s.pointer && in.Op == image.OpMove && in.Size == 8 && in.Src.Kind == image.Immediate:
		constant(uint64(in.Src.Value >> 32))
		return true
	}
	lose(s)
	return true
}

// pointed goes to where a pointer at a fixed address comes from, for what it points to.
func (s state) pointed(at uint64, push, lose func(state)) {
	m := s.f.module
	// What no reached code writes is as in the file: without a value, if it has no pointer there.
	if seg := m.Segment(at); seg == nil || m.escaped[at] {
		lose(s)
		return
	}
	if v, _ := m.Word(at); v != 0 || m.Relocs[at] != (image.Relocation{}) {
		lose(s)
		return
	}
	for _, p := range m.stores[at] {
		b := p.f.decoded()
		i := b.index(p.at)
		next := s
		next.f, next.index, next.origin, next.frames, next.via = p.f, i, i, elsewhere, &hop{s.f, s.via}
		switch {
		case i >= 0 && b.insns[i].Op == image.OpMove && b.insns[i].Src.Kind == image.Register:
			next.loc.reg = b.insns[i].Src.Reg
			push(next)
		case i >= 0 && b.insns[i].Op == image.OpMove && b.insns[i].Src.Kind == image.Immediate && b.insns[i].Src.Value == 0:
		case i >= 0 && b.insns[i].Op == image.OpAnd && b.insns[i].Src.Value == 0:
		default:
			lose(s)
		}
	}
}

// stack goes over push, pop and leave.
func (s state) stack(in image.Insn, push, lose func(state), constant func(uint64)) {
	loc := &s.loc
	onStack := loc.memory && loc.reg == image.RSP
	switch in.Op {
	case image.OpPush:
		if onStack {
			if loc.disp == 0 {
				if !s.follow(in.Src, 8, push, constant) {
					lose(s)
				}
				return
			}
			loc.disp -= 8
			if loc.disp < 0 {
				lose(s)
				return
			}
		}
		push(s)
	case image.OpPop:
		switch {
		case in.Dst.Kind == image.Register && in.Dst.Reg == loc.reg && !onStack:
			if loc.memory {
				lose(s)
				return
			}
			s.loc = location{memory: true, reg: image.RSP}
			push(s)
			return
		case onStack:
			loc.disp += 8
		}
		push(s)
	case image.OpLeave:
		if loc.reg == image.RSP || loc.reg == image.RBP {
			lose(s)
			return
		}
		push(s)
	}
}
