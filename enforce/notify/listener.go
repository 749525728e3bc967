// Package notify decides what becomes of calls that a filter hands to user space
// (SCMP_ACT_NOTIFY): by rules, by a person, or by another program, and how the answer
// reaches the caller. It refuses to know how the filter got there.
//
// Its main hazard is that a caller can change its memory between the moment when a path
// or an address is read here and the moment when the kernel reads it again. So to let a
// call go on because of what its pointers lead to is no protection against a program that
// is out to get round it, or whose other threads are: only refusals, values and opened
// files hold (seccomp_unotify(2)). What is read counts only if the caller still waits
// afterwards, for its number may have become another's.
package notify

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce/denial"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/unotify"
)

// Call is a call that waits for an answer.
type Call struct {
	ID   sysno.ID // invalid for an ABI that has no table
	Args [6]uint64
	TID  int    // of the calling thread, 0 where this pid namespace does not show it
	IP   uint64 // behind the instruction that called

	cookie uint64
	fd     int
	once   sync.Once
	event  denial.Event
}

// Valid reports whether the caller still waits. What was read of it before is of it then,
// and not of another process that has got its number.
func (c *Call) Valid() bool { return unotify.Valid(c.fd, c.cookie) }

// Kind is what an answer does. The zero value is invalid.
type Kind uint8

// The kinds of answers.
const (
	KindInvalid Kind = iota
	Continue         // the kernel executes the call; the policy's promise ends here
	Errno            // it fails
	Value            // it returns a value, and nothing happens
	Open             // the file is opened here, and the caller gets the descriptor
	Kill             // the process ends by SIGSYS
)

// Answer is what becomes of a call.
type Answer struct {
	Kind  Kind
	Errno unix.Errno
	Value int64
	file  *file // for Open
	By    string
}

// String is the answer in the words of a rule.
func (a Answer) String() string {
	switch a.Kind {
	case Continue:
		return "continue"
	case Errno:
		if name := unix.ErrnoName(a.Errno); name != "" {
			return "errno " + name
		}
		return fmt.Sprintf("errno %d", int(a.Errno))
	case Value:
		return fmt.Sprintf("value %d", a.Value)
	case Open:
		return "open"
	case Kill:
		return "kill"
	}
	return "nothing"
}

// Decider says what becomes of calls. Decide is called one call at a time; slow is set
// where the answer takes its time, as with a person: it is called beside others then.
type Decider interface {
	Decide(ctx context.Context, c *Call) (a Answer, slow func(ctx context.Context) Answer)
}

// Outcome is a call that was answered, for whoever keeps a record.
type Outcome struct {
	Call   *Call
	Answer Answer
	Gone   bool // the caller was killed, or interrupted, and has not heard it
}

// Counts is what a Serve did. What was received is answered or gone.
type Counts struct {
	Received, Answered, Gone uint64
}

// maxWaiting bounds the calls that wait for slow answers. More wait in the kernel.
const maxWaiting = 256

