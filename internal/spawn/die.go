package spawn

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Die ends this process by a signal, as a program that it ran was ended, so that who
// waits for it learns of that: a shell leaves its loop at an interrupt only if it
// sees one. There is no second core dump. It returns if the signal does not end it.
func Die(sig unix.Signal) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	runtime.LockOSThread()
	// os/signal would leave the runtime's own handler for some.
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&sigaction{})), 0, unsafe.Sizeof(sigset(0)), 0, 0)
	none := sigset(0)
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, unsafe.Sizeof(none), 0, 0)
	_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), sig)
}
