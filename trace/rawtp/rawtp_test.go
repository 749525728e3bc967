package rawtp

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// TJFUZZ_LONG makes it 20,000 runs.
func TestEveryRunHoldsExactlyItsOwnSyscalls(t *testing.T) {
	runs := 2000
	if os.Getenv("TJFUZZ_LONG") != "" {
		runs = 20000
	}
	for _, workers := range []int{1, 2} {
		t.Run(map[int]string{1: "one worker", 2: "two workers"}[workers], func(t *testing.T) {
			r := mustOpen(t, Options{Slots: workers})
			program := trivial(t)
			null := devNull(t)
			want := []sysno.ID{id(t, sysno.Native(), "execve"), id(t, sysno.Native(), "exit")}
			slices.SortFunc(want, sysno.ID.Compare)
			done := make(chan bool)
			for slot := range workers {
				go func() {
					defer func() { done <- true }()
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					s, err := r.Launcher(slot)
					if err != nil {
						t.Error(err)
						return
					}
					defer s.Release()
					for n := range runs / workers {
						s.Begin()
						pid, err := start([]string{program}, null, null, null)
						if err == nil {
							_, err = wait(pid)
						}
						if err != nil {
							t.Errorf("run %d: %v", n, err)
							return
						}
						if got := s.Seen(); !slices.Equal(got, want) {
							t.Errorf("run %d of worker %d: got %v, want %v", n, slot, got, want)
							return
						}
					}
				}()
			}
			for range workers {
				<-done
			}
			if got := r.Seen(); !slices.Equal(got, want) {
				t.Errorf("session: got %v, want %v", got, want)
			}
			if got := r.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}

func TestSeesWhatStraceSees(t *testing.T) {
	r := mustOpen(t, Options{})
	program, leaf := victim(t), trivial(t)
	const runs = 3
	for _, c := range []struct {
		name string
		argv []string
		want string // a syscall that only the followed child makes
	}{
		{"thread", []string{program, "thread"}, "getpgid"},
		{"fork", []string{program, "fork"}, "getsid"},
		{"vfork", []string{program, "vfork"}, "getpriority"},
		{"clone3", []string{program, "clone3"}, "getitimer"},
		{"exec by a thread that is not the leader", []string{program, "exec", leaf}, "exit"},
		{"dynamic program", []string{"/bin/ls", "-l", "/"}, "openat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := launcher(t, r, 3)
			var ids []sysno.ID
			for range runs {
				s.Begin()
				run(t, c.argv...)
				ids = append(ids, s.Seen()...)
			}
			got := slices.Compact(names(ids))
			if !slices.Contains(got, c.want) {
				t.Errorf("no %s in %v", c.want, got)
			}
			// Whether pthread_join has to wait is a matter of timing.
			timed := func(name string) bool { return name == "futex" }
			want := slices.DeleteFunc(straced(t, runs, c.argv...), timed)
			if diff := cmp.Diff(want, slices.DeleteFunc(got, timed)); diff != "" {
				t.Errorf("strace -f (-) and the recorder (+) differ:\n%s", diff)
			}
		})
	}
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

func TestFollowsThroughAnInitThatNeverExecs(t *testing.T) {
	r := mustOpen(t, Options{Slots: 1})
	program := trivial(t)
	s := launcher(t, r, 0)
	status := runFiltered(t, 0, nil, true, program)
	if !status.Exited() || status.ExitStatus() != 0 {
		t.Fatalf("status %#x, want exit 0", status)
	}
	if diff := cmp.Diff([]string{"execve", "exit"}, names(s.Seen())); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestKeepsEachABIApart(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only x86 has several ABIs with tables")
	}
	r := mustOpen(t, Options{})
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
			s := launcher(t, r, 0)
			run(t, program, c.mode)
			got, all := s.Seen(), r.Seen()
			if !slices.IsSortedFunc(got, sysno.ID.Compare) {
				t.Errorf("not sorted: %v", got)
			}
			for _, id := range c.want {
				if !slices.Contains(got, id) || !slices.Contains(all, id) {
					t.Errorf("no %v in %v", id, got)
				}
			}
			for _, id := range c.wantNot {
				if slices.Contains(got, id) {
					t.Errorf("%v in %v", id, got)
				}
			}
		})
	}
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

func TestA32BitProgramIsOneFromItsExecOn(t *testing.T) {
	testenv.RequireCompat(t)
	r := mustOpen(t, Options{Denials: true})
	program := compile(t, "trivial32.c", append([]string{"-m32"}, trivialFlags...))
	s := launcher(t, r, 0)
	run(t, program)
	if diff := cmp.Diff([]string{"execve", "i386:exit"}, names(s.Seen())); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestSeesTheVsyscallPage(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(maps), "[vsyscall]") {
		t.Skip("this kernel has no vsyscall page")
	}
	r := mustOpen(t, Options{})
	program := victim(t)
	s := launcher(t, r, 0)
	run(t, program, "vsyscall")
	if got := s.Seen(); !slices.Contains(got, id(t, sysno.AMD64, "time")) {
		t.Errorf("no time in %v", got)
	}
}

func TestCountsNumbersThatDoNotFit(t *testing.T) {
	r := mustOpenBounded(t, Options{}, bounds{events: 4096, odds: 8, denials: 1})
	program := victim(t)
	s := launcher(t, r, 0)
	run(t, program, "odds")
	odd := 0
	for _, id := range s.Seen() {
		if id.NR >= 1000 {
			odd++
		}
	}
	if odd == 0 || odd >= 20 {
		t.Errorf("kept %d of 20 numbers in a table of 8 entries", odd)
	}
	if lost := r.Lost(); lost.Beyond == 0 || lost.Complete() {
		t.Errorf("lost %+v, want numbers beyond the table", lost)
	}
}

func TestAStragglerIsLateAndNotInTheNextRun(t *testing.T) {
	r := mustOpen(t, Options{})
	program, leaf := victim(t), trivial(t)
	s := launcher(t, r, 0)
	stdin, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	done, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer done.Close()

	s.Begin()
	pid, err := start([]string{program, "straggler"}, stdin, stdout, stdout)
	if err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	if _, err := wait(pid); err != nil {
		t.Fatal(err)
	}
	getsid := id(t, sysno.Native(), "getsid")
	if got := s.Seen(); slices.Contains(got, getsid) || !slices.Contains(got, id(t, sysno.Native(), "setsid")) {
		t.Errorf("first run: %v; want setsid and not yet getsid", got)
	}
	if got := r.Lost().Late; got != 0 {
		t.Errorf("late %d before anything was", got)
	}

	s.Begin()
	if _, err := feed.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	// It answers after its call.
	if _, err := done.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	run(t, leaf)
	if diff := cmp.Diff([]string{"execve", "exit"}, names(s.Seen())); diff != "" {
		t.Errorf("second run: want (-), got (+):\n%s", diff)
	}
	if got := r.Seen(); !slices.Contains(got, getsid) {
		t.Errorf("session: no getsid in %v", got)
	}
	lost := r.Lost()
	if lost.Late < 2 { // getsid, write
		t.Errorf("late %d, want 2 at least", lost.Late)
	}
	if lost.Late = 0; lost != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", lost)
	}
	feed.Close()
	if _, err := done.Read(make([]byte, 1)); err == nil {
		t.Error("the straggler is still there")
	}
}

