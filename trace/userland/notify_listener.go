package userland

import (
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/unotify"
)

// listener answers the notifications of one run.
type listener struct {
	fd       int
	answered int
	call     unotify.Call
}

// answerAll answers every notification that waits, and reports whether nobody is
// left who could make one.
func (l *listener) answerAll(n *Notify, to *sightings) (over bool) {
	for {
		fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		await(fds, 0)
		if fds[0].Revents&unix.POLLIN == 0 {
			return fds[0].Revents&unix.POLLHUP != 0
		}
		l.answerOne(n, to)
	}
}

func (l *listener) answerOne(n *Notify, to *sightings) {
	if l.answered == 0 {
		unotify.WakeSync(l.fd)
	}
	if err := unotify.Receive(l.fd, &l.call); err != nil {
		// ENOENT: the caller was killed meanwhile and made no call.
		if err != unix.ENOENT && err != unix.EINTR {
			n.missed()
		}
		return
	}
	l.answered++
	id, ok := l.call.Syscall()
	if !ok {
		n.beyond()
	}
	var ruling Ruling
	if ok && n.judge != nil {
		ruling = n.judge(id, l.call.Args)
	}
	answer := unotify.Answer{ID: l.call.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	switch {
	case ruling.Kill:
		to.denied[id] = true
		// A process that this pid namespace does not show has the number 0, by which
		// kill(2) would mean the process group of this very process.
		if l.call.TID != 0 {
			_ = unix.Kill(int(l.call.TID), unix.SIGKILL)
		}
		answer = unotify.Answer{ID: l.call.ID, Error: -int32(unix.ENOSYS)} // for none to see
	case ruling.Errno != 0:
		to.denied[id] = true
		answer = unotify.Answer{ID: l.call.ID, Error: -int32(ruling.Errno)}
	case ok:
		to.seen[id] = true
	}
	if ok {
		n.details.add(id, &l.call, l.answered == 1)
	}
	switch err := unotify.Send(l.fd, &answer); err {
	case nil:
	case unix.ENOENT:
		to.unheard[id] = true
	default:
		n.missed()
	}
}
