package enforce

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// pretended is a target that makes the same calls each time. Of each list it makes
// the first that is not refused, and fails if all are.
type pretended struct {
	policy *synth.Policy
	runs   *runs
}

type runs struct {
	scenarios [][][]sysno.ID
	kill      bool // refused calls kill

	mu     sync.Mutex
	opened int // stages that are open
	most   int
}

func (r *runs) open(p *synth.Policy) (Stage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened++
	r.most = max(r.most, r.opened)
	return &pretended{p, r}, nil
}

func (s *pretended) Close() error {
	s.runs.mu.Lock()
	defer s.runs.mu.Unlock()
	s.runs.opened--
	return nil
}

func (s *pretended) Replay(_ context.Context, i int) (Replayed, error) {
	r := Replayed{End: "exit 0", Output: "as ever", Clean: true}
	for _, ways := range s.runs.scenarios[i] {
		done := false
		for _, id := range ways {
			if s.policy.Decide(id, [6]uint64{}).Action.Permits() {
				r.Seen = append(r.Seen, id)
				done = true
				break
			}
			r.Denied = append(r.Denied, id)
			if s.runs.kill {
				r.Signal, r.Clean, r.End = int(syscall.SIGSYS), false, "signal 31"
				return r, nil
			}
		}
		if !done {
			r.End = "exit 1"
			break
		}
	}
	slices.SortFunc(r.Seen, sysno.ID.Compare)
	r.Seen = slices.Compact(r.Seen)
	return r, nil
}

// reducible is a policy that allows the names.
func reducible(t *testing.T, names ...string) *synth.Policy {
	t.Helper()
	var rules []synth.Rule
	for _, n := range append(names, "execve") {
		rules = append(rules, synth.Rule{ID: call(t, sysno.AMD64, n), Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Observed})
	}
	return &synth.Policy{Default: synth.Verdict{Action: synth.Errno, Errno: 1}, Archs: []sysno.Arch{sysno.AMD64}, Groups: synth.Arrange(rules)}
}

func TestReduceTellsWhatIsNeededAndByWhat(t *testing.T) {
	id := func(name string) sysno.ID { return call(t, sysno.AMD64, name) }
	p := reducible(t, "read", "openat", "open", "getrandom", "mseal")
	scenarios := [][][]sysno.ID{
		{{id("execve")}, {id("read")}},
		{{id("execve")}, {id("openat"), id("open")}},      // falls back
		{{id("execve")}, {id("getrandom"), id("execve")}}, // does without
	}
	for _, tt := range []struct {
		name     string
		need     Need
		kill     bool
		needed   map[string]int
		unneeded map[string]int
	}{
		{"calls", NeedCall, false, map[string]int{"execve": -1, "read": 0, "openat": 1, "getrandom": 2}, map[string]int{"open": 0, "mseal": 0}},
		// Each of the two ways could go, but not both.
		{"results", NeedResult, false, map[string]int{"execve": -1, "read": 0, "openat": 1}, map[string]int{"open": 0, "mseal": 0, "getrandom": 1}},
		{"results where what is refused kills", NeedResult, true, map[string]int{"execve": -1, "read": 0, "openat": 1, "getrandom": 2}, map[string]int{"open": 0, "mseal": 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &runs{scenarios: scenarios, kill: tt.kill}
			got, err := Reduce(context.Background(), p, Reducing{Scenarios: len(scenarios), Open: r.open, Jobs: 2, Need: tt.need})
			if err != nil {
				t.Fatal(err)
			}
			needed, unneeded := map[string]int{}, map[string]int{}
			for _, n := range got.Needed {
				needed[n.Rule.ID.String()] = n.Scenario
			}
			for _, u := range got.Unneeded {
				unneeded[u.Rule.ID.String()] = u.Replayed
			}
			if diff := cmp.Diff(tt.needed, needed) + cmp.Diff(tt.unneeded, unneeded); diff != "" {
				t.Error(diff)
			}
			if r.opened != 0 || r.most > 2 {
				t.Errorf("%d stages are open, %d were at a time", r.opened, r.most)
			}
		})
	}
}

