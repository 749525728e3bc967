package synth

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Description is a set of calls said with few words: groups, and the names that are in
// none of them.
type Description struct {
	Groups []string // sorted
	Names  []string // sorted
	Extra  []string // what the groups have beyond the calls that were asked for, sorted
	Proved bool     // no description has fewer words
}

// Words is how many words the description has.
func (d Description) Words() int { return len(d.Groups) + len(d.Names) }

// Describe finds the description with the fewest words, of the groups without
// conditions. budget is how many other calls the groups may bring, none of which is
// Dangerous; with 0 the description means the calls and no others. Calls are names; of
// a group those count that one of the ABIs has.
//
// It is weighted set cover, which is hard in general; the groups are nearly nested, so
// branch and bound comes to its end on all policies that we have seen. Where it does
// not within a fixed number of steps, the best that was found is the answer: it is never
// worse than the greedy one.
func Describe(calls []string, archs []sysno.Arch, budget int) Description {
	var sets []namedSet
	for _, g := range Groups() {
		if g.Kind == Ability {
			continue
		}
		s := namedSet{name: g.Name}
		for _, name := range Expand(g.Name) {
			if slices.ContainsFunc(archs, func(a sysno.Arch) bool { _, ok := sysno.Lookup(a, name); return ok }) {
				s.members = append(s.members, name)
			}
		}
		sets = append(sets, s)
	}
	return describe(calls, sets, budget, func(name string) bool { return !Dangerous(name) })
}

// namedSet is a group for describe.
type namedSet struct {
	name    string
	members []string
}

// maxSteps bounds the search of describe: about a second.
const maxSteps = 200_000

func describe(calls []string, sets []namedSet, budget int, harmless func(string) bool) Description {
	calls = slices.Clone(calls)
	slices.Sort(calls)
	calls = slices.Compact(calls)
	s := coverSearch{budget: budget}
	index := map[string]int{}
	universe := slices.Clone(calls)
	for i, name := range calls {
		index[name] = i
	}
	var eligible []namedSet
	for _, set := range sets {
		extra := slices.DeleteFunc(slices.Clone(set.members), func(m string) bool { _, found := slices.BinarySearch(calls, m); return found })
		if len(extra) > budget || slices.ContainsFunc(extra, func(m string) bool { return !harmless(m) }) || len(set.members)-len(extra) < 2 {
			continue // a group for one call is no shorter than its name
		}
		for _, m := range extra {
			if _, known := index[m]; !known {
				index[m] = len(universe)
				universe = append(universe, m)
			}
		}
		eligible = append(eligible, set)
	}
	for _, set := range eligible {
		c := candidate{name: set.name, wanted: newBitset(len(universe)), extra: newBitset(len(universe))}
		for _, m := range set.members {
			if i := index[m]; i < len(calls) {
				c.wanted.set(i)
			} else {
				c.extra.set(i)
			}
		}
		s.candidates = append(s.candidates, c)
	}
	s.drop()
	slices.SortStableFunc(s.candidates, func(a, b candidate) int { return b.wanted.count() - a.wanted.count() })
	s.greedy(len(universe))
	s.run(0, newBitset(len(universe)), newBitset(len(universe)), nil, 0)

	d := Description{Proved: s.steps <= maxSteps}
	covered, extra := newBitset(len(universe)), newBitset(len(universe))
	for _, i := range s.best {
		c := s.candidates[i]
		d.Groups = append(d.Groups, c.name)
		covered.or(c.wanted)
		extra.or(c.extra)
	}
	slices.Sort(d.Groups)
	for i, name := range universe {
		switch {
		case i < len(calls) && !covered.has(i):
			d.Names = append(d.Names, name)
		case extra.has(i):
			d.Extra = append(d.Extra, name)
		}
	}
	slices.Sort(d.Extra)
	return d
}

type candidate struct {
	name          string
	wanted, extra bitset
}

// coverSearch looks for the groups that save the most words: each saves as many as it
// covers of what the others do not, less one for itself.
type coverSearch struct {
	candidates []candidate
	budget     int
	best       []int
	saved      int
	steps      int
}

// drop removes candidates of which another covers as much with no more extras. Of two
// that are the same, the first in the alphabet stays.
func (s *coverSearch) drop() {
	slices.SortFunc(s.candidates, func(a, b candidate) int { return strings.Compare(a.name, b.name) })
	var kept []candidate
	for i, c := range s.candidates {
		dominated := false
		for j, o := range s.candidates {
			if i != j && c.wanted.within(o.wanted) && o.extra.within(c.extra) {
				same := o.wanted.within(c.wanted) && c.extra.within(o.extra)
				dominated = dominated || !same || j < i
			}
		}
		if !dominated {
			kept = append(kept, c)
		}
	}
	s.candidates = kept
}

// greedy takes what saves most until nothing saves: the first bound of the search.
func (s *coverSearch) greedy(size int) {
	covered, extra := newBitset(size), newBitset(size)
	for {
		best, most := -1, 0
		for i, c := range s.candidates {
			if gain := c.wanted.countNew(covered) - 1; gain > most && extra.count()+c.extra.countNew(extra) <= s.budget {
				best, most = i, gain
			}
		}
		if best < 0 {
			return
		}
		s.best = append(s.best, best)
		s.saved += most
		covered.or(s.candidates[best].wanted)
		extra.or(s.candidates[best].extra)
	}
}

// run tries the candidates from the i-th on, with and without each.
func (s *coverSearch) run(i int, covered, extra bitset, chosen []int, saved int) {
	if s.steps++; s.steps > maxSteps {
		return
	}
	if saved > s.saved {
		s.saved, s.best = saved, slices.Clone(chosen)
	}
	// No more can be saved than what the rest covers, less one for the fewest groups
	// that could do it, and no more than all gains together.
	rest, gains, largest := covered.clone(), 0, 0
	for _, c := range s.candidates[i:] {
		n := c.wanted.countNew(covered)
		rest.or(c.wanted)
		gains += max(0, n-1)
		largest = max(largest, n)
	}
	open := rest.countNew(covered)
	if largest < 2 || saved+min(gains, open-(open+largest-1)/largest) <= s.saved {
		return
	}
	c := s.candidates[i]
	if gain := c.wanted.countNew(covered) - 1; gain > 0 && extra.count()+c.extra.countNew(extra) <= s.budget {
		with, more := covered.clone(), extra.clone()
		with.or(c.wanted)
		more.or(c.extra)
		s.run(i+1, with, more, append(slices.Clone(chosen), i), saved+gain)
	}
	s.run(i+1, covered, extra, chosen, saved)
}

// bitset is a set of small numbers.
type bitset []uint64

func newBitset(size int) bitset       { return make(bitset, (size+63)/64) }
func (b bitset) set(i int)            { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool       { return b[i/64]>>(i%64)&1 == 1 }
func (b bitset) clone() bitset        { return slices.Clone(b) }
func (b bitset) count() (n int)       { return b.countNew(make(bitset, len(b))) }
func (b bitset) within(o bitset) bool { return b.countNew(o) == 0 }

func (b bitset) or(o bitset) {
	for i := range b {
		b[i] |= o[i]
	}
}

// countNew counts what o does not have.
func (b bitset) countNew(o bitset) (n int) {
	for i := range b {
		n += bits.OnesCount64(b[i] &^ o[i])
	}
	return n
}
