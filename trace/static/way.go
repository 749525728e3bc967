package static

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Way is how a syscall is come to.
type Way struct {
	Blocks []Block // from which it can be come to, nearest first; at most maxWay

	chart *Chart
	next  []int32 // by node: the next one on the way; itself at the end, -1 beside it
	far   []int32 // by node

	// guards decide whether the way is gone, nearest first.
	guards []int32
}

// Block is a basic block of the program by its place in a file.
type Block struct {
	File     string
	Offset   uint64
	Distance int // steps to the syscall: one for a block, more for a call
}

// The bounds of a way.
const (
	maxWay      = 1 << 16
	maxClues    = 96
	maxDistance = 1 << 10
	maxSetters  = 64
	maxSets     = 16 // of one variable
)

const never = int32(1) << 30

// Way finds the way to a syscall, nil where the chart knows none.
func (c *Chart) Way(id sysno.ID) *Way {
	makers := c.makers[id]
	if len(makers) == 0 {
		return nil
	}
	w := &Way{chart: c, next: make([]int32, len(c.nodes)), far: make([]int32, len(c.nodes))}
	for n := range c.nodes {
		w.next[n], w.far[n] = -1, never
	}
	// Nodes by their distance: Dijkstra's algorithm, for costs are small.
	levels := make([][]int32, maxDistance+costPointer+1)
	for _, n := range makers {
		w.far[n], w.next[n] = 0, n
		levels[0] = append(levels[0], n)
	}
	for distance := range int32(maxDistance) {
		for i := 0; i < len(levels[distance]); i++ {
			n := levels[distance][i]
			if w.far[n] != distance {
				continue
			}
			if c.nodes[n].block && len(w.Blocks) < maxWay {
				w.Blocks = append(w.Blocks, Block{c.files[c.nodes[n].file], c.nodes[n].offset, int(distance)})
			}
			for _, e := range c.preds[n] {
				if to := distance + int32(e.cost); to < w.far[e.from] {
					w.far[e.from], w.next[e.from] = to, n
					levels[to] = append(levels[to], e.from)
				}
			}
		}
		levels[distance] = nil
	}
	w.guards = w.guard()
	return w
}

// telling is by how much the one branch of a block must be nearer than the other for the
// block to decide whether the way is gone.
const telling = 3

// guard finds the nodes that decide whether the way is gone, at most some hundred.
func (w *Way) guard() []int32 {
	c := w.chart
	nearest, worst := make([]int32, len(c.nodes)), make([]int32, len(c.nodes)) // of what a block branches to
	for n := range nearest {
		nearest[n] = never
	}
	for to, preds := range c.preds {
		for _, e := range preds {
			if e.branch {
				nearest[e.from], worst[e.from] = min(nearest[e.from], w.far[to]), max(worst[e.from], w.far[to])
			}
		}
	}
	var guards []int32
	for n := range c.nodes {
		if far := nearest[n]; far < never && w.far[n] > far && worst[n]-far >= telling {
			guards = append(guards, int32(n))
		}
	}
	slices.SortFunc(guards, func(a, b int32) int { return cmp.Or(cmp.Compare(w.far[a], w.far[b]), cmp.Compare(a, b)) })
	const most = 512
	return guards[:min(len(guards), most)]
}

// Setters are blocks that write variables which branches on the way look at, those of the nearest branches
// first; at most some dozen. Most are where an option or a setting is read.
func (w *Way) Setters() []Block {
	c := w.chart
	known := map[int32]bool{}
	var out []Block
	for _, n := range w.guards {
		for _, v := range c.tests[n] {
			sets := c.sets[v]
			for _, from := range sets[:min(len(sets), maxSets)] {
				if known[from] || len(out) == maxSetters {
					continue
				}
				known[from] = true
				out = append(out, Block{c.files[c.nodes[from].file], c.nodes[from].offset, int(w.far[n])})
			}
		}
	}
	return out
}

// Clues are what decides on the way, that of the nearest branches first; at most some hundred.
func (w *Way) Clues() []Clue {
	c := w.chart
	found := map[Clue]int{}
	add := func(n int32, distance int) {
		for _, k := range c.clues[n] {
			if old, ok := found[k]; !ok || distance < old {
				found[k] = distance
			}
		}
	}
	for n := range c.clues { // tables and handlers tell something of the function itself
		if w.far[n] < never && w.far[n] <= 4*costPointer && c.first(n) {
			add(n, int(w.far[n]))
		}
	}
	for _, n := range w.guards {
		far := int(w.far[n])
		add(n, far)
		for _, e := range c.preds[n] { // what is compared may be put together before
			if e.branch {
				add(e.from, far+2)
			}
		}
		w.before(n, far, add)
	}
	var all []Clue
	for k, distance := range found {
		k.Distance = distance
		all = append(all, k)
	}
	slices.SortFunc(all, compareClues)
	all = all[:min(len(all), maxClues)]
	all = append(all, joined(all)...)
	slices.SortStableFunc(all, func(a, b Clue) int { return cmp.Compare(a.Distance, b.Distance) })
	return all
}

