// Package spawn decides what happens between clone and execve. The child is a
// copy of a Go process in which no Go code but a few lines may run, so all that
// it has to do is given to it as a Script of prepared system calls. The package
// knows neither what a filter means nor what a world looks like. Its main hazard
// is the window in the child: whatever runs there must not grow the stack,
// allocate, or be hit by a signal.
package spawn

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Spec says how a child starts.
type Spec struct {
	Namespaces uintptr // CLONE_NEW* flags
	Cgroup     int     // descriptor of a cgroup v2 directory to be born in, 0 for none
	Hold       bool    // the first child does nothing until Process.Resume

	// With Init, the first child carries out World, stays as the parent of the
	// target, reaps all orphans and ends when nothing is left; in a new pid
	// namespace it is pid 1 and whatever lives there dies with it. Elsewhere it adopts
	// what descends from it, which is looked for and killed where Wait kills. Without
	// Init, the child carries out World and then becomes the target itself.
	Init   bool
	World  Script
	Target Script // ends with Script.Exec

	// Forker, when not nil, makes the target in the place of clone(2), and is its init.
	// Init says so; Hold and Listener cannot be had with it.
	Forker Forker

	// Listener, when not nil, is loaded right before execve. Target must load no
	// filter: that one would decide on how the listener is handed over.
	Listener *Listener
}

// Forker is a process that executes a program already and makes copies of itself (see
// package forkserver): such a copy carries out what a Spec says up to the execve, and
// goes on from where that process is, which is its parent and adopts and reaps what it
// leaves. In a pid namespace of its own it is the init. It stays for further runs.
type Forker interface {
	// Fork makes the target of a run. From the descriptor come first the four bytes of
	// the target's wait status, and when nothing is left of the run, one byte. It
	// ends where the Forker has ended.
	Fork(spec *Spec) (status int, err error)
	// Pid is the process, by the numbers of the caller.
	Pid() int
	// Report is where the last child tells which of its calls failed. It is valid
	// until the next Fork.
	Report() *Report
	// End kills the process, in a pid namespace with all that lives there, and waits for it.
	End() error
}

// Asked is a Forker that tells nothing but the status, and is asked for the rest.
type Asked interface {
	Forker
	// Alone reports whether nothing is left of the run.
	Alone() bool
}

// Process is a started child. It must be waited for, on the thread that started it unless
// a Forker made it.
type Process struct {
	Pid    int // of the init where there is one, else of the target
	init   bool
	shared *Report
	status int // where the status is read from, with Init
	hold   int // write end of the pipe that a held child reads from
	spec   *Spec
	doomed bool // Kill was called and left it to Wait

	complete bool // a Forker has said that nothing is left of the run

	pidfd int                  // once it is delegated
	ended chan unix.WaitStatus // from whom it is delegated to
}

// ErrNotResumed says that a held child was waited for without having been resumed.
var ErrNotResumed = errors.New("the child was never resumed")

// Status tells how a target ended.
type Status struct {
	unix.WaitStatus      // valid unless Killed
	Killed          bool // nobody learned how: it was killed by Wait, or with its init
	TimedOut        bool // Wait killed it
	Left            bool // the target ended, but processes of its had to be killed
}

// StepError says which call of a script failed in the child.
type StepError struct {
	Step  string
	Errno syscall.Errno
}

func (e *StepError) Error() string { return e.Step + ": " + e.Errno.Error() }
func (e *StepError) Unwrap() error { return e.Errno }

// Report lies in memory that child and parent both see.
type Report struct {
	Step  int32 // 1 + index of the call that failed, counted over World and Target, 0 for none; negative: of the listener's
	Errno int32
}

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

// plan is what the child reads; all of it is prepared before clone.
type plan struct {
	world, target   *call
	nWorld, nTarget uintptr
	shared          *Report
	listen          *listen
	defaults        *sigaction
	init            bool
	adopt           bool
	statusWrite     uintptr
	wstatus         int32
	hold            bool
	holdRead        uintptr
	holdWrite       uintptr
	held            byte
}

