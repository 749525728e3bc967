package fuzz

import "testing"

func anything(dimension) bool { return true }

// shared returns the shares after draws in which one dimension shows something new now and
// then, and the others nothing.
func shared(b *budget, draws int, rich dimension) [dimensions]float64 {
	for i := range draws {
		for d := range dimensions {
			gain := 0.0
			if d == rich && i%10 == 0 {
				gain = worth[kindSyscall]
			}
			var changed [dimensions]bool
			changed[d] = true
			b.spend(changed, gain)
		}
	}
	return b.shares
}

func TestNoDimensionStarves(t *testing.T) {
	for rich := range dimensions {
		b := newBudget(anything)
		sum := 0.0
		for d, share := range shared(&b, 20_000, rich) {
			if sum += share; share < 0.2/float64(dimensions) {
				t.Errorf("%s has a share of %.3f when all comes from %s", dimensionNames[d], share, dimensionNames[rich])
			}
		}
		if sum < 0.999 || sum > 1.001 {
			t.Errorf("shares %v, sum %v", b.shares, sum)
		}
	}
}

func TestSharesFollowWhereNoveltyComesFrom(t *testing.T) {
	b := newBudget(anything)
	before := b.shares
	for _, rich := range []dimension{dimEnv, dimBytes, dimEnv} { // what was rich is forgotten
		shares := shared(&b, 5000, rich)
		for d, share := range shares {
			if d := dimension(d); d != rich && share > shares[rich]/2 {
				t.Errorf("%s has %.3f, %s, from which all came, %.3f; before %v", dimensionNames[d], share, dimensionNames[rich], shares[rich], before)
			}
		}
		before = shares
	}
}

func TestOnlyWhatIsVariedHasAShare(t *testing.T) {
	b := newBudget(func(d dimension) bool { return d == dimArgv || d == dimEnv })
	shares := shared(&b, 1000, dimEnv)
	for d, share := range shares {
		if varied := dimension(d) == dimArgv || dimension(d) == dimEnv; varied != (share > 0) {
			t.Errorf("%s has %.3f", dimensionNames[d], share)
		}
	}
}
