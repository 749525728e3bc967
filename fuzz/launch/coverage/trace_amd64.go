package coverage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
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
	ended  <-chan error
}

// Follow begins to trace the next child of a process, which is that of w and has no
// other thread. None of the breakpoints ends what is traced.
func (w *Watch) Follow(maker int) (*Trace, error) {
	t := &Trace{w: w, maker: maker, born: map[int]bool{}, hit: map[point]bool{}, calls: map[uint64]call{}, words: words{}}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
		unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACEEXIT
	var err error
	if t.ended, err = spawn.Follow(maker, options, t.serve); err != nil {
		return nil, fmt.Errorf("trace a copy: %w", err)
	}
	return t, nil
}

// Wait returns when all that was traced has ended, or the process that was to make it.
func (t *Trace) Wait() (Found, error) {
	err := <-t.ended
	if err != nil {
		err = fmt.Errorf("trace a copy: %w", err)
	}
	if t.found.Processes { // who of them reaches what depends on who is faster
		return t.found, err
	}
	points := make([]point, 0, len(t.hit))
	for p := range t.hit {
		points = append(points, p)
	}
	var failed error
	t.found.Blocks, failed = t.w.m.reach(points)
	t.found.Words = t.words.sorted()
	return t.found, errors.Join(err, failed)
}

// codeKernel is the si_code SI_KERNEL of a signal: that of int3.
const codeKernel = 0x80

// serve lets a stopped thread go on.
func (t *Trace) serve(tid int, ws unix.WaitStatus) (done bool, err error) {
	if !ws.Stopped() {
		delete(t.born, tid)
		return false, nil
	}
	return false, t.resume(tid, ws)
}

func (t *Trace) resume(tid int, ws unix.WaitStatus) error {
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
		return spawn.Ptrace(unix.PTRACE_CONT, tid, 0, uintptr(sig))
	case unix.PTRACE_EVENT_STOP:
		if sig != unix.SIGTRAP { // the signal has stopped it, and another one will continue it
			return spawn.Ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_CLONE, unix.PTRACE_EVENT_FORK, unix.PTRACE_EVENT_VFORK:
		if tid == t.maker {
			return spawn.Ptrace(unix.PTRACE_DETACH, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_EXEC: // its memory is that of another program
		return spawn.Ptrace(unix.PTRACE_DETACH, tid, 0, 0)
	case unix.PTRACE_EVENT_EXIT:
		if tid == t.target {
			// A signal that is blocked or ignored kills all the same. The program cannot be
			// looked at any more when it is being killed.
			if handled, err := handles(tid, "SigCgt:"); err == nil && handled {
				t.found.Handles = true
			}
		}
	}
	return spawn.Ptrace(unix.PTRACE_CONT, tid, 0, 0)
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
	found, calls := t.w.look(memory(tid), p)
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
		t.words.add(t.w.operand(memory(tid), arguments[n], size, c.text))
	}
	regs.Rsp -= 8
	if _, err := unix.PtracePokeData(tid, uintptr(regs.Rsp), binary.LittleEndian.AppendUint64(nil, c.next)); err != nil {
		return err
	}
	regs.Rip = c.to
	return unix.PtraceSetRegs(tid, regs)
}
