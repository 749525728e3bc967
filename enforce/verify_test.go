package enforce

import (
	"context"
	"syscall"
	"testing"

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
		v, err := Verify(context.Background(), p, []Case{{ID: "x", Replay: func(context.Context) (Replayed, error) { return c.replayed, nil }}}, nil)
		if err != nil || len(v.Violations) != c.want {
			t.Errorf("%s: got %+v, %v, want %d violations", c.name, v, err, c.want)
		}
	}
}
