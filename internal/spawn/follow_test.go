package spawn

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
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

// The files of what has no memory any more are root's, and so not for its own user.
func TestWhatHasEndedHasNoMemoryForItsUser(t *testing.T) {
	testenv.Require(t, testenv.Root)
	c := exec.Command("/proc/self/exe", "-test.count=1", "-test.run", "^TestWhatHasEndedHasNoMemory$")
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: unix.SIGKILL}
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v: %s", err, out)
	}
}
