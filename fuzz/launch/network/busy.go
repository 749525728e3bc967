package network

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// owed is for how long an answer is expected of a conversation that listens on though it was told something: HTTP is
// served so, and so is a peer that has only heard the half of a message.
const owed = 10 * time.Millisecond

// Busy reports whether a peer has something to hear or to say: who waits for its answer has not come to rest. Of one that stays
// silent on purpose it may report so for ever.
func (h *Host) Busy() bool {
	h.waits.Lock()
	defer h.waits.Unlock()
	// Sockets come first: who takes something from one says before that he works, so it is seen in one of the two.
	for s := range h.open {
		if readable(s) {
			return true
		}
	}
	if h.working.Load() > 0 {
		return true
	}
	for c := range h.talks {
		if readable(c.TCPConn) || c.working.Load() || time.Since(time.Unix(0, c.told.Load())) < owed {
			return true
		}
	}
	return false
}

// readable reports whether a socket has something to be read or to be accepted.
func readable(s syscall.Conn) (yes bool) {
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) { yes = hasInput(fd) })
	return yes && err == nil
}

func hasInput(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// pollable is a listener once more, for who waits until there is something to be accepted: the listener itself does not let one.
func pollable(l *net.TCPListener) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var failed error
	if err := raw.Control(func(of uintptr) { fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
		return nil, errors.Join(err, failed)
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

// talk is a conversation that tells whether it is the peer's turn.
type talk struct {
	*net.TCPConn
	working atomic.Bool  // nobody waits for the target
	told    atomic.Int64 // when the target said something that nothing was said to yet, in nanoseconds; 0 otherwise
}

func (h *Host) begin(c *net.TCPConn) *talk {
	t := &talk{TCPConn: c}
	t.working.Store(true)
	h.waits.Lock()
	defer h.waits.Unlock()
	h.talks[t] = true
	return t
}

func (h *Host) end(t *talk) {
	h.waits.Lock()
	defer h.waits.Unlock()
	delete(h.talks, t)
}

// NetConn is what the conversation is had on.
func (t *talk) NetConn() net.Conn { return t.TCPConn }

func (t *talk) Read(b []byte) (int, error) {
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, err
	}
	// What comes is not taken before it is the peer's turn: in between neither would say so.
	err = raw.Read(func(fd uintptr) bool {
		there := hasInput(fd)
		t.working.Store(there)
		return there
	})
	t.working.Store(true)
	if err != nil {
		return 0, err
	}
	n, err := t.TCPConn.Read(b)
	if n > 0 {
		t.told.Store(time.Now().UnixNano())
	}
	return n, err
}

func (t *talk) Write(b []byte) (int, error) {
	n, err := t.TCPConn.Write(b)
	t.told.Store(0)
	return n, err
}
