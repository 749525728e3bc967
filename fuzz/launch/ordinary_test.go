package launch

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// unadmitted in the environment keeps TestMain from what it does for ordinary users.
const unadmitted = "TJFUZZ_TEST_UNADMITTED"

// TestMain lets an ordinary user's tests make cages.
func TestMain(m *testing.M) {
	if cage.Permitted() || os.Getenv(unadmitted) != "" {
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

// All tests of this package hold for ordinary users, and those without a cage where
// users may not make user namespaces too.
func TestOrdinaryUsers(t *testing.T) {
	testenv.Require(t, testenv.Root)
	for _, tt := range []struct {
		name, tests string
		env         []string
	}{
		{"admitted", ".", []string{"TJFUZZ_REQUIRE=" + string(testenv.Cage)}},
		{"not admitted", "WithoutACage", []string{unadmitted + "=1", "TJFUZZ_REQUIRE=all"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.count=1", "-test.run", tt.tests)
			c.Dir = "/"
			c.Env = slices.Concat(os.Environ(), []string{"HOME=/var/empty"}, tt.env)
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: unix.SIGKILL}
			out, err := c.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}
