package synth

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func permitting(t *testing.T, more ...Rule) *Policy {
	t.Helper()
	rules := append([]Rule{}, more...)
	for _, name := range []string{"execve", "read", "exit_group"} {
		rules = append(rules, Rule{ID: lookup(t, sysno.AMD64, name), Verdict: Verdict{Action: Allow}, Tier: Observed, Reason: "seen"})
	}
	p := &Policy{Default: Verdict{Action: Errno, Errno: 1}, Archs: []sysno.Arch{sysno.AMD64}, Groups: Arrange(rules)}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatPeopleAddedIsKept(t *testing.T) {
	allow := func(name string, args ...Cond) Rule {
		return Rule{ID: lookup(t, sysno.AMD64, name), Verdict: Verdict{Action: Allow}, Args: args, Tier: Observed, Reason: "seen"}
	}
	local := Cond{Index: 0, Op: MaskedEqual, Mask: 0xffffffff, Value: 1}
	for _, tt := range []struct {
		name              string
		generated, was, p *Policy
		want              map[string]string // what is said of a call in the end
		kept              int
	}{
		{"a call", permitting(t), permitting(t, allow("ptrace")), permitting(t, allow("getsid")), map[string]string{"ptrace": "allow", "getsid": "allow"}, 1},
		{"what evidence showed and shows no more goes", permitting(t, allow("getsid")), permitting(t, allow("getsid")), permitting(t), map[string]string{"getsid": ""}, 0},
		{"a condition less", permitting(t, allow("socket", local)), permitting(t, allow("socket")), permitting(t, allow("socket", local)), map[string]string{"socket": "allow"}, 1},
		{"a condition of the evidence may change", permitting(t, allow("socket")), permitting(t, allow("socket")), permitting(t, allow("socket", local)), map[string]string{"socket": "allow if domain is AF_UNIX"}, 0},
		{"what was taken out comes again", permitting(t, allow("ptrace")), permitting(t), permitting(t, allow("ptrace")), map[string]string{"ptrace": "allow"}, 0},
		{"without evidence all stays", nil, permitting(t, allow("getsid")), permitting(t), map[string]string{"getsid": "allow"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, kept, err := Keep(tt.p, tt.was, tt.generated)
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) != tt.kept {
				t.Errorf("kept %d, want %d", len(kept), tt.kept)
			}
			rules := rulesByID(got)
			for name, want := range tt.want {
				if says := Says(Clauses(rules[lookup(t, sysno.AMD64, name)])); says != want {
					t.Errorf("%s: got %q, want %q", name, says, want)
				}
			}
			// To keep again changes nothing.
			again, _, err := Keep(got, got, tt.generated)
			if err != nil {
				t.Fatal(err)
			}
			if d := Diff(got, again); !d.Empty() {
				t.Errorf("kept again: %v", d.Changes)
			}
		})
	}
}
