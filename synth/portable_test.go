package synth

import (
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestEquivalentsAreSyscalls(t *testing.T) {
	known := sysno.NamesKnown()
	for _, class := range equivalents() {
		if len(class) < 2 {
			t.Errorf("%v is no class", class)
		}
		for _, name := range class {
			if _, ok := slices.BinarySearch(known, name); !ok {
				t.Errorf("no table has %q", name)
			}
		}
	}
}

func TestAPortablePolicyTagsWhatItAdds(t *testing.T) {
	plain, wide := generate(t, sample(t), Options{}), generate(t, sample(t), Options{Portable: true})
	for _, name := range []string{"open", "openat2", "rseq", "set_robust_list", "creat"} {
		id := lookup(t, sysno.AMD64, name)
		if _, ok := ruleOf(plain, id); ok {
			t.Fatalf("%s is in the plain policy", name)
		}
		if r, ok := ruleOf(wide, id); !ok || r.Tier != Portable || r.Reason == "" {
			t.Errorf("%s: got %+v, %v", name, r, ok)
		}
	}
	if r, _ := ruleOf(wide, lookup(t, sysno.AMD64, "clone3")); r.Verdict.Action != Errno {
		t.Errorf("clone3: %v", r.String())
	}
	for _, r := range plain.Rules() {
		if got := wide.Decide(r.ID, [6]uint64{}); got != r.Verdict {
			t.Errorf("%v: %v became %v", r.ID, r.Verdict, got)
		}
	}
}

// What stands in for a call with conditions has them too, or stays out.
func TestPortabilityDoesNotGoRoundConditions(t *testing.T) {
	p := generate(t, withArgs(t, "openat", valuesOf(2, 0)), Options{Portable: true, Args: ArgsSafe})
	open := lookup(t, sysno.AMD64, "open")
	if got := clausesOf(p, open); !slices.Equal(got, []string{" if flags is O_RDONLY without O_CREAT, O_TRUNC, 0x400000"}) {
		t.Errorf("open: got %q", got)
	}
	for _, name := range []string{"openat2", "creat"} {
		if r, ok := ruleOf(p, lookup(t, sysno.AMD64, name)); ok {
			t.Errorf("got %v", r.String())
		}
	}
}

func TestTolerationCompletesGroupsWithinItsBudget(t *testing.T) {
	tr := sample(t)
	for _, budget := range []int{1, 4, 20} {
		p := generate(t, tr, Options{Tolerate: budget})
		n := 0
		for _, r := range p.Rules() {
			if r.Tier == Tolerated {
				n++
				if name, _ := r.ID.Name(); Dangerous(name) {
					t.Errorf("%s is dangerous", name)
				}
			}
		}
		if n > budget {
			t.Errorf("%d calls came in, and the budget is %d", n, budget)
		}
		if budget == 20 && n == 0 {
			t.Error("nothing came in")
		}
	}
}

func TestARolloutRefusesNothing(t *testing.T) {
	p := generate(t, sample(t), Options{}).Rollout()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := p.Decide(lookup(t, sysno.AMD64, "mount"), [6]uint64{}); got.Action != Log {
		t.Errorf("mount: got %v", got)
	}
	if got := p.Decide(lookup(t, sysno.AMD64, "read"), [6]uint64{}); got.Action != Allow {
		t.Errorf("read: got %v", got)
	}
	if got := p.Decide(lookup(t, sysno.AMD64, "clone3"), [6]uint64{}); got.Action != Errno {
		t.Errorf("clone3: got %v", got)
	}
}
