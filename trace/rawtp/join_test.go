package rawtp

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// onThread calls a function on a thread that nothing else uses before or after.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good
		f()
	}()
	<-done
}

// holds asks for one syscall and that others are absent: the Go runtime may make some of
// its own on the thread.
func holds(t *testing.T, seen []sysno.ID, want string, absent ...string) {
	t.Helper()
	if !slices.Contains(seen, id(t, sysno.Native(), want)) {
		t.Errorf("got %v, want %s in it", seen, want)
	}
	for _, name := range absent {
		if slices.Contains(seen, id(t, sysno.Native(), name)) {
			t.Errorf("got %v, want no %s in it", seen, name)
		}
	}
}

func TestAThreadIsRecordedFromItsJoinToItsLeave(t *testing.T) {
	for _, o := range []Options{{Slots: 2}, {Slots: 2, Denials: true}, {Slots: 2, Returns: true, Args: true, Sites: true}} {
		r := mustOpen(t, o)
		onThread(func() {
			s, err := r.Launcher(1)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Release()
			s.Begin()
			onThread(func() {
				request := func(nr uintptr, a [6]uintptr) { unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]) }
				unix.RawSyscall(unix.SYS_GETSID, 0, 0, 0)
				request(s.Join())
				unix.RawSyscall(unix.SYS_GETPGID, 0, 0, 0)
				request(s.Leave())
				unix.RawSyscall(unix.SYS_GETPRIORITY, 0, 0, 0)
			})
			holds(t, s.Seen(), "getpgid", "getsid", "getpriority", "getppid")
			holds(t, r.Seen(), "getpgid", "getsid", "getpriority", "getppid")
			if got := s.Denied(); len(got) != 0 {
				t.Errorf("%+v: denied %v, want nothing", o, got)
			}
		})
		got := r.Lost()
		if o.Sites { // of which one is lost when another thread of this process changes the memory's map at that moment
			got.Details = 0
		}
		if got != (trace.Lost{}) {
			t.Errorf("%+v: lost %+v, want nothing", o, got)
		}
	}
}

func TestJoinForAnotherRunCountsThere(t *testing.T) {
	r := mustOpen(t, Options{Slots: 1})
	onThread(func() {
		s, err := r.Launcher(0)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Release()
		for _, call := range []struct {
			nr          uintptr
			name, other string
		}{{unix.SYS_GETSID, "getsid", "getpgid"}, {unix.SYS_GETPGID, "getpgid", "getsid"}} {
			s.Begin()
			onThread(func() {
				nr, a := s.Join()
				unix.RawSyscall(nr, a[0], a[1], a[2])
				unix.RawSyscall(call.nr, 0, 0, 0)
				nr, a = s.Leave()
				unix.RawSyscall(nr, a[0], a[1], a[2])
			})
			holds(t, s.Seen(), call.name, call.other)
		}
	})
}

func TestRunInDoubtLeavesNothingUnlessItIsKept(t *testing.T) {
	const odd = 1000 // a number outside the sets
	r := mustOpen(t, Options{Slots: 1, Denials: true})
	onThread(func() {
		s, err := r.Launcher(0)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Release()
		one := func(doubt bool, calls ...uintptr) {
			s.Begin()
			if doubt {
				s.Doubt()
			}
			onThread(func() {
				request := func(nr uintptr, a [6]uintptr) { unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]) }
				request(s.Join())
				for _, nr := range calls {
					unix.RawSyscall(nr, 0, 0, 0)
				}
				request(s.Leave())
			})
		}
		of := func(seen []sysno.ID, nr uint32) bool {
			return slices.Contains(seen, sysno.ID{Arch: sysno.Native(), NR: nr})
		}
		observed := func() (ids []sysno.ID) {
			for _, o := range s.Observations() {
				ids = append(ids, o.ID)
			}
			return ids
		}
		one(true, unix.SYS_GETSID, odd)
		holds(t, s.Seen(), "getsid")
		if !of(s.Seen(), odd) {
			t.Errorf("the run shows %v, want %d in it", s.Seen(), odd)
		}
		one(false, unix.SYS_GETPGID)
		for what, ids := range map[string][]sysno.ID{"recorder": r.Seen(), "slot": observed()} {
			holds(t, ids, "getpgid", "getsid")
			if of(ids, odd) {
				t.Errorf("the %s has %d, which was in doubt", what, odd)
			}
		}
		one(true, unix.SYS_GETPRIORITY, odd+1)
		if err := s.Keep(); err != nil {
			t.Error(err)
		}
		holds(t, s.Seen(), "getpriority", "getpgid")
		for what, ids := range map[string][]sysno.ID{"recorder": r.Seen(), "slot": observed()} {
			holds(t, ids, "getpriority", "getsid")
			if !of(ids, odd+1) {
				t.Errorf("the %s lacks %d, which was kept", what, odd+1)
			}
		}
	})
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

// A process makes copies of itself as those do that were built for a fuzzer: what it does is
// not recorded once it serves, nor what a copy does before it closes a descriptor.
func TestCopiesOfAServerAreRecordedFromACloseOn(t *testing.T) {
	program := testenv.Compile(t, "testdata/server.c")
	for _, o := range []Options{{Slots: 1}, {Slots: 1, Denials: true}, {Slots: 1, Returns: true, Args: true, Sites: true}} {
		r := mustOpen(t, o)
		s := launcher(t, r, 0)
		ask, asked, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		told, tell, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*os.File{ask, asked, told, tell} {
			defer f.Close()
		}
		s.Begin()
		s.Doubt()
		c := exec.Command(program)
		c.ExtraFiles = []*os.File{ask, tell}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		answer := func() {
			t.Helper()
			if _, err := told.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		answer()
		holds(t, s.Seen(), "getpgid")
		if err := s.Serve(c.Process.Pid, 4); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s.Begin()
			if _, err := asked.Write([]byte{0}); err != nil {
				t.Fatal(err)
			}
			answer()
			holds(t, s.Seen(), "getpriority", "getsid", "close", "getpgid", "wait4", "clone", "fork")
		}
		asked.Close()
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		holds(t, r.Seen(), "getpriority", "getsid", "close", "getpgid", "wait4", "clone", "fork")
		if got := r.Lost(); got != (trace.Lost{}) {
			t.Errorf("%+v: lost %+v, want nothing", o, got)
		}
		if err := s.Serve(os.Getpid(), 4); err == nil {
			t.Error("a process that is not recorded serves")
		}
		r.Close()
	}
}
