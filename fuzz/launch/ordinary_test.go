package launch

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// TestMain lets an ordinary user's tests make cages.
func TestMain(m *testing.M) {
	if cage.Permitted() {
		os.Exit(m.Run())
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = cage.Admission()
	if c.Run(); c.ProcessState == nil {
		os.Exit(m.Run()) // no user namespaces here
	}
	os.Exit(c.ProcessState.ExitCode())
}

// All tests of this package hold for ordinary users.
func TestOrdinaryUsers(t *testing.T) {
	testenv.Require(t, testenv.Root)
	t.Parallel()
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.count=1")
	c.Dir = "/"
	c.Env = append(os.Environ(), "HOME=/var/empty", "TJFUZZ_REQUIRE="+string(testenv.Cage))
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: unix.SIGKILL}
	out, err := c.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}
