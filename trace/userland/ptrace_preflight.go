package userland

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// PtraceError says why this process cannot trace on this machine.
type PtraceError struct {
	Missing string // the right or the feature that is missing
	Mend    string // what to do about it
}

func (e *PtraceError) Error() string {
	return fmt.Sprintf("ptrace recorder cannot run: %s; %s", e.Missing, e.Mend)
}

// PtracePreflight reports as a *PtraceError what keeps OpenPtrace from working here,
// or nil when nothing does: it traces a child of its own.
func PtracePreflight() error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and it ends with the goroutine
		failed <- preflight()
	}()
	return <-failed
}

func preflight() (err error) {
	spec := &spawn.Spec{Hold: true}
	spec.Target.Exec("/", nil, nil, nil)
	p, err := spawn.Start(spec)
	if err != nil {
		return fmt.Errorf("start a child to trace: %w", err)
	}
	defer func() {
		p.Kill()
		if _, e := p.Wait(spawn.Limits{}); err == nil && !errors.Is(e, spawn.ErrNotResumed) {
			err = e
		}
	}()
	if err := seize(p.Pid, unix.PTRACE_O_EXITKILL); err != nil {
		return refusal(err, yama(), isTraced())
	}
	if err := request(unix.PTRACE_INTERRUPT, p.Pid, 0, 0); err != nil {
		return fmt.Errorf("stop a child: %w", err)
	}
	var ws unix.WaitStatus
	for {
		if _, err = unix.Wait4(p.Pid, &ws, unix.WALL, nil); err != unix.EINTR {
			break
		}
	}
	if err != nil || !ws.Stopped() {
		return fmt.Errorf("stop a child: status %#x, %w", ws, err)
	}
	if _, err := callOf(p.Pid); err != nil {
		return &PtraceError{
			Missing: "the kernel does not tell a tracer of syscalls (PTRACE_GET_SYSCALL_INFO)",
			Mend:    "use Linux 5.3 or later",
		}
	}
	return nil
}

// yama is the value of kernel.yama.ptrace_scope, empty without the sysctl.
func yama() string {
	b, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// isTraced reports whether the calling thread has a tracer.
func isTraced() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", unix.Gettid()))
	return err == nil && !strings.Contains(string(b), "\nTracerPid:\t0\n")
}

// refusal says why a child of one's own may not be traced
// (Documentation/admin-guide/LSM/Yama.rst).
func refusal(err error, scope string, traced bool) error {
	switch {
	case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES):
		return fmt.Errorf("trace a child: %w", err)
	case traced:
		return &PtraceError{
			Missing: "this process is itself traced, and so is what it starts; nothing has two tracers",
			Mend:    "run outside of what traces it: a debugger, or another recorder",
		}
	case scope == "3":
		return &PtraceError{
			Missing: "kernel.yama.ptrace_scope is 3, which forbids ptrace to everybody",
			Mend:    "it stays so until a reboot with another value",
		}
	case scope == "2":
		return &PtraceError{
			Missing: "kernel.yama.ptrace_scope is 2, which forbids ptrace without CAP_SYS_PTRACE",
			Mend:    "run as root, or set it to 1",
		}
	}
	return &PtraceError{
		Missing: fmt.Sprintf("ptrace(2) is refused (%v), probably by the container runtime's profile", err),
		Mend:    "allow ptrace in that profile, or run outside the container",
	}
}
