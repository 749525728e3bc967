// Package unotify decides how the kernel is talked to about calls that a seccomp filter
// hands to user space (seccomp_unotify(2)). It knows neither policies nor what an answer
// should be. Its main hazard is a thread id that by now is another thread's: what was
// read of a caller counts only if Valid is asked afterwards.
package unotify

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Call is struct seccomp_notif of linux/seccomp.h: a call that waits for an answer. The
// kernel says how large it and Answer are (SECCOMP_GET_NOTIF_SIZES) by refusing an ioctl
// whose number has another size in it.
type Call struct {
	ID    uint64 // of the wait, not of the syscall
	TID   uint32 // by the numbers of the receiver's pid namespace, 0 where that does not show it
	Flags uint32
	NR    int32 // struct seccomp_data from here on
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// Answer is struct seccomp_notif_resp: a value, an errno, or that the call go on.
type Answer struct {
	ID    uint64
	Value int64
	Error int32  // negated, as the kernel returns it
	Flags uint32 // unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE, or 0
}

// addFD is struct seccomp_notif_addfd.
type addFD struct {
	id         uint64
	flags      uint32
	srcfd      uint32
	newfd      uint32
	newfdFlags uint32
}

// Syscall is what was called. It fails for an ABI that has no table.
func (c *Call) Syscall() (sysno.ID, bool) {
	id := sysno.FromRaw(c.Arch, uint32(c.NR))
	return id, id.Valid()
}

// Receive waits for a call. ENOENT says that one was there and its caller was killed.
func Receive(fd int, c *Call) error {
	*c = Call{}
	return ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(c))
}

// Send answers. ENOENT says that the caller was killed, or interrupted by a signal,
// and waits no more.
func Send(fd int, a *Answer) error {
	return ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(a))
}

// Valid reports whether the caller still waits: then what was read by its id before was
// read of it.
func Valid(fd int, id uint64) bool {
	return ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == nil
}

// SendFD gives the caller a descriptor and answers with its number in one step. Needs
// Linux 5.14.
func SendFD(fd int, id uint64, src int, closeOnExec bool) error {
	a := addFD{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, srcfd: uint32(src)}
	if closeOnExec {
		a.newfdFlags = unix.O_CLOEXEC
	}
	return ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&a))
}

// WakeSync lets both sides share a CPU, which makes an answer twice as fast, since
// Linux 6.6; older kernels refuse.
func WakeSync(fd int) {
	_ = unix.IoctlSetInt(fd, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	if e != 0 {
		return e
	}
	return nil
}
