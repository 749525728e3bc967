package static

import (
	"maps"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
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

// What bounds the search for the uses of pointers, and how far these are moved.
const (
	maxSpots    = 1 << 16
	maxSlots    = 1 << 6
	maxVariable = 1 << 12
)

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

// variable reports whether there may be a variable at an address.
func (m *module) variable(at uint64) bool {
	seg := m.Segment(at)
	return seg != nil && seg.Write
}

// variables are the addresses that variables of a module begin at, as far as its code, its
// data and others know them: of those that are shared, not only instructions in view do.
func (m *module) variables() (all []uint64, shared map[uint64]bool) {
	shared = map[uint64]bool{}
	for slot, r := range m.Relocs {
		if r.Symbol == "" && m.variable(r.Address) && !m.handle(slot) {
			shared[r.Address] = true
		}
	}
	for _, symbols := range m.Exports {
		for _, s := range symbols {
			if !s.Function {
				shared[s.Address] = true
			}
		}
	}
	for at := range shared {
		all = append(all, at)
	}
	m.everything(func(_ uint64, in image.Insn) {
		if at := uint64(in.Src.Value); in.Op == image.OpAddress && in.Src.Kind == image.Absolute && m.variable(at) {
			all = append(all, at)
		}
	})
	slices.Sort(all)
	return slices.Compact(all), shared
}

// handle reports whether what lies at an address is the __dso_handle of GCC's crtbeginS.o: a pointer
// to itself, behind nothing but the data_start of crt1.o, that is handed to __cxa_finalize.
func (m *module) handle(at uint64) bool {
	data := m.Sections[".data"]
	if m.Relocs[at].Address != at || at != data.Start && at != data.Start+8 {
		return false
	}
	for _, r := range m.Relocs {
		if r.Symbol == "__cxa_finalize" {
			return true
		}
	}
	return false
}

// around is where the variable that a slot is a part of may begin, and end, as far as sections and
// the sizes of symbols tell.
func (m *module) around(slot uint64) (from, to uint64) {
	if seg := m.Segment(slot); seg != nil {
		from, to = seg.Address, seg.Address+seg.Size
	}
	for name, r := range m.Sections {
		if r.Start <= slot && slot < r.End && name != ".tbss" { // which takes no room
			from, to = max(from, r.Start), min(to, r.End)
		}
	}
	sized := func(start, end uint64) {
		switch {
		case start >= end:
		case end <= slot:
			from = max(from, end)
		case slot < start:
			to = min(to, start)
		default:
			from, to = max(from, start), min(to, end)
		}
	}
	for _, v := range m.Variables {
		sized(v.Start, v.End)
	}
	for _, symbols := range m.Exports {
		for _, s := range symbols {
			if !s.Function {
				sized(s.Address, s.Address+s.Size)
			}
		}
	}
	return from, to
}

// clones reports whether code is of GCC's crtstuff.c, which hands the end of .data to a library
// for transactional memory, and that is not there.
func (m *module) clones(f *function) bool {
	const most = 0x80
	if f.end-f.start > most {
		return false
	}
	found := false
	f.sweep(f.start, f.end, func(_ uint64, in image.Insn) {
		name := m.Relocs[uint64(in.Src.Value)].Symbol
		if in.Op == image.OpMove && in.Src.Kind == image.Absolute && (name == "_ITM_deregisterTMCloneTable" || name == "_ITM_registerTMCloneTable") {
			found = found || len(m.all.lookup(name)) == 0
		}
	})
	return found
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
