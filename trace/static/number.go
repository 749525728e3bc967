package static

import (
	"encoding/binary"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// location is where a value is: in a register, or in memory at a displacement from one, or
// from zero where fixed.
type location struct {
	memory, fixed bool
	reg           uint8
	disp          int64
}

// change is what happens to a value on its way from where it is found.
type change struct {
	op    image.Op
	value int64
}

// maxChanges bounds them: loops that count have no end.
const maxChanges = 4

// state asks what a location holds before an instruction.
type state struct {
	f        *function
	index    int
	loc      location
	changes  [maxChanges]change
	n        int
	via      *hop
	pointer  bool  // what is asked for is not there, but where what is there points to
	distance int64 // from where it points
	origin   int   // the instruction of this function that the search came to first
	frames   int   // how much of the search's chain it came through, elsewhere where it left that
}

// elsewhere is for values that were found in memory: who wrote them there need not be a
// caller of who reads them.
const elsewhere = -1

// hop is a call through which a value is handed on.
type hop struct {
	f    *function
	next *hop
}

// found is a value, and where it comes from.
type found struct {
	value uint64
	m     *module // of which it is an address, perhaps
	f     *function
	at    uint64 // an instruction of f, behind the one that has the value
	via   *hop   // the functions that it is handed on through
}

// maxStates bounds the search for one value.
const maxStates = 20000

// search is how far back values are looked for.
type search struct {
	// chain are the calls of functions, and the jumps to such, that led to the place, the
	// innermost first: functions are left through no others. What lies before them is
	// searched, through all callers, if open is set.
	chain []place
	open  bool

	// strict is for values that are less special than the numbers of syscalls: memory that
	// something else than the instructions in view may write to holds anything.
	strict bool
}

// result is what a search found.
type result struct {
	all     []found
	unknown *place  // not nil where there is something else, that comes from there
	crossed []place // calls before the chain that the value may come through, if not open
}

// values finds what a location may hold before the instruction at a place. Where unknown
// is not nil it may hold something else, too, that comes from there.
func (g *graph) values(p place, loc location) (all []found, unknown *place) {
	r := g.left.search(p, loc, search{open: true})
	return r.all, r.unknown
}

// key is what makes two states the same.
type key struct {
	f        *function
	index    int
	loc      location
	changes  [maxChanges]change
	n        int
	pointer  bool
	distance int64
	frames   int
}

// steps are those of searches that may still be made.
type steps int

func (left *steps) search(p place, loc location, how search) (r result) {
	seen := map[key]bool{}
	var queue []state
	lose := func(s state) {
		if r.unknown != nil {
			return
		}
		at := s.f.start
		if b := s.f.decoded(); s.index < len(b.at) {
			at = b.at[s.index]
		}
		r.unknown = &place{s.f, at}
	}
	push := func(s state) {
		k := key{s.f, s.index, s.loc, s.changes, s.n, s.pointer, s.distance, s.frames}
		if seen[k] {
			return
		}
		if *left--; *left < 0 || len(seen) >= maxStates || how.strict && !s.trusted() {
			lose(s)
			return
		}
		seen[k] = true
		queue = append(queue, s)
	}
	i := p.f.decoded().index(p.at)
	if i < 0 {
		r.unknown = &p
		return r
	}
	push(state{f: p.f, index: i, loc: loc, origin: i})
	// come goes to where a function was called, or jumped to.
	come := func(s state, c place) {
		if s.frames != elsewhere {
			switch {
			case s.frames < len(how.chain) && c != how.chain[s.frames]:
				return
			case s.frames < len(how.chain):
				s.frames++
			case !how.open:
				if !slices.Contains(r.crossed, c) {
					r.crossed = append(r.crossed, c)
				}
				return
			}
		}
		s.enter(c, push, lose)
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		constant := func(v uint64) { r.all = append(r.all, s.finish(v)) }
		if s.loc.fixed && s.loc.memory {
			if s.pointer || !s.stored(push, constant) {
				lose(s)
			}
			continue
		}
		b := s.f.decoded()
		if b.lost[s.index] {
			lose(s)
		}
		for _, i := range b.preds[s.index] {
			s.back(b, i, how.strict, push, lose, constant)
		}
		if s.index == 0 {
			bound := s.frames != elsewhere && s.frames < len(how.chain)
			if !bound && (s.f.taken || len(s.f.callers) == 0) {
				lose(s)
			}
			for _, c := range s.f.callers {
				come(s, c)
			}
		}
		if s.index < len(b.at) {
			for _, c := range s.f.entries[b.at[s.index]] {
				s.enter(c, push, lose)
			}
		}
	}
	return r
}

// trusted reports whether what a state looks at holds what the instructions in view have put
// there. Of memory, these are what is never written, and the stack of functions that make no
// pointers into it.
func (s *state) trusted() bool {
	switch {
	case s.pointer:
		return false
	case !s.loc.memory:
		return true
	case s.loc.fixed:
		seg := s.f.Segment(uint64(s.loc.disp))
		return seg != nil && !seg.Write
	}
	b := s.f.decoded()
	switch s.loc.reg {
	case image.RSP:
		return !b.escapes && !(b.framed && b.stores[image.RBP])
	case image.RBP:
		return !b.escapes && b.framed && !b.stores[image.RSP]
	}
	return false
}

// finish is a constant with what happens to it.
func (s state) finish(v uint64) found {
	for i := s.n - 1; i >= 0; i-- {
		c := s.changes[i]
		switch c.op {
		case image.OpAdd:
			v += uint64(c.value)
		case image.OpAnd:
			v &= uint64(c.value)
		case image.OpOr:
			v |= uint64(c.value)
		case image.OpXor:
			v ^= uint64(c.value)
		}
	}
	at := s.f.start
	if b := s.f.decoded(); s.index < len(b.at) {
		at = b.at[s.index]
	}
	return found{value: v, m: s.f.module, f: s.f, at: at, via: s.via}
}

// then notes a change; false if there are too many.
func (s *state) then(op image.Op, value int64) bool {
	if s.n == maxChanges {
		return false
	}
	s.changes[s.n] = change{op, value}
	s.n++
	return true
}

// enter goes from a function to where it is called or jumped to.
func (s state) enter(c place, push, lose func(state)) {
	b := c.f.decoded()
	i := b.index(c.at)
	if i < 0 {
		lose(s)
		return
	}
	next := s
	next.f, next.index, next.origin = c.f, i, i
	if b.insns[i].Op == image.OpCall {
		if s.loc.memory && s.loc.reg == image.RSP {
			if next.loc.disp -= 8; next.loc.disp < 0 {
				lose(s)
				return
			}
		}
		next.via = &hop{s.f, s.via}
	} else if c.f != s.f {
		next.via = &hop{s.f, s.via}
	}
	push(next)
}

// stored goes to where reached code writes to a fixed address. It is false where that may
// be written otherwise.
func (s state) stored(push func(state), constant func(uint64)) bool {
	m := s.f.module
	at := uint64(s.loc.disp)
	seg := m.Segment(at)
	if seg == nil {
		return false
	}
	if _, moved := m.Relocs[at]; moved {
		return false
	}
	word := func() (uint64, bool) {
		var b [8]byte
		if at >= seg.Address+seg.Size {
			return 0, false
		}
		copy(b[:], m.Bytes(at, 8))
		return binary.LittleEndian.Uint64(b[:]), true
	}
	if !seg.Write {
		v, ok := word()
		if ok {
			constant(v)
		}
		return ok
	}
	if m.escaped[at] {
		return false
	}
	for _, p := range m.stores[at] {
		b := p.f.decoded()
		i := b.index(p.at)
		if i < 0 || b.insns[i].Op != image.OpMove {
			return false
		}
		next := s
		next.f, next.index, next.origin, next.frames = p.f, i, i, elsewhere
		next.via = &hop{s.f, s.via}
		if !next.follow(b.insns[i].Src, b.insns[i].Size, push, constant) {
			return false
		}
	}
	if v, ok := word(); ok && (v != 0 || len(m.stores[at]) == 0) {
		constant(v)
	}
	return true
}

// follow goes on with an operand, before the instruction of the state.
func (s state) follow(o image.Operand, size uint8, push func(state), constant func(uint64)) bool {
	switch o.Kind {
	case image.Immediate:
		if s.pointer {
			return o.Value == 0 // nothing is read through it
		}
		constant(uint64(o.Value))
		return true
	case image.Register:
		if s.pointer {
			s.pointer = false
			s.loc = location{memory: true, reg: o.Reg, disp: s.distance}
			push(s)
			return true
		}
		if size == 1 && !s.then(image.OpAnd, 0xff) {
			return false
		}
		s.loc = location{reg: o.Reg}
		push(s)
		return true
	case image.Memory:
		if o.Indexed || size < 4 {
			return false
		}
		s.loc = location{memory: true, reg: o.Reg, disp: o.Value}
		push(s)
		return true
	case image.Absolute:
		if o.Indexed || size < 4 {
			return false
		}
		s.loc = location{memory: true, fixed: true, disp: o.Value}
		push(s)
		return true
	}
	return false
}

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
