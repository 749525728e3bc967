package static

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Chart is the code of a program as a graph in which the ways to each syscall are found (see
// Way). Of some files, those that a person would call the program, its nodes are basic blocks, and
// it knows by what their branches are decided; of all others they are functions, for what
// happens there is decided by who calls them. It holds nothing of what it was made from, and
// does not change. A chart is a hint: it lacks calls by pointers that are not constants.
type Chart struct {
	files   []string // their paths
	names   []string // of functions, by node.function
	nodes   []node
	preds   [][]edge // of each node, what leads to it
	clues   map[int32][]Clue
	tests   map[int32][]variable // that a block looks at
	sets    map[variable][]int32 // the blocks that write one
	makers  map[sysno.ID][]int32
	callers map[int32][]int32 // by function: functions of blocks that call it
}

// node is a block, or a function.
type node struct {
	file     int32
	function int32
	offset   uint64 // in the file
	block    bool
}

// edge leads from a node.
type edge struct {
	from   int32
	cost   uint8
	branch bool // within a function
}

// What the steps of a way cost: a pointer that is taken says less than a call.
const (
	costBlock   = 1
	costCall    = 2
	costPointer = 8
)

// variable is one by its address in a file, or by its place in the frame of a function.
type variable struct {
	file     int32
	function int32 // -1 for an address
	at       int64
}

// maxCharted bounds the instructions of a chart.
const maxCharted = 1 << 23

// AnalyzeAndChart does what Analyze does, and charts the program too, with the blocks of those files,
// by their paths, that own says are the program's.
func AnalyzeAndChart(ctx context.Context, path string, o Options, own func(path string) bool) (*trace.Reach, *Chart, error) {
	a, r, err := analyze(ctx, path, o, map[string]bool{})
	if err != nil {
		return nil, nil, err
	}
	d := draftsman{
		analysis: a, starts: map[*function]int32{}, own: make([]bool, len(a.modules)), roles: map[*function]role{},
		c: &Chart{clues: map[int32][]Clue{}, tests: map[int32][]variable{}, sets: map[variable][]int32{}, makers: map[sysno.ID][]int32{}, callers: map[int32][]int32{}},
	}
	for i, m := range a.modules {
		d.c.files = append(d.c.files, m.Path)
		d.own[i] = own(m.Path)
	}
	if err := d.draw(ctx); err != nil {
		return nil, nil, err
	}
	return r, d.c, nil
}

// draftsman makes a chart.
type draftsman struct {
	*analysis
	c      *Chart
	own    []bool // by module
	starts map[*function]int32
	roles  map[*function]role

	// What blocks refer to in data, for pointers to functions that lie there.
	refers []reference
}

// reference is an address of data that a block knows.
type reference struct {
	m    *module
	at   uint64
	node int32
}

func (d *draftsman) draw(ctx context.Context) error {
	functions := d.functions()
	d.assign(functions)
	instructions := 0
	bodies := map[*function][]int32{} // the nodes of instructions
	for _, f := range functions {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !d.charted(f) {
			d.add(f, f.start, false)
			continue
		}
		b := f.decoded()
		if instructions += len(b.at); instructions > maxCharted {
			d.own[f.index] = false
			d.add(f, f.start, false)
			continue
		}
		bodies[f] = d.blocks(f, b)
	}
	for _, f := range functions {
		if nodes, ok := bodies[f]; ok {
			d.body(f, nodes)
		} else {
			d.calls(f)
		}
		if f.from != nil && f.link != trace.Called && f.link != trace.Jumped && !d.charted(f.from) {
			if from, ok := d.starts[f.from]; ok {
				d.edge(from, d.starts[f], costPointer, false)
			}
		}
	}
	d.tables()
	for id, places := range d.makers {
		for _, p := range places {
			at, ok := d.starts[p.f]
			if nodes := bodies[p.f]; nodes != nil {
				if i := p.f.decoded().index(p.at); i >= 0 {
					at = nodes[i]
				}
			}
			if ok && !slices.Contains(d.c.makers[id], at) {
				d.c.makers[id] = append(d.c.makers[id], at)
			}
		}
	}
	for f, functions := range d.c.callers {
		slices.Sort(functions)
		d.c.callers[f] = slices.Compact(functions)
	}
	return nil
}

// charted reports whether a function is drawn by its blocks.
func (d *draftsman) charted(f *function) bool {
	return d.own[f.index] && f.flow != nil && f.end > f.start
}

// assign finds what functions of the C library and others are for, by their names.
func (d *draftsman) assign(functions []*function) {
	for _, m := range d.modules {
		for name, symbols := range m.Exports {
			r, ok := roles[name]
			for _, s := range symbols {
				if f := m.functions[s.Address]; ok && f != nil && s.Function {
					d.roles[f] = r
				}
			}
		}
	}
	for _, f := range functions {
		if r, ok := roles[f.name]; ok {
			d.roles[f] = r
		}
	}
}

// add makes a node of a function at an address.
func (d *draftsman) add(f *function, at uint64, block bool) int32 {
	n := int32(len(d.c.nodes))
	function := n
	if first, ok := d.starts[f]; ok {
		function = d.c.nodes[first].function
	} else {
		d.starts[f] = n
		function = int32(len(d.c.names))
		d.c.names = append(d.c.names, f.String())
	}
	d.c.nodes = append(d.c.nodes, node{int32(f.index), function, f.offset(at), block})
	d.c.preds = append(d.c.preds, nil)
	return n
}

// offset is where in the file lies what is at an address.
func (m *module) offset(at uint64) uint64 {
	if s := m.Segment(at); s != nil {
		return at - s.Address + s.Offset
	}
	return at
}

func (d *draftsman) edge(from, to int32, cost uint8, branch bool) {
	if all := d.c.preds[to]; len(all) > 0 && all[len(all)-1].from == from {
		return
	}
	d.c.preds[to] = append(d.c.preds[to], edge{from, cost, branch})
	if a, b := d.c.nodes[from].function, d.c.nodes[to].function; a != b {
		d.c.callers[b] = append(d.c.callers[b], a)
	}
}

// blocks makes the nodes of a function, and returns which one each of its instructions, and its hub,
// is of.
// Where blocks begin is decided as image.Blocks does.
func (d *draftsman) blocks(f *function, b *body) []int32 {
	leads := make([]bool, len(b.at))
	for i, in := range b.insns {
		switch in.Op {
		case image.OpJump, image.OpBranch:
			if in.Src.Kind == image.Immediate {
				if to := b.index(uint64(in.Src.Value)); to >= 0 {
					leads[to] = true
				}
			}
		}
		ends := in.Op == image.OpBranch || in.Op == image.OpJump || in.Op == image.OpReturn || in.Op == image.OpStop
		next := i + 1
		for ends && in.Op != image.OpBranch && next < len(b.at) && b.insns[next].Op == image.OpNop && len(b.preds[next]) == 0 {
			next++
		}
		if ends && next < len(b.at) {
			leads[next] = true
		}
	}
	for at := range f.entries {
		if i := b.index(at); i >= 0 {
			leads[i] = true
		}
	}
	of := make([]int32, len(b.at))
	for i, at := range b.at {
		if i == 0 || leads[i] {
			of[i] = d.add(f, at, true)
		} else {
			of[i] = of[i-1]
		}
	}
	if len(b.at) == 0 {
		d.add(f, f.start, true)
	}
	return append(of, d.add(f, f.start, false)) // the hub, where jumps by pointers meet
}

// calls draws what a function that is one node leads to.
func (d *draftsman) calls(f *function) {
	for i := range f.flow {
		d.leave(d.starts[f], &f.flow[i])
	}
}

// leave draws where an instruction leads outside of its function.
func (d *draftsman) leave(from int32, x *flow) {
	for _, t := range x.beyond().targets {
		if to, ok := d.starts[t]; ok {
			d.edge(from, to, costCall, false)
		}
	}
	for _, p := range x.beyond().middle {
		if to, ok := d.starts[p.f]; ok {
			d.edge(from, to, costCall, false)
		}
	}
}

// body draws what leads from block to block, and notes what they tell.
func (d *draftsman) body(f *function, nodes []int32) {
	b := f.decoded()
	hub := len(b.at)
	for i, preds := range b.preds {
		cost := uint8(costBlock)
		if i == hub {
			cost = 0
		}
		for _, p := range preds {
			if nodes[p] != nodes[i] {
				d.edge(nodes[p], nodes[i], cost, true)
			}
		}
	}
	for i := range f.flow {
		if j := b.index(f.flow[i].at); j >= 0 {
			d.leave(nodes[j], &f.flow[i])
		}
	}
	for i := 0; i < hub; {
		end := i + 1
		for end < hub && nodes[end] == nodes[i] {
			end++
		}
		d.read(f, nodes[i], b.insns[i:end], b.at[i:end])
		i = end
	}
}

// tableSize is how far behind an address that code knows a pointer may lie that it finds by it.
const tableSize = 1 << 14

// tables draws what code reaches through pointers to functions that lie in data: from the
// blocks that know the last address before such a pointer. Texts beside one, as in a table of
// commands, are clues to the function.
func (d *draftsman) tables() {
	slices.SortFunc(d.refers, func(a, b reference) int {
		return cmp.Or(cmp.Compare(a.m.index, b.m.index), cmp.Compare(a.at, b.at), cmp.Compare(a.node, b.node))
	})
	d.packed()
	for i, m := range d.modules {
		if !d.own[i] {
			continue
		}
		var slots []uint64
		for slot, r := range m.Relocs { // of a file that is not relocated no slots are known
			if r.Symbol == "" && m.functions[r.Address] != nil {
				slots = append(slots, slot)
			}
		}
		slices.Sort(slots)
		for _, slot := range slots {
			f := m.functions[m.Relocs[slot].Address]
			to, ok := d.starts[f]
			if !ok {
				continue
			}
			for k := -4; k <= 2; k++ {
				if text, ok := m.pointed(slot + uint64(8*k)); ok && k != 0 {
					d.c.clue(to, Clue{Kind: ClueText, Text: text})
				}
			}
			last := sort.Search(len(d.refers), func(i int) bool {
				return d.refers[i].m.index > m.index || d.refers[i].m == m && d.refers[i].at > slot
			}) - 1
			for at := last; at >= 0 && d.refers[at].m == m && d.refers[at].at == d.refers[last].at && slot-d.refers[at].at < tableSize; at-- {
				d.edge(d.refers[at].node, to, costPointer/2, false)
			}
		}
	}
}

// pointed is the text that the pointer in a slot points to.
func (m *module) pointed(slot uint64) (string, bool) {
	r, ok := m.Relocs[slot]
	if !ok || r.Symbol != "" {
		return "", false
	}
	return m.word(r.Address)
}

// packed notes texts behind one that code knows, if nothing knows an address of theirs: they are found by the
// end of the one before, or as elements of an array.
func (d *draftsman) packed() {
	known := make([][]uint64, len(d.modules))
	for i, m := range d.modules {
		for _, r := range m.Relocs {
			if d.own[i] && r.Symbol == "" {
				known[i] = append(known[i], r.Address)
			}
		}
		if d.own[i] && m.Fixed {
			m.words(func(at uint64) {
				if m.Segment(at) != nil {
					known[i] = append(known[i], at)
				}
			})
		}
	}
	for _, r := range d.refers {
		known[r.m.index] = append(known[r.m.index], r.at)
	}
	for _, all := range known {
		slices.Sort(all)
	}
	var words []string // behind that of the reference before
	for i, r := range d.refers {
		if i == 0 || d.refers[i-1].m != r.m || d.refers[i-1].at != r.at {
			words = words[:0]
			if _, ok := r.m.word(r.at); ok && !r.m.Go && d.own[r.m.index] {
				end := uint64(math.MaxUint64)
				if i, _ := slices.BinarySearch(known[r.m.index], r.at+1); i < len(known[r.m.index]) {
					end = known[r.m.index][i]
				}
				words = r.m.behind(r.at, end, words)
			}
		}
		for _, word := range words {
			d.c.clue(r.node, Clue{Kind: ClueText, Text: word})
		}
	}
}

// behind appends the words that are packed behind a text, up to an address.
func (m *module) behind(text, end uint64, words []string) []string {
	const most, apart = 16, 16 // words; bytes of zeros between two
	zeros := 0
	first, _ := m.String(text)
	for at := text + uint64(len(first)) + 1; len(words) < most && zeros < apart && at < end; at++ {
		text, _ := m.String(at)
		if text == "" {
			zeros++
			continue
		}
		word, ok := m.word(at)
		if !ok {
			break
		}
		words = append(words, word)
		at, zeros = at+uint64(len(text)), 0
	}
	return words
}
