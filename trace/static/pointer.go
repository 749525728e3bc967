package static

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// spot is a register, or a place on the stack, that holds a pointer before an instruction: to a
// variable, or to the function itself.
type spot struct {
	f     *function
	index int
	reg   uint8
	stack bool // it is memory at depth from RSP
	depth int64
	to    uint64 // the variable
	own   bool   // it is the function
}

// asked are the registers that hold what syscalls are told.
var asked = []uint8{image.RDI, image.RSI, image.RDX, 10, 8, 9}

// asks is how many of these a syscall looks at.
func (f *function) asks(i int) int {
	b := f.decoded()
	if len(b.preds[i]) == 1 && b.preds[i][0] == i-1 && !b.lost[i] && len(f.entries[b.at[i]]) == 0 {
		if in := b.insns[i-1]; in.Op == image.OpMove && in.Dst.Kind == image.Register && in.Dst.Reg == image.RAX && in.Src.Kind == image.Immediate {
			if id := (sysno.ID{Arch: sysno.AMD64, NR: uint32(in.Src.Value)}); id.Described() {
				return len(id.Args())
			}
		}
	}
	return len(asked)
}

// uses follows a pointer. It is false if that gets out of sight.
func (w *follower) uses(from spot) bool {
	w.from, w.seen = from.to, map[spot]bool{}
	w.push(from)
	seen := true
	for len(w.queue) > 0 {
		s := w.queue[len(w.queue)-1]
		w.queue = w.queue[:len(w.queue)-1]
		seen = w.use(s) && seen
	}
	return seen
}

func (w *follower) push(s spot) {
	if w.seen[s] {
		return
	}
	if w.left--; w.left >= 0 {
		w.seen[s] = true
		w.queue = append(w.queue, s)
	}
}

// moved is a pointer that goes on to elsewhere in its variable. It is false for one that goes far.
func (w *follower) moved(s *spot, distance int64) bool {
	s.to += uint64(distance)
	return !s.own && s.to-w.from+maxVariable < 2*maxVariable
}

// behind is what comes behind an instruction.
func (w *follower) behind(f *function, index int) []int {
	next, ok := w.next[f]
	if !ok {
		b := f.decoded()
		next = make([][]int, len(b.preds))
		for i, before := range b.preds {
			for _, j := range before {
				next[j] = append(next[j], i)
			}
		}
		for i, in := range b.insns {
			for at, lost := range b.lost {
				if lost && in.Op == image.OpCall { // exceptions lead there
					next[i] = append(next[i], at)
				}
			}
		}
		w.next[f] = next
	}
	if index >= len(next) {
		return nil
	}
	return next[index]
}

// on goes to what comes behind an instruction.
func (w *follower) on(s spot) {
	for _, i := range w.behind(s.f, s.index) {
		n := s
		n.index = i
		w.push(n)
	}
}

// use looks at what one instruction does with a pointer. What it does not know of may do anything.
func (w *follower) use(s spot) bool {
	b := s.f.decoded()
	if s.index >= len(b.insns) {
		w.on(s)
		return true
	}
	in := b.insns[s.index]
	if s.stack {
		return w.stacked(s, in, b.at[s.index])
	}
	is := func(o image.Operand) bool { return o.Kind == image.Register && o.Reg == s.reg }
	by := func(o image.Operand) bool { return o.Kind == image.Memory && o.Reg == s.reg }
	for _, o := range []image.Operand{in.Dst, in.Src, in.Touched} {
		if o.Indexed && (!s.own || by(o)) { // perhaps by the pointer; by that to a function no code does it
			return false
		}
	}
	if (in.Clobbers&^in.Fresh)>>s.reg&1 != 0 || in.Op == image.OpFlag && is(in.Dst) { // what is there then may be made of it
		return false
	}
	if in.Op == image.OpSyscall && slices.Contains(asked[:s.f.asks(s.index)], s.reg) {
		return false
	}
	overwritten := is(in.Dst) && !in.Stores || in.Clobbers>>s.reg&1 != 0
	goOn := func() bool {
		if !overwritten {
			w.on(s)
		}
		return true
	}
	reads := func(o image.Operand) bool { return by(o) && !s.own && w.overlaps(s.to+uint64(o.Value), in.Size) }
	into := func(t spot) bool {
		if in.Dst.Kind != image.Register || in.Size != 8 {
			return false
		}
		t.reg = in.Dst.Reg
		w.on(t)
		return goOn()
	}
	switch in.Op {
	case image.OpReturn:
		return s.reg != image.RAX && s.reg != image.RDX
	case image.OpStop:
		return true
	case image.OpCall, image.OpJump, image.OpBranch:
		return w.leaves(s, in, b.at[s.index])
	case image.OpCompare, image.OpNop:
		return goOn()
	case image.OpMove, image.OpMaybe:
		overwritten = overwritten && in.Op == image.OpMove
		switch {
		case is(in.Src) && in.Stores && in.Dst.Kind == image.Memory && in.Dst.Reg == image.RSP && in.Size == 8 && !b.escapes && !b.framed:
			t := s
			t.stack, t.depth = true, in.Dst.Value
			w.on(t)
			return w.reloaded(t) && goOn()
		case is(in.Src):
			return into(s)
		case reads(in.Src):
			return w.slots[s.to+uint64(in.Src.Value)] && into(spot{f: s.f, index: s.index, own: true})
		}
		return goOn()
	case image.OpAddress:
		if by(in.Src) {
			t := s
			return w.moved(&t, in.Src.Value) && into(t)
		}
		return goOn()
	case image.OpAdd:
		if is(in.Dst) && !in.Stores {
			if in.Size != 8 || !w.moved(&s, in.Src.Value) {
				return false
			}
			w.on(s)
			return true
		}
	case image.OpPop, image.OpFlag:
		return goOn()
	}
	if is(in.Src) || is(in.Touched) || is(in.Dst) || reads(in.Src) || reads(in.Touched) || reads(in.Dst) {
		return false
	}
	return goOn()
}

