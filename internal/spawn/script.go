package spawn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Last, as the first or the third argument of a Script call, stands for the result of the
// call before. As the third it is not for an Image.
const Last = ^uintptr(0x7ead)

// Script is a list of system calls that a child makes one after the other. It is
// prepared by the parent, where memory may be allocated, and carried out by the
// child, where it may not. The zero value is an empty script.
type Script struct {
	calls []call
	names []string
	keep  []kept // what the uintptr arguments point to
	lent  []int

	exec     int // 1 + index of the first call that Exec appended
	filtered int // 1 + index of the first call that loads a filter
	logged   bool
}

type kept struct {
	at    unsafe.Pointer
	bytes uintptr
	flat  bool // it has no addresses in it
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
	for _, fd := range o.lent {
		s.Descriptor(fd)
	}
	if o.exec != 0 {
		s.exec = len(s.calls) - len(o.calls) + o.exec
	}
	if s.filtered == 0 && o.filtered != 0 {
		s.filtered = len(s.calls) - len(o.calls) + o.filtered
	}
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
	s.keep = append(s.keep, kept{unsafe.Pointer(&b[0]), uintptr(len(b)), true})
	return uintptr(unsafe.Pointer(&b[0]))
}

// Strings keeps a NULL-terminated array of NUL-terminated strings.
func (s *Script) Strings(v []string) uintptr {
	p := make([]uintptr, len(v)+1)
	if len(v) > 0 {
		at := s.String(strings.Join(v, "\x00")) // all in one piece: an environment has many
		for i, x := range v {
			p[i] = at
			at += uintptr(len(x)) + 1
		}
	}
	s.keep = append(s.keep, kept{unsafe.Pointer(&p[0]), uintptr(len(p)) * unsafe.Sizeof(p[0]), false})
	return uintptr(unsafe.Pointer(&p[0]))
}

// Struct keeps *v, which has no pointers in it, and returns its address.
func Struct[T any](s *Script, v *T) uintptr {
	s.keep = append(s.keep, kept{unsafe.Pointer(v), unsafe.Sizeof(*v), true})
	return uintptr(unsafe.Pointer(v))
}

// Descriptor notes that a call uses a descriptor of the calling process, which it
// returns as an argument.
func (s *Script) Descriptor(fd int) uintptr {
	if !slices.Contains(s.lent, fd) {
		s.lent = append(s.lent, fd)
	}
	return uintptr(fd)
}

// Descriptors lists the descriptors that were noted.
func (s *Script) Descriptors() []int { return s.lent }

// Len is the number of calls that the script makes.
func (s *Script) Len() int { return len(s.calls) }

// BeforeExec is the script without what Exec appended.
func (s *Script) BeforeExec() *Script {
	o := *s
	if s.exec != 0 {
		n := s.exec - 1
		o.calls, o.names, o.exec = s.calls[:n:n], s.names[:n:n], 0
		if o.filtered > n {
			o.filtered = 0
		}
	}
	return &o
}

// ErrNested says that a call's argument points to what has addresses in it, or is Last
// where an Image cannot have it.
var ErrNested = errors.New("a call has an argument that is known only where it is made")

// Image returns the script for a process that will have these bytes at an address,
// a multiple of 8: first the calls, each as its number, six arguments and a byte that is not 0
// where the call may fail, 64 bytes in all; then what they point to.
func (s *Script) Image(at uintptr) ([]byte, error) {
	size := uintptr(len(s.calls)) * CallSize
	image := make([]byte, size)
	if len(s.calls) > 0 {
		copy(image, unsafe.Slice((*byte)(unsafe.Pointer(&s.calls[0])), size))
	}
	moved := map[uintptr]uintptr{}
	for i, c := range s.calls {
		if c.args[2] == Last {
			return nil, fmt.Errorf("%s: %w", s.names[i], ErrNested)
		}
		for j, a := range c.args {
			k := slices.IndexFunc(s.keep, func(k kept) bool { return uintptr(k.at) == a })
			if k < 0 {
				continue
			}
			to, done := moved[a]
			if !done {
				if !s.keep[k].flat {
					return nil, fmt.Errorf("%s: %w", s.names[i], ErrNested)
				}
				to = at + uintptr(len(image))
				moved[a] = to
				data := unsafe.Slice((*byte)(s.keep[k].at), s.keep[k].bytes)
				image = append(image, data...)
				image = append(image, make([]byte, -len(image)&7)...)
			}
			*(*uintptr)(unsafe.Pointer(&image[uintptr(i)*CallSize+8+uintptr(j)*8])) = to
		}
	}
	return image, nil
}

