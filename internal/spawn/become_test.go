package spawn

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// becoming runs the test of this name again, in a process that becomes what that says.
func becoming(t *testing.T) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), "TJFUZZ_BECOMES=yes")
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	return c, &said
}

// becomeOrTell does it. Where that fails, the process says so.
func becomeOrTell(s *Script) {
	fmt.Println(Become(s))
	os.Exit(3)
}

func TestAProcessBecomesTheProgram(t *testing.T) {
	if os.Getenv("TJFUZZ_BECOMES") != "" {
		var s Script
		s.NoNewPrivs()
		s.Ignore(unix.SIGPIPE)
		s.Exec("/bin/sh", []string{"sh", "-c", "echo $$; grep -h '^Threads\\|^Sig[BI]\\|^Seccomp:' /proc/self/status; exit 7"}, []string{"PATH=/usr/bin:/bin"}, refusing(unix.SYS_REBOOT))
		becomeOrTell(&s)
	}
	c, said := becoming(t)
	_ = c.Run()
	want := fmt.Sprintf("%d\nThreads:\t1\nSigBlk:\t%016x\nSigIgn:\t%016x\nSeccomp:\t2\n", c.Process.Pid, 0, 1<<(unix.SIGPIPE-1))
	if said.String() != want || c.ProcessState.ExitCode() != 7 {
		t.Errorf("%v, got\n%swant exit status 7 and\n%s", c.ProcessState, said, want)
	}
}

// The filter kills the thread that fails at anything but execve, so another one tells.
func TestAProcessThatCannotBecomeTheProgramSaysSo(t *testing.T) {
	if os.Getenv("TJFUZZ_BECOMES") != "" {
		only := [4]unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_EXECVE, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		}
		var s Script
		s.NoNewPrivs()
		s.Exec("/does/not/exist", []string{"x"}, nil, unsafe.Slice((*byte)(unsafe.Pointer(&only)), unsafe.Sizeof(only)))
		becomeOrTell(&s)
	}
	for _, processors := range []string{"1", "4"} {
		c, said := becoming(t)
		c.Env = append(c.Env, "GOMAXPROCS="+processors)
		_ = c.Run()
		if want := "execve /does/not/exist: no such file or directory"; c.ProcessState.ExitCode() != 3 || !strings.Contains(said.String(), want) {
			t.Errorf("GOMAXPROCS=%s: %v, %q, want exit status 3 and %q", processors, c.ProcessState, said, want)
		}
	}
}

func TestAProcessCannotBecomeNothing(t *testing.T) {
	if err := Become(new(Script)); err == nil {
		t.Error("no error")
	}
}
