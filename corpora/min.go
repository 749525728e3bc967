package corpora

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"slices"
)

// Pass is one look at what seeds show. Show runs a seed and returns what no seed before it
// in this pass has shown, each thing by a name of its own.
type Pass interface {
	Show(Seed) ([]string, error)
	Close() error
}

// Min returns few seeds that together show all that the seeds show, smallest first.
// What begin returns is used and closed before the next one is asked for.
//
// The first pass goes from the smallest seed to the largest and keeps each that shows
// something. The second goes backwards through these, and drops what the larger ones
// show already. Neither needs to know all that a single seed shows, so breakpoints that are taken away when they
// are hit suffice. It is not the smallest such set, which would take trying all
// subsets, but none of its members can be left out without the loss of something that no larger one shows. A target that shows
// something now and then makes it larger, never smaller: what the second pass did not
// see again is still there, by the seed that showed it in the first.
func Min(seeds []Seed, begin func() (Pass, error)) ([]Seed, error) {
	order := distinct(seeds)
	slices.SortStableFunc(order, func(a, b Seed) int {
		return cmp.Or(cmp.Compare(len(a.Data), len(b.Data)), bytes.Compare(a.Data, b.Data))
	})
	by := map[string]int{} // what is shown, by which of the kept
	var kept []Seed
	err := pass(begin, func(p Pass) error {
		for _, s := range order {
			fresh, err := p.Show(s)
			if err != nil {
				return err
			}
			if len(fresh) == 0 {
				continue
			}
			for _, f := range fresh {
				by[f] = len(kept)
			}
			kept = append(kept, s)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	need := make([]bool, len(kept))
	err = pass(begin, func(p Pass) error {
		for i, s := range slices.Backward(kept) {
			fresh, err := p.Show(s)
			if err != nil {
				return err
			}
			need[i] = len(fresh) > 0
			for _, f := range fresh {
				delete(by, f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, i := range by {
		need[i] = true
	}
	var few []Seed
	for i, s := range kept {
		if need[i] {
			few = append(few, s)
		}
	}
	return few, nil
}

func pass(begin func() (Pass, error), do func(Pass) error) error {
	p, err := begin()
	if err != nil {
		return err
	}
	return errors.Join(do(p), p.Close())
}

// distinct leaves out seeds whose bytes another has; the first by name stays.
func distinct(seeds []Seed) []Seed {
	order := slices.Clone(seeds)
	slices.SortStableFunc(order, func(a, b Seed) int { return cmp.Compare(a.Name, b.Name) })
	seen := map[[sha256.Size]byte]bool{}
	return slices.DeleteFunc(order, func(s Seed) bool {
		sum := sha256.Sum256(s.Data)
		defer func() { seen[sum] = true }()
		return seen[sum]
	})
}