// CallSize is the size of a call in an Image.
const CallSize = unsafe.Sizeof(call{})

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
	s.Call("dup3", unix.SYS_DUP3, s.Descriptor(from), uintptr(to), 0)
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

// Signal makes the kernel send the program a signal whenever something becomes possible
// on a descriptor of ours: for the end of a pipe to write to, when the other end was read
// from; for the end to read from, when the other end was written to (F_SETSIG of fcntl(2)).
// flags are those of the descriptor.
func (s *Script) Signal(fd int, sig unix.Signal, flags int) {
	s.Call("get the program's id", unix.SYS_GETPID)
	s.Call("own a descriptor's signals", unix.SYS_FCNTL, s.Descriptor(fd), unix.F_SETOWN, Last)
	s.Call("choose a descriptor's signal", unix.SYS_FCNTL, uintptr(fd), unix.F_SETSIG, uintptr(sig))
	s.Call("ask for a descriptor's signals", unix.SYS_FCNTL, uintptr(fd), unix.F_SETFL, uintptr(flags|unix.O_ASYNC))
}

// NoNewPrivs appends prctl(PR_SET_NO_NEW_PRIVS).
func (s *Script) NoNewPrivs() {
	s.Call("set no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
}

// Become appends what makes the program another user's, with the given supplementary
// groups. It loses all capabilities at its execve; until then it has CAP_SYS_ADMIN,
// in case a filter is to be loaded without no_new_privs, if admin says so. What
// DieWithParent has asked for is undone.
func (s *Script) Become(uid, gid int, groups []int, admin bool) {
	var ids []byte
	for _, g := range groups {
		ids = binary.NativeEndian.AppendUint32(ids, uint32(g))
	}
	list := s.Bytes(append(ids, 0)) // there may be none
	if admin {
		s.Call("keep capabilities", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	}
	s.Call("set supplementary groups", unix.SYS_SETGROUPS, uintptr(len(groups)), list)
	s.Call("set group", unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
	s.Call("set user", unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
	if admin {
		const sysAdmin = 1 << unix.CAP_SYS_ADMIN
		s.Call("keep CAP_SYS_ADMIN", unix.SYS_CAPSET, Struct(s, &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}),
			Struct(s, &[2]unix.CapUserData{{Effective: sysAdmin, Permitted: sysAdmin}}))
	}
}

// DieWithParent appends prctl(PR_SET_PDEATHSIG, SIGKILL): the child ends when the
// thread that started it ends.
func (s *Script) DieWithParent() {
	s.Call("set pdeathsig", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
}

// Logged makes the kernel record what the filters refuse that are appended from now on,
// and that of a Spec's Listener (SECCOMP_FILTER_FLAG_LOG), as far as the sysctl kernel.seccomp.actions_logged permits.
func (s *Script) Logged() { s.logged = true }

// Filter appends the loading of a cBPF filter, in the layout of struct sock_filter[],
// before that of Exec. All that the child does afterwards is under it, and it must not
// refuse seccomp(2).
func (s *Script) Filter(filter []byte) {
	prog := &unix.SockFprog{
		Len:    uint16(len(filter) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0])),
	}
	if s.filtered == 0 {
		s.filtered = len(s.calls) + 1
	}
	flags := uintptr(0)
	if s.logged {
		flags = unix.SECCOMP_FILTER_FLAG_LOG
	}
	s.Bytes(filter)
	s.keep = append(s.keep, kept{unsafe.Pointer(prog), unsafe.Sizeof(*prog), false})
	s.Call("load the seccomp filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(prog)))
}

// Exec appends what turns the child into the program: a cBPF filter is loaded
// where one is given, in the layout of struct sock_filter[], and execve follows
// as the very next call. Signals arrive again right before. The path must be
// resolved already.
func (s *Script) Exec(path string, argv, env []string, filter []byte) {
	s.exec = len(s.calls) + 1
	p, a, e := s.String(path), s.Strings(argv), s.Strings(env)
	s.Call("unblock signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		Struct(s, new(sigset)), 0, unsafe.Sizeof(sigset(0)))
	if filter != nil {
		s.Filter(filter)
	}
	s.Call("execve "+path, unix.SYS_EXECVE, p, a, e)
}
