package userland

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// both is a watcher that has the same runs recorded by ptrace and by eBPF.
type both struct {
	*PtraceSlot
	ebpf *rawtp.Slot
}

func (b both) Begin(how *spawn.Spec) error {
	b.ebpf.Begin()
	return b.PtraceSlot.Begin(how)
}

func (b both) Release() error {
	if err := b.ebpf.Release(); err != nil {
		return err
	}
	return b.PtraceSlot.Release()
}

// attempts is what eBPF has of the run, refused calls too.
func (b both) attempts() []sysno.ID {
	ids := append(b.ebpf.Seen(), b.ebpf.Denied()...)
	slices.SortFunc(ids, sysno.ID.Compare)
	return slices.Compact(ids)
}

func openBoth(t *testing.T) (*Ptrace, *rawtp.Recorder) {
	t.Helper()
	testenv.Require(t, testenv.BPF)
	rec, err := rawtp.Open(rawtp.Options{Slots: 1, Denials: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close() })
	return mustPtrace(t, PtraceOptions{}), rec
}

// work is what both look at.
func work(t *testing.T) map[string][]string {
	program, own, leaf := victim(t), own(t), trivial(t)
	w := map[string][]string{
		"everything": {program, "all", leaf}, "a filter of its own": {program, "own-filter", leaf},
		"numbers": {program, "numbers"}, "leaderless": {own, "leaderless-exec", leaf},
		"new pids": {own, "new-pids"}, "stopped": {own, "stop"}, "killed parents": {own, "killed-parents"},
		"ls": {"/bin/ls", "-l", "/"}, "a shell": {"/bin/sh", "-c", "true | cat; (ls / & wait) >/dev/null; exec env"},
		"sort": {"/usr/bin/sort", "-R", "/etc/passwd"}, "awk": {"/usr/bin/awk", "BEGIN { system(\"true\") }"},
		"tar": {"/bin/tar", "cf", "/dev/null", "/etc/alternatives"}, "find": {"/usr/bin/find", "/etc/init.d"},
		"grep": {"/bin/grep", "-r", "root", "/etc/default", "/etc/passwd"}, "perl": {"/usr/bin/perl", "-e", "fork; wait"},
		"bash":   {"/bin/bash", "-c", "for i in 1 2 3; do (sleep 0.01 & wait); done; trap : USR1; kill -USR1 $$"},
		"python": {"/usr/bin/env", "python3", "-c", "import json, threading, subprocess; threading.Thread(target=print).start(); subprocess.run(['true'])"},
	}
	if runtime.GOARCH == "amd64" {
		w["x32"] = []string{program, "x32"}
	}
	if testenv.RunsCompat() {
		w["int80"] = []string{program, "int80"}
	}
	return w
}

// Both look at the same runs, so there is nothing to be explained by chance.
func TestPtraceAndEBPFSeeTheSameInEachRun(t *testing.T) {
	r, rec := openBoth(t)
	for name, argv := range work(t) {
		t.Run(name, func(t *testing.T) {
			testenv.Program(t, argv[0])
			s := ptraceSlot(t, r, 0)
			slot, err := rec.Launcher(0)
			if err != nil {
				t.Fatal(err)
			}
			defer slot.Release()
			b := both{s, slot}
			for range 3 {
				slot.Begin()
				got := recorded(t, s, argv...)
				if diff := cmp.Diff(names(b.attempts()), names(got)); diff != "" {
					t.Errorf("eBPF (-) and ptrace (+) differ:\n%s", diff)
				}
			}
		})
	}
	nothingLost(t, r)
}