// Start starts a child. The calling goroutine must be locked to its thread until
// Wait has returned, unless a Forker makes it. If a call of a script fails, Wait reports it.
func Start(spec *Spec) (*Process, error) {
	if len(spec.Target.calls) == 0 {
		return nil, errors.New("spawn: nothing to execute")
	}
	var l *listen
	if spec.Forker != nil {
		return startCopy(spec)
	}
	if spec.Listener != nil {
		if spec.Target.filtered != 0 {
			return nil, errors.New("spawn: a filter and a listener")
		}
		var err error
		if l, err = newListen(spec.Listener); err != nil {
			return nil, fmt.Errorf("spawn: %w", err)
		}
	}
	p := &Process{init: spec.Init, spec: spec, status: -1, hold: -1, pidfd: -1}
	page, err := unix.MmapPtr(-1, 0, nil, unsafe.Sizeof(Report{}), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map the page shared with the child: %w", err)
	}
	p.shared = (*Report)(page)
	var pipe, hold [2]int
	if spec.Init {
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			p.release()
			return nil, fmt.Errorf("make the status pipe: %w", err)
		}
		p.status = pipe[0]
		defer unix.Close(pipe[1])
	}
	if spec.Hold {
		if err := unix.Pipe2(hold[:], unix.O_CLOEXEC); err != nil {
			p.release()
			return nil, fmt.Errorf("make the pipe that holds the child: %w", err)
		}
		p.hold = hold[1]
		defer unix.Close(hold[0])
	}
	if p.scattered() {
		if err := adopt(); err != nil {
			p.release()
			return nil, err
		}
	}
	pl := &plan{
		target: unsafe.SliceData(spec.Target.calls), nTarget: uintptr(len(spec.Target.calls)),
		world: unsafe.SliceData(spec.World.calls), nWorld: uintptr(len(spec.World.calls)),
		shared: p.shared, listen: l, defaults: new(sigaction), init: spec.Init, adopt: p.scattered(), statusWrite: uintptr(pipe[1]),
		hold: spec.Hold, holdRead: uintptr(hold[0]), holdWrite: uintptr(hold[1]),
	}
	pid, errno := clone(pl, spec.Namespaces, uint64(spec.Cgroup))
	runtime.KeepAlive(spec)
	runtime.KeepAlive(pl)
	if errno != 0 {
		p.release()
		return nil, fmt.Errorf("clone: %w", errno)
	}
	p.Pid = int(pid)
	return p, nil
}

// adopt makes this process the next to adopt what descends from a child, should the
// target kill its init.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	return nil
}

// startCopy starts what a Forker makes.
func startCopy(spec *Spec) (*Process, error) {
	if spec.Hold || spec.Listener != nil || !spec.Init {
		return nil, errors.New("spawn: a copy of another process has that for its init, cannot be held, and has no listener")
	}
	p := &Process{Pid: spec.Forker.Pid(), init: true, spec: spec, hold: -1, pidfd: -1}
	if p.scattered() {
		if err := adopt(); err != nil {
			return nil, err
		}
	}
	var err error
	p.status, err = spec.Forker.Fork(spec)
	runtime.KeepAlive(spec)
	p.shared = spec.Forker.Report()
	return p, err
}

// cloneArgs is struct clone_args up to cgroup (clone3(2), Linux 5.7).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

func clone(pl *plan, flags uintptr, cgroup uint64) (pid uintptr, errno syscall.Errno) {
	const cloneIntoCgroup = 0x200000000
	args := &cloneArgs{flags: uint64(flags) | cloneIntoCgroup, exitSignal: uint64(unix.SIGCHLD), cgroup: cgroup}
	all, old := ^sigset(0), sigset(0)
	// A handler of the Go runtime that ran in the child would corrupt it, so no
	// signal may arrive from here until the child has reset them all.
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), unsafe.Sizeof(all), 0, 0)
	// clone3 is refused in many containers, so it is used only where it is needed.
	if cgroup != 0 {
		pid, errno = forkInto(pl, args)
	} else {
		pid, errno = fork(pl, flags|uintptr(unix.SIGCHLD))
	}
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(&old)), 0, unsafe.Sizeof(old), 0, 0)
	return pid, errno
}

//go:noinline
//go:norace
//go:nosplit
func fork(pl *plan, flags uintptr) (uintptr, syscall.Errno) {
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if pid == 0 && e == 0 {
		child(pl)
	}
	return pid, e
}

//go:noinline
//go:norace
//go:nosplit
func forkInto(pl *plan, args *cloneArgs) (uintptr, syscall.Errno) {
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
	if pid == 0 && e == 0 {
		child(pl)
	}
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
	for sig := uintptr(1); sig <= 64; sig++ {
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(pl.defaults)), 0, unsafe.Sizeof(sigset(0)), 0, 0)
	}
	if carryOut(pl, pl.world, pl.nWorld, 0) {
		if pl.init {
			reap(pl)
		}
		exec := pl.nTarget - 1
		if carryOut(pl, pl.target, exec, pl.nWorld) && (pl.listen == nil || pl.listen.enter(pl.shared)) {
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
		pl.shared.Errno, pl.shared.Step = int32(e), int32(pl.nWorld)+1
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
			pl.shared.Errno, pl.shared.Step = int32(e), int32(base+i)+1
			return false
		}
		last = r
	}
	return true
}