// there reports whether an operand is memory that a pointer on the stack may lie in.
func (s spot) there(o image.Operand, size uint8) bool {
	return o.Kind == image.Memory && o.Reg == image.RSP && (o.Indexed || o.Value < s.depth+8 && s.depth < o.Value+int64(max(size, 1)))
}

// sunk is where a place on the stack is after an instruction; false if it is given up or
// it is not known.
func (s *spot) sunk(in image.Insn) (still, known bool) {
	switch {
	case in.Op == image.OpPush:
		s.depth += 8
	case in.Op == image.OpPop:
		s.depth -= 8
	case in.Op == image.OpLeave || in.Clobbers>>image.RSP&1 != 0:
		return false, false
	case in.Dst.Kind == image.Register && in.Dst.Reg == image.RSP && !in.Stores:
		if in.Op != image.OpAdd || in.Src.Kind != image.Immediate {
			return false, false
		}
		s.depth -= in.Src.Value
	default:
		return true, true
	}
	return in.Op == image.OpPush || s.depth >= 0, true
}

// reloaded reports whether a function may read again what it has put on its stack. What it puts there for
// one that it calls it does not, for that may change it (System V ABI, 3.2.2). To pop that is a way to give it up.
func (w *follower) reloaded(from spot) bool {
	b := from.f.decoded()
	seen := map[spot]bool{}
	queue := []spot{}
	add := func(s spot) {
		for _, i := range w.behind(s.f, s.index) {
			s.index = i
			if !seen[s] && len(seen) < maxSpots>>4 {
				seen[s] = true
				queue = append(queue, s)
			}
		}
	}
	for add(from); len(queue) > 0; {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if s.index >= len(b.insns) {
			add(s)
			continue
		}
		in := b.insns[s.index]
		switch {
		case s.there(in.Src, in.Size) && in.Op != image.OpPop && !in.Src.Indexed:
			return true
		case s.there(in.Dst, in.Size) && in.Stores:
			continue
		}
		if still, known := s.sunk(in); still && known {
			add(s)
		}
	}
	return false
}

// stacked looks at a pointer on the stack, of a function that makes no pointers into that.
func (w *follower) stacked(s spot, in image.Insn, at uint64) bool {
	there := func(o image.Operand) bool { return s.there(o, in.Size) }
	exact := func(o image.Operand) bool { return there(o) && !o.Indexed && o.Value == s.depth }
	t := s
	switch {
	case in.Op == image.OpReturn || in.Op == image.OpStop:
		return true
	case exact(in.Src) && in.Op == image.OpCall && s.own:
		w.calls[place{s.f, at}] = true
	case exact(in.Src) && in.Op == image.OpMove && in.Size == 8 && in.Dst.Kind == image.Register:
		t.stack, t.depth, t.reg = false, 0, in.Dst.Reg
		w.on(t)
	case exact(in.Dst) && in.Stores && in.Op == image.OpMove && in.Size == 8:
		return true
	case in.Op == image.OpCompare:
	case there(in.Src) || there(in.Dst) || there(in.Touched):
		return false
	case (in.Op == image.OpJump || in.Op == image.OpBranch) && s.depth >= 0 && s.f.leftBy(at):
		return false // it may be handed to what is jumped to, or read there
	case in.Op == image.OpPop && s.depth < 8:
		t.stack, t.depth, t.reg = false, 0, in.Dst.Reg
		w.on(t)
		return s.depth == 0 && in.Dst.Kind == image.Register
	default:
		if still, known := s.sunk(in); !still || !known {
			return known
		}
	}
	w.on(s)
	return true
}

// leftBy reports whether a jump leads out of a function, as far as is known.
func (f *function) leftBy(at uint64) bool {
	x := f.flowAt(at)
	return x != nil && (x.unknown || len(x.beyond().targets)+len(x.beyond().middle) > 0)
}

// leaves looks at a pointer where a function may be left.
func (w *follower) leaves(s spot, in image.Insn, at uint64) bool {
	switch {
	case in.Src.Kind == image.Memory && in.Src.Reg == s.reg:
		if s.own {
			return false
		}
		if w.slots[s.to+uint64(in.Src.Value)] {
			w.calls[place{s.f, at}] = true
		}
	case in.Src.Kind == image.Register && in.Src.Reg == s.reg:
		if !s.own {
			return false
		}
		w.calls[place{s.f, at}] = true
	}
	handed := slices.Contains(registers[:3], s.reg) || s.reg == image.RCX || s.reg == 8 || s.reg == 9
	if x := s.f.flowAt(at); x != nil && (in.Op != image.OpCall || handed) {
		if x.unknown && handed { // a table of a switch is not told from others here
			return false
		}
		for _, t := range x.beyond().targets {
			if handed && w.resolvers[t] { // who calls it calls what it chooses
				return false
			}
			w.push(spot{f: t, reg: s.reg, to: s.to, own: s.own})
		}
		for _, t := range x.beyond().middle {
			i := t.f.decoded().index(t.at)
			if i < 0 {
				return false
			}
			w.push(spot{f: t.f, index: i, reg: s.reg, to: s.to, own: s.own})
		}
	}
	if in.Op != image.OpCall || kept>>s.reg&1 != 0 {
		w.on(s)
	}
	return true
}
