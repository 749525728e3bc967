package synth

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
)

func TestNothingCanBeLeftOutOfWhatReduceReturns(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := r.IntN(40)
		// Needed are some, and of some pairs one.
		var needed []int
		var pairs [][2]int
		for range r.IntN(8) {
			if n > 0 {
				needed = append(needed, r.IntN(n))
				pairs = append(pairs, [2]int{r.IntN(n), r.IntN(n)})
			}
		}
		holds := func(_ context.Context, kept []int) (bool, error) {
			for _, x := range needed {
				if !slices.Contains(kept, x) {
					return false, nil
				}
			}
			for _, p := range pairs {
				if !slices.Contains(kept, p[0]) && !slices.Contains(kept, p[1]) {
					return false, nil
				}
			}
			return true, nil
		}
		first, err := Reduce(context.Background(), n, 1, holds)
		if err != nil {
			t.Fatal(err)
		}
		if ok, _ := holds(nil, first); !ok {
			t.Fatalf("seed %d: %v does not hold", seed, first)
		}
		for i := range first {
			if ok, _ := holds(nil, slices.Delete(slices.Clone(first), i, i+1)); ok {
				t.Fatalf("seed %d: %d can be left out of %v", seed, first[i], first)
			}
		}
		for _, jobs := range []int{2, 7} {
			if again, _ := Reduce(context.Background(), n, jobs, holds); !slices.Equal(first, again) {
				t.Fatalf("seed %d: %v with one job, %v with %d", seed, first, again, jobs)
			}
		}
	}
}

// Something that holds only together with another is asked for again after the
// other has gone.
func TestReduceAsksAgainAfterALaterRemoval(t *testing.T) {
	holds := func(_ context.Context, kept []int) (bool, error) {
		return slices.Contains(kept, 0) || !slices.Contains(kept, 1), nil // 1 needs 0
	}
	if kept, err := Reduce(context.Background(), 2, 1, holds); err != nil || len(kept) > 0 {
		t.Errorf("%v, %v", kept, err)
	}
}

func TestReduceAsksLittleMoreThanOnceForEachThatIsNeeded(t *testing.T) {
	const n, unneeded = 60, 15
	var asked atomic.Int64
	_, err := Reduce(context.Background(), n, 2, func(_ context.Context, kept []int) (bool, error) {
		asked.Add(1)
		return slices.IndexFunc(kept, func(x int) bool { return x != kept[0]+slices.Index(kept, x) }) < 0 && len(kept) >= n-unneeded && kept[0] == 0, nil
	})
	if err != nil || asked.Load() > 4*n {
		t.Errorf("asked %d times for %d, %v", asked.Load(), n, err)
	}
}

func TestAnErrorEndsReduce(t *testing.T) {
	wrong := errors.New("wrong")
	if _, err := Reduce(context.Background(), 4, 2, func(context.Context, []int) (bool, error) { return false, wrong }); !errors.Is(err, wrong) {
		t.Error(err)
	}
}
