package forkserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stubCode is the code in stub_amd64.s, and some of what lies behind it.
func stubCode() (code []byte)

// stub is the code for a server whose children go on at an address.
func stub(resume uint64) []byte {
	code := stubCode()
	end := bytes.Index(code, bytes.Repeat([]byte{0xcc}, 8))
	return binary.LittleEndian.AppendUint64(bytes.Clone(code[:end]), resume)
}

// The private memory begins with the registers of the snapshot; stub_amd64.s has the
// same offsets.
const (
	privateShared  = 256
	privateControl = 264
	privateTell    = 272
	privatePids    = 280
	privateOne     = 288
	privateWord    = 304 // the report of a copy, in which it asks nothing any more

	// what a copy gives recvmsg(2), from privateMessage on
	privateVector = 384
	privateByte   = 400
	privateRights = 408

	pageSize = 4096
)

// Keys of the auxiliary vector, see getauxval(3).
const (
	atEntry  = 9
	atSecure = 23
)

// tracee is a stopped process. All of its methods are called on the thread that traces it.
type tracee struct{ pid int }

var errEnded = errors.New("the program ended before copies begin")

// next waits until the process stops, and returns the signal.
func (t tracee) next() (unix.Signal, error) {
	for {
		var info unix.Siginfo
		// What has ended is left to whoever wants to know how.
		err := unix.Waitid(unix.P_PID, t.pid, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("wait for the program: %w", err)
		case info.Code == cldExited || info.Code == cldKilled || info.Code == cldDumped:
			return 0, errEnded
		}
		var ws unix.WaitStatus
		if _, err := unix.Wait4(t.pid, &ws, unix.WALL, nil); err != nil {
			return 0, fmt.Errorf("wait for the program: %w", err)
		}
		if ws.Stopped() {
			return ws.StopSignal(), nil
		}
	}
}

// si_code of waitid(2).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// call makes the process, which must not be in a system call, do one.
func (t tracee) call(nr uintptr, args ...uintptr) (uintptr, error) {
	var old unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.pid, &old); err != nil {
		return 0, fmt.Errorf("read registers: %w", err)
	}
	var saved [2]byte
	if _, err := unix.PtracePeekText(t.pid, uintptr(old.Rip), saved[:]); err != nil {
		return 0, fmt.Errorf("read the program: %w", err)
	}
	if _, err := unix.PtracePokeText(t.pid, uintptr(old.Rip), []byte{0x0f, 0x05}); err != nil { // syscall
		return 0, fmt.Errorf("write a system call: %w", err)
	}
	regs := old
	var a [6]uintptr
	copy(a[:], args)
	regs.Rax, regs.Orig_rax = uint64(nr), ^uint64(0)
	regs.Rdi, regs.Rsi, regs.Rdx = uint64(a[0]), uint64(a[1]), uint64(a[2])
	regs.R10, regs.R8, regs.R9 = uint64(a[3]), uint64(a[4]), uint64(a[5])
	if err := unix.PtraceSetRegs(t.pid, &regs); err != nil {
		return 0, fmt.Errorf("write registers: %w", err)
	}
	if err := unix.PtraceSingleStep(t.pid); err != nil {
		return 0, fmt.Errorf("make a system call: %w", err)
	}
	sig, err := t.next()
	if err != nil {
		return 0, err
	}
	if sig != unix.SIGTRAP {
		return 0, fmt.Errorf("signal %d in the midst of a system call", sig)
	}
	if err := unix.PtraceGetRegs(t.pid, &regs); err != nil {
		return 0, fmt.Errorf("read registers: %w", err)
	}
	if _, err := unix.PtracePokeText(t.pid, uintptr(old.Rip), saved[:]); err != nil {
		return 0, fmt.Errorf("restore the program: %w", err)
	}
	if err := unix.PtraceSetRegs(t.pid, &old); err != nil {
		return 0, fmt.Errorf("write registers: %w", err)
	}
	if result := int64(regs.Rax); result < 0 && result >= -4095 {
		return 0, unix.Errno(-result)
	}
	return uintptr(regs.Rax), nil
}

