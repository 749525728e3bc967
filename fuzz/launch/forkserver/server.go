// Package forkserver decides how an unmodified program is run again without being
// loaded again: a process executes it once and is stopped where it is about to use its
// input, where main() begins, or at the program's entry point, where the dynamic linker
// has done its work; there a stub takes its place, which makes a copy for each run. A copy carries out what internal/spawn would do
// between clone and execve, and goes on as the program. The package knows neither
// scenarios nor who records. Its main hazard is a copy that is not what execve would
// have made: what a process has and a copy does not get is a reason not to serve.
//
// All copies have the same addresses and the same AT_RANDOM. They have two more
// mappings than the program would have: those of the stub.
//
// Needs Linux 5.9 (close_range), x86-64, and that a process may trace its child.
package forkserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// ErrIneligible says that copies of the program would not be what execve makes.
var ErrIneligible = errors.New("no fork server")

func ineligible(why string) error { return fmt.Errorf("%w: %s", ErrIneligible, why) }

// Call is a system call.
type Call struct {
	NR   uintptr
	Args [6]uintptr
}

// Options says what a server is of, and what it does beside copying.
type Options struct {
	Program   string // the path of the file, as seen from where it starts
	Argv, Env []string

	// Input, where it is not empty, makes copies begin where the program is about to use
	// its input: standard input, or a file of this name. Before, it must do nothing but look
	// around and read, and what it reads, as the environment, must be the same in all runs.
	Input string

	// Main, where it is not 0 and there is no Input, makes copies begin that far from the
	// entry point of the file, where main() begins: what runs before main is done once.
	Main int64

	// Edges, where it is not 0, is how far the pointer by which the program counts its edges for
	// AFL lies from the entry point, and LastEdge how far the highest number of one does. The
	// copies get a map to count in. Where copies begin at the entry point the program sets the
	// pointer itself, and counts for nobody.
	Edges, LastEdge int64

	Timeout time.Duration // for the start, in which the program's libraries may do what they like
	Leave   *Call         // made by the server where copies begin, before all else that is not the program's
	Started func()        // called then, on the calling thread
	Settle  *Call         // made by the server then, and may not fail
	Join    *Call         // made by each copy, after all else that is not the program's
}

// Server makes copies. It is a [spawn.Forker] for what Spec returns, on any thread, and ends
// with the thread that started it.
type Server struct {
	process *spawn.Process
	ended   bool
	memory  []byte  // shared with the server
	mapped  uintptr // where the server has that
	private uintptr // where the server has its own
	tid     uint64  // where the program's C library keeps the id of its thread, 0 without
	last    spawn.Script
	image   []byte      // of what copies do, as the server has it
	ordered *spawn.Spec // which that is of
	edges   []byte      // the map that copies count in
	counted int         // bytes of it that are used

	// What rehearsals look at: all mappings, those of files in which nothing differs from those, and those that are written to.
	mappings, files, data []area
	first                 *found // what the first one has shown
	pins                  int    // what keeps the pages that copies get of their own, -1 without

	// Each has the same number in the server, as soon as that can make copies.
	control, pass, shared, pids int

	inherited []int // descriptors above 2 that the program has from whoever started tjfuzz
	occupied  []int // all that the server has above 2
}

// The descriptors of the server while it is still the program, which is not to find them
// where it opens others, and above all: those of a copy on their way to their places.
const (
	controlFD = 1000 + iota
	passFD
	sharedFD
	pidsFD  // ns_last_pid of proc_sys_kernel(5)
	edgesFD // the map of edges

	transit = 900
)

const (
	sharedSize  = 128 << 10
	privateSize = sharedSize // so that there is room for what was made in the shared pages
)

// The shared pages. stub_amd64.s knows the offsets.
type header struct {
	birth   uint64 // flags of clone(2)
	tid     uint64
	calls   uint64
	bytes   uint64 // of the image of them, or 0 where the server has it
	report  spawn.Report
	scratch [2]uint64 // of the server
	own     uint64    // of the calls that the server makes itself, instead of a copy
}

// Parts of the shared pages and of what the server has for itself.
const (
	sharedScript   = 1024
	sharedData     = sharedSize / 2 // for calls that the server makes itself
	privateScript  = 1024           // what a copy does
	privateMessage = 320            // what it gives recvmsg(2)
)

