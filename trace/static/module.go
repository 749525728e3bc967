package static

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// module is a file that is loaded.
type module struct {
	*image.Code
	all       *graph
	index     int // in the order in which symbols are looked for
	main      bool
	whom      string   // what is loaded while the program runs, and needs this; empty where that is the program
	starts    []uint64 // of functions that the file tells, sorted
	functions map[uint64]*function

	// fine says that only those data count as referred to that reached code refers to;
	// objects is where they may begin, sorted.
	fine    bool
	objects []uint64
	live    map[uint64]bool             // beginnings of objects that were referred to
	taken   map[image.AddressRange]bool // variables, by address and size, that were, too
	datum   *function                   // stands for its data on paths

	lowest, highest uint64 // of its code, the end excluded

	plt, got []image.AddressRange // stubs and slots of imports

	stores  map[uint64][]place // of reached code to fixed addresses
	escaped map[uint64]bool    // fixed addresses of data that code has taken
	unwinds bool               // exceptions lead into the middle of functions
}

// function is some code of a module.
type function struct {
	*module
	start, end uint64
	name       string

	reached bool
	depth   int
	startup bool      // only by the loader
	from    *function // on a shortest path
	link    trace.Link
	path    int             // how long that is, 0 if not known yet
	taken   bool            // its address was taken, so calls of it are not all known
	loose   bool            // not only data of its own file hold the address
	held    *held           // what code does with those, nil: not known yet
	kept    bool            // who has its address may call it at any time
	late    bool            // it may run when main has begun
	labels  map[uint64]bool // addresses in its middle that were

	flow    []flow
	sites   []site
	callers []place            // calls and jumps to its start
	entries map[uint64][]place // jumps into its middle, from elsewhere
	returns bool               // it may
	code    *body              // decoded again, for the flow of data
	makes   []sysno.ID         // see draftsman.makes; nil: not known yet
}

// flow is an instruction that does not simply go on to the next one.
type flow struct {
	at      uint64
	to      uint64  // where a jump or a branch in the function goes, 0 if elsewhere
	out     *beyond // nil where it leads to no other function
	op      image.Op
	unknown bool // it goes by a pointer
}

// beyond is where an instruction leads outside of its function.
type beyond struct {
	targets []*function // beginnings of functions
	middle  []inner     // places amid others
}

// nowhere is where an instruction leads that stays in its function.
var nowhere = &beyond{}

func (x *flow) beyond() *beyond {
	if x.out == nil {
		return nowhere
	}
	return x.out
}

// leave is for what is found out.
func (x *flow) leave() *beyond {
	if x.out == nil {
		x.out = &beyond{}
	}
	return x.out
}

// inner is a place in a function.
type inner struct {
	f  *function
	at uint64
}

// place is an instruction of a function.
type place struct {
	f  *function
	at uint64
}

// site is an instruction that enters the kernel.
type site struct {
	at uint64
	op image.Op
}

func newModule(path string, index int) (*module, error) {
	code, err := image.ReadCode(path)
	if err != nil {
		return nil, err
	}
	m := &module{Code: code, index: index, functions: map[uint64]*function{}, live: map[uint64]bool{}, taken: map[image.AddressRange]bool{}, stores: map[uint64][]place{}, escaped: map[uint64]bool{}}
	for i, r := range code.Text {
		if i == 0 || r.Start < m.lowest {
			m.lowest = r.Start
		}
		m.highest = max(m.highest, r.End)
	}
	m.plt, m.got = m.ranges(".plt"), m.ranges(".got")
	_, m.unwinds = code.Sections[".gcc_except_table"]
	for _, f := range code.Functions {
		m.starts = append(m.starts, f.Start)
		m.functions[f.Start] = &function{module: m, start: f.Start, end: min(f.End, m.limit(f.Start)), name: f.Name}
	}
	m.discover()
	for i, at := range m.starts {
		if f := m.functions[at]; f.end <= at { // the file does not say how long it is
			f.end = m.limit(at)
			if i+1 < len(m.starts) {
				f.end = min(f.end, m.starts[i+1])
			}
		}
	}
	if len(code.Exports["__libc_start_main"]) > 0 && !code.Fixed {
		m.fine = true
		m.objects = m.anchors()
	}
	return m, nil
}

// limit is where the code that an address lies in ends.
func (m *module) limit(at uint64) uint64 {
	if r, ok := image.RangeOf(m.Text, at); ok {
		return r.End
	}
	return at
}

