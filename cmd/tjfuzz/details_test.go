package main

import (
	"path/filepath"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// The kernel has the last part of a file's name, and the same file under the name of a link
// to it; evidence has the path. tar, which starts other programs, was not learned for this.
func TestCallSitesAreInOrderUnderTheirPaths(t *testing.T) {
	program, err := filepath.EvalSymlinks(testenv.Program(t, "sh"))
	if err != nil {
		t.Fatal(err)
	}
	target, err := identify(program)
	if err != nil {
		t.Fatal(err)
	}
	if target.BuildID == "" {
		t.Fatalf("%s has no build id", program)
	}
	id, err := sysno.Parse(sysno.Native(), "getpid")
	if err != nil {
		t.Fatal(err)
	}
	sites := []trace.Site{
		{Module: "0", BuildID: target.BuildID, Offset: 16},   // "/" is before it,
		{Module: "A", BuildID: "00ff", Offset: 1},            // and before this, which nothing is known of
		{Module: "link", BuildID: target.BuildID, Offset: 8}, // and these are one place
		{Module: "name", BuildID: target.BuildID, Offset: 8},
	}
	seen := []trace.Observation{{ID: id, Sites: sites}}
	tr := &trace.Trace{Target: target, Arch: id.Arch, Runs: 1, CleanRuns: 1, Observations: []trace.Observation{{ID: id, Runs: 1, CleanRuns: 1}}}
	if err := addDetails(tr, [][]trace.Observation{seen}); err != nil {
		t.Fatal(err)
	}
	if err := tr.Validate(); err != nil {
		t.Error(err)
	}
	if got := tr.Observations[0].Sites; len(got) != 3 || got[0].Module != program || got[0].Offset != 8 || got[2].Module != "A" {
		t.Errorf("got %+v, want two sites in %s and one in A", got, program)
	}
}
