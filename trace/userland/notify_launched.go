package userland

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Launched watches the runs that one thread starts.
type Launched struct {
	n      *Notify
	slot   int
	socket [2]int // the children write to the second
	wake   int    // eventfd: the watch is to look at what has changed below
	ended  chan struct{}

	mu       sync.Mutex
	released bool
	listen   *listener // of the current run, nil before it has come and when all is over
	closing  []int     // for the watch to close: it may be polling them
	run      sightings
}

// sightings are what one run showed.
type sightings struct {
	seen, denied map[sysno.ID]bool

	// Whose caller was killed before it heard the answer, so that the call did not
	// take place. It would have, had nobody asked.
	unheard map[sysno.ID]bool
}

func newSightings() sightings {
	return sightings{seen: map[sysno.ID]bool{}, denied: map[sysno.ID]bool{}, unheard: map[sysno.ID]bool{}}
}

// Launcher begins to watch for one worker, numbered from 0.
func (n *Notify) Launcher(slot int) (*Launched, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return nil, fmt.Errorf("begin to watch: %w", ErrClosed)
	case n.slots[slot]:
		return nil, fmt.Errorf("begin to watch: slot %d is taken", slot)
	}
	s := &Launched{n: n, slot: slot, ended: make(chan struct{}), run: newSightings()}
	var err error
	if s.socket, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return nil, fmt.Errorf("begin to watch: %w", err)
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(s.socket[0])
		unix.Close(s.socket[1])
		return nil, fmt.Errorf("begin to watch: %w", err)
	}
	n.slots[slot] = true
	n.threads.Go(s.watch)
	return s, nil
}

// Begin makes the next run start under the filter.
func (s *Launched) Begin(spec *spawn.Spec) error {
	program, err := s.n.filter()
	if err != nil {
		return err
	}
	spec.Listener = &spawn.Listener{Program: program, Socket: s.socket[1]}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = newSightings()
	return nil
}

// Started does nothing: the child says itself when it is ready.
func (s *Launched) Started(*spawn.Process) error { return nil }

// Seen is every syscall that the run has made and that was not known when it
// began, sorted. The process that was started must have been waited for.
func (s *Launched) Seen() []sysno.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over := s.serve(); !over {
		s.leave()
	}
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	for id := range s.run.seen {
		s.n.seen[id] = true
	}
	return slices.SortedFunc(maps.Keys(s.run.seen), sysno.ID.Compare)
}

// Denied is every syscall of the run that NotifyOptions.Judge has refused, sorted.
func (s *Launched) Denied() []sysno.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.run.denied), sysno.ID.Compare)
}

// Release ends the watch. A second Release does nothing.
func (s *Launched) Release() error {
	s.mu.Lock()
	released := s.released
	s.released = true
	s.mu.Unlock()
	if released {
		return nil
	}
	if err := ring(s.wake); err != nil {
		return fmt.Errorf("end the watch: %w", err)
	}
	<-s.ended
	if s.listen != nil { // nobody has waited for the run
		s.closing = append(s.closing, s.listen.fd)
	}
	for _, fd := range s.closing {
		unix.Close(fd)
	}
	err := errors.Join(unix.Close(s.wake), unix.Close(s.socket[0]), unix.Close(s.socket[1]))
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	delete(s.n.slots, s.slot)
	return err
}

// watch answers until Release. The launching thread may answer too, in Seen: so
// each does what there is to do under the lock, and the watch waits without it.
func (s *Launched) watch() {
	defer close(s.ended)
	for {
		s.mu.Lock()
		for _, fd := range s.closing {
			unix.Close(fd)
		}
		s.closing = nil
		// Either the listener or the socket: the next one comes when this one is done with.
		l, fds := s.listen, []unix.PollFd{{Fd: int32(s.wake), Events: unix.POLLIN}, {Fd: int32(s.socket[0]), Events: unix.POLLIN}}
		if l != nil {
			fds[1].Fd = int32(l.fd)
		}
		released := s.released
		s.mu.Unlock()
		if released {
			return
		}
		await(fds, -1)
		if fds[0].Revents != 0 {
			var word [8]byte
			_, _ = unix.Read(s.wake, word[:])
		}
		s.mu.Lock()
		switch {
		case s.listen != l || fds[1].Revents == 0: // Seen was faster
		case l == nil:
			s.accept()
		case fds[1].Revents&unix.POLLIN != 0:
			l.answerOne(s.n, &s.run)
		default: // POLLHUP: nobody is left who could call
			s.retire()
		}
		s.mu.Unlock()
	}
}

// serve takes over the listener if it has come, answers all that waits, and
// reports whether the run is over: nobody is left who could call. The caller holds mu.
func (s *Launched) serve() (over bool) {
	for {
		if s.listen == nil && !s.accept() {
			return true
		}
		if !s.listen.answerAll(s.n, &s.run) {
			return false
		}
		s.retire()
	}
}

// accept takes over the listener if it has come.
func (s *Launched) accept() bool {
	fd, err := receive(s.socket[0])
	if err != nil {
		if err != unix.EAGAIN {
			s.n.missed()
		}
		return false
	}
	s.listen = &listener{fd: fd}
	return true
}

func (s *Launched) retire() {
	s.closing = append(s.closing, s.listen.fd)
	s.listen = nil
}

// leave hands the listener to a goroutine of its own, which watches what outlived
// the run. The caller holds mu.
func (s *Launched) leave() {
	l := s.listen
	s.retire()
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		s.n.missed() // what is left will see its calls fail
	}
	if err := errors.Join(err, ring(s.wake)); err != nil {
		return
	}
	l.fd = fd
	s.n.left.Go(func() {
		defer unix.Close(l.fd)
		for {
			fds := []unix.PollFd{{Fd: int32(s.n.quit), Events: unix.POLLIN}, {Fd: int32(l.fd), Events: unix.POLLIN}}
			await(fds, -1)
			late := newSightings()
			over := l.answerAll(s.n, &late)
			s.n.mu.Lock()
			s.n.lost.Late += uint64(l.answered)
			l.answered = 0
			for id := range late.seen {
				s.n.seen[id] = true
			}
			s.n.mu.Unlock()
			if over || fds[0].Revents != 0 {
				return
			}
		}
	})
}

// ring makes an eventfd readable.
func ring(fd int) error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := unix.Write(fd, one[:])
	return err
}

// await is poll(2).
func await(fds []unix.PollFd, timeout int) {
	for {
		_, err := unix.Poll(fds, timeout)
		switch err {
		case nil:
			return
		case unix.EINTR, unix.EAGAIN, unix.ENOMEM:
		default:
			panic(fmt.Sprintf("poll: %v", err)) // our own mistake, and the target would wait for ever
		}
	}
}

// receive takes a descriptor from a message, or returns EAGAIN when there is none.
func receive(socket int) (int, error) {
	var payload [1]byte
	control := make([]byte, unix.CmsgSpace(4))
	for {
		_, n, _, _, err := unix.Recvmsg(socket, payload[:], control, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, err
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil || len(messages) != 1 {
			return -1, unix.EBADMSG
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			return -1, unix.EBADMSG
		}
		return fds[0], nil
	}
}
