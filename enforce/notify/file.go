package notify

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/unotify"
)

// file is what a caller wants opened.
type file struct {
	path  string // absolute, as the caller sees it
	flags uint64
}

// give opens the file and gives it to the caller, or says with which errno the call fails.
// The path that was compared is the path that is opened, below the caller's root: no
// symbolic link is followed, which the caller could lead elsewhere, and nothing is
// created, which would belong to somebody else. The rights are those of this process.
func (f *file) give(c *Call) (unix.Errno, error) {
	if f.flags&unix.O_CREAT != 0 || f.flags&unix.O_TMPFILE == unix.O_TMPFILE {
		return unix.EPERM, nil
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", c.TID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil || !c.Valid() {
		if err == nil {
			unix.Close(root)
		}
		return unix.EPERM, nil
	}
	defer unix.Close(root)
	const large = 0o100000 // O_LARGEFILE, which is 0 in the headers of 64-bit machines
	how := &unix.OpenHow{
		Flags:   f.flags&^large&(unix.O_ACCMODE|unix.O_APPEND|unix.O_TRUNC|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NOATIME|unix.O_DIRECT|unix.O_SYNC) | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(root, strings.TrimPrefix(f.path, "/"), how)
	if err != nil {
		var errno unix.Errno
		if errors.As(err, &errno) {
			return errno, nil
		}
		return unix.EPERM, nil
	}
	defer unix.Close(fd)
	if f.flags&unix.O_NONBLOCK == 0 { // it kept a pipe without a writer from holding us up
		if now, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, now&^unix.O_NONBLOCK)
		}
	}
	err = unotify.SendFD(c.fd, c.cookie, fd, f.flags&unix.O_CLOEXEC != 0)
	if errors.Is(err, unix.EINVAL) {
		return unix.ENOSYS, nil // before Linux 5.14
	}
	return 0, err
}
