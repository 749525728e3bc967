package forced

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// Start is what is begun for one run.
type Start struct {
	f     Function
	p     *Program
	at    Occasion
	ended <-chan error

	armed   bool    // the program was executed
	main    uint64  // where main() begins in it
	saved   [2]byte // what is there
	watched bool    // its system calls are: main() runs
	within  bool    // it is in one
	made    bool
}

// Begin makes the first program that a child executes call a function. The child is held, and executes the program itself, or is
// the init that starts who does. Needs the right to trace it, and that nobody else does.
func (p *Program) Begin(pid int, function string, at Occasion) (*Start, error) {
	s := &Start{p: p, at: at}
	for _, f := range p.Functions {
		if f.Name == function {
			s.f = f
		}
	}
	if s.f.Name == "" {
		return nil, fmt.Errorf("the program does not call %s", function)
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEEXEC
	ended, err := spawn.Follow(pid, options, s.serve)
	if err != nil {
		return nil, fmt.Errorf("trace the start of the program: %w", err)
	}
	s.ended = ended
	return s, nil
}

// Wait returns when the program has made the call, or will not. After an error it has been killed.
func (s *Start) Wait() error {
	if err := <-s.ended; err != nil {
		return fmt.Errorf("make the program call %s: %w", s.f.Name, err)
	}
	return nil
}

// Made reports, after Wait, whether the call was made.
func (s *Start) Made() bool { return s.made }

// The instruction that no processor has, for the reasons that package forkserver gives.
var undefined = [2]byte{0x0f, 0x0b} // ud2

// serve lets a stopped process go on. done says that it is not traced any more.
func (s *Start) serve(pid int, ws unix.WaitStatus) (done bool, err error) {
	if !ws.Stopped() {
		return false, nil
	}
	sig := ws.StopSignal()
	switch ws >> 16 {
	case unix.PTRACE_EVENT_FORK: // by the init; the other process is traced from its birth
		return false, spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0)
	case unix.PTRACE_EVENT_EXEC:
		if s.armed { // by itself: another program
			return true, spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0)
		}
		if loaded, err := s.arm(pid); err != nil || !loaded {
			return err == nil, errorOr(err, func() error { return spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0) })
		}
		sig = 0
	case unix.PTRACE_EVENT_STOP:
		if sig != unix.SIGTRAP { // the signal has stopped it, and another one will continue it
			return false, spawn.Ptrace(unix.PTRACE_LISTEN, pid, 0, 0)
		}
		sig = 0
	case 0:
		switch {
		case sig == unix.SIGTRAP|0x80: // PTRACE_O_TRACESYSGOOD
			sig = 0
			if s.within = !s.within; s.within {
				break
			}
			if wrote, err := writes(pid); err != nil || wrote {
				return err == nil, errorOr(err, func() error { return s.call(pid) })
			}
		case sig == unix.SIGILL && s.armed && !s.watched:
			here, err := s.disarm(pid)
			if err != nil {
				return false, err
			}
			if here && s.at == InPlaceOfMain {
				return true, s.call(pid)
			}
			if here {
				sig = 0
			}
		}
	}
	if s.watched {
		return false, spawn.Ptrace(unix.PTRACE_SYSCALL, pid, 0, uintptr(sig))
	}
	return false, spawn.Ptrace(unix.PTRACE_CONT, pid, 0, uintptr(sig))
}

func errorOr(err error, f func() error) error {
	if err != nil {
		return err
	}
	return f()
}

// arm puts a breakpoint on main(). What the program starts itself is not traced. It is false where the program is not
// the one that is known.
func (s *Start) arm(pid int) (loaded bool, err error) {
	all, err := mappings(pid)
	if err != nil {
		return false, err
	}
	if s.main, loaded = code(all, s.p.file, s.p.main); !loaded {
		return false, nil
	}
	s.armed = true
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACESYSGOOD
	if err := spawn.Ptrace(unix.PTRACE_SETOPTIONS, pid, 0, options); err != nil {
		return false, err
	}
	if _, err := unix.PtracePeekText(pid, uintptr(s.main), s.saved[:]); err != nil {
		return false, fmt.Errorf("read main(): %w", err)
	}
	_, err = unix.PtracePokeText(pid, uintptr(s.main), undefined[:])
	return true, err
}

// disarm takes the breakpoint away where it was what the process came to.
func (s *Start) disarm(pid int) (here bool, err error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil || regs.Rip != s.main {
		return false, err
	}
	s.watched = true
	_, err = unix.PtracePokeText(pid, uintptr(s.main), s.saved[:])
	return true, err
}

// writes reports whether a call that has ended was one that writes to standard output or standard error.
func writes(pid int) (bool, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return false, err
	}
	const userCS = 0x33 // __USER_CS: not a call of a 32-bit program
	write := regs.Orig_rax == unix.SYS_WRITE || regs.Orig_rax == unix.SYS_WRITEV
	return write && regs.Cs == userCS && (regs.Rdi == 1 || regs.Rdi == 2), nil
}

// call makes the process go on in the function, as if what it is in had jumped there, and lets it go.
func (s *Start) call(pid int) error {
	all, err := mappings(pid)
	if err != nil {
		return err
	}
	at, loaded := begin(all, s.f.file)
	if !loaded {
		return spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0)
	}
	if at += s.f.callee.Address; s.f.callee.Slot {
		var b [8]byte
		if _, err := unix.PtracePeekData(pid, uintptr(at), b[:]); err != nil {
			return fmt.Errorf("read where %s is: %w", s.f.Name, err)
		}
		if at = binary.LittleEndian.Uint64(b[:]); at == 0 { // a weak symbol that nothing defines
			return spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0)
		}
	}
	text, err := name(pid)
	if err != nil {
		return err
	}
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	// Where functions begin, System V has a return address on top of what is aligned.
	const align, entry = 16, 8
	if regs.Rsp%align != entry {
		regs.Rsp = regs.Rsp&^(align-1) - entry
	}
	regs.Rip, regs.Orig_rax = at, ^uint64(0)
	regs.Rax, regs.Rdi, regs.Rsi, regs.Rdx, regs.Rcx = 0, text, text, 1, text
	if err := unix.PtraceSetRegs(pid, &regs); err != nil {
		return err
	}
	s.made = true
	return spawn.Ptrace(unix.PTRACE_DETACH, pid, 0, 0)
}

// name is where a process has the path by which it was executed, which serves as any text.
func name(pid int) (uint64, error) {
	b, err := spawn.Look(pid, "auxv")
	if err != nil {
		return 0, err
	}
	const execName, size = 31, 16 // AT_EXECFN of getauxval(3)
	for ; len(b) >= size; b = b[size:] {
		if binary.LittleEndian.Uint64(b) == execName {
			return binary.LittleEndian.Uint64(b[8:]), nil
		}
	}
	return 0, fmt.Errorf("the kernel does not tell the program its name")
}
