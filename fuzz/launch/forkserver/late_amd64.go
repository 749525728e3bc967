package forkserver

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// verdict is what a system call means for a copy that would begin at it.
type verdict int

const (
	other    verdict = iota // what it does would be missing from the copy, or would be that of the server
	harmless                // what it does is in the memory, or is found by the copy again
	use                     // it may tell something of the input
)

// runToInput lets the process run until it is about to make the first call that can
// tell it of its input: of descriptor 0, or of a file that has the input's name.
// In the place of that call it makes leave.
func (t tracee) runToInput(input string, leave *Call) error {
	for {
		regs, err := t.toCall()
		if err != nil {
			return err
		}
		switch t.judge(&regs, input) {
		case harmless:
			if err := t.step(); err != nil {
				return err
			}
			continue
		case other:
			return ineligible(fmt.Sprintf("it makes system call %d before it uses its input", regs.Orig_rax))
		}
		// Instead of none at all, which the recorder would take for one of number -1.
		call := regs
		call.Orig_rax = unix.SYS_GETPPID
		if leave != nil {
			call.Orig_rax = uint64(leave.NR)
			call.Rdi, call.Rsi, call.Rdx = uint64(leave.Args[0]), uint64(leave.Args[1]), uint64(leave.Args[2])
		}
		if err := unix.PtraceSetRegs(t.pid, &call); err != nil {
			return fmt.Errorf("write registers: %w", err)
		}
		if err := t.step(); err != nil {
			return err
		}
		regs.Rax, regs.Orig_rax = regs.Orig_rax, ^uint64(0)
		regs.Rip -= 2 // the length of the instruction
		if err := unix.PtraceSetRegs(t.pid, &regs); err != nil {
			return fmt.Errorf("write registers: %w", err)
		}
		return nil
	}
}

// toCall lets the process run to the beginning of its next system call.
func (t tracee) toCall() (regs unix.PtraceRegs, err error) {
	if err := t.step(); err != nil {
		return regs, err
	}
	if err := unix.PtraceGetRegs(t.pid, &regs); err != nil {
		return regs, fmt.Errorf("read registers: %w", err)
	}
	return regs, nil
}

// step lets the process run to the next beginning or end of a system call.
func (t tracee) step() error {
	if err := unix.PtraceSyscall(t.pid, 0); err != nil {
		return fmt.Errorf("continue the program: %w", err)
	}
	sig, err := t.next()
	if err == nil && sig != unix.SIGTRAP|0x80 { // PTRACE_O_TRACESYSGOOD
		err = ineligible(fmt.Sprintf("it gets signal %d before it uses its input", sig))
	}
	return err
}

func (t tracee) judge(r *unix.PtraceRegs, input string) verdict {
	if r.Cs != userCS {
		return other
	}
	fd := int32(r.Rdi)
	switch r.Orig_rax {
	case unix.SYS_BRK, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MREMAP,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK,
		unix.SYS_ARCH_PRCTL, unix.SYS_SET_TID_ADDRESS, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_FUTEX,
		unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETGROUPS,
		unix.SYS_GETCWD, unix.SYS_UNAME, unix.SYS_GETRLIMIT, unix.SYS_SCHED_GETAFFINITY,
		unix.SYS_GETRANDOM, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_STATFS:
		return harmless
	case unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_READV, unix.SYS_FSTAT, unix.SYS_LSEEK, unix.SYS_FADVISE64:
		if fd == 0 {
			return use
		}
		return harmless
	case unix.SYS_CLOSE, unix.SYS_GETDENTS64:
		if fd <= 2 {
			return other
		}
		return harmless
	case unix.SYS_IOCTL:
		if r.Rsi == unix.TCGETS || r.Rsi == unix.TIOCGWINSZ {
			return harmless
		}
	case unix.SYS_FCNTL:
		if r.Rsi == unix.F_GETFD || r.Rsi == unix.F_GETFL {
			return harmless
		}
	case unix.SYS_MMAP:
		file := r.R10&unix.MAP_ANONYMOUS == 0
		switch kind := r.R10 & unix.MAP_TYPE; {
		case file && int32(r.R8) <= 2:
		case kind == unix.MAP_PRIVATE, kind == unix.MAP_SHARED && file && r.Rdx&unix.PROT_WRITE == 0:
			return harmless // such a file is read, as the C library does with its tables of encodings
		}
	case unix.SYS_PRLIMIT64:
		if r.Rdx == 0 {
			return harmless
		}
	case unix.SYS_OPEN:
		if r.Rsi&^reading == 0 {
			return t.judgePath(r.Rdi, input)
		}
	case unix.SYS_OPENAT:
		if r.Rdx&^reading == 0 {
			return t.judgePath(r.Rsi, input)
		}
	case unix.SYS_ACCESS, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_READLINK:
		return t.judgePath(r.Rdi, input)
	case unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_READLINKAT:
		if fd == 0 {
			return use
		}
		return t.judgePath(r.Rsi, input)
	}
	return other
}

const (
	userCS  = 0x33 // __USER_CS: not a call of a 32-bit program
	reading = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_DIRECTORY | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_LARGEFILE
)

// judgePath judges a call that only looks at the file of a path, or reads it.
func (t tracee) judgePath(at uint64, input string) verdict {
	path, ok := t.string(at)
	switch {
	case ok && path == "/proc/self/exe":
		return harmless
	case !ok, strings.HasPrefix(path, "/proc"): // which shows one process or another
		return other
	case filepath.Base(path) == filepath.Base(input), strings.HasPrefix(path, "/dev/stdin"), strings.HasPrefix(path, "/dev/fd"):
		return use
	}
	return harmless
}

// string reads a string of the process, which ends within a few bytes.
func (t tracee) string(at uint64) (string, bool) {
	var all []byte
	for len(all) < unix.PathMax {
		var word [8]byte
		if _, err := unix.PtracePeekData(t.pid, uintptr(at)+uintptr(len(all)), word[:]); err != nil {
			return "", false
		}
		if end := bytes.IndexByte(word[:], 0); end >= 0 {
			return string(append(all, word[:end]...)), true
		}
		all = append(all, word[:]...)
	}
	return "", false
}
