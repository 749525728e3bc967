package spawn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// held starts a target that is held and makes the directory at path.
func held(t testing.TB, init bool, path string) *Process {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	spec := &Spec{Init: init, Hold: true}
	spec.World.Mkdir(path)
	spec.Target.Exec("/bin/true", []string{"true"}, nil, nil)
	p, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestAHeldChildDoesNothingUntilItIsResumed(t *testing.T) {
	for _, init := range []bool{false, true} {
		t.Run(fmt.Sprintf("init %v", init), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "made")
			p := held(t, init, path)
			// A tracer that has it stopped knows that it got no further.
			if err := unix.PtraceSeize(p.Pid); err != nil {
				t.Fatal(err)
			}
			if err := unix.PtraceInterrupt(p.Pid); err != nil {
				t.Fatal(err)
			}
			var ws unix.WaitStatus
			if _, err := unix.Wait4(p.Pid, &ws, unix.WALL, nil); err != nil || !ws.Stopped() {
				t.Fatalf("the held child: status %#x, %v, want stopped", ws, err)
			}
			if exists(path) {
				t.Error("it has begun before Resume")
			}
			if err := unix.PtraceDetach(p.Pid); err != nil {
				t.Fatal(err)
			}
			if err := p.Resume(); err != nil {
				t.Fatal(err)
			}
			if st, err := p.Wait(Limits{}); err != nil || st.ExitStatus() != 0 {
				t.Errorf("got %+v, %v, want exit 0", st, err)
			}
			if !exists(path) {
				t.Error("it has done nothing after Resume")
			}
		})
	}
}

func TestAHeldChildThatIsWaitedForEndsWithoutHavingRun(t *testing.T) {
	for _, init := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "made")
		p := held(t, init, path)
		if _, err := p.Wait(Limits{}); !errors.Is(err, ErrNotResumed) {
			t.Errorf("init %v: got %v, want %v", init, err, ErrNotResumed)
		}
		if exists(path) {
			t.Errorf("init %v: it has run", init)
		}
	}
}

func TestResumeRefusesWhatIsNotHeld(t *testing.T) {
	p := held(t, false, filepath.Join(t.TempDir(), "made"))
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := p.Resume(); err == nil {
		t.Error("a second Resume: no error")
	}
	if _, err := p.Wait(Limits{}); err != nil {
		t.Fatal(err)
	}
}

func TestAKilledHeldChildCanBeResumedAndTellsThatItWasKilled(t *testing.T) {
	p := held(t, false, filepath.Join(t.TempDir(), "made"))
	p.Kill()
	if err := p.Resume(); err != nil {
		t.Error(err)
	}
	if st, err := p.Wait(Limits{}); err != nil || st.Signal() != unix.SIGKILL {
		t.Errorf("got %+v, %v, want SIGKILL", st, err)
	}
}

// The children have the standard output of the process that started them, so it
// comes to its end with the last of them.
func TestHeldChildrenEndWithTheirParent(t *testing.T) {
	const role = "TJFUZZ_TEST_HOLDS"
	if os.Getenv(role) != "" {
		for range 3 {
			held(t, false, "/nowhere")
		}
		fmt.Print("x")
		select {}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), role+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestWaitTakesTheEndOfADelegatedChildFromElsewhere(t *testing.T) {
	p := held(t, false, filepath.Join(t.TempDir(), "made"))
	ended, err := p.Delegate()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &ws, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	p.Kill() // reaches nobody
	ended(ws)
	if st, err := p.Wait(Limits{}); err != nil || st.WaitStatus != ws || !p.Delegated() {
		t.Errorf("got %+v, %v, want status %#x", st, err, ws)
	}
}
