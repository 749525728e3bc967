package synth

import (
	"context"
	"sync"
)

// Reduce returns what is left of 0..n-1 when as much as possible is left out and
// holds is still true, in order. It is true for all of them, the caller says. No
// single one can be left out of the result: holds was asked for each, with the rest of
// the result, and was false. Less may hold all the same where two have to go together.
//
// holds is asked for up to jobs lists at a time, none of which it may keep. The
// result is the same for any number of jobs. The first error ends the search.
//
// It is delta debugging (Zeller and Hildebrandt, 2002): parts of half the length are
// tried first, then of a quarter, and so on.
func Reduce(ctx context.Context, n, jobs int, holds func(ctx context.Context, kept []int) (bool, error)) ([]int, error) {
	kept := make([]int, n)
	for i := range kept {
		kept[i] = i
	}
	for size := (n + 1) / 2; size > 0; {
		before := len(kept)
		// From the end, so that what is tried next has the same place after a removal.
		for to := len(kept); to > 0; {
			var tries []part
			for end := to; end > 0 && len(tries) < max(jobs, 1); end -= size {
				tries = append(tries, part{max(end-size, 0), end})
			}
			i, err := firstThatHolds(ctx, kept, tries, holds)
			if err != nil {
				return nil, err
			}
			if i < 0 {
				to = tries[len(tries)-1].from
				continue
			}
			kept = append(kept[:tries[i].from:tries[i].from], kept[tries[i].to:]...)
			to = tries[i].from
		}
		if size > 1 {
			size /= 2
		} else if len(kept) == before {
			break
		}
	}
	return kept, nil
}

// part is what stands between two places of a list.
type part struct{ from, to int }

// firstThatHolds is the first of the parts that can be left out, or -1. All are tried
// at the same time.
func firstThatHolds(ctx context.Context, kept []int, parts []part, holds func(context.Context, []int) (bool, error)) (int, error) {
	results := make([]bool, len(parts))
	errs := make([]error, len(parts))
	var tries sync.WaitGroup
	for i, p := range parts {
		rest := append(append(make([]int, 0, len(kept)), kept[:p.from]...), kept[p.to:]...)
		tries.Go(func() { results[i], errs[i] = holds(ctx, rest) })
	}
	tries.Wait()
	first := -1
	for i := range parts {
		if errs[i] != nil {
			return -1, errs[i]
		}
		if results[i] && first < 0 {
			first = i
		}
	}
	return first, nil
}
