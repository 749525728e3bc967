package synth

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Whatever policy and rules, the last rule that matches decides, and else the policy.
func TestOverridingRulesDecideBeforeThePolicy(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	ids := []sysno.ID{lookup(t, sysno.AMD64, "socket"), lookup(t, sysno.AMD64, "openat")}
	verdicts := []Verdict{{Action: Allow}, eperm(), {Action: KillProcess}, {Action: Log}}
	random := func() Rule {
		rule := Rule{ID: ids[r.IntN(len(ids))], Verdict: verdicts[r.IntN(len(verdicts))], Tier: Manual, Reason: "a test"}
		for index := range uint8(2) {
			if r.IntN(2) == 0 {
				rule.Args = append(rule.Args, randomCond(r, index))
			}
		}
		return rule
	}
	tried, refused := 0, 0
	for range 3000 {
		p := policyOf(t)
		for range 6 {
			next := *p
			next.Groups = append([]Group{{Name: "@before", Rules: []Rule{random()}}}, p.Groups...)
			if next.Validate() == nil {
				p = &next
			}
		}
		words := []Rule{random(), random()}
		got, err := p.Override("@words", words)
		if err != nil {
			var problem *Problem
			if !errors.As(err, &problem) {
				t.Fatal(err)
			}
			refused++
			continue
		}
		tried++
		for range 40 {
			id := ids[r.IntN(len(ids))]
			var args [6]uint64
			for index := range 2 {
				args[index] = randomCond(r, 0).Value + r.Uint64N(3) - 1
			}
			want := p.Decide(id, args)
			for _, w := range words {
				if w.ID == id && w.matches(args) {
					want = w.Verdict
				}
			}
			if v := got.Decide(id, args); v != want {
				t.Fatalf("%s: got %v, want %v\npolicy %v\nwords %v\nresult %v", sysno.FormatCall(id, args), v, want, p.Rules(), words, got.Rules())
			}
		}
		for _, problem := range got.Problems() {
			// That conditions exclude each other is not always proved.
			if problem.Kind == ErrConflict || problem.Kind == ErrOverlap && meet(problem.Rules[0].Args, problem.Rules[1].Args) {
				t.Fatalf("%v\npolicy %v\nwords %v\nresult %v", problem, p.Rules(), words, got.Rules())
			}
		}
	}
	if tried < 1000 || refused == 0 {
		t.Errorf("%d overridden, %d refused: the test shows little", tried, refused)
	}
}

func TestAnotherDefaultLeavesNoRuleThatRepeatsIt(t *testing.T) {
	socket := lookup(t, sysno.AMD64, "socket")
	p := policyOf(t, Rule{ID: socket, Verdict: Verdict{Action: Log}, Tier: Manual, Reason: "a test"})
	got := p.WithDefault(Verdict{Action: Log})
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []sysno.ID{socket, lookup(t, sysno.AMD64, "reboot")} {
		if v := got.Decide(id, [6]uint64{}); v.Action != Log {
			t.Errorf("%v: %v", id, v)
		}
	}
	if v := got.Decide(lookup(t, sysno.AMD64, "execve"), [6]uint64{}); v.Action != Allow {
		t.Errorf("execve: %v", v)
	}
	if p.Default != eperm() {
		t.Error("the policy itself was changed")
	}
}

func TestWithdrawingARuleLeavesTheDefault(t *testing.T) {
	socket := lookup(t, sysno.AMD64, "socket")
	p := policyOf(t, Rule{ID: socket, Verdict: Verdict{Action: Log}, Tier: Manual, Reason: "a test"})
	got, n := p.Withdraw(socket, Verdict{Action: Log})
	if n != 1 || got.Decide(socket, [6]uint64{}) != eperm() || len(got.Rules()) != len(p.Rules())-1 {
		t.Errorf("%d withdrawn of %v: %v", n, p.Rules(), got.Rules())
	}
	if _, n := got.Withdraw(socket, Verdict{Action: Log}); n != 0 {
		t.Errorf("%d withdrawn a second time", n)
	}
}
