package static

import (
	"context"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/trace"
)

// graph is what is reached so far.
type graph struct {
	modules []*module // in the order in which symbols are looked for
	paths   map[string]*module
	queue   [][]*function // reached, not yet decoded, by their depth
	first   int           // there are none of less depth
	startup bool          // what is reached from now on is by the loader alone
	texts   map[string]*function

	known          []bool // for decode: beginnings of instructions
	flow           []flow // and what it has found
	decoded, limit int    // bytes of code
	exhausted      bool
	lookups        map[string][]target

	left steps
}

// target is what a name or a slot stands for.
type target struct {
	f *function // or
	m *module   // the data at an address of it
	image.Symbol
}

// dataSteps is how many calls a pointer that lies in data counts as on a path: calls say more.
const dataSteps = 4

// reach notes that a function is reached from another one.
func (g *graph) reach(f, from *function, link trace.Link) {
	if f == nil {
		return
	}
	if link != trace.Called && link != trace.Jumped {
		f.taken, f.loose = true, true
		f.kept = f.kept || link != trace.Begin
	}
	depth := 0
	if from != nil {
		depth = from.depth + 1
	}
	if f.reached && (f.flow != nil || f.depth <= depth) {
		return
	}
	if !f.reached {
		f.startup = g.startup
	}
	f.reached, f.from, f.link, f.depth = true, from, link, depth
	for len(g.queue) <= depth {
		g.queue = append(g.queue, nil)
	}
	g.queue[depth] = append(g.queue[depth], f)
	g.first = min(g.first, depth)
}