// Resume lets a held child go. It is called once, and not at all where nothing of
// the child is to run.
func (p *Process) Resume() error {
	if p.hold < 0 {
		return errors.New("resume the child: it is not held")
	}
	// The child may have been killed: then Wait tells, and nobody reads.
	if _, err := unix.Write(p.hold, []byte{1}); err != nil && err != unix.EPIPE {
		return fmt.Errorf("resume the child: %w", err)
	}
	unix.Close(p.hold)
	p.hold = -1
	return nil
}

// Delegate makes another thread of this process the one that waits for the child,
// for a tracer of it is told of its end in the parent's place when both belong to
// one process, and what the parent waits for would take from the tracer what is
// the tracer's (ptrace(2); wait_consider_task in kernel/exit.c). The child is one that
// is held. Wait then takes the child's end from the function that Delegate returns,
// which must be called once, with the status. Needs Linux 5.3.
func (p *Process) Delegate() (ended func(unix.WaitStatus), err error) {
	// After its end the number of the child may be another's before Wait knows.
	p.pidfd, err = unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open the child: %w", err)
	}
	p.ended = make(chan unix.WaitStatus, 1)
	return func(ws unix.WaitStatus) { p.ended <- ws }, nil
}

// Delegated reports whether another thread waits for the child.
func (p *Process) Delegated() bool { return p.ended != nil }

// Kill sends SIGKILL to the child; with Init in a pid namespace that ends all that
// lives there. With Init elsewhere, it makes Wait kill all at once.
func (p *Process) Kill() {
	if p.scattered() {
		p.doomed = true
		return
	}
	if p.ended != nil {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
		return
	}
	_ = unix.Kill(p.Pid, unix.SIGKILL)
}

// Limits bounds a Wait. Zero values do not bound.
type Limits struct {
	Timeout time.Duration // for the target
	// Grace is for what the target leaves behind, from its end on, and begins anew while that
	// wants to run and could not; what is left is killed at once when it is negative.
	Grace  time.Duration
	Cancel int // a descriptor that becomes readable when the wait is to end at once, 0 for none

	// Used, where there is one, is the CPU time that the target's processes have
	// used, counted from anywhere. Then Timeout bounds that, so that a busy machine
	// does not change how a run ends: a target that uses none for as long waits
	// for ever, and four times as long is too long in any case.
	Used func() time.Duration
	// Nudge, where there is one, is called in the place of the first end by Timeout, and
	// the target gets the same time again.
	Nudge func()
	// FromStart says that Used counts from the child's start, so that it need not be
	// asked then: most children end before it is asked at all.
	FromStart bool
}

// Wait waits until the target and, with Init, all that descends from it have
// ended, and kills what exceeds the limits. The error is a *StepError when the
// target never came to run. A held child that was not resumed ends, with
// ErrNotResumed.
func (p *Process) Wait(l Limits) (Status, error) {
	if p.spec.Forker != nil {
		return p.waitForCopy(l)
	}
	defer p.release()
	held := p.hold >= 0
	if held {
		unix.Close(p.hold)
		p.hold = -1
	}
	var st Status
	if p.init {
		st = p.watch(l)
	}
	ws, err := p.collect()
	if err != nil {
		return st, fmt.Errorf("wait for the child: %w", err)
	}
	if p.scattered() && ws.Signaled() {
		killStrays()
	}
	if held {
		return st, ErrNotResumed
	}
	if !p.init {
		st.WaitStatus = ws
	}
	return st, p.failure()
}

// waitForCopy is Wait for what a Forker has made. The Forker outlives the run unless
// the run had to be killed, or has killed it.
func (p *Process) waitForCopy(l Limits) (Status, error) {
	st := p.watch(l)
	if !p.complete {
		if err := p.spec.Forker.End(); err != nil {
			return st, fmt.Errorf("end the fork server: %w", err)
		}
		if p.scattered() {
			killStrays()
		}
	}
	return st, p.failure()
}

// failure is the call of a script that failed.
func (p *Process) failure() error {
	if step := p.shared.Step; step != 0 {
		return &StepError{Step: p.stepName(int(step)), Errno: syscall.Errno(p.shared.Errno)}
	}
	return nil
}