func TestPtraceAndEBPFSeeTheSameThroughTheCage(t *testing.T) {
	r, rec := openBoth(t)
	var b both
	program := own(t)
	for _, c := range [][]string{
		{"/bin/ls", "-l", "/"}, {"/bin/sh", "-c", "true | cat; setsid sleep 86195 & exit 3"}, {program, "leaderless"}, {program, "killed-parents"},
	} {
		t.Run(strings.Join(c[:2], " "), func(t *testing.T) {
			e, err := launch.New(launch.Options{Program: c[0], Cage: &cage.Options{Expose: []string{filepath.Dir(program)}}, Watch: func() (launch.Watcher, error) {
				s, err := r.Launcher(0)
				if err != nil {
					return nil, err
				}
				slot, err := rec.Launcher(0)
				b = both{s, slot}
				return b, err
			}})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				res, err := e.Run(t.Context(), &fuzz.Scenario{Argv: c, Stdin: fuzz.StdinNull})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(names(b.attempts()), names(res.Seen)); diff != "" || len(res.Seen) == 0 {
					t.Errorf("%d syscalls; eBPF (-) and ptrace (+) differ:\n%s", len(res.Seen), diff)
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	nothingLost(t, r)
}

func TestPtraceRecordsForAnOrdinaryUser(t *testing.T) {
	const role = "TJFUZZ_TEST_NOBODY"
	if os.Getenv(role) == "" {
		testenv.Require(t, testenv.Root)
		cmd := exec.Command(testenv.Program(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
			readable(t, os.Args[0]), "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), role+"=1", "TJFUZZ_REQUIRE=")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if uid := os.Geteuid(); uid != 65534 {
		t.Fatalf("uid %d", uid)
	}
	r := mustPtrace(t, PtraceOptions{Returns: true, Args: true, Sites: true})
	s := ptraceSlot(t, r, 0)
	demand(t, recorded(t, s, "/bin/sh", "-c", "cat /etc/passwd | grep -q root"), "execve", "openat", "read", "wait4", "exit_group")
	for _, o := range s.Observations() {
		if o.ID == native(t, "openat") && (len(o.Sites) == 0 || o.Sites[0].Module == "" || o.Sites[0].BuildID == "") {
			t.Errorf("openat was called from %+v, want a file with a build id", o.Sites)
		}
	}
	nothingLost(t, r)
}

// readable copies a program to where everybody can execute it.
func readable(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(dir, "test")
	b, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(copied, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestManyTracedRunsAreExactAndLeakNothing(t *testing.T) {
	runs := 500
	if os.Getenv("TJFUZZ_LONG") != "" {
		runs = 20000
	}
	r := mustPtrace(t, PtraceOptions{})
	program := trivial(t)
	want := []string{"execve", "exit"}
	round := func(runs int) {
		var all sync.WaitGroup
		for worker := range 2 {
			all.Go(func() {
				runtime.LockOSThread() // and it ends with the goroutine
				s, err := r.Launcher(worker)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range runs / 2 {
					how := &spawn.Spec{Init: i%2 == 0}
					how.Target.Exec(program, []string{"x"}, nil, nil)
					err := s.Begin(how)
					if err == nil {
						var p *spawn.Process
						if p, err = spawn.Start(how); err == nil {
							if err = s.Started(p); err == nil {
								_, err = p.Wait(spawn.Limits{})
							}
						}
					}
					if got := names(s.Seen()); err != nil || !slices.Equal(got, want) {
						t.Errorf("run %d of worker %d: got %v, %v, want %v", i, worker, got, err, want)
						break
					}
				}
				if err := s.Release(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	count := func(dir string) int {
		d, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	round(20)
	fds, threads, others := count("/proc/self/fd"), count("/proc/self/task"), children(t)
	round(runs)
	// The Go runtime makes a thread now and then.
	if f, th := count("/proc/self/fd"), count("/proc/self/task"); f > fds || th > threads+8 {
		t.Errorf("%d descriptors and %d threads before, %d and %d after", fds, threads, f, th)
	}
	for child := range children(t) {
		if !others[child] {
			t.Errorf("process %s is left, dead or alive", child)
		}
	}
	nothingLost(t, r)
}

// children are the processes that this one has to wait for. Orphans of other tests
// may be among them.
func children(t *testing.T) map[string]bool {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatalf("no list of children: %v", err)
	}
	all := map[string]bool{}
	for _, name := range lists {
		list, _ := os.ReadFile(name) // a thread that has ended since has none
		for _, child := range strings.Fields(string(list)) {
			all[child] = true
		}
	}
	return all
}

func TestPtraceTellsWhatBecameOfCalls(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{Returns: true, Args: true, Sites: true})
	s := ptraceSlot(t, r, 0)
	program := own(t)
	recorded(t, s, program, "details")
	how := &spawn.Spec{}
	how.Target.NoNewPrivs()
	how.Target.Exec(victim(t), []string{"victim", "trapped"}, nil, trap(native(t, "getpgid").NR))
	if st := traced(t, s, how); !st.Exited() || st.ExitStatus() != 0 {
		t.Errorf("trapped: status %#x, want exit 0", st.WaitStatus)
	}
	known := map[sysno.ID]trace.Observation{}
	for _, o := range s.Observations() {
		known[o.ID] = o
	}
	for _, c := range []struct {
		call    string
		returns trace.Returns
		args    []trace.Arg
	}{
		{"execve", trace.Returns{Success: true}, nil},
		{"openat", trace.Returns{Success: true, Errnos: []uint16{2}}, []trace.Arg{{Index: 2, Values: []uint64{1, 0o2000000}}}},
		{"socket", trace.Returns{Success: true}, []trace.Arg{{Index: 0, Values: []uint64{1}}, {Index: 1, Values: []uint64{0o2000001}}, {Index: 2, Values: []uint64{0}}}},
		{"close", trace.Returns{Success: true, Errnos: []uint16{9}}, nil},
		{"lseek", trace.Returns{Success: true, Errnos: []uint16{22}}, []trace.Arg{{Index: 2, Any: true}}},
		{"getpgid", trace.Returns{Refused: true}, nil},
		{"exit_group", trace.Returns{}, nil},
	} {
		o := known[native(t, c.call)]
		if diff := cmp.Diff(c.returns, o.Returns); diff != "" {
			t.Errorf("%s returned: want (-), got (+):\n%s", c.call, diff)
		}
		if diff := cmp.Diff(c.args, o.Args); diff != "" {
			t.Errorf("%s, arguments: want (-), got (+):\n%s", c.call, diff)
		}
		// Both programs exit; the first execve is the launcher's.
		want := map[string]int{"execve": 0, "exit_group": 2}
		if n, other := want[c.call]; len(o.Sites) != n && other || len(o.Sites) != 1 && !other || o.MoreSites {
			t.Errorf("%s was called from %+v, want one place in each program", c.call, o.Sites)
		}
	}
	if site := known[native(t, "socket")].Sites[0]; site.Module != program || site.Offset == 0 {
		t.Errorf("socket was called from %+v, want a place in %s", site, program)
	}
	// One value of lseek's did not fit.
	if got := r.Lost(); got != (trace.Lost{Details: 1}) {
		t.Errorf("lost %+v, want 1 detail", got)
	}
}

// trap is a filter that answers a number with SIGSYS.
func trap(nr uint32) []byte {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number comes first
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: nr},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_TRAP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&code[0])), len(code)*int(unsafe.Sizeof(code[0]))))
}

func TestWhatIsRefusedIsDeniedAndNotSeen(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{Refuses: func(id sysno.ID, args [6]uint64) bool {
		return id == native(t, "getpgid") && args[0] == 0x201
	}})
	s := ptraceSlot(t, r, 0)
	got := recorded(t, s, victim(t), "refused") // calls with 0x101 and 0x201
	demand(t, got, "getpgid")
	if denied := names(s.Denied()); !slices.Equal(denied, []string{"getpgid"}) {
		t.Errorf("denied %v, want getpgid alone", denied)
	}
	got = recorded(t, s, trivial(t))
	if denied := s.Denied(); len(denied) != 0 || len(got) != 2 {
		t.Errorf("the next run: seen %v, denied %v", names(got), names(denied))
	}
	demand(t, r.Seen(), "getpgid", "exit")
}
