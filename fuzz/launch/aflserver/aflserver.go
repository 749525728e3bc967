// Package aflserver decides how a program that AFL's compilers have built is asked for copies
// of itself: it speaks the protocol of AFL's fork server, in the place of afl-fuzz. The
// program is executed once, as in any run, and stays where its runtime waits; a copy is a fork of
// it, which shares its descriptors, its directory and its session. The package knows neither
// scenarios nor who records. Its main hazard is the runtime in the program: what that calls is not
// what the program calls, so whoever records has to know that a copy becomes the program when it
// has closed Descriptor.
//
// Needs System V shared memory, and a pid namespace for all that the copies leave.
package aflserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// ErrSilent says that a program has no fork server, or that it does not speak as AFL's do.
var ErrSilent = errors.New("no fork server of AFL")

// The descriptors of the protocol, FORKSRV_FD of AFL's config.h.
const (
	controlFD = 198

	// Descriptor is what a copy closes last before it is the program.
	Descriptor = controlFD + 1
)

// edges is room for as many as the first protocol can tell of, FS_OPT_MAX_MAPSIZE.
const edges = 8 << 20

// usualEdges is the size of the map of programs that do not tell it.
const usualEdges = 64 << 10

// Options says what a server is of.
type Options struct {
	Program   string // the path of the file, as seen from where it starts
	Argv, Env []string
	Deferred  bool          // copies begin where the program says
	Timeout   time.Duration // until it can make copies, and for it to make one
	Started   func()        // called when it can
}

// Server makes copies. It is a [spawn.Forker] for what Spec returns. It belongs to the
// thread that started it.
type Server struct {
	process  *spawn.Process // the init of the server and of its copies
	timeout  time.Duration
	ended    bool
	control  int
	status   int
	pid      int
	children *os.File // those of the init
	alone    string   // what that file says when there is no process but the server
	area     []byte   // the map of edges
	used     int      // bytes of it
	report   spawn.Report
}

// Start executes a program, and returns when it can make copies. The spec is that of a run
// with an init in a pid namespace, without the execve. The calling goroutine must be
// locked to its thread until Close. The error is ErrSilent where the program is the reason.
func Start(spec *spawn.Spec, o Options) (_ *Server, err error) {
	if !spec.Init || spec.Namespaces&unix.CLONE_NEWPID == 0 {
		return nil, errors.New("a fork server of AFL outside of a pid namespace")
	}
	s := &Server{control: -1, status: -1, timeout: o.Timeout}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	id, err := s.share()
	if err != nil {
		return nil, err
	}
	var control, status [2]int
	if err := unix.Pipe2(control[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make the control pipe: %w", err)
	}
	s.control = control[1]
	defer unix.Close(control[0])
	if err := unix.Pipe2(status[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make the status pipe: %w", err)
	}
	s.status = status[0]
	defer func() {
		if status[1] >= 0 {
			unix.Close(status[1])
		}
	}()
	own := *spec
	own.Target = spawn.Script{}
	own.Target.Append(&spec.Target)
	own.Target.Dup(control[0], controlFD)
	own.Target.Dup(status[1], Descriptor)
	own.Target.Exec(o.Program, o.Argv, environ(&o, id), nil)
	if s.process, err = spawn.Start(&own); err != nil {
		return nil, err
	}
	unix.Close(status[1]) // or its end would not be seen
	status[1] = -1
	late := time.AfterFunc(o.Timeout, s.process.Kill)
	defer late.Stop()
	if err := s.greet(); err != nil {
		return nil, err
	}
	if o.Started != nil {
		o.Started()
	}
	return s, s.find()
}

// environ is the environment of a server. AFL_MAP_SIZE keeps a runtime from doubting that the
// map is large enough.
func environ(o *Options, id int) []string {
	env := append([]string{}, o.Env...)
	env = append(env, "__AFL_SHM_ID="+strconv.Itoa(id), "AFL_MAP_SIZE="+strconv.Itoa(edges))
	if o.Deferred {
		env = append(env, "__AFL_DEFER_FORKSRV=1")
	}
	return env
}

// share makes the map of edges, in the ipc namespace of the calling thread. It is removed at
// once, which Linux does when the last process that has it ends, and permits others to get
// it until then (shmctl(2)).
func (s *Server) share() (id int, err error) {
	id, err = unix.SysvShmGet(unix.IPC_PRIVATE, edges, unix.IPC_CREAT|0o600)
	if err != nil {
		return 0, fmt.Errorf("make shared memory: %w", err)
	}
	s.area, err = unix.SysvShmAttach(id, 0, 0)
	if _, e := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err == nil {
		err = e
	}
	if err != nil {
		return 0, fmt.Errorf("map shared memory: %w", err)
	}
	return id, nil
}

// find finds the server among the processes of its namespace: it is the one child of its init.
func (s *Server) find() error {
	type found struct {
		file *os.File
		text string
		err  error
	}
	c := make(chan found)
	go func() { // the calling thread may be where there is no /proc
		var f found
		f.file, f.err = os.Open(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.process.Pid))
		if f.err == nil {
			f.text, f.err = read(f.file)
		}
		c <- f
	}()
	f := <-c
	s.children, s.alone = f.file, f.text
	if f.err != nil {
		return fmt.Errorf("look for the fork server: %w", f.err)
	}
	var err error
	if s.pid, err = strconv.Atoi(strings.TrimSpace(s.alone)); err != nil {
		return fmt.Errorf("%w: it has started processes", ErrSilent)
	}
	return nil
}

func read(f *os.File) (string, error) {
	var b [128]byte
	n, err := unix.Pread(int(f.Fd()), b[:], 0)
	return string(b[:max(0, n)]), err
}

// word reads one of the protocol.
func (s *Server) word() (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(descriptor(s.status), b[:]); err != nil {
		return 0, fmt.Errorf("%w: it ended, or closed its pipe: %w", ErrSilent, err)
	}
	return binary.NativeEndian.Uint32(b[:]), nil
}

// say writes a word.
func (s *Server) say(word uint32) error {
	for {
		_, err := unix.Write(s.control, binary.NativeEndian.AppendUint32(nil, word))
		switch err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EPIPE:
			return fmt.Errorf("%w: it has ended", ErrSilent)
		default:
			return fmt.Errorf("speak to the fork server: %w", err)
		}
	}
}

