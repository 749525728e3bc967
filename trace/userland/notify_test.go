package userland

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

const victims = "../rawtp/testdata/"

func victim(t testing.TB) string {
	return testenv.Compile(t, victims+"victim.c", "-O2", "-static", "-pthread", "-Wno-unused-result")
}

func trivial(t testing.TB) string {
	return testenv.Compile(t, victims+"trivial.c", "-O2", "-static", "-nostdlib")
}

func openNotify(t testing.TB, o NotifyOptions) *Notify {
	t.Helper()
	n, err := OpenNotify(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// lock binds the test to its thread, which starts the targets.
func lock(t testing.TB) {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
}

func launcher(t testing.TB, n *Notify) *Launched {
	t.Helper()
	lock(t)
	s, err := n.Launcher(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// spec is how a program starts, with no streams but the null device.
func spec(t testing.TB, argv ...string) *spawn.Spec {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	complaints, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		complaints.Close()
		if text, err := os.ReadFile(complaints.Name()); t.Failed() {
			t.Logf("%q says %q, %v", argv, text, err)
		}
	})
	s := &spawn.Spec{}
	s.Target.Chdir(t.TempDir()) // victims make directories
	for fd, f := range []*os.File{null, null, complaints} {
		s.Target.Dup(int(f.Fd()), fd)
	}
	s.Target.Exec(argv[0], argv, []string{"PATH=/usr/bin:/bin"}, nil)
	return s
}

// start begins a run.
func start(t testing.TB, s *Launched, how *spawn.Spec) *spawn.Process {
	t.Helper()
	if err := s.Begin(how); err != nil {
		t.Fatal(err)
	}
	p, err := spawn.Start(how)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Started(p); err != nil {
		t.Fatal(err)
	}
	return p
}

// run makes a run, and demands that it exit with 0.
func run(t testing.TB, s *Launched, how *spawn.Spec) []sysno.ID {
	t.Helper()
	st, err := start(t, s, how).Wait(spawn.Limits{})
	seen := s.Seen()
	if err != nil || !st.Exited() || st.ExitStatus() != 0 {
		t.Fatalf("ended with %#x, %v, want exit 0", st.WaitStatus, err)
	}
	return seen
}

func names(ids []sysno.ID) []string {
	var words []string
	for _, id := range ids {
		words = append(words, id.String())
	}
	return words
}

func native(t testing.TB, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(sysno.Native(), name)
	if !ok {
		t.Fatalf("no number for %s", name)
	}
	return id
}

// Both look at the same runs, so there is nothing to be explained by chance.
func TestBothBackendsSeeTheSameInEachRun(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	program, leaf := victim(t), trivial(t)
	work := map[string][]string{
		"the least": {leaf}, "threads": {program, "thread"}, "fork": {program, "fork"}, "vfork": {program, "vfork"},
		"clone3": {program, "clone3"}, "exec by a thread that is not the leader": {program, "exec", leaf},
		"all of these": {program, "all", leaf}, "odd numbers": {program, "numbers"}, "many odd numbers": {program, "odds"},
		"strings": {program, "strings"}, "a refused call": {program, "refused"},
		"ls": {"/bin/ls", "-l", "/"}, "a shell": {"/bin/sh", "-c", "true | cat; (ls / & wait) >/dev/null; exec env"},
		"sort": {"/usr/bin/sort", "-R", "/etc/passwd"}, "awk": {"/usr/bin/awk", "BEGIN { system(\"true\") }"},
		"tar": {"/bin/tar", "cf", "/dev/null", "/etc/alternatives"}, "find": {"/usr/bin/find", "/etc/init.d"},
		"grep": {"/bin/grep", "-r", "root", "/etc/default", "/etc/passwd"}, "python": {"/usr/bin/env", "python3", "-c", "import json, threading; threading.Thread(target=print).start()"},
		"perl": {"/usr/bin/perl", "-e", "fork; wait"},
	}
	if runtime.GOARCH == "amd64" {
		work["x32"] = []string{program, "x32"}
		work["vsyscall"] = []string{program, "vsyscall"}
	}
	if testenv.RunsCompat() {
		work["int80"] = []string{program, "int80"}
		work["a 32-bit program"] = []string{testenv.Compile(t, victims+"trivial32.c", "-m32", "-nostdlib", "-static")}
	}
	rec, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	n := openNotify(t, NotifyOptions{})
	var unheard []sysno.ID
	for name, argv := range work {
		t.Run(name, func(t *testing.T) {
			testenv.Program(t, argv[0])
			s := launcher(t, n)
			slot, err := rec.Launcher(0)
			if err != nil {
				t.Fatal(err)
			}
			defer slot.Release()
			for range 3 {
				slot.Begin()
				got, want := run(t, s, spec(t, argv...)), slot.Seen()
				// A thread that waits for its answer when the process ends makes no call.
				got = slices.DeleteFunc(got, func(id sysno.ID) bool { return s.run.unheard[id] && !slices.Contains(want, id) })
				if diff := cmp.Diff(names(want), names(got)); diff != "" {
					t.Errorf("eBPF (-) and notification (+) differ:\n%s", diff)
				}
				unheard = slices.AppendSeq(unheard, maps.Keys(s.run.unheard))
			}
		})
	}
	if got := n.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
	all := slices.DeleteFunc(n.Seen(), func(id sysno.ID) bool { return slices.Contains(unheard, id) && !slices.Contains(rec.Seen(), id) })
	if diff := cmp.Diff(names(rec.Seen()), names(all)); diff != "" {
		t.Errorf("all runs: eBPF (-) and notification (+) differ:\n%s", diff)
	}
}

func TestWhatIsSettledPassesUnseen(t *testing.T) {
	n := openNotify(t, NotifyOptions{})
	s := launcher(t, n)
	program := victim(t)
	all := run(t, s, spec(t, program, "numbers"))
	n.Settle(all...)
	got := run(t, s, spec(t, program, "numbers"))
	// There is no end to numbers without a name, so they are never settled.
	want := []sysno.ID{{Arch: sysno.Native(), NR: 1000}, {Arch: sysno.Native(), NR: ^uint32(0)}}
	if diff := cmp.Diff(names(want), names(got)); diff != "" {
		t.Errorf("after all is settled: want (-), got (+):\n%s", diff)
	}
	if got := run(t, s, spec(t, program, "fork")); !slices.Contains(got, native(t, "getsid")) || slices.Contains(got, native(t, "execve")) {
		t.Errorf("got %v, want getsid, which is new, and no execve", got)
	}
	for _, id := range all {
		if !slices.Contains(n.Seen(), id) {
			t.Errorf("the recorder forgot %v", id)
		}
	}
}

func TestTheTargetGetsNoDescriptorOfOurs(t *testing.T) {
	n := openNotify(t, NotifyOptions{})
	s := launcher(t, n)
	run(t, s, spec(t, "/bin/sh", "-c", `! ls -l /proc/$$/fd | grep 'seccomp\|socket\|eventfd'`))
}

func TestAnOrdinaryUserCanRecord(t *testing.T) {
	if os.Getenv("TJFUZZ_TEST_NOBODY") == "" {
		testenv.Require(t, testenv.Root)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		// The test itself lies where only root can read.
		dir := t.TempDir()
		for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		copied := filepath.Join(dir, "test")
		b, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(copied, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(testenv.Program(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
			copied, "-test.run=^TestAnOrdinaryUserCanRecord$", "-test.v")
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "TJFUZZ_TEST_NOBODY=1", "TJFUZZ_REQUIRE=")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if uid := os.Geteuid(); uid != 65534 {
		t.Fatalf("uid %d", uid)
	}
	n := openNotify(t, NotifyOptions{})
	s := launcher(t, n)
	got := run(t, s, spec(t, "/bin/sh", "-c", "grep -q '^NoNewPrivs:.1' /proc/self/status"))
	for _, name := range []string{"execve", "openat", "read", "exit_group"} {
		if !slices.Contains(got, native(t, name)) {
			t.Errorf("no %s in %v", name, got)
		}
	}
}

// TJFUZZ_LONG makes it 20,000 runs.
func TestManyRunsAreExactAndLeakNothing(t *testing.T) {
	runs := 2000
	if os.Getenv("TJFUZZ_LONG") != "" {
		runs = 20000
	}
	program := trivial(t)
	want := []sysno.ID{native(t, "execve"), native(t, "exit")}
	slices.SortFunc(want, sysno.ID.Compare)
	n := openNotify(t, NotifyOptions{})
	const workers = 2
	usage := func() (fds, threads int) {
		t.Helper()
		f, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		th, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(f), len(th)
	}
	round := func(runs int) {
		var all sync.WaitGroup
		for slot := range workers {
			all.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				s, err := n.Launcher(slot)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range runs / workers {
					how := &spawn.Spec{Init: i%2 == 0}
					how.Target.Exec(program, []string{"x"}, nil, nil)
					err := s.Begin(how)
					if err == nil {
						var p *spawn.Process
						if p, err = spawn.Start(how); err == nil {
							_, err = p.Wait(spawn.Limits{})
						}
					}
					if got := s.Seen(); err != nil || !slices.Equal(got, want) {
						t.Errorf("run %d of worker %d: got %v, %v, want %v", i, slot, got, err, want)
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
	round(20)
	fds, threads := usage()
	round(runs)
	nowFDs, nowThreads := usage()
	// The Go runtime makes a thread now and then.
	if nowFDs > fds || nowThreads > threads+8 {
		t.Errorf("%d descriptors and %d threads before, %d and %d after", fds, threads, nowFDs, nowThreads)
	}
	if got := n.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

func TestAKilledTargetEndsItsRun(t *testing.T) {
	n := openNotify(t, NotifyOptions{})
	s := launcher(t, n)
	p := start(t, s, spec(t, "/bin/sleep", "86196"))
	p.Kill()
	st, err := p.Wait(spawn.Limits{})
	s.Seen()
	if st.Signal() != unix.SIGKILL {
		t.Errorf("ended with %#x, %v, want SIGKILL", st.WaitStatus, err)
	}
	if got := run(t, s, spec(t, trivial(t))); len(got) != 2 {
		t.Errorf("the next run shows %v", got)
	}
}

func TestACancelledRunEnds(t *testing.T) {
	n := openNotify(t, NotifyOptions{})
	e, err := launch.New(launch.Options{Program: "/bin/sh", Timeout: time.Hour, Watch: func() (launch.Watcher, error) { return n.Launcher(0) }})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	busy := &fuzz.Scenario{Argv: []string{"sh", "-c", "while :; do /bin/true; done"}, Stdin: fuzz.StdinNull}
	if r, err := e.Run(ctx, busy); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v, want that the time is up", r, err)
	}
	r, err := e.Run(t.Context(), &fuzz.Scenario{Argv: []string{"sh", "-c", "exit 4"}, Stdin: fuzz.StdinNull})
	if err != nil || r.ExitCode != 4 || !slices.Contains(r.Seen, native(t, "execve")) {
		t.Errorf("the next run: got %+v, %v, want exit 4 and its syscalls", r, err)
	}
}

func TestATargetThatCannotStartIsAnErrorAndNotARun(t *testing.T) {
	n := openNotify(t, NotifyOptions{})
	s := launcher(t, n)
	for _, how := range []*spawn.Spec{spec(t, "/does/not/exist"), func() *spawn.Spec {
		how := &spawn.Spec{}
		how.Target.Chdir("/does/not/exist")
		how.Target.Exec("/bin/true", []string{"true"}, nil, nil)
		return how
	}()} {
		_, err := start(t, s, how).Wait(spawn.Limits{})
		s.Seen()
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("got %v, want ENOENT", err)
		}
	}
	if got := run(t, s, spec(t, trivial(t))); len(got) != 2 {
		t.Errorf("the next run shows %v", got)
	}
}

func TestWhatOutlivesItsRunIsStillAnswered(t *testing.T) {
	program := victim(t)
	n := openNotify(t, NotifyOptions{})
	s := launcher(t, n)
	var in, out [2]int
	for _, p := range []*[2]int{&in, &out} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	how := &spawn.Spec{}
	how.Target.Dup(in[0], 0)
	how.Target.Dup(out[1], 1)
	how.Target.Exec(program, []string{program, "straggler"}, nil, nil)
	if got := run(t, s, how); slices.Contains(got, native(t, "getsid")) {
		t.Errorf("the run shows what was made after it: %v", got)
	}
	if got := run(t, s, spec(t, trivial(t))); len(got) != 2 {
		t.Errorf("the next run shows %v", got)
	}
	b := [1]byte{'y'}
	if _, err := unix.Write(in[1], b[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Read(out[0], b[:]); err != nil || b[0] != 'y' {
		t.Fatalf("the straggler says %q, %v", b, err)
	}
	n.Linger(t.Context())
	if !slices.Contains(n.Seen(), native(t, "getsid")) {
		t.Errorf("the straggler's getsid is not in %v", n.Seen())
	}
	if got := n.Lost(); got.Late == 0 || !got.Complete() {
		t.Errorf("lost %+v, want late calls and nothing else", got)
	}
	for _, fd := range []int{in[0], in[1], out[0], out[1]} {
		unix.Close(fd)
	}
}

func TestLingerEndsWithItsContext(t *testing.T) {
	n := openNotify(t, NotifyOptions{})
	s := launcher(t, n)
	var out [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(out[0])
	how := &spawn.Spec{}
	how.Target.Dup(out[1], 3)
	how.Target.Exec("/bin/sh", []string{"sh", "-c", "sleep 86195 & echo $! >&3"}, []string{"PATH=/bin:/usr/bin"}, nil)
	run(t, s, how)
	unix.Close(out[1])
	b := make([]byte, 16)
	size, err := unix.Read(out[0], b)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	n.Linger(ctx)
	if err := exec.Command("kill", "-KILL", strings.TrimSpace(string(b[:size]))).Run(); err != nil {
		t.Error(err)
	}
	n.Linger(t.Context())
}

func TestAJudgeRefusesCallByCall(t *testing.T) {
	getpgid := native(t, "getpgid")
	program := victim(t)
	judge := func(r Ruling) func(sysno.ID, [6]uint64) Ruling {
		return func(id sysno.ID, args [6]uint64) Ruling {
			if id == getpgid && args[0] == 0x201 {
				return r
			}
			return Ruling{}
		}
	}
	n := openNotify(t, NotifyOptions{Judge: judge(Ruling{Errno: unix.EXDEV})})
	s := launcher(t, n)
	seen := run(t, s, spec(t, program, "refused"))
	if !slices.Contains(seen, getpgid) || !slices.Equal(s.Denied(), []sysno.ID{getpgid}) {
		t.Errorf("seen %v, denied %v: want getpgid in both, for it was refused for one argument", seen, s.Denied())
	}
	run(t, s, spec(t, trivial(t)))
	if got := s.Denied(); len(got) != 0 {
		t.Errorf("the next run shows %v as denied", got)
	}

	n = openNotify(t, NotifyOptions{Judge: judge(Ruling{Kill: true})})
	s, err := n.Launcher(0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	st, err := start(t, s, spec(t, program, "refused")).Wait(spawn.Limits{})
	s.Seen()
	if err != nil || st.Signal() != unix.SIGKILL || !slices.Equal(s.Denied(), []sysno.ID{getpgid}) {
		t.Errorf("ended with %#x, %v, denied %v; want SIGKILL for getpgid", st.WaitStatus, err, s.Denied())
	}
}

func TestLaunchersAreCounted(t *testing.T) {
	n := openNotify(t, NotifyOptions{})
	s, err := n.Launcher(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Launcher(1); err == nil {
		t.Error("two launchers have one slot")
	}
	if err := errors.Join(s.Release(), s.Release()); err != nil {
		t.Error(err)
	}
	if s, err = n.Launcher(1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Release(), n.Close(), n.Close()); err != nil {
		t.Error(err)
	}
	if _, err := n.Launcher(1); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v, want ErrClosed", err)
	}
}

// If the recorder is killed, its targets must not wait for an answer for ever.
func TestAKilledRecorderLeavesNoHungTarget(t *testing.T) {
	if os.Getenv("TJFUZZ_TEST_RECORDER") != "" {
		n := openNotify(t, NotifyOptions{})
		s := launcher(t, n)
		how := &spawn.Spec{}
		// Each command is a new run of many calls that have to be answered.
		how.Target.Exec("/bin/sh", []string{"sh", "-c", "echo ready; while :; do /bin/true; done"}, nil, nil)
		_, _ = start(t, s, how).Wait(spawn.Limits{})
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		cmd := exec.Command(self, "-test.run=^TestAKilledRecorderLeavesNoHungTarget$")
		cmd.Env = append(os.Environ(), "TJFUZZ_TEST_RECORDER=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// The pipe ends when the last of the target's processes has: its calls
		// fail from now on, and so do its attempts to go on.
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for b := make([]byte, 4096); err == nil; {
				_, err = out.Read(b)
			}
		}()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("the target is alive 20 s after its recorder was killed")
		}
		_ = cmd.Wait()
	}
}

func TestDetailsAreThoseThatEBPFSees(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	program := victim(t) // before the compiler would be one of the thread's programs
	rec, err := rawtp.Open(rawtp.Options{Slots: 1, Args: true, Sites: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	n := openNotify(t, NotifyOptions{Args: true, Sites: true})
	s := launcher(t, n)
	slot, err := rec.Launcher(0)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Release()
	for _, argv := range [][]string{{program, "fork"}, {"/bin/ls", "-l", "/"}, {"/usr/bin/sort", "/etc/passwd"}} {
		slot.Begin()
		run(t, s, spec(t, argv...))
	}
	ofKernel, ofUs := slot.Observations(), n.Observations()
	if len(ofKernel) != len(ofUs) {
		t.Fatalf("%d syscalls seen by eBPF, %d by notification", len(ofKernel), len(ofUs))
	}
	for i, k := range ofKernel {
		u := ofUs[i]
		if diff := cmp.Diff(k.Args, u.Args); k.ID != u.ID || diff != "" {
			t.Errorf("arguments of %v by eBPF (-) and of %v by notification (+):\n%s", k.ID, u.ID, diff)
		}
		for _, site := range k.Sites {
			if !slices.ContainsFunc(u.Sites, func(s trace.Site) bool {
				return filepath.Base(s.Module) == site.Module && s.BuildID == site.BuildID && s.Offset == site.Offset
			}) {
				t.Errorf("%v: eBPF saw it called from %+v, notification from %+v", k.ID, site, u.Sites)
			}
		}
	}
	getdents := native(t, "getdents64")
	n.Settle(getdents)
	for i, o := range n.Observations() {
		if want := o.ID == getdents || ofUs[i].MoreSites; o.MoreSites != want {
			t.Errorf("%v: more sites %v, want %v, for getdents64 alone is settled", o.ID, o.MoreSites, want)
		}
	}
	if k, n := rec.Lost(), n.Lost(); k != (trace.Lost{}) || n != (trace.Lost{}) {
		t.Errorf("lost %+v and %+v, want nothing", k, n)
	}
}
