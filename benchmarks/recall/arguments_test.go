package main

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// made is an observation with the values of one argument.
func made(t *testing.T, name string, index int, values ...uint64) trace.Observation {
	t.Helper()
	o := trace.Observation{ID: named(t, name), Runs: 1, CleanRuns: 1, Phases: trace.PhaseMain}
	if len(values) > 0 {
		o.Args = []trace.Arg{{Index: index, Values: values}}
	}
	return o
}

func TestConditionsAreHeldAgainstWhatTheSuiteMade(t *testing.T) {
	const exec, read, unix, packet = 4, 1, 1, 17 // PROT_EXEC, PROT_READ, AF_UNIX, AF_PACKET
	execve := made(t, "execve", 0)
	execve.Phases = trace.PhaseStartup
	learned := &trace.Trace{Arch: sysno.Native(), Runs: 1, CleanRuns: 1, Observations: []trace.Observation{
		execve, made(t, "read", 0), made(t, "mprotect", 2, read), made(t, "socket", 0, unix),
	}}
	suite := []trace.Observation{
		execve, made(t, "mprotect", 2, read, read|exec), made(t, "socket", 0, unix), made(t, "mkdir", 0),
	}
	got, err := conditionsOf(learned, suite)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.refused) != 1 || got.refused[0].ID != named(t, "mprotect") || got.refused[0].Kind != synth.Widened {
		t.Errorf("refused %+v, want mprotect alone, made wider", got.refused)
	}
	if got.conditioned < 2 || got.checkable < got.conditioned {
		t.Errorf("%d of %d calls have a condition, want those of mprotect and socket at least", got.conditioned, got.checkable)
	}
	suite[2].Args[0].Values = []uint64{unix, packet}
	if got, err = conditionsOf(learned, suite); err != nil || len(got.refused) != 2 {
		t.Errorf("refused %+v, %v; want mprotect and socket", got.refused, err)
	}
	if n := afterStartup(learned); n != 3 {
		t.Errorf("%d syscalls after startup, want read, mprotect and socket", n)
	}
}
