package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/pods"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// runOf is what was recorded of a container that ran a program and made some calls.
func runOf(t *testing.T, program string, calls ...string) *trace.Trace {
	t.Helper()
	e := &trace.Trace{Target: trace.Target{Path: program}, Arch: sysno.Native(), Runs: 1, CleanRuns: 1}
	for _, name := range calls {
		id, ok := sysno.Lookup(sysno.Native(), name)
		if !ok {
			t.Fatalf("there is no %s", name)
		}
		e.Observations = append(e.Observations, trace.Observation{ID: id, Runs: 1, CleanRuns: 1})
	}
	return e
}

func TestTheBookOfANode(t *testing.T) {
	dir := t.TempDir()
	w := pods.Workload{Namespace: "shop", Owner: "deployment-web", Container: "nginx"}
	evidencePath, profile := filepath.Join(dir, "shop/deployment-web/nginx.evidence.json"), filepath.Join(dir, "shop/deployment-web/nginx.seccomp.json")
	var said bytes.Buffer
	o := synth.Options{Default: synth.Verdict{Action: synth.Errno, Errno: 1}}
	open := func() *book {
		said.Reset()
		return newBook(voice{&said, false}, dir, o)
	}
	write := func(b *book) {
		t.Helper()
		if err := b.write(); err != nil {
			t.Fatal(err)
		}
	}
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}

	// Two that ran already have no name for their program; a child's execve is no start.
	b := open()
	b.add(w, runOf(t, "", "read"), false)
	b.add(w, runOf(t, "", "write", "execve"), false)
	write(b)
	write(b)
	if e := evidence(t, evidencePath); e.Runs != 2 || e.Target.Path != w.Path() || exists(profile) || strings.Count(said.String(), "no new profile: no container was recorded from its start on") != 1 {
		t.Fatalf("%d runs of %s, a profile %t; said\n%s", e.Runs, e.Target.Path, exists(profile), &said)
	}

	// What runs counts, as long as it does, and not twice.
	b = open()
	for range 3 {
		b.run(w, []recorded{{runOf(t, "/bin/a", "execve", "sync"), true}})
		write(b)
	}
	if e := evidence(t, evidencePath); e.Runs != 3 || e.Target.Path != "/bin/a" {
		t.Errorf("%d runs of %s, want 3 of /bin/a", e.Runs, e.Target.Path)
	}
	if allowed := allowedBy(t, profile); !allowed["read"] || !allowed["sync"] || !allowed["write"] || allowed["mknodat"] {
		t.Errorf("the profile allows %v", allowed)
	}
	b.run(w, nil)
	b.add(w, runOf(t, "/bin/a", "execve", "sync"), true)
	write(b)

	// Another image may have another program; what is recorded without its start counts, now that there is one.
	b = open()
	b.add(w, runOf(t, "/bin/b", "execve", "getppid"), true)
	b.add(w, runOf(t, "", "umask"), false)
	write(b)
	if e := evidence(t, evidencePath); e.Runs != 5 || !allowedBy(t, profile)["getppid"] || !allowedBy(t, profile)["umask"] {
		t.Errorf("%d runs, the profile allows %v", e.Runs, allowedBy(t, profile))
	}

	// What was lost is in the evidence, and the profile stays as it was.
	lossy := runOf(t, "/bin/b", "execve", "getsid")
	lossy.Lost.Tasks = 1
	b.add(w, lossy, true)
	write(b)
	if e := evidence(t, evidencePath); e.Lost.Tasks != 1 || allowedBy(t, profile)["getsid"] || !strings.Contains(said.String(), "no new profile: the evidence is incomplete") {
		t.Errorf("lost %+v; said\n%s", e.Lost, &said)
	}

	// Nothing is kept of what is written: who removes the files begins again.
	if len(b.past) != 0 || len(b.changed) != 0 {
		t.Errorf("it keeps %v, %v", b.past, b.changed)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	b.add(w, runOf(t, "/bin/b", "execve"), true)
	write(b)
	if e := evidence(t, evidencePath); e.Runs != 1 || !exists(profile) {
		t.Errorf("%d runs, a profile %t; want 1 and one", e.Runs, exists(profile))
	}

	// What cannot be read is left alone.
	if err := os.WriteFile(evidencePath, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	b = open()
	b.add(w, runOf(t, "/bin/b", "execve"), true)
	write(b)
	if text, err := os.ReadFile(evidencePath); string(text) != "mine" || !strings.Contains(said.String(), "is left as it is") {
		t.Errorf("it has %q, %v; said\n%s", text, err, &said)
	}
}
