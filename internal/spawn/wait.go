package spawn

import (
	"fmt"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
	// Enough, where there is one, is asked now and then as long as the target runs; all is killed when it says so.
	Enough func() bool
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
	if !p.complete || p.doomed { // what was killed with the run may have been the Forker's
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
	if step := p.report.Step; step != 0 {
		return &StepError{Step: p.stepName(int(step)), Errno: syscall.Errno(p.report.Errno)}
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
	case stepLimit:
		return "setrlimit"
	}
	// Who can write to the report may not be trusted.
	if names := slices.Concat(p.spec.World.names, p.spec.Target.names); step > 0 && step <= len(names) {
		return names[step-1]
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

// Poll is poll(2), for what will mostly be there soon.
func Poll(fds []unix.PollFd, timeout int) (int, error) {
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

// glance is after how many milliseconds Limits.Enough is asked again.
const glance = 10

// watch follows the status pipe: first the target's status arrives, and when
// the init has ended it closes.
func (p *Process) watch(l Limits) Status {
	st := Status{Killed: true}
	timer := newTimer(l)
	var more reprieve
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
		if l.Enough != nil && st.Killed && (wait < 0 || wait > glance) {
			wait = glance
		}
		if asked != nil && !st.Killed && !st.Left && (wait < 0 || wait > again) {
			wait = again
		}
		n, err := Poll(fds, wait)
		switch {
		case err == unix.EINTR || p.doomed && n == 0:
			continue
		case err == nil && n == 0 && l.Enough != nil && st.Killed && l.Enough():
			p.Kill()
			st.Enough = true
			timer, l.Cancel, l.Enough = &timekeeper{}, 0, nil
			continue
		case err == nil && n == 0 && !timer.over():
			continue
		case err == nil && n == 0 && l.Nudge != nil && st.Killed:
			l.Nudge()
			l.Nudge, l.FromStart = nil, false
			timer = newTimer(l)
			continue
		case err == nil && n == 0 && !st.Killed && l.Grace > 0 && more.given(p.remains(), l.Grace):
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
