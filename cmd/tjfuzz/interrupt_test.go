package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

func TestAnInterruptedLearnWritesNoProfileAndGoesOn(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := t.TempDir()
	target := script(t, dir, "target", "cat; sleep 0.01")
	learn := []string{"learn", "--jobs", "2", "--state", "state", "--confidence", "0", "--", target}
	p := start(t, dir, learn...)
	queued := func() []string {
		found, _ := filepath.Glob(filepath.Join(dir, "state/queue/*.json"))
		return found
	}
	eventually(t, "a scenario is in the queue", func() bool { return len(queued()) > 0 })
	if err := p.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 1)
	want := "tjfuzz: error: interrupted; no profile was written\ntjfuzz: hint: the same command goes on where this one stopped\n"
	if got := p.stderr.String(); !strings.HasSuffix(got, want) || strings.Count(got, "error:") != 1 {
		t.Errorf("got %q, want %q at the end", got, want)
	}
	for _, name := range []string{"target.seccomp.json", "state/evidence.json"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if got := running(t, target); len(got) > 0 {
		t.Errorf("still running: %q", got)
	}
	if got := controlGroups(t, p.ProcessState.Pid()); len(got) > 0 {
		t.Errorf("still there: %q", got)
	}
	kept := queued()
	if len(kept) == 0 {
		t.Fatal("the queue is empty")
	}

	p = start(t, dir, append([]string{"learn", "--execs", "40"}, learn[1:]...)...)
	p.wait(t, 0)
	if got := p.stderr.String(); !strings.Contains(got, "tjfuzz: going on from ") {
		t.Errorf("nothing about going on in %q", got)
	}
	for _, path := range kept {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"target.seccomp.json", "state/evidence.json"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// The recorder of the session that goes on has not seen the runs of the first one.
func TestWhatWasRecordedOfSomeRunsIsNotSaidOfAll(t *testing.T) {
	both := trace.PhaseStartup | trace.PhaseMain
	full := trace.Observation{ID: sysno.ID{Arch: sysno.AMD64, NR: 1}, Runs: 2, Phases: trace.PhaseMain,
		Returns: trace.Returns{Success: true, Refused: true}, Args: []trace.Arg{{Index: 1}}, Sites: []trace.Site{{Offset: 1}}}
	other, mixed := full, full
	other.ID.NR, mixed.ID.NR, mixed.Phases = 2, 3, both
	got := &trace.Trace{Observations: []trace.Observation{full, other, mixed}}
	forgetDetails(got, []sysno.ID{full.ID, mixed.ID})
	less := trace.Observation{ID: full.ID, Runs: 2, Returns: trace.Returns{Refused: true}, Sites: full.Sites, MoreSites: true}
	most := less
	most.ID, most.Phases = mixed.ID, both
	if diff := cmp.Diff([]trace.Observation{less, other, most}, got.Observations); diff != "" {
		t.Error(diff)
	}
}

func TestLearnCanBeInterruptedBeforeItsFirstRun(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := t.TempDir()
	target := script(t, dir, "target", "exec sleep 86392")
	p := start(t, dir, "learn", "--timeout", "1h", "--", target)
	eventually(t, "the target is asked for help", func() bool { return len(running(t, "\x0086392\x00")) > 0 })
	if err := p.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 1)
	if got := p.stderr.String(); !strings.Contains(got, "\ntjfuzz: error: interrupted\ntjfuzz: hint: ") || strings.Count(got, "\n") != 3 {
		t.Errorf("got %q, want a line of progress, one error and a hint", got)
	}
	if got := running(t, "\x0086392\x00"); len(got) > 0 {
		t.Errorf("still running: %q", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, "target.seccomp.json")); err == nil {
		t.Error("there is a profile")
	}
}

func TestAKilledLearnLeavesNothingThatRunsAndCanBeRepeated(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := t.TempDir()
	// It answers when it is asked for help, so this is a run that is recorded.
	target := script(t, dir, "target", `[ $# = 0 ] && [ -c /dev/stdin ] && exec sleep 86393; exit 0`)
	before := mounts(t)
	p := start(t, dir, "learn", "--timeout", "1h", "--", target)
	asleep := func() bool { return len(running(t, "\x0086393\x00")) > 0 }
	eventually(t, "a run has begun", asleep)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(t, 128+9)
	eventually(t, "the target is gone", func() bool { return !asleep() })
	for _, group := range controlGroups(t, p.ProcessState.Pid()) {
		eventually(t, group+" is empty", func() bool {
			b, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
			return err == nil && len(b) == 0
		})
	}
	if got := mounts(t); got != before {
		t.Errorf("mounts are\n%s\nand were\n%s", got, before)
	}
	if _, err := os.Lstat(filepath.Join(dir, "target.seccomp.json")); err == nil {
		t.Error("there is a profile")
	}

	left := controlGroups(t, p.ProcessState.Pid())
	script(t, dir, "target", "exit 0")
	p = start(t, dir, "learn", "--execs", "20", "--", target)
	p.wait(t, 0)
	for _, group := range left {
		if _, err := os.Lstat(group); err == nil {
			t.Errorf("%s outlives the next learn", group)
		}
	}
}

func TestEnforcePassesSignalsOn(t *testing.T) {
	testenv.Require(t, testenv.Root)
	t.Parallel()
	dir := t.TempDir()
	policy := filepath.Join(dir, "p.json")
	if err := os.WriteFile(policy, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
		"syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "tjfuzz", "enforce", "--log-source", "none", "--policy", policy, "--",
		"sh", "-c", `trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done`)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the target says %q, %v", line, err)
	}
	if err := c.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _ = c.Wait(); c.ProcessState.ExitCode() != 42 {
		t.Errorf("%v, want the target's own exit status 42", c.ProcessState)
	}
}