// Spec is what makes a run a copy. A copy carries nothing out: all that it has it has from
// the server.
func (s *Server) Spec(*spawn.Spec) *spawn.Spec {
	r := &spawn.Spec{Forker: s, Init: true, Namespaces: unix.CLONE_NEWPID}
	r.Target.Call("nothing", unix.SYS_GETPID)
	return r
}

// Fork implements [spawn.Forker]. The status comes alone: Alone says whether anything
// is left.
func (s *Server) Fork(*spawn.Spec) (status int, err error) {
	if s.ended {
		return -1, errors.New("the fork server has ended")
	}
	clear(s.area[:s.used])
	if err := s.say(0); err != nil { // no copy was killed by us
		return -1, err
	}
	for {
		n, err := spawn.Poll([]unix.PollFd{{Fd: int32(s.status), Events: unix.POLLIN}}, int(s.timeout.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n < 1 {
			s.process.Kill() // which ends the stream
		}
		break
	}
	pid, err := s.word()
	if err != nil {
		return -1, err
	}
	if int32(pid) <= 0 {
		return -1, fmt.Errorf("%w: it cannot fork", ErrSilent)
	}
	return s.status, nil
}

// Alone implements [spawn.Asked].
func (s *Server) Alone() bool {
	now, err := read(s.children)
	return err == nil && now == s.alone
}

// Edges is how often each edge was taken in the last run, modulo 256.
func (s *Server) Edges() []byte { return s.area[:s.used] }

// Server is the process that copies are made of, by the numbers of the caller.
func (s *Server) Server() int { return s.pid }

// Report implements [spawn.Forker].
func (s *Server) Report() *spawn.Report { return &s.report }

// Pid implements [spawn.Forker]: it is the init.
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
	for _, fd := range []int{s.control, s.status} {
		if fd >= 0 {
			errs = append(errs, os.NewSyscallError("close", unix.Close(fd)))
		}
	}
	if s.children != nil {
		errs = append(errs, s.children.Close())
	}
	if s.area != nil {
		errs = append(errs, unix.SysvShmDetach(s.area))
	}
	return errors.Join(errs...)
}
