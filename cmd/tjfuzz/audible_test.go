package main

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/synth"
)

// A policy that logs is refused where nobody would learn of it.
func TestALoggingPolicyNeedsSomebodyWhoListens(t *testing.T) {
	logs := &synth.Policy{Default: synth.Verdict{Action: synth.Log}}
	denies := &synth.Policy{Default: synth.Verdict{Action: synth.KillProcess}}
	for _, c := range []struct {
		name                  string
		policy                *synth.Policy
		shown, records, known bool
		refused               bool
	}{
		{"shown here", logs, true, false, true, false},
		{"recorded by the kernel", logs, false, true, true, false},
		{"a kernel that does not say", logs, false, false, false, false},
		{"nobody", logs, false, false, true, true},
		{"nothing to log", denies, false, false, true, false},
	} {
		if err := audible(c.policy, c.shown, func(string) (bool, bool) { return c.records, c.known }); (err != nil) != c.refused {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}