// Serve answers the calls that come from a listener until nobody is left who could make
// one, or ctx is done: then calls that wait, and later ones, fail with ENOSYS as soon as
// the descriptor is closed, which is the caller's to do. noted, when not nil, is told of
// each answer, from several goroutines.
func Serve(ctx context.Context, fd int, d Decider, noted func(Outcome)) (did Counts, err error) {
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return Counts{}, fmt.Errorf("serve notifications: %w", err)
	}
	defer unix.Close(stop)
	ctx, cancel := context.WithCancel(ctx)
	written := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		_, _ = unix.Write(stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		close(written)
	})
	defer func() {
		if !unwatch() {
			<-written // once it is closed, the number may be that of another descriptor
		}
	}()
	s := server{fd: fd, noted: noted}
	slots := make(chan struct{}, maxWaiting)
	var waiting sync.WaitGroup
	defer func() {
		cancel()
		waiting.Wait()
		did = s.n
	}()
	unotify.WakeSync(fd)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return Counts{}, fmt.Errorf("wait for notifications: %w", err)
		}
		switch {
		case fds[1].Revents != 0:
			return Counts{}, nil
		case fds[0].Revents&unix.POLLIN != 0:
		case fds[0].Revents != 0: // POLLHUP: nobody is left
			return Counts{}, nil
		default:
			continue
		}
		var n unotify.Call
		switch err := unotify.Receive(fd, &n); {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINTR):
			continue // the caller was killed meanwhile and made no call
		case err != nil:
			return Counts{}, fmt.Errorf("receive a notification: %w", err)
		}
		id, _ := n.Syscall()
		c := &Call{ID: id, Args: n.Args, TID: int(n.TID), IP: n.IP, cookie: n.ID, fd: fd}
		s.received()
		a, slow := d.Decide(ctx, c)
		if slow == nil && a.Kind != Open {
			s.send(c, a)
			continue
		}
		slots <- struct{}{}
		waiting.Go(func() {
			defer func() { <-slots }()
			if slow != nil {
				a = slow(ctx)
			}
			s.send(c, a)
		})
	}
}

type server struct {
	fd    int
	noted func(Outcome)
	mu    sync.Mutex
	n     Counts
}

func (s *server) received() {
	s.mu.Lock()
	s.n.Received++
	s.mu.Unlock()
}

func (s *server) send(c *Call, a Answer) {
	var err error
	switch a.Kind {
	case Continue:
		err = unotify.Send(s.fd, &unotify.Answer{ID: c.cookie, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
	case Value:
		err = unotify.Send(s.fd, &unotify.Answer{ID: c.cookie, Value: a.Value})
	case Open:
		var errno unix.Errno
		if errno, err = a.file.give(c); errno != 0 {
			a = Answer{Kind: Errno, Errno: errno, By: a.By}
			err = unotify.Send(s.fd, &unotify.Answer{ID: c.cookie, Error: -int32(errno)})
		}
	case Kill:
		kill(c)
		err = unotify.Send(s.fd, &unotify.Answer{ID: c.cookie, Error: -int32(unix.ENOSYS)}) // for none to see
		if errors.Is(err, unix.ENOENT) {
			err = nil
		}
	default:
		errno := a.Errno
		if errno == 0 {
			errno = unix.ENOSYS
		}
		err = unotify.Send(s.fd, &unotify.Answer{ID: c.cookie, Error: -int32(errno)})
	}
	s.mu.Lock()
	if err == nil {
		s.n.Answered++
	} else {
		s.n.Gone++
	}
	s.mu.Unlock()
	if s.noted != nil {
		s.noted(Outcome{c, a, err != nil})
	}
}

// kill ends the caller's process as a filter would, by SIGSYS, unless the program has made
// arrangements for that: then by SIGKILL. A thread that is sent a signal handles it before
// it goes on with its program.
func kill(c *Call) {
	// A process that this pid namespace does not show has the number 0, by which kill(2)
	// would mean the process group of this very process.
	if c.TID == 0 {
		return
	}
	st, err := readStatus(c.TID)
	if err != nil {
		return
	}
	// What is open is the caller's if the caller still waits afterwards, whoever gets its
	// number then. Before Linux 6.9 only a process can be opened.
	fd, err := unix.PidfdOpen(c.TID, unix.PIDFD_THREAD)
	thread := err == nil
	if !thread {
		fd, err = unix.PidfdOpen(st.tgid, 0)
	}
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if !c.Valid() {
		return
	}
	const sigsys = 1 << (unix.SIGSYS - 1)
	if (st.blocked|st.ignored|st.caught)&sigsys == 0 {
		if thread {
			err = unix.PidfdSendSignal(fd, unix.SIGSYS, nil, 0)
		} else {
			err = unix.Tgkill(st.tgid, c.TID, unix.SIGSYS)
		}
		if err == nil {
			return
		}
	}
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}