// sweep decodes from one address to another, and goes on behind what is no instruction.
func (m *module) sweep(from, to uint64, visit func(at uint64, in image.Insn)) {
	b := m.Bytes(from, to-from)
	for i := 0; i < len(b); {
		in, ok := image.DecodeInsn(b[i:], from+uint64(i))
		if !ok {
			i++
			continue
		}
		visit(from+uint64(i), in)
		i += int(in.Len)
	}
}

// everything sweeps through all that can be executed.
func (m *module) everything(visit func(at uint64, in image.Insn)) {
	for _, r := range m.Text {
		m.sweep(r.Start, r.End, visit)
	}
}

// undescribed are the ranges of code that the file says of no function to be its own, but
// for those that fill space.
func (m *module) undescribed() []image.AddressRange {
	const padding = 32
	var all []image.AddressRange
	functions := m.Code.Functions // in order, as the ranges are
	for _, r := range m.Text {
		at := r.Start
		add := func(to uint64) {
			if to > at && to-at > padding {
				all = append(all, image.AddressRange{Start: at, End: to})
			}
		}
		for ; len(functions) > 0 && functions[0].Start < r.End; functions = functions[1:] {
			if f := functions[0]; f.Start >= r.Start {
				add(f.Start)
				at = max(at, f.End)
			}
		}
		add(r.End)
	}
	return slices.DeleteFunc(all, func(r image.AddressRange) bool { return inside(m.plt, r.Start) })
}

// discover finds functions where the file does not tell of them, as it may not of those that
// were compiled without tables for exceptions: what is called begins one, and so may all
// that code or data have a pointer to.
func (m *module) discover() {
	dark := m.undescribed()
	if len(dark) == 0 || m.Tabled {
		return
	}
	found := map[uint64]bool{}
	add := func(at uint64) {
		i := sort.Search(len(dark), func(i int) bool { return dark[i].Start > at }) - 1
		if i >= 0 && at < dark[i].End && m.functions[at] == nil {
			found[at] = true
		}
	}
	pointer := func(at uint64) {
		if at >= m.lowest && at < m.highest && !found[at] && m.Exec(at) && m.plausible(at) {
			add(at)
		}
	}
	m.everything(func(_ uint64, in image.Insn) {
		switch {
		case in.Op == image.OpCall && in.Src.Kind == image.Immediate:
			if to := uint64(in.Src.Value); m.Exec(to) {
				add(to)
			}
		case in.Op == image.OpAddress && in.Src.Kind == image.Absolute:
			pointer(uint64(in.Src.Value))
		case m.Fixed && in.Src.Kind == image.Immediate && in.Op != image.OpJump && in.Op != image.OpBranch:
			pointer(uint64(in.Src.Value))
		}
	})
	for _, r := range m.Relocs {
		pointer(r.Address)
	}
	if m.Fixed {
		m.words(pointer)
	}
	if m.Exec(m.Entry) {
		add(m.Entry)
	}
	for at := range found {
		m.functions[at] = &function{module: m, start: at}
		m.starts = append(m.starts, at)
	}
	slices.Sort(m.starts)
}

// arrays are the slots of Arrays.
func (m *module) arrays() map[uint64]bool {
	slots := make(map[uint64]bool, len(m.Arrays))
	for _, slot := range m.Arrays {
		slots[slot] = true
	}
	return slots
}

// words visits the aligned words of data, which where nothing is relocated may be pointers.
// The slots of stubs are not: before they are filled they point back to these. Nor are those of what is called at
// start and end.
func (m *module) words(visit func(uint64)) {
	lazy, called := m.ranges(".got.plt"), m.arrays()
	for _, seg := range m.Segments {
		if seg.Exec {
			continue
		}
		for i := (8 - seg.Address%8) % 8; i+8 <= uint64(len(seg.Data)); i += 8 {
			if at := seg.Address + i; !inside(lazy, at) && !called[at] {
				visit(binary.LittleEndian.Uint64(seg.Data[i:]))
			}
		}
	}
}