// collect returns how the child has ended.
func (p *Process) collect() (ws unix.WaitStatus, err error) {
	if p.ended != nil {
		return <-p.ended, nil
	}
	for {
		_, err := unix.Wait4(p.Pid, &ws, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || !ws.Stopped() {
			return ws, err
		}
	}
}

func (p *Process) stepName(step int) string {
	switch step {
	case stepListen:
		return "load the filter with a listener"
	case stepHandOver:
		return "hand the listener over"
	}
	i := step - 1
	if i < len(p.spec.World.names) {
		return p.spec.World.names[i]
	}
	if i -= len(p.spec.World.names); i < len(p.spec.Target.names) {
		return p.spec.Target.names[i]
	}
	return "clone"
}

// again is after how many milliseconds what is left of a scattered tree is killed, and who is
// asked is asked again.
const again = 5

// brief is how long the thread waits before the runtime of Go is told that it does. Short runs
// have ended by then, and what the runtime does when a thread waits, and does again when it no
// longer waits, takes longer than the system call: another one is woken to look after the
// processor that is free. No other goroutine gets that meanwhile, and a garbage
// collection waits as long.
const brief = time.Millisecond

// poll is poll(2).
func poll(fds []unix.PollFd, timeout int) (int, error) {
	if timeout != 0 {
		first := unix.NsecToTimespec(int64(brief))
		n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(&first)), 0, 0, 0)
		if errno != 0 {
			return -1, errno
		}
		if n > 0 {
			return int(n), nil
		}
	}
	return unix.Poll(fds, timeout)
}

// mostExtended is how often the grace of what a busy machine keeps from ending begins anew.
const mostExtended = 50

// watch follows the status pipe: first the target's status arrives, and when
// the init has ended it closes.
func (p *Process) watch(l Limits) Status {
	st := Status{Killed: true}
	timer := newTimer(l)
	extended := 0
	asked, _ := p.spec.Forker.(Asked)
	for {
		if asked != nil && !st.Killed && asked.Alone() {
			p.complete = true
			return st
		}
		fds := []unix.PollFd{{Fd: int32(p.status), Events: unix.POLLIN}, {Fd: int32(l.Cancel), Events: unix.POLLIN}}
		if l.Cancel == 0 {
			fds = fds[:1]
		}
		wait := timer.next()
		if p.doomed {
			p.killTree()
			wait = again
		}
		if asked != nil && !st.Killed && !st.Left && (wait < 0 || wait > again) {
			wait = again
		}
		n, err := poll(fds, wait)
		switch {
		case err == unix.EINTR || p.doomed && n == 0:
			continue
		case err == nil && n == 0 && !timer.over():
			continue
		case err == nil && n == 0 && l.Nudge != nil && st.Killed:
			l.Nudge()
			l.Nudge, l.FromStart = nil, false
			timer = newTimer(l)
			continue
		case err == nil && n == 0 && !st.Killed && l.Grace > 0 && extended < mostExtended && p.stalled(l):
			extended++
			timer = newTimer(Limits{Timeout: l.Grace})
			continue
		case err != nil || fds[0].Revents == 0: // the time is up, or the wait is cancelled
			p.Kill()
			st.TimedOut = st.Killed && n == 0
			st.Left = !st.Killed
			timer, l.Cancel = &timekeeper{}, 0
			continue
		}
		// A status, a Forker's last byte, or both.
		var message struct {
			status unix.WaitStatus
			last   byte
		}
		const whole = 5
		if n, err = unix.Read(p.status, unsafe.Slice((*byte)(unsafe.Pointer(&message)), whole)); n < 4 || err != nil {
			p.complete = n == 1
			return st
		}
		if !p.doomed { // else it tells of our SIGKILL
			st.WaitStatus, st.Killed = message.status, false
		}
		if n == whole {
			p.complete = true
			return st
		}
		if p.doomed {
			continue
		}
		if l.Grace != 0 {
			timer = newTimer(Limits{Timeout: max(1, l.Grace)})
		}
	}
}

func (p *Process) release() {
	if p.status >= 0 {
		unix.Close(p.status)
		p.status = -1
	}
	if p.hold >= 0 {
		unix.Close(p.hold)
		p.hold = -1
	}
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
		p.pidfd = -1
	}
	if p.shared != nil {
		_ = unix.MunmapPtr(unsafe.Pointer(p.shared), unsafe.Sizeof(Report{}))
	}
}
