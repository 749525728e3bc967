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
	share  *share // nil where a Forker made it
	report *Report
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
	Enough          bool // Wait killed it, because Limits.Enough said so
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
		if l, err = newListen(spec.Listener, spec.Target.logged); err != nil {
			return nil, fmt.Errorf("spawn: %w", err)
		}
	}
	p := &Process{init: spec.Init, spec: spec, status: -1, hold: -1, pidfd: -1}
	target := spec.Target.calls
	if l != nil {
		target = l.takeLimit(target)
	}
	var err error
	if p.share, err = newShare(spec, target); err != nil {
		return nil, err
	}
	pl := p.share.plan
	p.report = &pl.report
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
	pl.listen, pl.init, pl.adopt, pl.statusWrite = l, spec.Init, p.scattered(), uintptr(pipe[1])
	pl.hold, pl.holdRead, pl.holdWrite = spec.Hold, uintptr(hold[0]), uintptr(hold[1])
	pid, errno := clone(pl, spec.Namespaces, uint64(spec.Cgroup), l == nil)
	runtime.KeepAlive(l)
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
	p.report = spec.Forker.Report()
	return p, err
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
	if p.share != nil {
		p.share.release()
		p.share, p.report = nil, nil
	}
}
