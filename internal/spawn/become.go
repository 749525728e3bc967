package spawn

import (
	"errors"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Become carries out a script that ends with Script.Exec in this process, which becomes
// the program. The script loads filters for the calling thread alone, and execve ends all
// others. Become returns only where a call has failed, as a *StepError. Nothing is left
// to be done then but to say so and to exit: signals have their default actions.
func Become(target *Script) error {
	if target.exec == 0 {
		return errors.New("spawn: nothing to execute")
	}
	pl := &plan{
		target: unsafe.SliceData(target.calls), nTarget: uintptr(len(target.calls)),
	}
	// Who fails under the filter may not be permitted any call, so another thread
	// looks after it. It needs a processor beside that of the first, which the runtime can
	// no longer take away; so a garbage collection would wait for ever.
	debug.SetGCPercent(-1)
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	go func() {
		runtime.LockOSThread()
		become(pl)
	}()
	const often = 5 * time.Millisecond
	for atomic.LoadUint32(&pl.failed) == 0 {
		time.Sleep(often)
	}
	time.Sleep(often) // what was stored before it can be seen by then, see become
	runtime.KeepAlive(target)
	return (&Process{report: &pl.report, spec: &Spec{Target: *target}}).failure()
}

// become never returns.
//
//go:norace
//go:nosplit
func become(pl *plan) {
	// As in clone, no handler of the Go runtime may run here from now on.
	all := ^sigset(0)
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), 0, unsafe.Sizeof(all), 0, 0)
	resetSignals(pl)
	carryOut(pl, pl.target, pl.nTarget, 0)
	for {
		raise(&pl.failed)
	}
}

// raise stores 1, and not atomically: the race detector maps memory for that, which the filter may
// refuse. The compiler would leave out a store that only a loop without end follows.
//
//go:noinline
//go:norace
//go:nosplit
func raise(flag *uint32) { *flag = 1 }