// runTo lets the process run until it comes to an address. An instruction that no processor
// has stops it there: int3 would be a uprobe of the recorder's where that has one, and
// a breakpoint of the processor's is never quite gone. The kernel keeps it for the process, and
// then to switch to that costs more than all system calls of a copy.
func (t tracee) runTo(address uint64) error {
	undefined := []byte{0x0f, 0x0b} // ud2
	saved := make([]byte, len(undefined))
	if _, err := unix.PtracePeekText(t.pid, uintptr(address), saved); err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	if _, err := unix.PtracePokeText(t.pid, uintptr(address), undefined); err != nil {
		return fmt.Errorf("set a breakpoint: %w", err)
	}
	for sig := unix.Signal(0); ; {
		if err := unix.PtraceCont(t.pid, int(sig)); err != nil {
			return fmt.Errorf("continue the program: %w", err)
		}
		var err error
		if sig, err = t.next(); err != nil {
			return err
		}
		if sig != unix.SIGILL {
			continue
		}
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(t.pid, &regs); err != nil {
			return fmt.Errorf("read registers: %w", err)
		}
		if regs.Rip == address {
			if _, err := unix.PtracePokeText(t.pid, uintptr(address), saved); err != nil {
				return fmt.Errorf("take a breakpoint away: %w", err)
			}
			return nil
		}
	}
}

