package spawn

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// start runs a shell command as the target and waits for it.
func start(t *testing.T, spec *Spec, limits Limits, command string) (Status, error) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spec.Target.Exec("/bin/sh", []string{"sh", "-c", command}, []string{"PATH=/usr/bin:/bin"}, nil)
	p, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p.Wait(limits)
}

func TestExitCodeAndSignalPassThrough(t *testing.T) {
	for _, init := range []bool{false, true} {
		st, err := start(t, &Spec{Init: init}, Limits{}, "exit 7")
		if err != nil || st.ExitStatus() != 7 || st.Killed {
			t.Errorf("init %v, exit 7: got %+v, %v", init, st, err)
		}
		st, err = start(t, &Spec{Init: init}, Limits{}, "kill -USR1 $$")
		if err != nil || st.Signal() != unix.SIGUSR1 {
			t.Errorf("init %v, SIGUSR1: got %+v, %v", init, st, err)
		}
	}
}

func TestFailedStepIsNamed(t *testing.T) {
	for _, init := range []bool{false, true} {
		spec := &Spec{Init: init}
		spec.Target.Chdir("/does/not/exist")
		_, err := start(t, spec, Limits{}, "exit 0")
		var step *StepError
		if !errors.As(err, &step) || !errors.Is(err, unix.ENOENT) || step.Step != "chdir /does/not/exist" {
			t.Errorf("init %v: got %v, want chdir /does/not/exist: ENOENT", init, err)
		}
		spec = &Spec{Init: init}
		spec.World.Chdir("/does/not/exist")
		if _, err := start(t, spec, Limits{}, "exit 0"); !errors.As(err, &step) {
			t.Errorf("init %v: a failing world gives %v", init, err)
		}
	}
}

func TestTargetStartsWithDefaultSignalsAndNoneOfOurFiles(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spec := &Spec{}
	spec.Target.Dup(int(f.Fd()), 1)
	if _, err := start(t, spec, Limits{}, "cat /proc/self/status; ls -l /proc/$$/fd"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n", "SigCgt:\t0000000000000000\n"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the target's status lacks %q:\n%s", want, b)
		}
	}
	if n := strings.Count(string(b), f.Name()); n != 1 {
		t.Errorf("the target has %d descriptors of the file that was given as standard output alone:\n%s", n, b)
	}
}

func TestTimeoutKillsTheWholePidNamespace(t *testing.T) {
	testenv.Require(t, testenv.Root)
	marker := "86399.25"
	st, err := start(t, &Spec{Init: true, Namespaces: unix.CLONE_NEWPID}, Limits{Timeout: 100 * time.Millisecond},
		"setsid sleep "+marker+" & sleep "+marker)
	if err != nil || !st.TimedOut || !st.Killed {
		t.Errorf("got %+v, %v, want a timeout", st, err)
	}
	if out, _ := exec.Command("pgrep", "-f", "sleep "+marker).Output(); len(out) > 0 {
		t.Errorf("alive after Wait: %s", out)
	}
}

func TestWhatTheTargetLeavesIsKilledAfterGrace(t *testing.T) {
	testenv.Require(t, testenv.Root)
	st, err := start(t, &Spec{Init: true, Namespaces: unix.CLONE_NEWPID}, Limits{Timeout: time.Minute, Grace: 20 * time.Millisecond},
		"sleep 86398.5 & exit 3")
	if err != nil || st.TimedOut || !st.Left || st.ExitStatus() != 3 {
		t.Errorf("got %+v, %v, want exit 3 with something left", st, err)
	}
	st, err = start(t, &Spec{Init: true, Namespaces: unix.CLONE_NEWPID}, Limits{Timeout: time.Minute, Grace: time.Minute},
		"sleep 0.05 & exit 4")
	if err != nil || st.Left || st.ExitStatus() != 4 {
		t.Errorf("got %+v, %v, want exit 4 with nothing left", st, err)
	}
}

func TestATargetThatAsksToBeTracedHasNotEnded(t *testing.T) {
	testenv.Require(t, testenv.Root)
	src := filepath.Join(t.TempDir(), "traceme.c")
	text := "#include <sys/ptrace.h>\n#include <signal.h>\nint main(void) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGUSR1); return 6; }\n"
	if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	program := testenv.Compile(t, src)
	st, err := start(t, &Spec{Init: true, Namespaces: unix.CLONE_NEWPID}, Limits{Timeout: 200 * time.Millisecond}, "exec "+program)
	if err != nil || !st.TimedOut {
		t.Errorf("a target that stays stopped: got %+v, %v, want a timeout", st, err)
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	testenv.Require(t, testenv.Root)
	var cancel [2]int
	if err := unix.Pipe2(cancel[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(cancel[0])
	unix.Close(cancel[1])
	st, err := start(t, &Spec{Init: true, Namespaces: unix.CLONE_NEWPID}, Limits{Cancel: cancel[0]}, "sleep 86397")
	if err != nil || !st.Killed || st.TimedOut {
		t.Errorf("got %+v, %v, want killed without a timeout", st, err)
	}
}

func TestTheTargetCannotEndTheInit(t *testing.T) {
	testenv.Require(t, testenv.Root)
	st, err := start(t, &Spec{Init: true, Namespaces: unix.CLONE_NEWPID}, Limits{Timeout: 10 * time.Second},
		"kill -TERM 1; kill -KILL 1; kill -INT 1; exit 5")
	if err != nil || st.Killed || st.ExitStatus() != 5 {
		t.Errorf("got %+v, %v, want exit 5", st, err)
	}
}

func TestManyStartsLeakNoDescriptor(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	before := count()
	for range 50 {
		if _, err := start(t, &Spec{Init: true}, Limits{}, ":"); err != nil {
			t.Fatal(err)
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func BenchmarkStart(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for b.Loop() {
		spec := &Spec{}
		spec.Target.Exec("/bin/true", []string{"true"}, nil, nil)
		p, err := Start(spec)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Wait(Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAStepThatThereIsNotIsNone(t *testing.T) {
	p := &Process{spec: &Spec{}}
	p.spec.World.Chdir("a")
	p.spec.Target.Chdir("b")
	for step, want := range map[int]string{1: "chdir a", 2: "chdir b", 3: "clone", -9: "clone", 0: "clone", 1 << 30: "clone", stepLimit: "setrlimit"} {
		if got := p.stepName(step); got != want {
			t.Errorf("step %d: got %q, want %q", step, got, want)
		}
	}
}
