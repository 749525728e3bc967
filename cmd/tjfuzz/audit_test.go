package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tjfuzz/tjfuzz/enforce/audit"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// auditable asks for audit records, which no right lets a process read in other namespaces.
func auditable(t *testing.T) {
	t.Helper()
	testenv.Require(t, testenv.Root)
	l, err := audit.Open(nil, func(audit.Record) {})
	if err != nil && strings.Contains(err.Error(), "initial user, pid and network namespaces") {
		testenv.Lack(t, "audit", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Audit records show each action as it was, once, of the program alone although others are
// refused the same call at the same time; and what the policy allows, the program does.
func TestAuditRecordsShowWhatEachActionDid(t *testing.T) {
	auditable(t)
	victim := testenv.Compile(t, "../../enforce/testdata/victim.c", "-pthread")
	dir := t.TempDir()
	var all sync.WaitGroup
	for i, c := range []struct {
		flags  []string
		event  string // what the log says
		wrote  string // what the victim does
		status int
	}{
		{[]string{"--errno", "EACCES:sched_get_priority_max"}, `"event":"denied",[...]"action":"errno EACCES"`, "other 1\nerrno 13\nend 0\n", 0},
		{[]string{"--trap", "sched_get_priority_max"}, `"event":"denied",[...]"action":"trap"`, "other 1\ntrapped 1\n", 0},
		{[]string{"--kill-thread", "sched_get_priority_max"}, `"event":"denied",[...]"action":"kill thread"`, "other 1\nthread gone 1\nend 0\n", 0},
		{[]string{"--kill", "sched_get_priority_max"}, `"event":"denied",[...]"action":"kill process"`, "other 1\n", 159},
		{[]string{"--log", "sched_get_priority_max"}, `"event":"logged",[...]"action":"log"`, "other 1\ncall 99\nend 0\n", 0},
		// The record says which of the answers it was.
		{[]string{"--errno", "EACCES:sched_get_priority_max{policy: SCHED_FIFO}", "--log", "sched_get_priority_max{policy: SCHED_RR}"}, `"event":"denied",[...]"action":"errno EACCES"`, "other 1\nerrno 13\nend 0\n", 0},
	} {
		all.Go(func() {
			log, out := filepath.Join(dir, fmt.Sprint("log", i)), filepath.Join(dir, fmt.Sprint("out", i))
			args := append([]string{"enforce", "--policy", "none", "--default", "allow", "--log-source", "audit", "--log-file", log}, c.flags...)
			cmd := exec.Command("tjfuzz", append(args, "--", victim, "threads", out)...)
			said, err := cmd.CombinedOutput()
			status := cmd.ProcessState.ExitCode()
			if cmd.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() {
				status = 159
			}
			if status != c.status {
				t.Errorf("%v: %v, want status %d\n%s", c.flags, err, c.status, said)
			}
			wrote, _ := os.ReadFile(out)
			b, _ := os.ReadFile(log)
			lines := strings.Split(strings.TrimSpace(string(b)), "\n")
			before, after, _ := strings.Cut(c.event, "[...]")
			if string(wrote) != c.wrote || len(lines) != 2 || !strings.Contains(lines[0], before) || !strings.Contains(lines[0], after) ||
				!strings.Contains(lines[0], `"call":"sched_get_priority_max(...)"`) || !strings.Contains(lines[1], `"source":"audit records","limits":`) {
				t.Errorf("%v: the program wrote %q, want %q; the log is\n%s", c.flags, wrote, c.wrote, b)
			}
		})
	}
	all.Wait()
}

// Each of many refusals is counted, or it is said that some were lost. TJFUZZ_LONG makes it
// 260,000, which the kernel writes to its audit queue as fast as four threads make them.
func TestEachOfManyAuditRecordsIsCounted(t *testing.T) {
	auditable(t)
	victim := testenv.Compile(t, "testdata/many.c", "-pthread")
	each := 200
	if os.Getenv("TJFUZZ_LONG") != "" {
		each = 20000
	}
	log := filepath.Join(t.TempDir(), "log")
	out, err := exec.Command("tjfuzz", "enforce", "--policy", "none", "--default", "allow", "--errno", "EACCES:getpgid", "--errno", "ENOSPC:mkdir", "--log", "getsid",
		"--log-source", "audit", "--quiet", "--log-file", log, "--", victim, fmt.Sprint(each)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var end struct {
		Denied, Logged map[string]int
		Lost           int
		Complete       bool
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil {
		t.Fatal(err)
	}
	exact := end.Denied["getpgid"] == 8*each && end.Denied["mkdir"] == each && end.Logged["getsid"] == 4*each
	if end.Complete != (end.Lost == 0) || end.Complete && !exact {
		t.Errorf("%d times 13 calls: got %s", each, lines[len(lines)-1])
	}
	t.Logf("%d times 13 calls: %s", each, lines[len(lines)-1])
}

// All that descends from the program is told of, and a process of others is not.
func TestAuditRecordsAreThoseOfTheProgram(t *testing.T) {
	auditable(t)
	dir := t.TempDir()
	enforce := func(log, script string) string {
		out, err := exec.Command("tjfuzz", "enforce", "--policy", "none", "--default", "allow", "--errno", "EACCES:mkdir,mkdirat", "--log-source", "audit",
			"--log-file", log, "--", "sh", "-c", script).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(log)
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			// The last is an orphan in a session of its own, whose end the pipe tells.
			got := enforce(filepath.Join(dir, fmt.Sprint(i)), `mkdir a; (mkdir b; (setsid mkdir c &)) 2>&1 | cat; true`)
			if !strings.Contains(got, `{"event":"summary","denied":{"mkdir":3},"logged":{},"answered":{},`) {
				t.Errorf("three calls of %d were to be shown:\n%s", i, got)
			}
		})
	}
	all.Wait()
}

// Where records cannot be read, it is said why, and auto goes on.
func TestWhoMayNotReadAuditRecordsIsTold(t *testing.T) {
	testenv.Require(t, testenv.Root)
	dir, program := reachable(t)
	setpriv, unshare := testenv.Program(t, "setpriv"), testenv.Program(t, "unshare")
	for name, c := range map[string]struct {
		world         []string
		missing, mend string
	}{
		"an ordinary user":    {[]string{setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"}, "CAP_", "run as root"},
		"without the one":     {[]string{setpriv, "--bounding-set", "-audit_read", "--inh-caps", "-audit_read"}, "CAP_AUDIT_READ is missing", "run as root"},
		"without the other":   {[]string{setpriv, "--bounding-set", "-audit_control", "--inh-caps", "-audit_control"}, "CAP_AUDIT_CONTROL is missing", "run as root"},
		"in a user namespace": {[]string{unshare, "--user", "--map-root-user"}, "is", "run "},
		"in a container's":    {[]string{unshare, "--net", "--pid", "--fork", "--mount-proc"}, "the process is not in the initial", "run outside of it"},
	} {
		flags := []string{program, "enforce", "--policy", "none", "--default", "allow", "--log", "getppid", "--log-source"}
		code, said1 := said(t, dir, append(append(c.world, flags...), "audit", "--", "/bin/true"))
		if code != exitError || !strings.Contains(said1, "tjfuzz: error: refused calls cannot be seen by audit records: ") || !strings.Contains(said1, c.missing) ||
			!strings.Contains(said1, "tjfuzz: hint: "+c.mend) {
			t.Errorf("%s: exit code %d, %s", name, code, said1)
		}
	}
	code, stderr := said(t, dir, []string{unshare, "--user", "--map-root-user", program, "enforce", "--policy", "none", "--default", "allow", "--log", "getppid", "--", "/bin/true"})
	if code != 0 || !strings.Contains(stderr, "tjfuzz: refused calls are seen by seccomp notification, not by eBPF: ") || !strings.Contains(stderr, "; nor by audit records: ") {
		t.Errorf("auto: exit code %d, %s", code, stderr)
	}
	// With the rights for records alone they come before notifications.
	auditable(t)
	given := "-all,+audit_read,+audit_control,+net_admin"
	code, stderr = said(t, dir, []string{setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", given, "--ambient-caps", given,
		program, "enforce", "--policy", "none", "--default", "allow", "--errno", "mkdir,mkdirat", "--", "/bin/mkdir", "/no"})
	if code != 1 || !strings.Contains(stderr, "tjfuzz: refused calls are seen by audit records, not by eBPF: CAP_BPF and CAP_PERFMON are missing; neither arguments, ") ||
		!strings.Contains(stderr, "tjfuzz: denied mkdir(...): errno EPERM [mkdir, pid ") {
		t.Errorf("the rights for audit: exit code %d, %s", code, stderr)
	}
}
