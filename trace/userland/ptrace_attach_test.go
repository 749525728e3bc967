package userland

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// stranger is a program that is no child of the test's, for nobody attaches to their
// own.
type stranger struct {
	pid   int
	shell *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
}

// meet starts a program below a shell.
func meet(t testing.TB, argv ...string) *stranger {
	t.Helper()
	s := &stranger{shell: exec.CommandContext(t.Context(), "sh", append([]string{"-c", `exec 3<&0; sh -c 'echo $$; exec "$@"' sh "$@" <&3 & exec 3<&-; wait $!`, "sh"}, argv...)...)}
	in, err := s.shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.shell.Stderr = os.Stderr
	s.in, s.out = in, bufio.NewReader(out)
	if err := s.shell.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := s.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if s.pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(s.pid, unix.SIGKILL) })
	return s
}

func (s *stranger) say(t testing.TB, word string) {
	t.Helper()
	if _, err := io.WriteString(s.in, word); err != nil {
		t.Fatal(err)
	}
}

func (s *stranger) hear(t testing.TB, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(s.out, got); err != nil || string(got) != want {
		t.Fatalf("the program says %q, %v, want %q", got, err, want)
	}
}

// end closes the program's standard input and demands exit 0.
func (s *stranger) end(t testing.TB) {
	t.Helper()
	s.in.Close()
	if err := s.shell.Wait(); err != nil {
		t.Errorf("the program ended with %v, want exit 0", err)
	}
}

func attach(t testing.TB, r *Ptrace, pids ...int) *PtraceSlot {
	t.Helper()
	s, err := r.Attach(0, pids)
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

func demand(t testing.TB, got []sysno.ID, calls ...string) {
	t.Helper()
	for _, name := range calls {
		if !slices.Contains(got, native(t, name)) {
			t.Errorf("no %s in %v", name, names(got))
		}
	}
}

func TestPtraceAttachesToATreeOfProcessesAndThreads(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	p := meet(t, own(t), "tree")
	p.hear(t, "t")
	s := attach(t, r, p.pid)
	// Four processes, three of which have a second thread.
	if n, err := s.Alive(); n != 7 || err != nil {
		t.Errorf("%d tasks are traced, %v, want 7", n, err)
	}
	p.end(t)
	demand(t, s.Seen(), "getsid", "getpgid", "getpriority", "getitimer")
	nothingLost(t, r)
}

func TestAReleasedProcessGoesOnUnrecorded(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	p := meet(t, own(t), "serves")
	p.hear(t, "r")
	s := attach(t, r, p.pid)
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	p.say(t, "a")
	p.hear(t, "a")
	if got := s.Seen(); slices.Contains(got, native(t, "getsid")) {
		t.Errorf("after Release: getsid in %v", names(got))
	}
	s = attach(t, r, p.pid)
	p.say(t, "b")
	p.hear(t, "b")
	demand(t, s.Seen(), "getsid", "getpgid")
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	p.say(t, "c")
	p.hear(t, "c")
	p.end(t)
	nothingLost(t, r)
}

func TestPtraceAttachesToAStoppedProcessWhichStaysSo(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	p := meet(t, own(t), "serves")
	p.hear(t, "r")
	if err := unix.Kill(p.pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s := attach(t, r, p.pid)
	p.say(t, "a")
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	// On its way from one kind of stop to the other it runs, in the kernel.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
		if err == nil && strings.Contains(string(status), "\nState:\tT (stopped)\n") {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%v, not stopped after Release:\n%s", err, status)
		}
	}
	if err := unix.Kill(p.pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.hear(t, "a")
	p.end(t)
}

func TestPtraceAttachesUnderChurnAndMissesNothingFromThenOn(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	program := own(t)
	for range 5 {
		p := meet(t, program, "churn")
		p.hear(t, "c")
		s := attach(t, r, p.pid)
		if err := unix.Kill(p.pid, unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		said := map[byte]bool{}
		for len(said) < 2 {
			c, err := p.out.ReadByte()
			if err != nil {
				t.Fatal(err)
			}
			said[c] = true
		}
		demand(t, s.Seen(), "getpriority", "getitimer")
		if err := s.Release(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(p.pid, unix.SIGKILL); err != nil {
			t.Errorf("after Release: %v", err)
		}
		if _, err := io.Copy(io.Discard, p.out); err != nil {
			t.Fatal(err)
		}
		_ = p.shell.Wait()
	}
	nothingLost(t, r)
}

func TestPtraceSaysWhyItCannotAttach(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	p := meet(t, own(t), "serves")
	p.hear(t, "r")
	attach(t, r, p.pid)
	if _, err := r.Attach(1, []int{p.pid}); err == nil || !strings.Contains(err.Error(), "another tracer has it") {
		t.Errorf("got %v, want that another tracer has it", err)
	}
	if _, err := r.Attach(0, []int{p.pid}); err == nil || !strings.Contains(err.Error(), "slot 0 is taken") {
		t.Errorf("got %v, want that the slot is taken", err)
	}
	p.say(t, "a")
	p.hear(t, "a")
	p.end(t)
}

// What a program outside a pid namespace leaves behind is let go.
func TestWhatALaunchedProgramLeavesBehindGoesOn(t *testing.T) {
	r := mustPtrace(t, PtraceOptions{})
	s := ptraceSlot(t, r, 0)
	stdin, feed := pipe(t)
	heard, stdout := pipe(t)
	spec := &spawn.Spec{}
	spec.Target.Dup(int(stdin.Fd()), 0)
	spec.Target.Dup(int(stdout.Fd()), 1)
	spec.Target.Exec(own(t), []string{"traced", "daemonizes"}, nil, nil)
	if st := traced(t, s, spec); !st.Exited() || st.ExitStatus() != 0 {
		t.Errorf("status %#x, want exit 0", st.WaitStatus)
	}
	s.Seen()
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	stdin.Close()
	stdout.Close()
	feed.Close()
	if got, err := io.ReadAll(heard); string(got) != "de" || err != nil {
		t.Errorf("what is left says %q, %v, want %q", got, err, "de")
	}
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

const roleEnv = "TJFUZZ_TEST_TRACER"

// role runs the test again as another process, with something in the environment,
// kills that when it or what it launches says something, and waits until nobody has
// its standard output open any more.
func role(t *testing.T, env string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestAnAttachedProcessOutlivesAKilledTracer(t *testing.T) {
	if pid, err := strconv.Atoi(os.Getenv(roleEnv)); err == nil {
		r, err := OpenPtrace(PtraceOptions{})
		if err == nil {
			_, err = r.Attach(0, []int{pid})
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Print("x")
		select {}
	}
	p := meet(t, own(t), "serves")
	p.hear(t, "r")
	role(t, fmt.Sprintf("%s=%d", roleEnv, p.pid))
	p.say(t, "a")
	p.hear(t, "a")
	p.end(t)
}

func TestALaunchedProgramEndsWithAKilledTracer(t *testing.T) {
	if os.Getenv(roleEnv) != "" {
		runtime.LockOSThread()
		r, err := OpenPtrace(PtraceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Launcher(0)
		if err != nil {
			t.Fatal(err)
		}
		spec := &spawn.Spec{}
		spec.Target.Exec("/bin/sh", []string{"sh", "-c", "setsid sleep 86196 & echo y; sleep 86196"}, []string{"PATH=/usr/bin:/bin"}, nil)
		if err := s.Begin(spec); err != nil {
			t.Fatal(err)
		}
		p, err := spawn.Start(spec)
		if err == nil {
			err = s.Started(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		select {}
	}
	role(t, roleEnv+"=1")
}