// infiltrate turns the program, which has just been executed, into a server.
func (s *Server) infiltrate(o *Options, numbered bool) error {
	t := tracee{s.process.Pid}
	// A start that does not end is ended; it then looks as if the program had.
	late := time.AfterFunc(o.Timeout, s.process.Kill)
	defer late.Stop()
	if _, err := t.next(); err != nil {
		return err
	}
	began, err := look(t.pid)
	if err != nil {
		return err
	}
	if s.inherited, err = inherited(began.open); err != nil {
		return err
	}
	if err := unix.PtraceSetOptions(t.pid, unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACESYSGOOD); err != nil {
		return fmt.Errorf("trace the program: %w", err)
	}
	auxv, err := readAuxv(t.pid)
	if err != nil {
		return err
	}
	if auxv[atSecure] != 0 {
		return ineligible("it gets rights at execve")
	}
	if err := t.runTo(auxv[atEntry]); err != nil {
		return err
	}
	if o.Input == "" && o.Main != 0 {
		if err := t.runTo(auxv[atEntry] + uint64(o.Main)); err != nil {
			return err
		}
	}
	if o.Input != "" {
		if err := t.runToInput(o.Input, o.Leave); err != nil {
			return err
		}
	} else if o.Leave != nil {
		if _, err := t.call(o.Leave.NR, o.Leave.Args[:]...); err != nil {
			return fmt.Errorf("leave the record: %w", err)
		}
	}
	if o.Started != nil {
		o.Started()
	}
	st, err := look(t.pid)
	if err != nil {
		return err
	}
	if err := st.check(began.open); err != nil {
		return err
	}
	if o.Edges != 0 {
		if err := s.countEdges(t, o, auxv[atEntry]); err != nil {
			return err
		}
	}
	if o.Settle != nil {
		if _, err := t.call(o.Settle.NR, o.Settle.Args[:]...); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	return s.settle(t, st, o.Join, numbered)
}

// settle puts the stub into the process and lets it run.
func (s *Server) settle(t tracee, st *state, join *Call, numbered bool) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.pid, &regs); err != nil {
		return fmt.Errorf("read registers: %w", err)
	}
	regs.Orig_rax = ^uint64(0)
	const anonymous = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	private, err := t.call(unix.SYS_MMAP, 0, privateSize, unix.PROT_READ|unix.PROT_WRITE, anonymous, ^uintptr(0))
	if err != nil {
		return fmt.Errorf("map the stub's data: %w", err)
	}
	code, err := t.call(unix.SYS_MMAP, 0, pageSize, unix.PROT_READ|unix.PROT_EXEC, anonymous, ^uintptr(0))
	if err != nil {
		return fmt.Errorf("map the stub: %w", err)
	}
	shared, err := t.call(unix.SYS_MMAP, 0, sharedSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED, sharedFD)
	if err != nil {
		return fmt.Errorf("map the shared pages: %w", err)
	}
	if _, err := t.call(unix.SYS_MADVISE, shared, sharedSize, unix.MADV_DONTFORK); err != nil {
		return fmt.Errorf("keep copies from the shared pages: %w", err)
	}
	if err := s.settleDescriptors(t, numbered); err != nil {
		return err
	}
	s.private, s.mapped = private, shared

	word := private + privateWord
	ask := func(nr uintptr, args ...uintptr) (uint64, error) {
		if _, err := t.call(nr, args...); err != nil {
			return 0, err
		}
		var b [8]byte
		if _, err := unix.PtracePeekData(t.pid, word, b[:]); err != nil {
			return 0, err
		}
		return binary.LittleEndian.Uint64(b[:]), nil
	}
	// A copy has no address that its end clears, nor a list of robust mutexes, unless
	// the same is asked for it as fork(3) asks.
	tid, err := ask(unix.SYS_PRCTL, unix.PR_GET_TID_ADDRESS, word)
	if err != nil {
		return fmt.Errorf("find the thread's id: %w", err)
	}
	robust, err := ask(unix.SYS_GET_ROBUST_LIST, 0, word, word+8)
	if err != nil {
		return fmt.Errorf("find the list of robust mutexes: %w", err)
	}
	s.tid = tid

	page := make([]byte, pageSize)
	copy(page, unsafe.Slice((*byte)(unsafe.Pointer(&regs)), unsafe.Sizeof(regs)))
	put := func(at int, v uintptr) { binary.LittleEndian.PutUint64(page[at:], uint64(v)) }
	put(privateShared, shared)
	put(privateControl, uintptr(s.control))
	put(privateTell, uintptr(s.shared))
	if numbered {
		put(privatePids, uintptr(s.pids))
		page[privateOne] = '1' // the number before that of the first copy
	}
	// struct msghdr: no name, one vector, control data, flags.
	for i, v := range []uintptr{0, 0, private + privateVector, 1, private + privateRights, privateScript - privateRights, 0} {
		put(privateMessage+8*i, v)
	}
	put(privateVector, private+privateByte)
	put(privateVector+8, 1)
	s.last = lastScript(uintptr(robust), st.blocked, join)
	if _, err := unix.PtracePokeData(t.pid, private, page); err != nil {
		return fmt.Errorf("write the stub's data: %w", err)
	}
	if numbered {
		if _, err := t.call(unix.SYS_PWRITE64, uintptr(s.pids), private+privateOne, 1, 0); err != nil {
			return ineligible("the numbers of its processes cannot be reset: " + err.Error())
		}
	}
	// Of what the program may have handlers for, nothing may reach the server.
	all := bytes.Repeat([]byte{0xff}, 8)
	if _, err := unix.PtracePokeData(t.pid, word, all); err != nil {
		return fmt.Errorf("write the stub's data: %w", err)
	}
	if _, err := t.call(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, word, 0, 8); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	if _, err := unix.PtracePokeText(t.pid, code, stub(regs.Rip)); err != nil {
		return fmt.Errorf("write the stub: %w", err)
	}
	regs.Rip, regs.R15 = uint64(code), uint64(private)
	if err := unix.PtraceSetRegs(t.pid, &regs); err != nil {
		return fmt.Errorf("write registers: %w", err)
	}
	if err := unix.PtraceDetach(t.pid); err != nil {
		return fmt.Errorf("let the server go: %w", err)
	}
	return nil
}

// settleDescriptors gives the server's descriptors the numbers that their counterparts
// have in this process: a copy, which gets those that it is passed by the numbers that
// they have here, gets none in their place, and where these numbers are small a table of
// descriptors is quickly copied.
func (s *Server) settleDescriptors(t tracee, numbered bool) error {
	own := map[int]int{controlFD: s.control, passFD: s.pass, sharedFD: s.shared}
	if numbered {
		own[pidsFD] = s.pids
	}
	for from, to := range own {
		if to >= transit {
			return fmt.Errorf("give the server its descriptors: %d is too high", to)
		}
		if _, err := t.call(unix.SYS_DUP3, uintptr(from), uintptr(to), unix.O_CLOEXEC); err != nil {
			return fmt.Errorf("give the server its descriptors: %w", err)
		}
		s.occupied = append(s.occupied, to)
	}
	s.occupied = append(s.occupied, s.inherited...)
	if _, err := t.call(unix.SYS_CLOSE_RANGE, controlFD, pidsFD, 0); err != nil {
		return fmt.Errorf("close the server's descriptors: %w", err)
	}
	return nil
}
