package spawn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

type (
	sigset    uint64
	sigaction struct {
		handler, flags, restorer uintptr
		mask                     sigset
	}
)

// stopped is the low byte of a wait status that tells of no end, WIFSTOPPED of wait(2).
const stopped = 0x7f

const atCWD = ^uintptr(99) // AT_FDCWD, -100

// plan is what the child reads; all of it is prepared before clone. It lies in the child's share
// (see share), and what it points to as well, but for what a listener needs.
type plan struct {
	world, target   *call
	nWorld, nTarget uintptr
	report          Report
	listen          *listen
	defaults        sigaction
	init            bool
	adopt           bool
	statusWrite     uintptr
	wstatus         int32
	hold            bool
	holdRead        uintptr
	holdWrite       uintptr
	held            byte
	failed          uint32 // of Become: not 0
}

// cloneArgs is struct clone_args up to cgroup (clone3(2), Linux 5.7).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// clone makes the child, which has no heap if it needs none.
func clone(pl *plan, flags uintptr, cgroup uint64, heapless bool) (pid uintptr, errno syscall.Errno) {
	const cloneIntoCgroup = 0x200000000
	args := &cloneArgs{flags: uint64(flags) | cloneIntoCgroup, exitSignal: uint64(unix.SIGCHLD), cgroup: cgroup}
	forks.Lock()
	defer forks.Unlock()
	var heap span
	if heapless {
		heap = theHeap()
	} else {
		take(forks.heap) // in case that failed when it was to be taken back
	}
	all, old := ^sigset(0), sigset(0)
	// A handler of the Go runtime that ran in the child would corrupt it, so no
	// signal may arrive from here until the child has reset them all.
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(all), 0, 0)
	// clone3 is refused in many containers, so it is used only where it is needed.
	if cgroup != 0 {
		pid, errno = forkInto(pl, args, heap)
	} else {
		pid, errno = fork(pl, flags|uintptr(unix.SIGCHLD), heap)
	}
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(&old)), 0, unsafe.Sizeof(old), 0, 0)
	return pid, errno
}

//go:noinline
//go:norace
//go:nosplit
func fork(pl *plan, flags uintptr, heap span) (uintptr, syscall.Errno) {
	leave(heap)
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if pid == 0 && e == 0 {
		child(pl)
	}
	take(heap)
	return pid, e
}

//go:noinline
//go:norace
//go:nosplit
func forkInto(pl *plan, args *cloneArgs, heap span) (uintptr, syscall.Errno) {
	leave(heap)
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
	if pid == 0 && e == 0 {
		child(pl)
	}
	take(heap)
	return pid, e
}

// child never returns.
//
//go:norace
//go:nosplit
func child(pl *plan) {
	if pl.hold {
		await(pl)
	}
	resetSignals(pl)
	if carryOut(pl, pl.world, pl.nWorld, 0) {
		if pl.init {
			reap(pl)
		}
		exec := pl.nTarget - 1
		if carryOut(pl, pl.target, exec, pl.nWorld) && (pl.listen == nil || pl.listen.enter(&pl.report)) {
			carryOut(pl, (*call)(unsafe.Add(unsafe.Pointer(pl.target), exec*unsafe.Sizeof(call{}))), 1, pl.nWorld+exec)
		}
	}
	var cookie [2]uintptr
	if pl.listen != nil {
		cookie = pl.listen.cookie
	}
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, cookie[0], cookie[1])
	}
}

//go:norace
//go:nosplit
func resetSignals(pl *plan) {
	for sig := uintptr(1); sig <= 64; sig++ {
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&pl.defaults)), 0, unsafe.Sizeof(sigset(0)), 0, 0)
	}
}

// await returns when the parent has written a byte. The child's own copy of the
// write end is closed, so that the parent's death ends the wait.
//
//go:norace
//go:nosplit
func await(pl *plan) {
	syscall.RawSyscall6(unix.SYS_CLOSE, pl.holdWrite, 0, 0, 0, 0, 0)
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_READ, pl.holdRead, uintptr(unsafe.Pointer(&pl.held)), 1, 0, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if n == 1 && e == 0 {
			syscall.RawSyscall6(unix.SYS_CLOSE, pl.holdRead, 0, 0, 0, 0, 0)
			return
		}
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	}
}

// reap starts the target and returns in it alone.
//
//go:norace
//go:nosplit
func reap(pl *plan) {
	if pl.adopt {
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, 0)
	}
	main, _, e := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		pl.report.Errno, pl.report.Step = int32(e), int32(pl.nWorld)+1
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	}
	if main == 0 {
		return
	}
	// This process keeps nothing of the parent's open but the status pipe: a
	// pipe's end held here would never be seen to close.
	syscall.RawSyscall6(unix.SYS_DUP3, pl.statusWrite, 0, 0, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_CLOSE_RANGE, 1, ^uintptr(0)>>32, 0, 0, 0, 0)
	for {
		pid, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&pl.wstatus)), unix.WALL, 0, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 { // ECHILD: nothing is left
			syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
		}
		// A child that asked to be traced also reports that it stopped.
		if pid == main && pl.wstatus&0xff != stopped {
			syscall.RawSyscall6(unix.SYS_WRITE, 0, uintptr(unsafe.Pointer(&pl.wstatus)), unsafe.Sizeof(pl.wstatus), 0, 0, 0)
		}
	}
}

//go:norace
//go:nosplit
func carryOut(pl *plan, calls *call, n, base uintptr) bool {
	var last uintptr
	for i := uintptr(0); i < n; i++ {
		c := (*call)(unsafe.Add(unsafe.Pointer(calls), i*unsafe.Sizeof(*calls)))
		a := c.args
		if a[0] == Last {
			a[0] = last
		}
		if a[2] == Last {
			a[2] = last
		}
		r, _, e := syscall.RawSyscall6(c.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if e != 0 && !c.soft {
			pl.report.Errno, pl.report.Step = int32(e), int32(base+i)+1
			return false
		}
		last = r
	}
	return true
}
