package coverage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Found is what a trace tells.
type Found struct {
	Blocks    []uint64 // the keys of blocks that were first reached here; sorted, without duplicates
	Processes bool     // the target made one: breakpoints there would go unnoticed. Blocks is empty
	Handles   bool     // it has a handler for SIGTRAP, which breakpoints would call
	Words     [][]byte // what the code that was first reached compares something with; sorted, without duplicates. Empty where Blocks is
}

// Trace follows a copy and all that it starts.
type Trace struct {
	w      *Watch
	maker  int // of the copy
	target int
	born   map[int]bool // threads that have stopped before
	hit    map[point]bool
	calls  map[uint64]call // that are looked at, by their addresses
	seen   int             // how many were
	words  words
	found  Found
	ended  chan error
}

// Follow begins to trace the next child of a process, which is that of w and has no
// other thread. None of the breakpoints ends what is traced.
func (w *Watch) Follow(maker int) (*Trace, error) {
	t := &Trace{w: w, maker: maker, born: map[int]bool{}, hit: map[point]bool{}, calls: map[uint64]call{}, words: words{}, ended: make(chan error, 1)}
	seized := make(chan error)
	go func() {
		// Whoever traces waits for all of its tracees, and has no other children.
		runtime.LockOSThread()
		err := t.seize()
		seized <- err
		if err == nil {
			t.ended <- t.follow()
		}
	}()
	if err := <-seized; err != nil {
		return nil, err
	}
	return t, nil
}

// Wait returns when all that was traced has ended, or the process that was to make it.
func (t *Trace) Wait() (Found, error) {
	err := <-t.ended
	if t.found.Processes { // who of them reaches what depends on who is faster
		return t.found, err
	}
	points := make([]point, 0, len(t.hit))
	for p := range t.hit {
		points = append(points, p)
	}
	t.found.Blocks = t.w.m.reach(points)
	t.found.Words = t.words.sorted()
	return t.found, err
}

func (t *Trace) seize() error {
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
		unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACEEXIT
	if err := ptrace(unix.PTRACE_SEIZE, t.maker, 0, options); err != nil {
		return fmt.Errorf("trace a copy: %w", err)
	}
	return nil
}

// The siginfo_t of waitid(2) and of a signal, as far as it is of interest.
const (
	codeKilled = 2    // CLD_KILLED
	codeDumped = 3    // CLD_DUMPED
	codeExited = 1    // CLD_EXITED
	codeKernel = 0x80 // SI_KERNEL: that of int3
)

// follow serves all stops of what is traced, until nothing is.
func (t *Trace) follow() (failed error) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, nil)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.ECHILD:
			return failed
		default:
			return fmt.Errorf("wait for a traced copy: %w", err)
		}
		// struct siginfo has si_pid first in its union.
		pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
		if pid == t.maker && (info.Code == codeExited || info.Code == codeKilled || info.Code == codeDumped) {
			return failed // before it made a child; its end is for whoever started it
		}
		var ws unix.WaitStatus
		if _, err := unix.Wait4(pid, &ws, unix.WALL|unix.WNOTHREAD, nil); err != nil {
			if err == unix.EINTR {
				continue
			}
			return fmt.Errorf("wait for a traced copy: %w", err)
		}
		if !ws.Stopped() {
			delete(t.born, pid)
			continue
		}
		// That it has been killed meanwhile is told by the next wait.
		if err := t.serve(pid, ws); err != nil && err != unix.ESRCH {
			failed = errors.Join(failed, fmt.Errorf("trace a copy: %w", err))
			_ = unix.Kill(pid, unix.SIGKILL) // what is left has to be waited for all the same
		}
	}
}