// anchors are the addresses of data that the code, the symbols and the relocations of a
// module name. Compilers align objects of 32 bytes and more to as many (GCC's
// DATA_ALIGNMENT): what is not aligned so is taken for the inside of the one before.
func (m *module) anchors() []uint64 {
	found := map[uint64]bool{}
	add := func(at uint64) {
		if at%32 == 0 && m.Segment(at) != nil && !m.Exec(at) {
			found[at] = true
		}
	}
	m.everything(func(_ uint64, in image.Insn) {
		for _, o := range []image.Operand{in.Dst, in.Src, in.Touched} {
			if o.Kind == image.Absolute {
				add(uint64(o.Value))
			}
		}
	})
	for _, symbols := range m.Exports {
		for _, s := range symbols {
			add(s.Address)
		}
	}
	for _, r := range m.Relocs {
		add(r.Address)
	}
	for _, r := range m.Sections { // they end objects, too
		if m.Segment(r.Start) != nil && !m.Exec(r.Start) {
			found[r.Start] = true
		}
	}
	var all []uint64
	for at := range found {
		all = append(all, at)
	}
	slices.Sort(all)
	return all
}

// object is the range of data around an address that no other object is known to begin in.
func (m *module) object(at uint64) (from, to uint64) {
	i := sort.Search(len(m.objects), func(i int) bool { return m.objects[i] > at })
	s := m.Segment(at)
	if s == nil {
		return 0, 0
	}
	from, to = s.Address, s.Address+s.Size
	if i > 0 {
		from = max(from, m.objects[i-1])
	}
	if i < len(m.objects) {
		to = min(to, m.objects[i])
	}
	return from, to
}

// within returns the function that an address lies in: the one that begins there, or the
// last to begin before it and not end.
func (m *module) within(at uint64) *function {
	if f := m.functions[at]; f != nil {
		return f
	}
	i := sort.Search(len(m.starts), func(i int) bool { return m.starts[i] > at }) - 1
	for back := 0; i >= 0 && back < 4; back++ {
		if f := m.functions[m.starts[i]]; f != nil && at < f.end {
			return f
		}
		i--
	}
	return nil
}

// begin returns the function that begins at an address of code; a new one where no other
// is known to be.
func (m *module) begin(at uint64) *function {
	if f := m.within(at); f != nil {
		return f
	}
	if !m.Exec(at) {
		return nil
	}
	f := &function{module: m, start: at, end: m.next(at)}
	m.functions[at] = f
	i, _ := slices.BinarySearch(m.starts, at)
	m.starts = slices.Insert(m.starts, i, at)
	return f
}

// plausible reports whether there may be code at an address that nothing calls a function:
// tables lie amid hand-written code, too. What follows must be instructions that are
// used and that lead to code, up to one after which others need not follow, or very many.
func (m *module) plausible(at uint64) bool {
	const many = 1000
	for range many {
		in, ok := image.DecodeInsn(m.Bytes(at, 15), at)
		if !ok || in.Op == image.OpRare {
			return false
		}
		switch in.Op {
		case image.OpCall, image.OpJump, image.OpBranch:
			if in.Src.Kind == image.Immediate && !m.Exec(uint64(in.Src.Value)) {
				return false
			}
		}
		switch in.Op {
		case image.OpJump, image.OpReturn, image.OpStop:
			return true
		}
		at += uint64(in.Len)
	}
	return true
}

// next is where the function that an address of code lies in ends at the latest.
func (m *module) next(at uint64) uint64 {
	end := m.limit(at)
	if i := sort.Search(len(m.starts), func(i int) bool { return m.starts[i] > at }); i < len(m.starts) {
		end = min(end, m.starts[i])
	}
	return end
}

// ranges are those of sections whose names begin so.
func (m *module) ranges(prefix string) []image.AddressRange {
	var all []image.AddressRange
	for name, r := range m.Sections {
		if strings.HasPrefix(name, prefix) {
			all = append(all, r)
		}
	}
	return image.Unite(all)
}

// inside reports whether an address lies in one of some united ranges.
func inside(ranges []image.AddressRange, at uint64) bool {
	_, ok := image.RangeOf(ranges, at)
	return ok
}

// step describes a function on a path.
func (f *function) step() trace.Step {
	return trace.Step{Module: f.Path, Function: f.name, Offset: f.start, Link: f.link}
}

// String is the function in words.
func (f *function) String() string {
	name := filepath.Base(f.Path)
	if f.name != "" {
		return name + ":" + f.name
	}
	return fmt.Sprintf("%s+%#x", name, f.start)
}

func compareFunctions(a, b *function) int {
	return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.start, b.start))
}
