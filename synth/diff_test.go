package synth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestDifferencesAreOfMeaningNotOfForm(t *testing.T) {
	allow, log := Verdict{Action: Allow}, Verdict{Action: Log}
	socket := lookup(t, sysno.AMD64, "socket")
	rule := func(v Verdict, args ...Cond) Rule { return Rule{ID: socket, Verdict: v, Args: args, Tier: Observed} }
	domain := func(v uint64) Cond { return Cond{Index: 0, Op: MaskedEqual, Mask: 1<<32 - 1, Value: v} }
	kind := func(v uint64) Cond { return Cond{Index: 1, Op: MaskedEqual, Mask: 0xf, Value: v} }
	bit := func(mask, v uint64) Cond { return Cond{Index: 0, Op: MaskedEqual, Mask: mask, Value: v} }
	for _, c := range []struct {
		name    string
		was, is []Rule
		want    string
	}{
		{"the same", []Rule{rule(allow)}, []Rule{rule(allow)}, "[]"},
		{"a call more", nil, []Rule{rule(allow)}, "[added]"},
		{"a call less", []Rule{rule(allow, domain(1))}, nil, "[removed]"},
		{"a value more", []Rule{rule(allow, domain(1))}, []Rule{rule(allow, domain(1)), rule(allow, domain(2))}, "[widened]"},
		{"a value less", []Rule{rule(allow, domain(1)), rule(allow, domain(2))}, []Rule{rule(allow, domain(2))}, "[narrowed]"},
		{"another value", []Rule{rule(allow, domain(1))}, []Rule{rule(allow, domain(2))}, "[changed]"},
		{"no condition any more", []Rule{rule(allow, domain(1))}, []Rule{rule(allow)}, "[widened]"},
		{"a condition more", []Rule{rule(allow, domain(1))}, []Rule{rule(allow, domain(1), kind(1))}, "[narrowed]"},
		{"another order", []Rule{rule(allow, domain(1)), rule(allow, domain(2))}, []Rule{rule(allow, domain(2)), rule(allow, domain(1))}, "[]"},
		{"a rule within another", []Rule{rule(allow, domain(1))}, []Rule{rule(allow, domain(1)), rule(allow, domain(1), kind(2))}, "[]"},
		{"split by a bit", []Rule{rule(allow, bit(4, 0))}, []Rule{rule(allow, bit(6, 0)), rule(allow, bit(6, 2))}, "[]"},
		{"another word for it", []Rule{rule(allow, Cond{Index: 0, Op: LessEqual, Value: 3})}, []Rule{rule(allow, Cond{Index: 0, Op: Less, Value: 4})}, "[]"},
		{"split at a value", []Rule{rule(allow, Cond{Index: 0, Op: NotEqual, Value: 3})},
			[]Rule{rule(allow, Cond{Index: 0, Op: Less, Value: 3}), rule(allow, Cond{Index: 0, Op: Greater, Value: 3})}, "[]"},
		{"64 bits for 32", []Rule{rule(allow, domain(1))}, []Rule{rule(allow, Cond{Index: 0, Op: Equal, Value: 1})}, "[narrowed]"},
		{"logged", []Rule{rule(allow)}, []Rule{rule(log)}, "[changed]"},
		{"another errno", []Rule{rule(Verdict{Action: Errno, Errno: 38})}, []Rule{rule(Verdict{Action: Errno, Errno: 22})}, "[changed]"},
	} {
		d := Diff(policyOf(t, c.was...), policyOf(t, c.is...))
		var got []ChangeKind
		for _, ch := range d.Changes {
			got = append(got, ch.Kind)
		}
		if fmt.Sprint(got) != c.want || d.Empty() != (c.want == "[]") {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
}

func TestWithAPermissiveDefaultTheRulesRefuse(t *testing.T) {
	deny := eperm()
	socket := lookup(t, sysno.AMD64, "socket")
	policy := func(def Verdict, rules ...Rule) *Policy {
		return &Policy{Default: def, Archs: []sysno.Arch{sysno.AMD64}, Groups: []Group{{Rules: rules}}}
	}
	allow := Verdict{Action: Allow}
	raw := Rule{ID: socket, Verdict: deny, Args: []Cond{{Index: 1, Op: MaskedEqual, Mask: 15, Value: 3}}, Tier: Manual}
	all := Rule{ID: socket, Verdict: deny, Tier: Manual}
	for _, c := range []struct {
		name    string
		was, is *Policy
		want    string
	}{
		{"less is refused", policy(allow, all), policy(allow, raw), "[added]"},
		{"more is refused", policy(allow, raw), policy(allow, all), "[removed]"},
		{"some is refused", policy(allow), policy(allow, raw), "[narrowed]"},
		{"from a list of what is refused to one of what is allowed", policy(allow, all), policy(deny, Rule{ID: socket, Verdict: allow, Tier: Manual}), "[added]"},
	} {
		var got []ChangeKind
		for _, ch := range Diff(c.was, c.is).Changes {
			got = append(got, ch.Kind)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
	d := Diff(policy(deny), policy(allow))
	if d.Empty() || !d.Wider() {
		t.Errorf("got %+v", d)
	}
}

// randomPolicy has rules for three calls, valid ones only.
func randomPolicy(t testing.TB, r *rand.Rand) *Policy {
	for {
		p := policyOf(t)
		var rules []Rule
		for _, name := range []string{"socket", "ioctl", "kill"} {
			verdict := Verdict{Action: Allow}
			if r.IntN(4) == 0 {
				verdict = []Verdict{{Action: Log}, {Action: KillProcess}, {Action: Errno, Errno: 38}}[r.IntN(3)]
			}
			for range r.IntN(4) {
				rule := Rule{ID: lookup(t, sysno.AMD64, name), Verdict: verdict, Tier: Observed}
				for i := range uint8(2) {
					if r.IntN(3) > 0 {
						rule.Args = append(rule.Args, randomCond(r, i))
					}
				}
				rules = append(rules, rule)
			}
		}
		p.Groups = Arrange(append(rules, p.Rules()...))
		if p.Validate() == nil {
			return p
		}
	}
}

// calls are arguments at and around the values of randomCond.
func calls(r *rand.Rand, n int) [][6]uint64 {
	values := []uint64{0, 1, 2, 3, 4, 5, 6, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 2, 1<<64 - 1}
	var list [][6]uint64
	for range n {
		list = append(list, [6]uint64{values[r.IntN(len(values))], values[r.IntN(len(values))]})
	}
	return list
}

func TestADifferenceShowsInCalls(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	for range 80 {
		a, b := randomPolicy(t, r), randomPolicy(t, r)
		d := Diff(a, b)
		for _, name := range []string{"socket", "ioctl", "kill"} {
			id := lookup(t, sysno.AMD64, name)
			var kind ChangeKind
			if i := slices.IndexFunc(d.Changes, func(c Change) bool { return c.ID == id }); i >= 0 {
				kind = d.Changes[i].Kind
			}
			for _, args := range calls(r, 100) {
				was, is := a.Decide(id, args), b.Decide(id, args)
				more := is.Action.Permits() && !was.Action.Permits()
				less := was.Action.Permits() && !is.Action.Permits()
				if more && !kind.Wider() || less && (kind == Added || kind == Widened || kind == ChangeInvalid) || was != is && kind == ChangeInvalid {
					t.Fatalf("%s%v was %v and is %v, and the difference is %v\n%v\n%v", name, args, was, is, kind, a.Rules(), b.Rules())
				}
			}
		}
		if self := Diff(a, a); !self.Empty() || self.Wider() {
			t.Fatalf("a policy differs from itself: %+v", self)
		}
	}
}