// serve lets a stopped thread go on.
func (t *Trace) serve(tid int, ws unix.WaitStatus) error {
	if tid != t.maker && !t.born[tid] { // it has not run yet, and may end before its parent tells of it
		t.born[tid] = true
		if t.target == 0 {
			t.target = tid
		}
		if unix.Tgkill(t.target, tid, 0) != nil { // it is no thread of the target
			t.found.Processes = true
		}
	}
	sig := ws.StopSignal()
	switch ws >> 16 {
	case 0:
		if sig == unix.SIGTRAP {
			ours, err := t.pass(tid)
			if err != nil {
				return err
			}
			if ours {
				sig = 0
			}
		}
		return ptrace(unix.PTRACE_CONT, tid, 0, uintptr(sig))
	case unix.PTRACE_EVENT_STOP:
		if sig != unix.SIGTRAP { // the signal has stopped it, and another one will continue it
			return ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_CLONE, unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK:
		if tid == t.maker {
			return ptrace(unix.PTRACE_DETACH, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_EXEC: // its memory is that of another program
		return ptrace(unix.PTRACE_DETACH, tid, 0, 0)
	case unix.PTRACE_EVENT_EXIT:
		if tid == t.target {
			// A signal that is blocked or ignored kills all the same. The program cannot be
			// looked at any more when it is being killed.
			if handled, err := handles(tid, "SigCgt:"); err == nil && handled {
				t.found.Handles = true
			}
		}
	}
	return ptrace(unix.PTRACE_CONT, tid, 0, 0)
}

// pass lets a thread that stands behind a breakpoint of ours do what is there instead.
func (t *Trace) pass(tid int) (ours bool, err error) {
	var info unix.Siginfo
	// In the call itself: a pointer that has become a number does not follow the stack when that moves.
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GETSIGINFO, uintptr(tid), 0, uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return false, errno
	}
	if info.Code != codeKernel {
		return false, nil
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return false, err
	}
	if c, ours := t.calls[regs.Rip-1]; ours {
		return true, t.passCall(tid, c, &regs)
	}
	p, ours := t.w.find(regs.Rip - 1)
	if !ours {
		return false, nil
	}
	if !t.hit[p] {
		t.hit[p] = true
		if err := t.study(tid, p); err != nil {
			return false, err
		}
		if c, first := t.calls[regs.Rip-1]; first {
			return true, t.passCall(tid, c, &regs)
		}
	}
	regs.Rip--
	if _, err := unix.PtracePokeText(tid, uintptr(regs.Rip), p.module.first[p.block:p.block+1]); err != nil {
		return false, err
	}
	return true, unix.PtraceSetRegs(tid, &regs)
}

// study looks at a block that was just reached, and puts breakpoints on its comparisons.
func (t *Trace) study(tid int, p point) error {
	found, calls := t.w.look(p)
	for _, b := range found {
		t.words.add(b)
	}
	for _, c := range calls {
		if _, err := unix.PtracePokeText(tid, uintptr(c.at), []byte{breakpoint}); err != nil {
			return err
		}
		t.calls[c.at] = c
	}
	return nil
}

// passCall looks at the arguments of a comparison, and makes the call that the breakpoint is on
// in the thread's place: so the breakpoint stays.
func (t *Trace) passCall(tid int, c call, regs *unix.PtraceRegs) error {
	if t.seen++; t.seen > mostCalls {
		regs.Rip--
		if _, err := unix.PtracePokeText(tid, uintptr(c.at), []byte{c.first}); err != nil {
			return err
		}
		return unix.PtraceSetRegs(tid, regs)
	}
	arguments := [...]uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.Rcx}
	size := uint64(longestWord + 1)
	if c.size >= 0 {
		size = min(size, arguments[c.size])
	}
	for _, n := range c.operands {
		t.words.add(t.w.operand(arguments[n], size, c.text))
	}
	regs.Rsp -= 8
	if _, err := unix.PtracePokeData(tid, uintptr(regs.Rsp), binary.LittleEndian.AppendUint64(nil, c.next)); err != nil {
		return err
	}
	regs.Rip = c.to
	return unix.PtraceSetRegs(tid, regs)
}

// ptrace makes a request that has no pointers of this process.
func ptrace(request, pid int, address, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