func TestAThreadThatIsNoLauncherIsNotRecorded(t *testing.T) {
	r := mustOpen(t, Options{Slots: 1})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	program := trivial(t)
	run(t, program)
	if got := r.Seen(); len(got) != 0 {
		t.Errorf("before Launcher: %v", got)
	}
	s, err := r.Launcher(0)
	if err != nil {
		t.Fatal(err)
	}
	run(t, program)
	if got := len(s.Seen()); got != 2 {
		t.Errorf("launcher: %d syscalls, want 2", got)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	s, err = r.Launcher(0)
	if err != nil {
		t.Fatalf("mark again after Release: %v", err)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	run(t, program)
	if got := s.Seen(); len(got) != 0 {
		t.Errorf("after Release: %v", got)
	}
}

func TestLauncherRefuses(t *testing.T) {
	r := mustOpen(t, Options{Slots: 2})
	launcher(t, r, 0)
	if _, err := r.Launcher(1); err == nil || !strings.Contains(err.Error(), "launcher already") {
		t.Errorf("a second slot for one thread: got %v, want that it is a launcher already", err)
	}
	for _, c := range []struct {
		name string
		slot int
		want string
	}{
		{"a slot below", -1, "slot -1 of 2"},
		{"a slot beyond", 2, "slot 2 of 2"},
		{"a taken slot", 0, "slot 0 has one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.Launcher(c.slot); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestReleaseOnAnotherThreadIsAnError(t *testing.T) {
	r := mustOpen(t, Options{Slots: 1})
	s := launcher(t, r, 0)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		failed <- s.Release()
	}()
	if err := <-failed; err == nil {
		t.Error("Release on another thread: no error")
	}
}

func TestOpenRefusesSlots(t *testing.T) {
	for _, slots := range []int{-1, MaxSlots + 1} {
		if r, err := Open(Options{Slots: slots}); err == nil {
			r.Close()
			t.Errorf("%d slots: no error", slots)
		}
	}
}

func TestCloseKeepsTheRecordAndNothingElse(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	program := victim(t)
	// The first Open makes the Go runtime's poller.
	mustOpen(t, Options{Denials: true, Events: true}).Close()
	before := descriptors(t)

	r := mustOpen(t, Options{Denials: true, Events: true})
	held, err := objectsOf(r)
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := r.Launcher(0)
	if err != nil {
		t.Fatal(err)
	}
	runFiltered(t, refuse(1), []uint32{getpgid64}, false, program, "refused")
	seen, denied, lost, dropped := r.Seen(), r.Denied(), r.Lost(), r.Dropped()
	if getpgid := []sysno.ID{{Arch: sysno.Native(), NR: getpgid64}}; !slices.Equal(denied, getpgid) {
		t.Errorf("denied %v, want %v", denied, getpgid)
	}
	denials, err := r.Denials()
	if err != nil || len(denials) == 0 {
		t.Fatalf("denials: %v, %v", denials, err)
	}

	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
	after, err := r.Denials()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(denials, after); diff != "" || len(seen) == 0 || !slices.Equal(seen, r.Seen()) || !slices.Equal(denied, r.Denied()) || lost != r.Lost() || dropped != r.Dropped() {
		t.Errorf("the record changed with Close: %v, %v, %v\n%s", r.Seen(), r.Lost(), r.Dropped(), diff)
	}
	s.Begin()
	if got := s.Seen(); got != nil {
		t.Errorf("a slot of a closed recorder holds %v", got)
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	if _, err := r.Launcher(1); err == nil {
		t.Error("Launcher of a closed recorder: no error")
	}
	held.wantGone(t)
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