// Start executes a program and makes it a server, which is the init of its copies: in a
// pid namespace of its own, the spec's, each has the numbers that the first one had,
// for which the server needs CAP_CHECKPOINT_RESTORE; elsewhere the server adopts
// orphans. The spec has no execve and no Init. The error is ErrIneligible where the
// program is the reason. The calling goroutine must be locked to its thread until Close.
func Start(spec *spawn.Spec, o Options) (_ *Server, err error) {
	s := &Server{control: -1, pass: -1, shared: -1, pids: -1, pins: -1}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.shared, err = unix.MemfdCreate("scripts", unix.MFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make the shared pages: %w", err)
	}
	if err := unix.Ftruncate(s.shared, sharedSize); err != nil {
		return nil, fmt.Errorf("make the shared pages: %w", err)
	}
	if s.memory, err = unix.Mmap(s.shared, 0, sharedSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map the shared pages: %w", err)
	}
	var control, pass [2]int
	if control, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	s.control = control[0]
	defer unix.Close(control[1])
	if pass, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	s.pass = pass[0]
	defer unix.Close(pass[1])

	own := *spec
	own.Target = spawn.Script{}
	own.Target.Append(&spec.Target)
	own.Target.Dup(control[1], controlFD)
	own.Target.Dup(pass[1], passFD)
	own.Target.Dup(s.shared, sharedFD)
	if o.Edges != 0 {
		area, err := s.mapEdges()
		if err != nil {
			return nil, err
		}
		defer unix.Close(area)
		own.Target.Dup(area, edgesFD)
	}
	if spec.Namespaces&unix.CLONE_NEWPID != 0 {
		s.pids, err = elsewhere(func() (int, error) {
			return unix.Open("/proc/sys/kernel/ns_last_pid", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return nil, fmt.Errorf("open ns_last_pid: %w", err)
		}
		own.Target.Dup(s.pids, pidsFD)
	} else {
		own.Target.Call("adopt orphans", unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1)
	}
	own.Target.Call("be traced", unix.SYS_PTRACE, unix.PTRACE_TRACEME)
	own.Target.Exec(o.Program, o.Argv, o.Env, nil)
	if s.process, err = spawn.Start(&own); err != nil {
		return nil, err
	}
	return s, s.infiltrate(&o, spec.Namespaces&unix.CLONE_NEWPID != 0)
}

// Spec is what makes a run a copy: spec without the execve, and with what gives the
// copy its descriptors. Spec is left as it is, and what is returned must be too: it will do
// for many runs, and costs least where it is that of the run before.
func (s *Server) Spec(spec *spawn.Spec) *spawn.Spec {
	r := *spec
	r.Forker, r.Init = s, true
	r.World, r.Target = spawn.Script{}, spawn.Script{}
	fds := descriptors(spec)
	w := &r.World
	if len(fds) > 0 {
		w.Call("receive descriptors", unix.SYS_RECVMSG, uintptr(s.pass), s.private+privateMessage, 0)
	}
	received := make([]int, len(fds))
	lowest := 2
	for i := range fds {
		for lowest++; slices.Contains(s.occupied, lowest); lowest++ {
		}
		received[i] = lowest
	}
	if slices.ContainsFunc(fds, func(fd int) bool { return fd <= lowest }) { // or one would take another's place
		for i, fd := range received {
			received[i] = transit + i
			w.Call("dup3", unix.SYS_DUP3, uintptr(fd), uintptr(received[i]), 0)
		}
	}
	for i, fd := range fds {
		w.Call("dup3", unix.SYS_DUP3, uintptr(received[i]), uintptr(fd), unix.O_CLOEXEC)
	}
	w.Append(&spec.World)
	r.Target.Append(spec.Target.BeforeExec())
	from := 3
	for _, fd := range s.inherited {
		if fd > from {
			r.Target.Call("close descriptors", unix.SYS_CLOSE_RANGE, uintptr(from), uintptr(fd-1), 0)
		}
		from = fd + 1
	}
	r.Target.Call("close descriptors", unix.SYS_CLOSE_RANGE, uintptr(from), ^uintptr(0)>>32, 0)
	return &r
}

// descriptors lists those of this process that the scripts use.
func descriptors(spec *spawn.Spec) []int {
	var both spawn.Script
	for _, s := range []*spawn.Script{&spec.World, &spec.Target} {
		for _, fd := range s.Descriptors() {
			both.Descriptor(fd)
		}
	}
	return both.Descriptors()
}

// lastScript is what a copy does when it has nothing of tjfuzz left but the stub: nobody
// can be told that it fails, and it does not.
func lastScript(robust uintptr, blocked uint64, join *Call) (s spawn.Script) {
	const robustSize = 24 // sizeof(struct robust_list_head)
	if robust != 0 {
		s.Try("set the list of robust mutexes", unix.SYS_SET_ROBUST_LIST, robust, robustSize)
	}
	s.Try("unblock signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, spawn.Struct(&s, &blocked), 0, 8)
	if join != nil {
		s.Try("join the record", join.NR, join.Args[:]...)
	}
	return s
}

// Report implements [spawn.Forker].
func (s *Server) Report() *spawn.Report { return &s.header().report }

func (s *Server) header() *header { return (*header)(unsafe.Pointer(&s.memory[0])) }

// Fork implements [spawn.Forker].
func (s *Server) Fork(spec *spawn.Spec) (status int, err error) {
	if s.ended {
		return -1, errors.New("the fork server has ended")
	}
	if err := s.order(spec); err != nil {
		return -1, err
	}
	clear(s.Edges())
	fds := descriptors(spec)
	for _, fd := range fds {
		if fd >= transit {
			return -1, fmt.Errorf("pass descriptors to the fork server: %d is too high", fd)
		}
	}
	if len(fds) > 0 {
		if err := unix.Sendmsg(s.pass, []byte{0}, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
			return -1, fmt.Errorf("pass descriptors to the fork server: %w", err)
		}
	}
	if err := s.ask(); err != nil {
		return -1, err
	}
	return s.control, nil
}

// ask makes the server do what the shared pages say.
func (s *Server) ask() error {
	if err := again(func() error { return unix.Send(s.control, []byte{0}, unix.MSG_NOSIGNAL) }); err != nil {
		return fmt.Errorf("ask the fork server: %w", err)
	}
	return nil
}

// order writes what the next copy is to do.
func (s *Server) order(spec *spawn.Spec) error {
	h := s.header()
	// No signal tells of its end: the program may have a handler for that, or may have
	// asked not to be told.
	*h = header{tid: s.tid}
	if s.tid != 0 {
		h.birth = unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID
	}
	if spec == s.ordered {
		return nil
	}
	var all spawn.Script
	all.Append(&spec.World)
	all.Append(&spec.Target)
	all.Append(&s.last)
	image, err := all.Image(s.private + privateScript)
	if err != nil {
		return fmt.Errorf("prepare a copy: %w", err)
	}
	s.ordered = spec
	if bytes.Equal(image, s.image) {
		return nil
	}
	if len(image) > sharedSize-sharedScript {
		s.ordered = nil
		return fmt.Errorf("prepare a copy: no room for %d bytes of calls", len(image))
	}
	h.calls, h.bytes = uint64(all.Len()), uint64(copy(s.memory[sharedScript:], image))
	s.image = image
	return nil
}

func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// Pid implements [spawn.Forker].
func (s *Server) Pid() int { return s.process.Pid }

// Ended reports whether there is no server any more.
func (s *Server) Ended() bool { return s.ended }

// End implements [spawn.Forker].
func (s *Server) End() error {
	if s.ended {
		return nil
	}
	s.ended = true
	s.process.Kill()
	_, err := s.process.Wait(spawn.Limits{})
	return err
}

// Close ends the server. Its copies have ended.
func (s *Server) Close() error {
	var errs []error
	if s.process != nil {
		errs = append(errs, s.End())
	}
	for _, fd := range []int{s.control, s.pass, s.shared, s.pids, s.pins} {
		if fd >= 0 {
			errs = append(errs, os.NewSyscallError("close", unix.Close(fd)))
		}
	}
	for _, memory := range [][]byte{s.memory, s.edges} {
		if memory != nil {
			errs = append(errs, unix.Munmap(memory))
		}
	}
	return errors.Join(errs...)
}