// first reports whether a node is where its function begins.
func (c *Chart) first(n int32) bool {
	return n == 0 || c.nodes[n-1].function != c.nodes[n].function
}

// before adds the clues of where the variables are set that a block looks at: a branch on what an
// option has set is decided where the option is read.
func (w *Way) before(n int32, far int, add func(int32, int)) {
	const steps, penalty = 3, 2
	c := w.chart
	for _, v := range c.tests[n] {
		sets := c.sets[v]
		for _, from := range sets[:min(len(sets), maxSets)] {
			level := []int32{from}
			for step := range steps {
				var more []int32
				for _, m := range level {
					add(m, far+penalty+step)
					for _, e := range c.preds[m] {
						if e.branch {
							more = append(more, e.from)
						}
					}
				}
				level = more[:min(len(more), maxSets)]
			}
		}
	}
}

func compareClues(a, b Clue) int {
	return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Text, b.Text),
		cmp.Compare(a.Number, b.Number), cmp.Compare(a.Size, b.Size), a.ID.Compare(b.ID))
}

// joined are the texts that are compared byte by byte: the farthest byte is the first.
func joined(clues []Clue) []Clue {
	var bytes []byte
	distance := 0
	for _, k := range clues {
		if k.Kind == ClueNumber && k.Size == 1 && len(bytes) < 8 {
			bytes = append(bytes, byte(k.Number))
			distance = k.Distance
		}
	}
	var out []Clue
	for n := 2; n <= len(bytes); n++ {
		text := slices.Clone(bytes[:n])
		slices.Reverse(text)
		out = append(out, Clue{Kind: ClueText, Text: string(text), Distance: distance})
	}
	return out
}

// Short says how far runs got that reached some blocks, and why no further, in terms of
// functions; empty where no block of the way was reached.
func (w *Way) Short(reached func(file string, offset uint64) bool) string {
	c := w.chart
	for _, b := range w.Blocks {
		if !reached(b.File, b.Offset) {
			continue
		}
		return w.from(c.find(b))
	}
	return ""
}

// find is the node of a block.
func (c *Chart) find(b Block) int32 {
	return int32(slices.IndexFunc(c.nodes, func(n node) bool {
		return n.block && n.offset == b.Offset && c.files[n.file] == b.File
	}))
}

// from describes how the way goes on from the last node that was reached.
func (w *Way) from(n int32) string {
	c := w.chart
	here := c.nodes[n].function
	at, steps := n, 0
	for c.nodes[w.next[at]].function == here && w.next[at] != at {
		at = w.next[at]
		steps++
	}
	block := fmt.Sprintf("its block at %s+%#x", filepath.Base(c.files[c.nodes[at].file]), c.nodes[at].offset)
	callee := w.next[at]
	if callee == at { // the number is put into a register there
		if steps == 0 {
			return fmt.Sprintf("entered %s as far as %s, which makes the call", c.names[here], block)
		}
		return fmt.Sprintf("entered %s, but not %s, which makes the call", c.names[here], block)
	}
	to := c.nodes[callee].function
	var callers []string
	for _, f := range c.callers[to] {
		callers = append(callers, c.names[f])
	}
	const told = 3
	only := ""
	if len(callers) <= told {
		only = ", which is called only from " + strings.Join(callers, ", ")
	}
	switch {
	case !c.nodes[callee].block && steps == 0:
		return fmt.Sprintf("called %s from %s, which went another way: %s", c.names[to], c.names[here], w.rest(callee))
	case steps == 0:
		return fmt.Sprintf("never entered %s%s", c.names[to], only)
	}
	return fmt.Sprintf("never called %s%s: entered %s, but not %s", c.names[to], only, c.names[here], block)
}

// rest are the functions from a node on.
func (w *Way) rest(n int32) string {
	c := w.chart
	names := []string{c.names[c.nodes[n].function]}
	for w.next[n] != n {
		if n = w.next[n]; c.names[c.nodes[n].function] != names[len(names)-1] {
			names = append(names, c.names[c.nodes[n].function])
		}
	}
	const most = 6
	if len(names) > most {
		names = append(append(names[:most-2:most-2], "..."), names[len(names)-1])
	}
	return strings.Join(names, " > ")
}
