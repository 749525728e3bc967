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
	kept  bool   // it was in memory meanwhile
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
			callers, whole := s.f.comings()
			if !bound && !whole {
				lose(s)
			}
			for _, c := range callers {
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
	return found{value: v, m: s.f.module, f: s.f, at: at, via: s.via, kept: s.frames == elsewhere}
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
