package userland

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// own is the victim of this package's own tests.
func own(t testing.TB) string {
	return testenv.Compile(t, "testdata/traced.c", "-static", "-pthread")
}

func mustPtrace(t testing.TB, o PtraceOptions) *Ptrace {
	t.Helper()
	r, err := OpenPtrace(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// ptraceSlot makes the test's thread a launcher.
func ptraceSlot(t testing.TB, r *Ptrace, n int) *PtraceSlot {
	t.Helper()
	lock(t)
	s, err := r.Launcher(n)
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

// traced runs what spec says in a slot.
func traced(t testing.TB, s *PtraceSlot, how *spawn.Spec) spawn.Status {
	t.Helper()
	if err := s.Begin(how); err != nil {
		t.Fatal(err)
	}
	p, err := spawn.Start(how)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Started(p); err != nil {
		p.Kill()
		t.Fatal(err)
	}
	st, err := p.Wait(spawn.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// recorded runs a program in a slot, demands exit 0, and returns its syscalls.
func recorded(t testing.TB, s *PtraceSlot, argv ...string) []sysno.ID {
	t.Helper()
	if st := traced(t, s, spec(t, argv...)); !st.Exited() || st.ExitStatus() != 0 {
		t.Fatalf("%q ended with status %#x, want exit 0", argv, st.WaitStatus)
	}
	return s.Seen()
}

func nothingLost(t testing.TB, r *Ptrace) {
	t.Helper()
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

func TestPtraceHoldsExactlyTheProgramsSyscalls(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	program := trivial(t)
	for _, c := range []struct {
		name string
		init bool
	}{{"the child itself", false}, {"a child of an init that never execs", true}} {
		t.Run(c.name, func(t *testing.T) {
			how := spec(t, program)
			how.Init = c.init
			st := traced(t, s, how)
			if !st.Exited() || st.ExitStatus() != 0 {
				t.Errorf("status %#x, want exit 0", st.WaitStatus)
			}
			if diff := cmp.Diff([]string{"execve", "exit"}, names(s.Seen())); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
	nothingLost(t, r)
}

func TestPtraceFollowsEverything(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	program, traced, leaf := victim(t), own(t), trivial(t)
	for _, c := range []struct {
		argv []string
		want string // what only the followed task calls
	}{
		{[]string{program, "thread"}, "getpgid"},
		{[]string{program, "fork"}, "getsid"},
		{[]string{program, "vfork"}, "getpriority"},
		{[]string{program, "clone3"}, "getitimer"},
		{[]string{program, "exec", leaf}, "exit"},
		{[]string{program, "all", leaf}, "exit"},
		{[]string{program, "own-filter", leaf}, "getpgid"}, // which the filter refuses
		{[]string{traced, "leaderless"}, "getpgid"},
		{[]string{traced, "leaderless-exec", leaf}, "exit"},
		{[]string{traced, "new-pids"}, "getsid"},
		{[]string{traced, "killed-parents"}, "getsid"},
		{[]string{traced, "crowd"}, "getsid"},
	} {
		t.Run(strings.Join(c.argv[1:], " "), func(t *testing.T) {
			if got := recorded(t, s, c.argv...); !slices.Contains(got, native(t, c.want)) {
				t.Errorf("no %s in %v", c.want, names(got))
			}
		})
	}
	nothingLost(t, r)
}

func TestPtraceKeepsEachABIApart(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only x86 has several ABIs with tables")
	}
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	program := victim(t)
	for _, c := range []struct {
		mode    string
		want    []sysno.ID
		wantNot []sysno.ID
	}{
		{"int80", []sysno.ID{{Arch: sysno.I386, NR: 20}}, []sysno.ID{{Arch: sysno.AMD64, NR: 20}, {Arch: sysno.AMD64, NR: 39}}},
		{"x32", []sysno.ID{{Arch: sysno.X32, NR: 39}}, []sysno.ID{{Arch: sysno.AMD64, NR: 39}}},
		{"numbers", []sysno.ID{{Arch: sysno.AMD64, NR: 1000}, {Arch: sysno.AMD64, NR: 0xffffffff}}, nil},
		// The numbers of the run before must be gone.
		{"fork", nil, []sysno.ID{{Arch: sysno.AMD64, NR: 1000}, {Arch: sysno.AMD64, NR: 0xffffffff}, {Arch: sysno.X32, NR: 39}}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			if c.mode == "int80" {
				testenv.RequireCompat(t)
			}
			got := recorded(t, s, program, c.mode)
			for _, id := range c.want {
				if !slices.Contains(got, id) {
					t.Errorf("no %v in %v", id, names(got))
				}
			}
			for _, id := range c.wantNot {
				if slices.Contains(got, id) {
					t.Errorf("%v in %v", id, names(got))
				}
			}
		})
	}
	t.Run("a 32-bit program", func(t *testing.T) {
		testenv.RequireCompat(t)
		leaf := testenv.Compile(t, victims+"trivial32.c", "-m32", "-static", "-nostdlib")
		want := []string{"execve", "i386:exit"}
		if diff := cmp.Diff(want, names(recorded(t, s, leaf))); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		if got := names(recorded(t, s, program, "exec", leaf)); !slices.Contains(got, "i386:exit") {
			t.Errorf("executed by a thread: no i386:exit in %v", got)
		}
	})
	nothingLost(t, r)
}

// The kernel emulates the vsyscall page inside a page fault: no tracer is asked.
func TestPtraceDoesNotSeeTheVsyscallPage(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(maps), "[vsyscall]") {
		t.Skip("this kernel has no vsyscall page")
	}
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	if got := recorded(t, s, victim(t), "vsyscall"); slices.Contains(got, native(t, "time")) {
		t.Errorf("time in %v: the documentation says otherwise", names(got))
	}
}

func TestPtraceCountsTasksThatNoTracerIsToldOf(t *testing.T) {
	program := own(t)
	for _, c := range []struct {
		mode string
		want uint64
	}{{"untraced", 1}, {"untraced3", 1}, {"untraced-in-vain", 0}} {
		t.Run(c.mode, func(t *testing.T) {
			r := mustPtrace(t, PtraceOptions{})
			s := ptraceSlot(t, r, 0)
			recorded(t, s, program, c.mode)
			if got := r.Lost(); got.Tasks != c.want || got.Complete() != (c.want == 0) {
				t.Errorf("lost %+v, want %d tasks", got, c.want)
			}
		})
	}
}

func TestPtraceCountsNumbersThatDoNotFit(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	s.odd = maxOdd - 8
	odd := 0
	for _, id := range recorded(t, s, victim(t), "odds") {
		if id.NR >= 1000 {
			odd++
		}
	}
	if lost := r.Lost(); odd != 8 || lost.Beyond != 12 || lost.Complete() {
		t.Errorf("kept %d of 20 numbers in a table of 8, lost %+v", odd, lost)
	}
}

func TestTracedProgramsSeeNothingOfIt(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{Returns: true, Args: true, Sites: true})
	s := ptraceSlot(t, r, 0)
	program := own(t)
	for _, mode := range []string{"traps", "queues", "stop", "stopped-threads", "sleeper"} {
		t.Run(mode, func(t *testing.T) { recorded(t, s, program, mode) })
	}
	// But for this.
	t.Run("tracer", func(t *testing.T) { recorded(t, s, program, "tracer") })
	nothingLost(t, r)
}

func TestPtraceChangesNoEnd(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, command := range []string{
		"exit 0", "exit 7", "exit 255", "kill -KILL $$", "kill -TERM $$", "kill -SEGV $$", "kill -ABRT $$", "kill -PIPE $$",
		"kill -TRAP $$", "kill -USR1 $$", "kill -CHLD $$; kill -URG $$; kill -WINCH $$; exit 3", "(while kill -CONT $$; do sleep 0.01; done 2>/dev/null) & kill -STOP $$; kill $!; exit 4",
		"(exit 9)", "exec false", "trap 'exit 12' TERM; kill -TERM $$; exit 1", "ulimit -c 0; kill -QUIT $$",
	} {
		t.Run(command, func(t *testing.T) {
			p, err := spawn.Start(spec(t, "/bin/sh", "-c", command))
			if err != nil {
				t.Fatal(err)
			}
			want, err := p.Wait(spawn.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := traced(t, s, spec(t, "/bin/sh", "-c", command)); got != want {
				t.Errorf("traced %#x, untraced %#x", got.WaitStatus, want.WaitStatus)
			}
		})
	}
	nothingLost(t, r)
}

func TestAProgramThatCannotBeExecutedIsToldAsUntraced(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	for _, init := range []bool{false, true} {
		how := spec(t, "/no/such/program")
		how.Init = init
		if err := s.Begin(how); err != nil {
			t.Fatal(err)
		}
		p, err := spawn.Start(how)
		if err == nil {
			err = s.Started(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		var step *spawn.StepError
		if _, err := p.Wait(spawn.Limits{}); !errors.As(err, &step) || step.Step != "execve /no/such/program" {
			t.Errorf("init %v: got %v, want that execve failed", init, err)
		}
		if got := s.Seen(); len(got) != 0 {
			t.Errorf("init %v: seen %v", init, names(got))
		}
	}
}
