package synth

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// The combination decides every call as the better of the two, or there is none.
func TestCombinationsDecideAsTheirParts(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	made := 0
	for range 400 {
		a, b := randomPolicy(t, r), randomPolicy(t, r)
		for name, c := range map[string]struct {
			combine func(a, b *Policy) (*Policy, error)
			better  func(a, b Verdict) Verdict
		}{"union": {Union, union{}.verdict}, "intersection": {Intersection, intersection{}.verdict}} {
			p, err := c.combine(a, b)
			var problem *Problem
			if err != nil {
				if !errors.As(err, &problem) {
					t.Fatal(err)
				}
				continue
			}
			made++
			for _, call := range []string{"socket", "ioctl", "kill", "execve", "mount"} {
				id := lookup(t, sysno.AMD64, call)
				for _, args := range calls(r, 40) {
					got, want := p.Decide(id, args), c.better(a.Decide(id, args), b.Decide(id, args))
					if got.Action != want.Action {
						t.Fatalf("%s: %s%v: got %v, want %v\n%v\n%v\n%v", name, call, args, got, want, a.Rules(), b.Rules(), p.Rules())
					}
				}
			}
		}
	}
	if made < 200 {
		t.Errorf("only %d combinations could be made", made)
	}
}

func TestCombinationsKeepArguments(t *testing.T) {
	allow := Verdict{Action: Allow}
	openat := lookup(t, sysno.AMD64, "openat")
	rule := func(mask, value uint64, tier Tier, reason string) Rule {
		return Rule{ID: openat, Verdict: allow, Args: []Cond{{Index: 2, Op: MaskedEqual, Mask: mask, Value: value}}, Tier: tier, Reason: reason}
	}
	a := policyOf(t, rule(0x40, 0, Observed, "seen"))
	b := policyOf(t, rule(0x3, 0, Manual, "read only"))
	p, err := Intersection(a, b)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := ruleOf(p, openat)
	if diff := cmp.Diff(rule(0x43, 0, Manual, "seen; read only"), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	p, err = Union(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if got := clausesOf(p, openat); len(got) != 1 && len(got) != 2 {
		t.Errorf("got %q", got)
	}
	if p.Decide(openat, [6]uint64{0, 0, 0x40}).Action != Allow || p.Decide(openat, [6]uint64{0, 0, 1}).Action != Allow || p.Decide(openat, [6]uint64{0, 0, 0x41}).Action == Allow {
		t.Errorf("got %v", p.Rules())
	}
}

func TestCombinationsRefuseWhatNoPolicyCanSay(t *testing.T) {
	allow := Verdict{Action: Allow}
	socket := lookup(t, sysno.AMD64, "socket")
	some := Rule{ID: socket, Verdict: allow, Args: []Cond{{Index: 0, Op: Equal, Value: 1}}, Tier: Manual}
	other := policyOf(t)
	other.Default = Verdict{Action: KillProcess}
	if _, err := Union(policyOf(t), other); !errors.Is(err, ErrConflict) {
		t.Errorf("two defaults: got %v", err)
	}
	logs := policyOf(t, Rule{ID: socket, Verdict: Verdict{Action: Log}, Tier: Manual})
	if _, err := Union(policyOf(t, some), logs); err == nil {
		t.Error("some allowed and the rest logged: no error")
	}
	arm := policyOf(t)
	arm.Archs = []sysno.Arch{sysno.ARM64}
	if _, err := Intersection(policyOf(t), arm); !errors.Is(err, ErrArch) {
		t.Errorf("no common architecture: got %v", err)
	}
}
