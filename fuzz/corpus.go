package fuzz

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// The bounds of what the corpus remembers.
const (
	maxFinds    = 1024
	maxCombos   = 512
	maxSets     = 1 << 16
	maxSuspects = 1 << 12
	maxFailures = 64 // crashes, and as many timeouts
	maxWords    = 32 // of a command line that gets the name of a file added
)

// entry is a scenario that mutation starts from.
type entry struct {
	s    Scenario
	hung bool
}

// corpus decides which scenario is changed next, and in which dimensions. It is
// not safe for concurrent use.
type corpus struct {
	o      *Options
	starts []Scenario // the ways to give the target an input
	finds  []entry    // minimized scenarios of new syscalls
	combos []entry    // scenarios that showed a new pair of syscalls in one run
	known  map[string]bool

	sets  map[uint64]bool
	pairs map[[2]sysno.ID]bool

	tries, gains [dimensions]float64
	shares       [dimensions]float64 // sums to 1

	suspects   map[string]*suspect
	runs, hung uint64
	banned     map[string]bool // never written to once it is handed out
}

func newCorpus(o *Options) *corpus {
	c := &corpus{
		o: o, known: make(map[string]bool), sets: make(map[uint64]bool), pairs: make(map[[2]sysno.ID]bool),
		suspects: make(map[string]*suspect), banned: make(map[string]bool),
	}
	for _, base := range o.Bases {
		c.starts = append(c.starts, templates(base, o.Fixed)...)
	}
	// What to expect before anything is known: arguments show most, bytes less.
	c.gains = [dimensions]float64{dimBytes: 2, dimArgv: 4, dimEnv: 1, dimStreams: 1, dimFiles: 1}
	c.share()
	return c
}

// draw chooses a scenario and what to change of it.
func (c *corpus) draw(r *rand.Rand) draft {
	d := draft{s: c.parent(r), banned: c.banned}
	if r.IntN(8) == 0 && c.o.varies(dimArgv) {
		d.s = c.cross(d.s, c.parent(r))
	}
	d.dims[c.pick(r)] = true
	for r.IntN(4) == 0 {
		d.dims[c.pick(r)] = true
	}
	if len(c.o.Seeds) > 0 && r.IntN(2) == 0 {
		d.other = c.o.Seeds[r.IntN(len(c.o.Seeds))].Data
	} else {
		d.other = c.parent(r).Input
	}
	return d
}

// parent is half of the time a find, else a combination or a seed. One that
// hangs costs as much as hundreds that do not, and is rarely chosen.
func (c *corpus) parent(r *rand.Rand) Scenario {
	var e entry
	switch n := r.IntN(4); {
	case n < 2 && len(c.finds) > 0:
		e = c.finds[r.IntN(len(c.finds))]
	case n == 2 && len(c.combos) > 0:
		e = c.combos[r.IntN(len(c.combos))]
	}
	if e.s.Argv == nil || e.hung && r.IntN(16) != 0 {
		return c.begin(r)
	}
	if r.IntN(2) == 0 {
		return c.dress(e.s, c.begin(r))
	}
	return e.s
}

// begin is one of the ways to give the target an input, with a seed mostly.
func (c *corpus) begin(r *rand.Rand) Scenario {
	s := c.starts[r.IntN(len(c.starts))]
	if len(c.o.Seeds) > 0 && r.IntN(16) != 0 {
		seed := &c.o.Seeds[r.IntN(len(c.o.Seeds))]
		if seed.heavy() && r.IntN(8) != 0 {
			seed = &c.o.Seeds[0]
		}
		s.Input = seed.Data
	}
	return s
}

// dress gives the command line of s something to work on again: minimization took
// away all that the one syscall did not need, and an option that was found without
// an input does its work with one.
func (c *corpus) dress(s, start Scenario) Scenario {
	if start.usesFile() && !s.usesFile() && len(s.Argv) < maxWords {
		s.Argv = slices.Concat(s.Argv, []string{mutate.Input})
	}
	s.Input, s.Files, s.Stdin = start.Input, start.Files, start.Stdin
	return s
}

// cross adds the words of one command line to another.
func (c *corpus) cross(s, other Scenario) Scenario {
	words := other.Argv[c.o.Fixed:]
	if len(s.Argv)+len(words) <= maxWords {
		s.Argv = slices.Concat(s.Argv[:c.o.Fixed], words, s.Argv[c.o.Fixed:])
	}
	if len(other.Files) > len(s.Files) {
		s.Files = other.Files
	}
	return s
}

// novel reports whether the set holds a pair of syscalls that no run held before.
func (c *corpus) novel(seen []sysno.ID) bool {
	h := fnv.New64a()
	for _, id := range seen {
		h.Write([]byte{byte(id.Arch), byte(id.NR), byte(id.NR >> 8), byte(id.NR >> 16), byte(id.NR >> 24)})
	}
	sum := h.Sum64()
	if c.sets[sum] || len(c.sets) >= maxSets {
		return false
	}
	c.sets[sum] = true
	fresh := false
	for i, a := range seen {
		for _, b := range seen[i+1:] {
			if pair := [2]sysno.ID{a, b}; !c.pairs[pair] {
				c.pairs[pair] = true
				fresh = true
			}
		}
	}
	return fresh
}

// addCombo keeps a scenario that showed a new combination and reports whether it did.
func (c *corpus) addCombo(s Scenario, hung bool) bool {
	if len(c.combos) >= maxCombos || c.known[s.ID()] {
		return false
	}
	c.known[s.ID()] = true
	c.combos = append(c.combos, entry{s, hung})
	return true
}

// addFind keeps a minimized scenario.
func (c *corpus) addFind(s Scenario, hung bool) {
	key := "find " + s.ID()
	if len(c.finds) >= maxFinds || c.known[key] {
		return
	}
	c.known[key] = true
	c.finds = append(c.finds, entry{s, hung})
}