// What the result says holds for policies and targets of any kind, with any number
// of jobs.
func TestWithoutANeededRuleAScenarioFails(t *testing.T) {
	all := sysno.All(sysno.AMD64)[:50]
	exec := call(t, sysno.AMD64, "execve")
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		var names []string
		for range 1 + rnd.IntN(40) {
			name, _ := all[rnd.IntN(len(all))].Name()
			names = append(names, name)
		}
		p := reducible(t, names...)
		rules := p.Rules()
		var scenarios [][][]sysno.ID
		for range 1 + rnd.IntN(20) {
			s := [][]sysno.ID{{exec}}
			for range rnd.IntN(6) {
				ways := []sysno.ID{rules[rnd.IntN(len(rules))].ID}
				for range rnd.IntN(3) {
					ways = append(ways, rules[rnd.IntN(len(rules))].ID)
				}
				s = append(s, ways)
			}
			scenarios = append(scenarios, s)
		}
		for _, need := range []Need{NeedCall, NeedResult} {
			r := &runs{scenarios: scenarios}
			o := Reducing{Scenarios: len(scenarios), Open: r.open, Jobs: 1, Need: need}
			got, err := Reduce(context.Background(), p, o)
			if err != nil {
				t.Fatal(err)
			}
			fails := func(without []sysno.ID, scenario int) bool {
				rest := *p
				var kept []synth.Rule
				for _, rule := range rules {
					if !slices.Contains(without, rule.ID) {
						kept = append(kept, rule)
					}
				}
				rest.Groups = synth.Arrange(kept)
				s := pretended{&rest, r}
				replayed, _ := s.Replay(context.Background(), scenario)
				return need == NeedCall && len(replayed.Denied) > 0 || need == NeedResult && replayed.End != "exit 0"
			}
			var gone []sysno.ID
			for _, u := range got.Unneeded {
				gone = append(gone, u.Rule.ID)
			}
			for i := range scenarios {
				if fails(gone, i) {
					t.Fatalf("seed %d, need %d: scenario %d fails without what is not needed", seed, need, i)
				}
			}
			for _, n := range got.Needed {
				if n.Rule.ID != exec && !fails(append(slices.Clone(gone), n.Rule.ID), n.Scenario) {
					t.Fatalf("seed %d, need %d: scenario %d does not fail without %v", seed, need, n.Scenario, n.Rule.ID)
				}
			}
			o.Jobs = 4
			again, err := Reduce(context.Background(), p, o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got.Needed, again.Needed) + cmp.Diff(got.Unneeded, again.Unneeded); diff != "" {
				t.Fatalf("seed %d, need %d: with one job (-) and four (+):\n%s", seed, need, diff)
			}
		}
	}
}

// sometimes makes a call in its third run and the later ones.
type sometimes struct {
	policy *synth.Policy
	id     sysno.ID
	runs   *int
}

func (s *sometimes) Close() error { return nil }

func (s *sometimes) Replay(context.Context, int) (Replayed, error) {
	*s.runs++
	r := Replayed{End: "exit 0"}
	if *s.runs > 1 {
		if s.policy.Decide(s.id, [6]uint64{}).Action.Permits() {
			r.Seen = []sysno.ID{s.id}
		} else {
			r.Denied = []sysno.ID{s.id}
		}
	}
	return r, nil
}

func TestARuleForACallThatIsMadeInTheEndIsNeeded(t *testing.T) {
	p := reducible(t, "getrandom", "mseal")
	count := 0
	got, err := Reduce(context.Background(), p, Reducing{Scenarios: 1, Open: func(p *synth.Policy) (Stage, error) {
		return &sometimes{p, call(t, sysno.AMD64, "getrandom"), &count}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Unneeded) != 1 || got.Unneeded[0].Rule.ID != call(t, sysno.AMD64, "mseal") {
		t.Errorf("not needed: %v", got.Unneeded)
	}
}

func TestReduceRefusesWhatItCannotTell(t *testing.T) {
	p := reducible(t, "read")
	mkdir := call(t, sysno.AMD64, "mkdir")
	r := &runs{scenarios: [][][]sysno.ID{{{mkdir}}}}
	if _, err := Reduce(context.Background(), p, Reducing{Scenarios: 1, Open: r.open}); !errors.Is(err, ErrRefusedBefore) {
		t.Errorf("of a policy that refuses calls: %v", err)
	}
	if _, err := Reduce(context.Background(), p, Reducing{Open: r.open}); !errors.Is(err, ErrNothingToReplay) {
		t.Errorf("of nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Reduce(ctx, p, Reducing{Scenarios: 1, Open: r.open}); !errors.Is(err, context.Canceled) {
		t.Errorf("of a context that has ended: %v", err)
	}
}

// How much Reduce tries decides how long it takes: for 60 rules, of which 50 are
// needed, and 200 scenarios that make most of the calls, little more than twice all
// scenarios, and one replay for each policy.
func TestReduceTriesLittle(t *testing.T) {
	var names []string
	for _, id := range sysno.All(sysno.AMD64)[:60] {
		if name, _ := id.Name(); name != "execve" {
			names = append(names, name)
		}
	}
	p := reducible(t, names...)
	rules := p.Rules()
	scenarios := make([][][]sysno.ID, 200)
	for i := range scenarios {
		scenarios[i] = [][]sysno.ID{{call(t, sysno.AMD64, "execve")}}
		for j := range 50 {
			if (i+j)%3 > 0 || i == j {
				scenarios[i] = append(scenarios[i], []sysno.ID{rules[j].ID})
			}
		}
	}
	r := &runs{scenarios: scenarios}
	got, err := Reduce(context.Background(), p, Reducing{Scenarios: len(scenarios), Open: r.open, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got.Policies > 4*len(rules) || got.Replays > 2*len(scenarios)+got.Policies {
		t.Errorf("%d policies in %d replays, for %d rules and %d scenarios", got.Policies, got.Replays, len(rules), len(scenarios))
	}
	t.Logf("%d policies, %d replays, %d needed", got.Policies, got.Replays, len(got.Needed))
}
