package synth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// randomSets are groups and a set of calls to describe with them.
func randomSets(r *rand.Rand, calls, groups int) (wanted []string, sets []namedSet) {
	name := func(i int) string { return fmt.Sprintf("call%03d", i) }
	for i := range calls {
		if r.IntN(3) > 0 {
			wanted = append(wanted, name(i))
		}
	}
	for g := range groups {
		s := namedSet{name: fmt.Sprintf("@g%02d", g)}
		from := r.IntN(calls)
		for i := range 2 + r.IntN(calls/2) {
			if r.IntN(4) > 0 {
				s.members = append(s.members, name((from+i)%calls))
			}
		}
		slices.Sort(s.members)
		s.members = slices.Compact(s.members)
		sets = append(sets, s)
	}
	return wanted, sets
}

func odd(name string) bool { return name[len(name)-1]%2 == 1 }

// cost is how many words a choice of groups makes; false where it brings too much.
func cost(wanted []string, sets []namedSet, chosen uint, budget int) (int, bool) {
	covered, extra, words := map[string]bool{}, map[string]bool{}, 0
	for i, s := range sets {
		if chosen>>i&1 == 0 {
			continue
		}
		words++
		for _, m := range s.members {
			if slices.Contains(wanted, m) {
				covered[m] = true
				continue
			}
			extra[m] = true
			if !odd(m) {
				return 0, false
			}
		}
	}
	return words + len(wanted) - len(covered), len(extra) <= budget
}

func TestADescriptionHasTheFewestWords(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for round := range 400 {
		budget := round % 4
		wanted, sets := randomSets(r, 4+r.IntN(14), 1+r.IntN(9))
		best := len(wanted)
		for chosen := range uint(1) << len(sets) {
			if n, ok := cost(wanted, sets, chosen, budget); ok {
				best = min(best, n)
			}
		}
		d := describe(wanted, sets, budget, odd)
		checkDescription(t, d, wanted, sets, budget)
		if d.Words() != best || !d.Proved {
			t.Fatalf("round %d: got %d words, proved %v, and %d are possible\n%v\n%v\n%+v", round, d.Words(), d.Proved, best, wanted, sets, d)
		}
	}
}

// checkDescription holds that the description says the calls, and no more than it may.
func checkDescription(t *testing.T, d Description, wanted []string, sets []namedSet, budget int) {
	t.Helper()
	said := slices.Clone(d.Names)
	for _, g := range d.Groups {
		i := slices.IndexFunc(sets, func(s namedSet) bool { return s.name == g })
		said = append(said, sets[i].members...)
	}
	slices.Sort(said)
	said = slices.Compact(said)
	want := slices.Concat(wanted, d.Extra)
	slices.Sort(want)
	if !slices.Equal(said, slices.Compact(want)) {
		t.Fatalf("%+v says %v, not %v", d, said, want)
	}
	if len(d.Extra) > budget || slices.ContainsFunc(d.Extra, func(e string) bool { return !odd(e) }) {
		t.Fatalf("the budget is %d, and these are extra: %v", budget, d.Extra)
	}
}

// On instances that are too large to try all, the answer is compared with what none can
// be below: prices for the calls of which no group has more than 1 in all (a solution of
// the dual linear program). The best of some such prices is the bound.
func TestLargeDescriptionsAreNearTheirBound(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for range 3 {
		wanted, sets := randomSets(r, 300, 60)
		for i := range sets { // of the calls alone, so that all groups can be used
			sets[i].members = slices.DeleteFunc(sets[i].members, func(m string) bool { return !slices.Contains(wanted, m) })
			sets[i].members = sets[i].members[:min(len(sets[i].members), 20)] // as large as groups are
		}
		d := describe(wanted, sets, 0, odd)
		checkDescription(t, d, wanted, sets, 0)
		bound := 0.0
		for range 20 {
			bound = max(bound, prices(r, wanted, sets))
		}
		if got := d.Words(); float64(got) > 1.4*math.Ceil(bound) {
			t.Errorf("%d words, and the bound is %.2f", got, bound)
		}
	}
}

// prices are the sum of prices given to the calls in some order, each as much as the
// groups that have it leave.
func prices(r *rand.Rand, wanted []string, sets []namedSet) (sum float64) {
	has := map[string][]int{}
	for i, s := range sets {
		for _, m := range s.members {
			has[m] = append(has[m], i)
		}
	}
	order := slices.Clone(wanted)
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	slices.SortStableFunc(order, func(a, b string) int { return len(has[a]) - len(has[b]) })
	left := make([]float64, len(sets))
	for i := range left {
		left[i] = 1
	}
	for _, call := range order {
		price := 1.0
		for _, i := range has[call] {
			price = min(price, left[i])
		}
		for _, i := range has[call] {
			left[i] -= price
		}
		sum += price
	}
	return sum
}

func TestPoliciesAreDescribedByTheirGroups(t *testing.T) {
	archs := []sysno.Arch{sysno.AMD64}
	calls := slices.DeleteFunc(Expand("@system-service"), func(name string) bool { _, ok := sysno.Lookup(sysno.AMD64, name); return !ok })
	if d := Describe(calls, archs, 0); !slices.Equal(d.Groups, []string{"@system-service"}) || len(d.Names) > 0 || !d.Proved {
		t.Errorf("got %+v", d)
	}
	some := []string{"read", "write", "readv", "writev", "lseek", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "close", "dup", "dup2", "dup3", "kill", "openat"}
	exact := Describe(some, archs, 0)
	if len(exact.Extra) > 0 {
		t.Errorf("exact has %v beyond what was asked for", exact.Extra)
	}
	tolerant := Describe(some, archs, 3)
	if tolerant.Words() >= exact.Words() || len(tolerant.Extra) == 0 || len(tolerant.Extra) > 3 || slices.ContainsFunc(tolerant.Extra, Dangerous) {
		t.Errorf("exact %+v\ntolerant %+v", exact, tolerant)
	}
	if d := Describe(append(some, "ptrace"), archs, 400); slices.ContainsFunc(d.Extra, Dangerous) {
		t.Errorf("dangerous calls come along: %v", d.Extra)
	}
}

func TestTheRiskTableNamesSyscalls(t *testing.T) {
	known := sysno.NamesKnown()
	for _, r := range risks() {
		if r.What == "" {
			t.Errorf("%s: nobody says why", r.Calls)
		}
		for _, name := range words(r.Calls) {
			if _, ok := slices.BinarySearch(known, name); !ok {
				t.Errorf("no table has %q", name)
			}
		}
	}
}
