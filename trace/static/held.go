package static

import (
	"maps"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// comings are the calls of a function and the jumps to it, and whether these are all: of one
// that pointers are to, they are if these lie in slots that a loader fills, and code does nothing
// with what these hold but to call it. So libcap keeps what hands its numbers to syscall(2), and Rust
// loads the address of that for several calls.
func (f *function) comings() (all []place, whole bool) {
	if !f.taken {
		return f.callers, len(f.callers) > 0
	}
	if f.loose || f.Go {
		return f.callers, false
	}
	if f.held == nil {
		f.held = f.follow()
	}
	return slices.Concat(f.callers, f.held.calls), f.held.whole
}

// held is what became of the pointers to a function.
type held struct {
	calls []place
	whole bool // by nothing else is it called
}

// What bounds the search for the uses of pointers, and how far these are moved.
const (
	maxSpots    = 1 << 16
	maxSlots    = 1 << 6
	maxVariable = 1 << 12
)

// follower goes from where code takes the address of a variable to what is done with it.
type follower struct {
	slots     map[uint64]bool // that hold the function's address
	calls     map[place]bool
	next      map[*function][][]int // what comes behind each instruction
	resolvers map[*function]bool    // that choose functions
	left      int                   // spots that may still be looked at
	from      uint64                // the variable that is followed
	seen      map[spot]bool
	queue     []spot
}

// follow looks at all code that may see a slot that holds the function's address.
func (f *function) follow() *held {
	names := map[string]bool{}
	for name, symbols := range f.Exports {
		names[name] = slices.ContainsFunc(symbols, func(s image.Symbol) bool { return s.Address == f.start })
	}
	w := follower{calls: map[place]bool{}, next: map[*function][][]int{}, resolvers: map[*function]bool{}, left: maxSpots}
	for _, m := range f.all.modules {
		for _, symbols := range m.Exports {
			for _, s := range symbols {
				if s.Resolver {
					w.resolvers[m.within(s.Address)] = true
				}
			}
		}
	}
	for _, m := range f.all.modules {
		w.slots = map[uint64]bool{}
		called := m.arrays()
		for slot, r := range m.Relocs {
			if r.Symbol == "" && (m != f.module || r.Address != f.start) || r.Symbol != "" && !names[r.Symbol] {
				continue
			}
			if r.Calls || r.Copy || called[slot] {
				return &held{}
			}
			w.slots[slot] = true
		}
		if len(w.slots) > 0 && !w.module(m) {
			return &held{}
		}
	}
	return &held{calls: slices.SortedFunc(maps.Keys(w.calls), comparePlaces), whole: true}
}

// module looks at the code of a module that has slots. It is false where what they hold gets
// out of sight.
func (w *follower) module(m *module) bool {
	near, ok := w.near(m)
	if !ok {
		return false
	}
	for _, at := range m.starts {
		f := m.functions[at]
		if !f.reached || f.flow == nil {
			continue
		}
		mentions := false
		m.sweep(f.start, f.end, func(_ uint64, in image.Insn) {
			for _, o := range []image.Operand{in.Dst, in.Src, in.Touched} {
				mentions = mentions || o.Kind == image.Absolute && (near[uint64(o.Value)] || w.overlaps(uint64(o.Value), in.Size) || o.Indexed && m.variable(uint64(o.Value)))
			}
		})
		if !mentions {
			continue
		}
		for i, in := range f.decoded().insns {
			if !w.mention(f, i, in, near) {
				return false
			}
		}
	}
	return w.left >= 0
}

// near are the addresses known to code that may be of the variables that slots are parts of, be it
// of their beginnings or not. It is false where others know one, too.
func (w *follower) near(m *module) (near map[uint64]bool, ok bool) {
	near = map[uint64]bool{}
	var variables []uint64
	var shared map[uint64]bool
	slots := 0
	for slot := range w.slots {
		if inside(m.got, slot) {
			continue
		}
		if slots++; slots > maxSlots {
			return nil, false
		}
		if m.Fixed { // its code has addresses as numbers that nothing tells from others
			return nil, false
		}
		if shared == nil {
			variables, shared = m.variables()
		}
		from, to := m.around(slot)
		i, _ := slices.BinarySearch(variables, from)
		for ; i < len(variables) && variables[i] <= to; i++ {
			if shared[variables[i]] {
				return nil, false
			}
			near[variables[i]] = true
		}
	}
	return near, true
}

func comparePlaces(x, y place) int {
	if c := compareFunctions(x.f, y.f); c != 0 {
		return c
	}
	return compare(x.at, y.at)
}

// overlaps reports whether what lies at an address is a slot, or a part of one.
func (w *follower) overlaps(at uint64, size uint8) bool {
	for a := at &^ 7; a < at+uint64(max(size, 1)); a += 8 {
		if w.slots[a] {
			return true
		}
	}
	return false
}

// mention looks at an instruction that may name a slot or a variable. It is false where the
// function's address gets out of sight by that.
func (w *follower) mention(f *function, i int, in image.Insn, near map[uint64]bool) bool {
	for _, o := range []image.Operand{in.Dst, in.Src, in.Touched} {
		at := uint64(o.Value)
		switch {
		case o.Kind != image.Absolute:
		case o.Indexed && f.variable(at):
			return false
		case in.Op == image.OpAddress:
			if near[at] && !(at == (f.Sections[".data"].End+7)&^7 && f.clones(f)) && !w.uses(spot{f: f, index: i + 1, reg: in.Dst.Reg, to: at}) {
				return false
			}
		case !w.overlaps(at, in.Size) && !((in.Op == image.OpCall || in.Op == image.OpJump) && w.slots[at]):
		case in.Op == image.OpCall || in.Op == image.OpJump:
			w.calls[place{f, f.decoded().at[i]}] = true
		case in.Op == image.OpMove && in.Stores || in.Op == image.OpCompare:
		case in.Op == image.OpMove && w.slots[at] && in.Size == 8:
			if !w.uses(spot{f: f, index: i + 1, reg: in.Dst.Reg, own: true}) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