// run follows everything that is reached, breadth first, so that paths are short.
func (g *graph) run(ctx context.Context) error {
	for {
		for g.first < len(g.queue) && len(g.queue[g.first]) == 0 {
			g.first++
		}
		if g.first == len(g.queue) {
			return nil
		}
		f := g.queue[g.first][0]
		g.queue[g.first] = g.queue[g.first][1:]
		if f.flow != nil {
			continue
		}
		if g.decoded += int(f.end - f.start); g.decoded > g.limit {
			f.flow = []flow{}
			g.exhausted = true
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		g.decode(f)
	}
}

// decode finds out what a function leads to.
func (g *graph) decode(f *function) {
	m := f.module
	size := int(f.end - f.start)
	g.known = slices.Grow(g.known[:0], size)[:size]
	known := g.known
	clear(known)
	g.flow = g.flow[:0]
	var inside []uint64
	var last image.Insn
	var behind uint64
	visit := func(at uint64, in image.Insn) {
		known[at-f.start] = true
		next := at + uint64(in.Len)
		switch in.Op {
		case image.OpSyscall, image.OpInt80, image.OpSysenter:
			f.sites = append(f.sites, site{at, in.Op})
		case image.OpReturn, image.OpStop:
			g.flow = append(g.flow, flow{at: at, op: in.Op})
		case image.OpCall, image.OpJump, image.OpBranch:
			x := flow{at: at, op: in.Op}
			if in.Src.Kind == image.Immediate {
				if to := uint64(in.Src.Value); f.start <= to && to < f.end && in.Op != image.OpCall {
					x.to = to
					inside = append(inside, to)
				} else {
					g.direct(f, &x, to)
				}
			} else {
				g.indirect(f, &x, in.Src)
			}
			g.flow = append(g.flow, x)
			return
		}
		for _, o := range []image.Operand{in.Dst, in.Src, in.Touched} {
			switch {
			case o.Kind == image.Absolute && in.Op == image.OpAddress && m.Exec(uint64(o.Value)) && m.compared(next, in.Dst.Reg):
				// Of a pointer that is compared only, nothing is called.
			case o.Kind == image.Absolute && in.Op == image.OpAddress:
				g.refer(f, uint64(o.Value))
			case o.Kind == image.Absolute && o.Indexed:
				g.refer(f, uint64(o.Value))
			case o.Kind == image.Absolute:
				g.access(f, uint64(o.Value), uint64(in.Size))
			case o.Kind == image.Immediate && m.Fixed && o.Value > 0:
				g.refer(f, uint64(o.Value))
			case o.Kind == image.Memory && m.Fixed && o.Value > 0: // a table and an index
				g.refer(f, uint64(o.Value))
			}
		}
		if in.Stores && in.Dst.Kind == image.Absolute {
			m.stores[uint64(in.Dst.Value)] = append(m.stores[uint64(in.Dst.Value)], place{f, at})
		}
	}
	for from := f.start; ; {
		m.sweep(from, f.end, func(at uint64, in image.Insn) {
			visit(at, in)
			last, behind = in, at+uint64(in.Len)
		})
		if behind < f.end || last.Op == image.OpJump || last.Op == image.OpReturn || last.Op == image.OpStop {
			break
		}
		if below := m.functions[f.end]; below != nil && below != f {
			if last.Op != image.OpCall && last.Op != image.OpNop { // assembly that goes on into what follows
				g.reach(below, f, trace.Jumped)
				below.taken, below.loose, below.kept = true, true, true
			}
			break
		}
		// Hand-written code goes on where its description ends.
		end := m.next(f.end)
		if end <= f.end {
			break
		}
		from, f.end = f.end, end
		known = append(known, make([]bool, end-from)...)
		g.known = known
	}
	// What jumps lead to may lie within instructions of the sweep, behind data amid code.
	for len(inside) > 0 {
		at := inside[len(inside)-1]
		inside = inside[:len(inside)-1]
		for at >= f.start && at < f.end && !known[at-f.start] {
			in, ok := image.DecodeInsn(m.Bytes(at, f.end-at), at)
			if !ok {
				break
			}
			visit(at, in)
			at += uint64(in.Len)
		}
	}
	f.flow = append(make([]flow, 0, len(g.flow)), g.flow...)
	slices.SortFunc(f.flow, func(a, b flow) int { return compare(a.at, b.at) })
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// label notes that there is a pointer into the middle of a function.
func (f *function) label(at uint64) {
	if f.labels == nil {
		f.labels = map[uint64]bool{}
	}
	f.labels[at] = true
}

// compared reports whether the instruction at an address compares a register.
func (m *module) compared(at uint64, register uint8) bool {
	in, ok := image.DecodeInsn(m.Bytes(at, 15), at)
	is := func(o image.Operand) bool { return o.Kind == image.Register && o.Reg == register }
	return ok && in.Op == image.OpCompare && (is(in.Touched) || is(in.Src))
}

// direct follows a call or a jump to an address outside of a function.
func (g *graph) direct(f *function, x *flow, to uint64) {
	m := f.module
	if !m.Exec(to) {
		return
	}
	if inside(m.plt, to) || m.functions[to] == nil {
		if slot, ok := image.Stub(m.Bytes(to, 32), to); ok {
			g.through(f, x, slot)
			return
		}
	}
	callee := m.begin(to)
	if callee == nil {
		return
	}
	if callee.start != to {
		x.leave().middle = append(x.leave().middle, inner{callee, to})
		if callee.entries == nil {
			callee.entries = map[uint64][]place{}
		}
		callee.entries[to] = append(callee.entries[to], place{f, x.at})
		g.reach(callee, f, linkOf(x.op))
		return
	}
	g.call(f, x, callee)
}

func (g *graph) call(f *function, x *flow, callee *function) {
	x.leave().targets = append(x.leave().targets, callee)
	callee.callers = append(callee.callers, place{f, x.at})
	g.reach(callee, f, linkOf(x.op))
}

func linkOf(op image.Op) trace.Link {
	if op == image.OpCall {
		return trace.Called
	}
	return trace.Jumped
}

// indirect follows a call or a jump by a pointer, as far as a loader fills it.
func (g *graph) indirect(f *function, x *flow, o image.Operand) {
	if o.Kind != image.Absolute || o.Indexed {
		x.unknown = true
		if o.Kind == image.Absolute || o.Kind == image.Memory && f.Fixed && o.Value > 0 {
			g.refer(f, uint64(o.Value))
		}
		return
	}
	g.through(f, x, uint64(o.Value))
}

// through follows a call or a jump to what a slot holds.
func (g *graph) through(f *function, x *flow, slot uint64) {
	r, ok := f.Relocs[slot]
	if !ok {
		x.unknown = true
		g.access(f, slot, 8)
		return
	}
	for _, t := range g.resolve(f.module, r) {
		if t.f != nil {
			g.call(f, x, t.f)
		}
	}
	if r.Calls || !inside(f.got, slot) {
		x.unknown = true // what lies there may change
		g.access(f, slot, 8)
	}
}

// resolve finds what a relocation puts into its slot.
func (g *graph) resolve(m *module, r image.Relocation) []target {
	if r.Symbol == "" {
		if f := m.functionAt(r.Address); f != nil {
			return []target{{f: f}}
		}
		return []target{{m: m, Symbol: image.Symbol{Address: r.Address}}}
	}
	return g.lookup(r.Symbol)
}

// lookup finds a symbol as a loader does: in the first module that has it. All its
// versions count.
func (g *graph) lookup(name string) []target {
	if found, ok := g.lookups[name]; ok {
		return found
	}
	var found []target
	for _, m := range g.modules {
		for _, sym := range m.Exports[name] {
			if sym.Function {
				if f := m.begin(sym.Address); f != nil {
					found = append(found, target{f: f, Symbol: sym})
				}
			} else {
				found = append(found, target{m: m, Symbol: sym})
			}
		}
		if len(found) > 0 {
			break
		}
	}
	g.lookups[name] = found
	return found
}

// original finds the variable that a module has a copy of.
func (g *graph) original(m *module, r image.Relocation) []target {
	for _, other := range g.modules {
		if symbols := other.Exports[r.Symbol]; other != m && len(symbols) > 0 {
			return []target{{m: other, Symbol: symbols[0]}}
		}
	}
	return nil
}

// functionAt returns the function that a pointer is to, nil if it is to data.
func (m *module) functionAt(at uint64) *function {
	if !m.Exec(at) {
		return nil
	}
	return m.begin(at)
}

// refer notes that a function knows an address: that of another function, of a text, or
// of data all of which it may then look at.
func (g *graph) refer(f *function, at uint64) {
	const link = trace.Pointer
	m := f.module
	seg := m.Segment(at)
	switch {
	case seg == nil:
		return
	case m.Exec(at):
		other := m.functions[at]
		if other == nil {
			if f.start <= at && at < f.end {
				f.label(at)
				return
			}
			if slot, ok := image.Stub(m.Bytes(at, 32), at); ok {
				g.take(f, m.Relocs[slot], link)
				for _, t := range g.resolve(m, m.Relocs[slot]) {
					if t.f != nil {
						t.f.loose = true
					}
				}
				return
			}
			if m.within(at) == nil && !m.plausible(at) {
				return
			}
			if other = m.begin(at); other != nil && other.start != at {
				if m.Fixed { // the same
					return
				}
				other.label(at)
				other.kept = true
				g.reach(other, f, trace.Jumped)
				return
			}
		}
		g.reach(other, f, link)
		return
	case !seg.Write:
		g.text(f, at)
	}
	m.escaped[at] = true
	g.touch(f, m, at)
}

// access notes that a function reads or writes data at an address.
func (g *graph) access(f *function, at, size uint64) {
	m := f.module
	if m.Segment(at) == nil {
		return
	}
	for slot := at &^ 7; slot < at+size; slot += 8 {
		r, ok := m.Relocs[slot]
		if !ok {
			continue
		}
		g.take(f, r, trace.Pointer)
	}
}

// maxObject bounds the variables whose parts are looked at.
const maxObject = 1 << 22

// take notes that a function, or the data of a module, knows what a relocation says.
func (g *graph) take(f *function, r image.Relocation, link trace.Link) {
	targets := g.resolve
	if r.Copy {
		targets = g.original
	}
	for _, t := range targets(f.module, r) {
		if t.f != nil {
			loose := t.f.loose || r.Calls
			g.reach(t.f, f, link)
			t.f.loose = loose // what becomes of the slot is seen
			continue
		}
		if t.Size == 0 {
			g.text(f, t.Address)
		}
		if t.m.fine {
			g.objects(f, t.m, t.Address, t.Size)
		}
	}
}

// objects touches all that lies in a variable, which counts once.
func (g *graph) objects(f *function, m *module, at, size uint64) {
	if k := (image.AddressRange{Start: at, End: size}); !m.taken[k] {
		m.taken[k] = true
		for end := at + min(size, maxObject); ; {
			g.touch(f, m, at)
			_, next := m.object(at)
			if next <= at || next >= end {
				return
			}
			at = next
		}
	}
}

// touch notes that code may look at the object of data at an address.
func (g *graph) touch(f *function, m *module, at uint64) {
	if !m.fine || m.Segment(at) == nil || m.Exec(at) {
		return
	}
	from, to := m.object(at)
	if seg := m.Segment(at); to > seg.Address+uint64(len(seg.Data)) { // there are no pointers in what is zero
		to = max(from, seg.Address+uint64(len(seg.Data)))
	}
	if m.live[from] || from == to {
		return
	}
	m.live[from] = true
	owner := f
	if f.module != m {
		owner = g.data(m, f)
	}
	for slot := from &^ 7; slot < to; slot += 8 {
		if r, ok := m.Relocs[slot]; ok && !inside(m.got, slot) {
			g.take(owner, r, trace.Datum)
		}
	}
}

// data stands for the data of a module on paths.
func (g *graph) data(m *module, from *function) *function {
	if m.datum == nil {
		m.datum = &function{module: m, name: "data", reached: true, from: from, link: trace.Datum, flow: []flow{}, depth: dataSteps, startup: g.startup}
		if from != nil {
			m.datum.depth += from.depth
		}
	}
	return m.datum
}

// text notes a string that a function knows.
func (g *graph) text(f *function, at uint64) {
	m := f.module
	seg := m.Segment(at)
	if seg == nil || seg.Write || m.Exec(at) {
		return
	}
	b := m.Bytes(at, 256)
	end := slices.Index(b, 0)
	if end < 4 {
		return
	}
	word := string(b[:end])
	if !strings.Contains(word, ".so") && !strings.Contains(word, "gconv") && !strings.Contains(word, "nsswitch") {
		return
	}
	if _, ok := g.texts[word]; !ok {
		g.texts[word] = f
	}
}

// root reaches what is called when a module is loaded, and what its data name.
func (g *graph) root(m *module, from *function) {
	begin := func(at uint64, f *function) {
		g.reach(f, from, trace.Begin)
		if f != nil && m.Ends[at] {
			f.kept = true
		}
	}
	for _, at := range m.Init {
		begin(at, m.functionAt(at))
	}
	for _, slot := range m.Arrays {
		if r, ok := m.Relocs[slot]; ok {
			for _, t := range g.resolve(m, r) {
				begin(slot, t.f)
			}
		} else if at, ok := m.Word(slot); ok && at != 0 && at != ^uint64(0) {
			begin(slot, m.functionAt(at))
		}
	}
}

// named reaches all that the data of a module name.
func (g *graph) named(m *module, from *function) {
	var slots []uint64
	called := m.arrays() // by root
	for slot, r := range m.Relocs {
		if r.Copy || r.Calls || !m.fine && !inside(m.got, slot) && !called[slot] {
			slots = append(slots, slot)
		}
	}
	slices.Sort(slots)
	data := g.data(m, from)
	for _, slot := range slots {
		g.take(data, m.Relocs[slot], trace.Datum)
	}
	if m.Fixed {
		m.words(func(at uint64) {
			switch {
			case at >= m.lowest && at < m.highest:
				if f := m.functions[at]; f != nil || m.Exec(at) && m.within(at) == nil && m.plausible(at) {
					g.reach(m.functionAt(at), data, trace.Datum)
				}
			case g.textual(m, at):
				g.text(data, at)
			}
		})
	}
	if m.Go { // methods are found through tables of 32-bit offsets
		for _, at := range m.starts {
			g.keep(m.functions[at], data)
		}
	}
}

// textual reports whether an address may be of a text.
func (g *graph) textual(m *module, at uint64) bool {
	seg := m.Segment(at)
	return seg != nil && !seg.Write && !m.Exec(at)
}

// keep reaches a function without saying that a pointer to it was made.
func (g *graph) keep(f, from *function) {
	taken, loose := f.taken, f.loose
	g.reach(f, from, trace.Datum)
	f.taken, f.loose = taken, loose
}
