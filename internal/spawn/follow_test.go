package spawn

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that has ended has no memory, whether somebody has waited for it or not.
func TestWhatHasEndedHasNoMemory(t *testing.T) {
	c := exec.Command("true")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		for _, name := range []string{"maps", "auxv"} {
			if b, err := Look(c.Process.Pid, name); !errors.Is(err, unix.ESRCH) {
				t.Errorf("%s, %s: got %q, %v", when, name, b, err)
			}
		}
	}
	look("before anybody has waited")
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	look("afterwards")
	if b, err := Look(os.Getpid(), "auxv"); err != nil || len(b) == 0 {
		t.Errorf("this process: got %q, %v", b, err)
	}
}
