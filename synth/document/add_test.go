package document

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// What is added is in force, and everything that a person wrote is still there.
func TestRulesAreAddedBesideWhatWasWritten(t *testing.T) {
	allow := synth.Verdict{Action: synth.Allow}
	mkdir := synth.Rule{ID: lookup(t, "mkdir"), Verdict: allow, Tier: synth.Manual, Reason: `refused mkdir("a: b", 0700) of x`}
	inet := synth.Rule{ID: lookup(t, "socket"), Verdict: allow, Tier: synth.Manual, Reason: "refused",
		Args: []synth.Cond{{Index: 0, Op: synth.MaskedEqual, Mask: 0xffffffff, Value: 2}}}
	for _, c := range []struct {
		name, before, after string
		rules               []synth.Rule
	}{
		{"no section", "", "manual:\n  mkdir: {because: 'refused mkdir(\"a: b\", 0700) of x'}\n", []synth.Rule{mkdir}},
		{"an empty section", "manual:\n", "manual:\n  mkdir: {because: 'refused mkdir(\"a: b\", 0700) of x'}\n", []synth.Rule{mkdir}},
		{"comments", "# head\nmanual: # line\n  # above\n  ptrace: {because: debugs} # beside\n",
			"# head\nmanual: # line\n  # above\n  ptrace: {because: debugs} # beside\n  mkdir: {because: 'refused mkdir(\"a: b\", 0700) of x'}\n", []synth.Rule{mkdir}},
		{"one that refuses", "manual:\n  mkdir: {then: errno EACCES, because: no}\n", "manual:\n  mkdir: {because: 'refused mkdir(\"a: b\", 0700) of x'}\n", []synth.Rule{mkdir}},
		{"one with other values", "manual:\n  socket: {domain: AF_UNIX, because: local}\n",
			"manual:\n  socket:\n    - {domain: AF_UNIX, because: local}\n    - domain: AF_INET\n      because: refused\n", []synth.Rule{inet}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := parse(t, begin+c.before).Add(c.rules, []sysno.Arch{sysno.AMD64})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(begin+c.after, encode(t, d)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			p, err := d.Policy(sysno.AMD64, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range c.rules {
				var args [6]uint64
				for _, cond := range r.Args {
					args[cond.Index] = cond.Value
				}
				if got := p.Decide(r.ID, args); got != allow {
					t.Errorf("%v: %v after it was added", r.ID, got)
				}
			}
			if strings.Contains(c.before, "ptrace") && p.Decide(lookup(t, "ptrace"), [6]uint64{}) != allow {
				t.Error("what a person allowed is gone")
			}
		})
	}
}

// Where all is allowed by default, what refuses a call is taken out.
func TestWhereAllIsAllowedRulesAreTakenOut(t *testing.T) {
	d := parse(t, "version: 1\ndefault: allow\nobserved:\n  # above\n  mkdir: {then: errno EACCES}\nmanual:\n  ptrace: {then: log, because: curious} # stays\n")
	allow := synth.Verdict{Action: synth.Allow}
	d, err := d.Add([]synth.Rule{{ID: lookup(t, "mkdir"), Verdict: allow, Tier: synth.Manual, Reason: "refused"}}, []sysno.Arch{sysno.AMD64})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("version: 1\ndefault: allow\nobserved: {}\nmanual:\n  ptrace: {then: log, because: curious} # stays\n", encode(t, d)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	p, err := d.Policy(sysno.AMD64, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Decide(lookup(t, "mkdir"), [6]uint64{}); got != allow {
		t.Errorf("got %v", got)
	}
}
