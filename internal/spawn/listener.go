package spawn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Listener is a seccomp filter whose notifications somebody answers. The child
// loads it as the last thing before execve, with no_new_privs where the kernel
// demands that. execve is the first call that Program decides on.
//
// Until Socket's other end has the listener nobody can answer, so the child makes
// one call under the filter: the sendmsg(2) that hands the listener over. What lets
// this call pass is a random number in registers that sendmsg does not use, so
// Program need not know of it, and no call of the target's is mistaken for it. The
// listener does not stay open in the target. A limit on open files is set by one more
// such call, for with that there may be no number for the listener.
//
// Needs Linux 5.5. From 5.19 on, signals do not interrupt a call that is being
// answered.
type Listener struct {
	Program []byte // cBPF in the layout of struct sock_filter[], at most MaxProgram instructions
	Socket  int    // a Unix socket, at least 3: gets a message of one byte with the descriptor
}

// MaxProgram is the largest number of instructions of a Listener.Program.
const MaxProgram = 4096 - len(preamble{})

// The steps of a StepError that are no calls of a script.
const (
	stepListen = -1 - iota
	stepHandOver
	stepLimit
)

// listen is what the child needs to load a filter and to hand its listener over.
type listen struct {
	prog    unix.SockFprog
	flags   uintptr
	socket  uintptr
	cookie  [2]uintptr
	files   uintptr // a struct rlimit of open files, 0 for none
	message unix.Msghdr
	vector  unix.Iovec
	payload [1]byte
	control struct { // struct cmsghdr with one descriptor
		head unix.Cmsghdr
		fd   int32
		_    int32
	}
}

func newListen(l *Listener, logged bool) (*listen, error) {
	const instruction = int(unsafe.Sizeof(unix.SockFilter{}))
	n := len(l.Program) / instruction
	switch {
	case n == 0 || len(l.Program)%instruction != 0 || n > MaxProgram:
		return nil, fmt.Errorf("a listener's filter of %d bytes", len(l.Program))
	case l.Socket < 3:
		return nil, errors.New("a listener needs a socket that standard descriptors do not replace")
	}
	c := &listen{socket: uintptr(l.Socket), cookie: [2]uintptr{uintptr(rand.Uint64()), uintptr(rand.Uint64())}}
	pre := newPreamble(c.cookie)
	code := append(pre[:], unsafe.Slice((*unix.SockFilter)(unsafe.Pointer(&l.Program[0])), n)...)
	c.prog = unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}

	// Without SPEC_ALLOW, kernels before 5.16 make everything under a filter slower.
	c.flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	if logged {
		c.flags |= unix.SECCOMP_FILTER_FLAG_LOG
	}
	const killable = unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	// EFAULT, for the program that is missing, says that the flags are known (seccomp(2)).
	_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, c.flags|killable, 0)
	if e == unix.EFAULT {
		c.flags |= killable
	}

	c.vector.Base = &c.payload[0]
	c.vector.SetLen(len(c.payload))
	c.control.head = unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}
	c.control.head.SetLen(unix.CmsgLen(int(unsafe.Sizeof(c.control.fd))))
	c.message.Iov = &c.vector
	c.message.SetIovlen(1)
	c.message.Control = (*byte)(unsafe.Pointer(&c.control))
	c.message.SetControllen(unix.CmsgSpace(int(unsafe.Sizeof(c.control.fd))))
	return c, nil
}

// preamble stands before a listener's program. It lets the calls pass that carry
// the cookie in their last two registers. Only three numbers are looked at that
// closely: where a filter looks at more than the number, the kernel cannot
// remember the answer.
type preamble [15]unix.SockFilter

func newPreamble(cookie [2]uintptr) preamble {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
		nr     = 0 // offsets in struct seccomp_data
		arch   = 4
		arg4   = 16 + 8*4
	)
	var p preamble
	n := 0
	add := func(in unix.SockFilter) {
		p[n] = in
		n++
	}
	past := func() uint8 { return uint8(len(p) - n - 1) } // the jump from here to the program
	add(unix.SockFilter{Code: load, K: arch})
	add(unix.SockFilter{Code: equal, K: sysno.Native().Audit(), Jf: past()})
	add(unix.SockFilter{Code: load, K: nr})
	add(unix.SockFilter{Code: equal, K: unix.SYS_SENDMSG, Jt: 2})
	add(unix.SockFilter{Code: equal, K: unix.SYS_PRLIMIT64, Jt: 1})
	add(unix.SockFilter{Code: equal, K: unix.SYS_EXIT_GROUP, Jf: past()})
	words := unsafe.Slice((*uint32)(unsafe.Pointer(&cookie[0])), 4) // in the order of memory, as the filter loads them
	for i, w := range words {
		add(unix.SockFilter{Code: load, K: arg4 + 4*uint32(i)})
		add(unix.SockFilter{Code: equal, K: w, Jf: past()})
	}
	add(unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	return p
}

// enter loads the filter and hands its listener over.
//
//go:norace
//go:nosplit
func (c *listen) enter(s *Report) bool {
	fd, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, c.flags, uintptr(unsafe.Pointer(&c.prog)))
	if e == unix.EACCES {
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
		fd, _, e = syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, c.flags, uintptr(unsafe.Pointer(&c.prog)))
	}
	if e != 0 {
		s.Errno, s.Step = int32(e), stepListen
		return false
	}
	c.control.fd = int32(fd)
	_, _, e = syscall.RawSyscall6(unix.SYS_SENDMSG, c.socket, uintptr(unsafe.Pointer(&c.message)), unix.MSG_NOSIGNAL, 0, c.cookie[0], c.cookie[1])
	if e != 0 {
		s.Errno, s.Step = int32(e), stepHandOver
		return false
	}
	if c.files == 0 {
		return true
	}
	_, _, e = syscall.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, c.files, 0, c.cookie[0], c.cookie[1])
	if e != 0 {
		s.Errno, s.Step = int32(e), stepLimit
		return false
	}
	return true
}

// takeLimit leaves a limit on open files to enter. What it returns has a call without effect
// in its place.
func (c *listen) takeLimit(calls []call) []call {
	calls = slices.Clone(calls)
	for i, o := range calls {
		if o.nr == unix.SYS_PRLIMIT64 && o.args[0] == 0 && o.args[1] == unix.RLIMIT_NOFILE {
			c.files, calls[i] = o.args[2], call{nr: unix.SYS_GETPID}
		}
	}
	return calls
}
