package enforce

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Of a call that a scenario makes fail, and that the policy permits with some
// arguments, nobody can say who refused it. learn found grep's policy disproved by a
// scenario in which openat fails.
func TestARefusalThatTheScenarioBroughtAboutIsNoViolation(t *testing.T) {
	openat, _ := sysno.Lookup(sysno.AMD64, "openat")
	mkdir, _ := sysno.Lookup(sysno.AMD64, "mkdir")
	p := &synth.Policy{
		Default: synth.Verdict{Action: synth.Errno, Errno: uint16(syscall.EPERM)},
		Archs:   []sysno.Arch{sysno.AMD64},
		Groups: []synth.Group{{Rules: []synth.Rule{{
			ID: openat, Verdict: synth.Verdict{Action: synth.Allow}, Args: []synth.Cond{{Index: 2, Op: synth.MaskedEqual, Mask: 0x40}},
		}}}},
	}
	for _, c := range []struct {
		name     string
		replayed Replayed
		want     int
	}{
		{"the scenario", Replayed{Denied: []sysno.ID{openat}, Failed: []sysno.ID{openat}}, 0},
		{"the policy", Replayed{Denied: []sysno.ID{openat}}, 1},
		{"the policy permits no such call", Replayed{Denied: []sysno.ID{mkdir}, Failed: []sysno.ID{mkdir}}, 1},
		{"a scenario does not kill", Replayed{Denied: []sysno.ID{openat}, Failed: []sysno.ID{openat}, Signal: int(syscall.SIGSYS)}, 1},
	} {
		v, err := Verify(context.Background(), p, []Case{{ID: "x", Replay: func(context.Context) (Replayed, error) { return c.replayed, nil }}}, 1, nil)
		if err != nil || len(v.Violations) != c.want {
			t.Errorf("%s: got %+v, %v, want %d violations", c.name, v, err, c.want)
		}
	}
}

// However many are replayed at a time, the result is that of one after the other; and an
// error ends it.
func TestVerifyCountsByTierAndKeepsTheOrder(t *testing.T) {
	names := []string{"read", "write", "openat", "mkdir"}
	ids := map[string]sysno.ID{}
	var rules []synth.Rule
	for i, name := range names {
		ids[name] = call(t, sysno.AMD64, name)
		tier := synth.Observed
		if i == 2 {
			tier = synth.ErrorPath
		}
		if name != "mkdir" {
			rules = append(rules, synth.Rule{ID: ids[name], Verdict: synth.Verdict{Action: synth.Allow}, Tier: tier})
		}
	}
	p := &synth.Policy{Default: synth.Verdict{Action: synth.KillProcess}, Archs: []sysno.Arch{sysno.AMD64}, Groups: synth.Arrange(rules)}
	var cases []Case
	for i := range 20 {
		r := Replayed{Seen: []sysno.ID{ids["read"]}, End: "exit 0"}
		if i%7 == 3 {
			r.Denied = []sysno.ID{ids["mkdir"]}
		}
		if i == 5 { // made, and refused by the scenario: exercised
			r.Denied, r.Failed = []sysno.ID{ids["write"]}, []sysno.ID{ids["write"], ids["openat"]}
		}
		cases = append(cases, Case{ID: string(rune('a' + i)), Replay: func(context.Context) (Replayed, error) { return r, nil }})
	}
	want, err := Verify(context.Background(), p, cases, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Violations) != 3 || want.Violations[1].Case != "k" || len(want.Results) != 20 || len(want.Results[10].Violations) != 1 {
		t.Errorf("violations %+v", want.Violations)
	}
	coverage := []Coverage{{synth.Observed, 2, 2}, {synth.ErrorPath, 0, 1}}
	if diff := cmp.Diff(coverage, want.Tiers); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	last := 0
	got, err := Verify(context.Background(), p, cases, 4, func(done int) { last = done })
	if diff := cmp.Diff(want, got); diff != "" || err != nil || last != 20 {
		t.Errorf("four at a time: %v, progress to %d; want (-), got (+):\n%s", err, last, diff)
	}
	broken := errors.New("broken")
	cases[5].Replay = func(context.Context) (Replayed, error) { return Replayed{}, broken }
	if _, err := Verify(context.Background(), p, cases, 4, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
