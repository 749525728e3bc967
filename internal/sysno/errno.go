package sysno

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// lastErrno is EFTYPE, the last of asm-generic/errno.h in Linux 7.2.
const lastErrno = syscall.Errno(134)

// Errno returns the error number of a name such as "EPERM", in capitals. Of two
// names of one number both are known, and so is ENOTSUPP, which is none of errno(3)
// but returned by some drivers.
func Errno(name string) (syscall.Errno, bool) {
	switch name { // those that the library does not know
	case "":
		return 0, false
	case "EWOULDBLOCK":
		return unix.EAGAIN, true
	case "EDEADLOCK":
		return unix.EDEADLK, true
	case "EOPNOTSUPP":
		return unix.EOPNOTSUPP, true
	case "ENOTSUPP":
		return 524, true
	}
	for e := syscall.Errno(1); e <= lastErrno; e++ {
		if unix.ErrnoName(e) == name {
			return e, true
		}
	}
	return 0, false
}
