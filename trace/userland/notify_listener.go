package userland

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// listener answers the notifications of one run.
type listener struct {
	fd       int
	answered int
	// The kernel says how large these are (SECCOMP_GET_NOTIF_SIZES) by refusing
	// an ioctl whose number has another size in it.
	call   notification
	answer response
}

// notification is struct seccomp_notif of linux/seccomp.h.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32 // struct seccomp_data from here on
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
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
		// Since Linux 6.6 the two sides can share a CPU, which makes an answer twice
		// as fast; older kernels refuse.
		_ = unix.IoctlSetInt(l.fd, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	}
	l.call = notification{}
	if err := l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&l.call)); err != nil {
		// ENOENT: the caller was killed meanwhile and made no call.
		if err != unix.ENOENT && err != unix.EINTR {
			n.missed()
		}
		return
	}
	l.answered++
	id, ok := l.call.syscall()
	if !ok {
		n.beyond()
	}
	var ruling Ruling
	if ok && n.judge != nil {
		ruling = n.judge(id, l.call.args)
	}
	l.answer = response{id: l.call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	switch {
	case ruling.Kill:
		to.denied[id] = true
		// A process that this pid namespace does not show has the number 0, by which
		// kill(2) would mean the process group of this very process.
		if l.call.pid != 0 {
			_ = unix.Kill(int(l.call.pid), unix.SIGKILL)
		}
		l.answer = response{id: l.call.id, error: -int32(unix.ENOSYS)} // for none to see
	case ruling.Errno != 0:
		to.denied[id] = true
		l.answer = response{id: l.call.id, error: -int32(ruling.Errno)}
	case ok:
		to.seen[id] = true
	}
	if ok {
		n.details.add(id, &l.call, l.answered == 1)
	}
	switch err := l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&l.answer)); err {
	case nil:
	case unix.ENOENT:
		to.unheard[id] = true
	default:
		n.missed()
	}
}

// syscall is what was called. It fails for an ABI that has no table.
func (c *notification) syscall() (sysno.ID, bool) {
	id := sysno.FromRaw(c.arch, uint32(c.nr))
	return id, id.Valid()
}

func (l *listener) ioctl(request uintptr, arg unsafe.Pointer) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), request, uintptr(arg))
	if e != 0 {
		return e
	}
	return nil
}
