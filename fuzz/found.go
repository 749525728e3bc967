package fuzz

import (
	"cmp"
	"slices"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Found says which run was the first to show a syscall.
type Found struct {
	ID     sysno.ID
	Run    uint64        // the number of that run, from 1
	At     time.Duration // as Stats.Elapsed
	Phase  Phase         // what that run was for
	Varied []string      // what a draw had changed, as in Dimensions; nil for other phases
}

// firsts are the runs that were first to show the known syscalls, in their order.
func (c *coordinator) firsts() []Found {
	var out []Found
	for _, rec := range c.books {
		out = append(out, rec.first)
	}
	slices.SortFunc(out, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Run, b.Run), a.ID.Compare(b.ID))
	})
	return out
}

// first describes the run that was just booked.
func (c *coordinator) first(id sysno.ID, j *job) Found {
	f := Found{ID: id, Run: c.stats.Runs, At: c.elapsed(), Phase: j.phase}
	for d, changed := range j.dims {
		if changed {
			f.Varied = append(f.Varied, dimensionNames[d])
		}
	}
	return f
}

// Varied is what draws that varied one dimension have shown.
type Varied struct {
	Dimension string
	Draws     uint64  // those that varied it first, from an entry that was no longer young
	Found     int     // syscalls that a draw which varied it, and perhaps others, was first to show
	Chance    float64 // as Stats.Chance, if all further draws were of these
}

// varied has an item for each dimension that is varied, in the order of Dimensions. It
// needs c.mu.
func (c *coordinator) varied() []Varied {
	var out []Varied
	for d, name := range dimensionNames {
		if !c.corpus.varies(dimension(d)) {
			continue
		}
		v := Varied{Dimension: name, Draws: c.drawn[d]}
		for _, rec := range c.books {
			if slices.Contains(rec.first.Varied, name) {
				v.Found++
			}
		}
		var parts [strata]float64
		parts[d] = 1
		v.Chance = chance(c.stats.Singletons, &c.drawn, &c.quiet, &parts)
		out = append(out, v)
	}
	return out
}
