package spawn

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Last, as an argument of a Script call, stands for the result of the call before.
const Last = ^uintptr(0x7ead)

// Script is a list of system calls that a child makes one after the other. It is
// prepared by the parent, where memory may be allocated, and carried out by the
// child, where it may not. The zero value is an empty script.
type Script struct {
	calls []call
	names []string
	keep  []any // what the uintptr arguments point to

	filtered bool // Exec got a filter
}

type call struct {
	nr   uintptr
	args [6]uintptr
	soft bool
}

// Call appends a call. If it fails, the script ends, and name says where.
func (s *Script) Call(name string, nr uintptr, args ...uintptr) {
	s.add(name, false, nr, args)
}

// Try appends a call that may fail.
func (s *Script) Try(name string, nr uintptr, args ...uintptr) {
	s.add(name, true, nr, args)
}

func (s *Script) add(name string, soft bool, nr uintptr, args []uintptr) {
	c := call{nr: nr, soft: soft}
	copy(c.args[:], args)
	s.calls = append(s.calls, c)
	s.names = append(s.names, name)
}

// Append appends the calls of another script.
func (s *Script) Append(o *Script) {
	s.calls = append(s.calls, o.calls...)
	s.names = append(s.names, o.names...)
	s.keep = append(s.keep, o.keep...)
	s.filtered = s.filtered || o.filtered
}

// String keeps a NUL-terminated copy of v and returns its address.
func (s *Script) String(v string) uintptr {
	if v == "" {
		return s.Bytes([]byte{0})
	}
	return s.Bytes(append([]byte(v), 0))
}

// Bytes keeps b, which must not be empty, and returns its address.
func (s *Script) Bytes(b []byte) uintptr {
	s.keep = append(s.keep, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

// Strings keeps a NULL-terminated array of NUL-terminated strings.
func (s *Script) Strings(v []string) uintptr {
	p := make([]uintptr, len(v)+1)
	for i, x := range v {
		p[i] = s.String(x)
	}
	s.keep = append(s.keep, p)
	return uintptr(unsafe.Pointer(&p[0]))
}

// Struct keeps *v and returns its address.
func Struct[T any](s *Script, v *T) uintptr {
	s.keep = append(s.keep, v)
	return uintptr(unsafe.Pointer(v))
}

// Mount appends mount(2). An empty source, type or data is passed as NULL.
func (s *Script) Mount(source, target, fstype string, flags uintptr, data string) {
	opt := func(v string) uintptr {
		if v == "" {
			return 0
		}
		return s.String(v)
	}
	s.Call("mount "+fstype+" on "+target, unix.SYS_MOUNT,
		opt(source), s.String(target), opt(fstype), flags, opt(data))
}

// Mkdir appends mkdirat(2); it is no failure if that does not succeed.
func (s *Script) Mkdir(path string) {
	s.Try("mkdir "+path, unix.SYS_MKDIRAT, atCWD, s.String(path), 0o755)
}

// Chdir appends chdir(2).
func (s *Script) Chdir(path string) { s.Call("chdir "+path, unix.SYS_CHDIR, s.String(path)) }

// Dup appends dup3(2), which makes the descriptor from, at least 3, stay open as to.
func (s *Script) Dup(from, to int) {
	s.Call("dup3", unix.SYS_DUP3, uintptr(from), uintptr(to), 0)
}

// Rlimit appends setrlimit through prlimit64(2).
func (s *Script) Rlimit(resource int, cur, limit uint64) {
	s.Call("setrlimit", unix.SYS_PRLIMIT64, 0, uintptr(resource),
		Struct(s, &unix.Rlimit{Cur: cur, Max: limit}), 0)
}

// Ignore appends rt_sigaction(2), which makes the program ignore a signal. A child
// starts with the default action for every signal.
func (s *Script) Ignore(sig unix.Signal) {
	const ignore = 1 // SIG_IGN
	s.Call(fmt.Sprintf("ignore signal %d", sig), unix.SYS_RT_SIGACTION, uintptr(sig),
		Struct(s, &sigaction{handler: ignore}), 0, unsafe.Sizeof(sigset(0)))
}

// NoNewPrivs appends prctl(PR_SET_NO_NEW_PRIVS).
func (s *Script) NoNewPrivs() {
	s.Call("set no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
}

// DieWithParent appends prctl(PR_SET_PDEATHSIG, SIGKILL): the child ends when the
// thread that started it ends.
func (s *Script) DieWithParent() {
	s.Call("set pdeathsig", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
}

// Exec appends what turns the child into the program: a cBPF filter is loaded
// where one is given, in the layout of struct sock_filter[], and execve follows
// as the very next call. Signals arrive again right before. The path must be
// resolved already.
func (s *Script) Exec(path string, argv, env []string, filter []byte) {
	p, a, e := s.String(path), s.Strings(argv), s.Strings(env)
	s.Call("unblock signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		Struct(s, new(sigset)), 0, unsafe.Sizeof(sigset(0)))
	if filter != nil {
		prog := &unix.SockFprog{
			Len:    uint16(len(filter) / int(unsafe.Sizeof(unix.SockFilter{}))),
			Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0])),
		}
		s.filtered = true
		s.Call("load the seccomp filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, Struct(s, prog))
	}
	s.Call("execve "+path, unix.SYS_EXECVE, p, a, e)
}
