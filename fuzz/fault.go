package fuzz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Fault makes a syscall of the native ABI fail in the whole run, but for those of its
// calls without which no program would start (see package launch).
type Fault struct {
	ID    sysno.ID
	Errno syscall.Errno
}

// String is the fault in files and for people, as in "openat:EMFILE".
func (f Fault) String() string { return f.ID.String() + ":" + unix.ErrnoName(f.Errno) }

// note is the fault in a sentence.
func (f Fault) note() string { return f.ID.String() + " failing with " + unix.ErrnoName(f.Errno) }

// ParseFault is the inverse of String.
func ParseFault(s string) (Fault, error) {
	name, word, _ := strings.Cut(s, ":")
	id, known := sysno.Lookup(sysno.Native(), name)
	errno, named := sysno.Errno(word)
	f := Fault{id, errno}
	if !known || !named || f.String() != s { // one form only
		return Fault{}, fmt.Errorf("%q is no fault; one is a syscall and an error, as in openat:EMFILE", s)
	}
	return f, nil
}

// maxFaults bounds the faults of a scenario.
const maxFaults = 8

// unfailing are the syscalls by which a run begins and ends: without them there is none.
var unfailing = []string{"execve", "execveat", "exit", "exit_group", "rt_sigreturn", "rt_sigprocmask", "seccomp", "prctl"}

func checkFaults(faults []Fault) error {
	if len(faults) > maxFaults {
		return fmt.Errorf("%d faults, and %d are too many", len(faults), maxFaults+1)
	}
	for i, f := range faults {
		if back, err := ParseFault(f.String()); err != nil || back != f {
			return fmt.Errorf("the fault of syscall %d with error %d has no name", f.ID.NR, int(f.Errno))
		}
		if name, _ := f.ID.Name(); slices.Contains(unfailing, name) {
			return fmt.Errorf("%s cannot be made to fail", name)
		}
		if i > 0 && f.ID.Compare(faults[i-1].ID) <= 0 {
			return errors.New("faults are not sorted, or two are of one syscall")
		}
	}
	return nil
}

// Kernel is the release of Linux whose syscalls a run has; newer ones fail with ENOSYS.
// The zero value is that of the host.
type Kernel uint8

// The releases: of distributions that are still in use, and of the long-term kernels.
const (
	KernelHost Kernel = iota
	Kernel5_10
	Kernel5_4
	Kernel4_18
	Kernel3_10
	kernels
)

var releases = [kernels]sysno.Release{Kernel5_10: {Major: 5, Minor: 10}, Kernel5_4: {Major: 5, Minor: 4}, Kernel4_18: {Major: 4, Minor: 18}, Kernel3_10: {Major: 3, Minor: 10}}

// String is the release in files, empty for an invalid one.
func (k Kernel) String() string {
	switch {
	case k >= kernels:
		return ""
	case k == KernelHost:
		return "host"
	}
	return releases[k].String()
}

// Lacks lists the syscalls of the native ABI that the release does not have, sorted;
// but for seccomp, by which what makes them fail is loaded.
func (k Kernel) Lacks() []sysno.ID {
	if k == KernelHost || k >= kernels {
		return nil
	}
	return slices.DeleteFunc(sysno.NewerThan(sysno.Native(), releases[k]), func(id sysno.ID) bool {
		name, _ := id.Name()
		return slices.Contains(unfailing, name)
	})
}

// worthFailing is what is worth trying: syscalls of which programs check the result and do
// something else when they fail, with the errors for which they do. EINTR and EAGAIN are
// rare among them: most programs try again for ever. brk is missing: it does not fail
// with an error, and the C library takes one for an address.
var worthFailing = []struct{ syscall, errnos string }{
	{"access", "EACCES"}, {"bind", "EADDRINUSE EACCES"}, {"chdir", "EACCES"}, {"chmod", "EPERM EROFS"}, {"chown", "EPERM"},
	{"clock_nanosleep", "EINTR"}, {"clone", "EAGAIN"}, {"clone3", "ENOSYS EPERM EAGAIN"}, {"close", "EIO"}, {"connect", "ECONNREFUSED ENETUNREACH"},
	{"copy_file_range", "ENOSYS EXDEV EOPNOTSUPP"}, {"dup", "EMFILE"}, {"dup2", "EBADF"}, {"dup3", "EBADF"}, {"epoll_create1", "ENOSYS EMFILE"}, {"epoll_ctl", "EPERM"},
	{"eventfd2", "ENOSYS EMFILE"}, {"faccessat", "EACCES"}, {"faccessat2", "ENOSYS"}, {"fadvise64", "EINVAL ESPIPE"}, {"fallocate", "EOPNOTSUPP ENOSPC"},
	{"fchdir", "EACCES"}, {"fchmod", "EPERM"}, {"fchmodat", "EPERM EOPNOTSUPP"}, {"fchown", "EPERM"}, {"fchownat", "EPERM"}, {"fcntl", "EINVAL EACCES"},
	{"fdatasync", "EIO"}, {"fgetxattr", "EOPNOTSUPP"}, {"flock", "ENOLCK EWOULDBLOCK"}, {"fsetxattr", "EOPNOTSUPP"}, {"fstat", "EIO"}, {"fstatfs", "ENOSYS"}, {"fsync", "EIO EINVAL"},
	{"ftruncate", "EINVAL EPERM"}, {"getcwd", "ENOENT EACCES"}, {"getdents64", "EIO"}, {"getrandom", "ENOSYS EAGAIN"}, {"getxattr", "EOPNOTSUPP"}, {"inotify_init1", "EMFILE"},
	{"ioctl", "ENOTTY EOPNOTSUPP EPERM"}, {"io_uring_setup", "ENOSYS EPERM"}, {"lgetxattr", "EOPNOTSUPP"}, {"link", "EPERM EXDEV"}, {"linkat", "EPERM EXDEV"}, {"llistxattr", "EOPNOTSUPP"},
	{"lseek", "ESPIPE EINVAL"}, {"lstat", "EACCES"}, {"madvise", "EINVAL"}, {"memfd_create", "ENOSYS"}, {"mkdir", "EACCES EROFS ENOSPC"}, {"mkdirat", "EACCES EROFS"},
	{"mmap", "ENOMEM ENODEV"}, {"mremap", "ENOMEM"}, {"munmap", "EINVAL"}, {"nanosleep", "EINTR"}, {"newfstatat", "EACCES ENOSYS"}, {"open", "EMFILE EACCES EROFS"},
	{"openat", "EMFILE EACCES EROFS ENFILE"}, {"openat2", "ENOSYS"}, {"pipe", "EMFILE"}, {"pipe2", "EMFILE ENFILE ENOSYS"}, {"poll", "EINVAL ENOMEM"}, {"ppoll", "ENOSYS"},
	{"pread64", "EIO ESPIPE"}, {"prlimit64", "EPERM"}, {"pselect6", "EINVAL"}, {"pwrite64", "ENOSPC ESPIPE"}, {"read", "EIO EISDIR"}, {"readlink", "EACCES"},
	{"readlinkat", "EACCES"}, {"recvfrom", "ECONNRESET"}, {"recvmsg", "ECONNRESET"}, {"rename", "EXDEV EACCES"}, {"renameat", "EXDEV"}, {"renameat2", "ENOSYS EINVAL EXDEV"},
	{"rmdir", "ENOTEMPTY"}, {"sched_getaffinity", "EINVAL ENOSYS"}, {"sched_setaffinity", "EPERM"}, {"select", "EINVAL"}, {"sendfile", "EINVAL ENOSYS"}, {"sendmsg", "EPIPE"},
	{"sendto", "EPIPE ECONNREFUSED"}, {"setgid", "EPERM"}, {"setgroups", "EPERM"}, {"setpgid", "EPERM"}, {"setrlimit", "EPERM"}, {"setsid", "EPERM"}, {"setsockopt", "ENOPROTOOPT"},
	{"setuid", "EPERM"}, {"signalfd4", "ENOSYS"}, {"socket", "EAFNOSUPPORT EMFILE EACCES"}, {"socketpair", "EMFILE"}, {"splice", "EINVAL"}, {"stat", "EACCES"}, {"statfs", "ENOSYS"},
	{"statx", "ENOSYS EACCES"}, {"symlink", "EPERM"}, {"symlinkat", "EPERM"}, {"sysinfo", "EPERM"}, {"timerfd_create", "ENOSYS"}, {"truncate", "EACCES"}, {"uname", "EFAULT"},
	{"unlink", "EACCES EBUSY"}, {"unlinkat", "EACCES EBUSY"}, {"utimensat", "EPERM ENOSYS"}, {"vfork", "EAGAIN"}, {"wait4", "ECHILD"}, {"waitid", "ECHILD"},
	{"write", "ENOSPC EIO"}, {"writev", "ENOSPC EIO"},
}

// possible lists the faults worth trying, sorted, a list for each syscall of the native
// ABI; the most telling first in each.
var possible = sync.OnceValue(func() [][]Fault {
	var out [][]Fault
	for _, f := range worthFailing {
		id, ok := sysno.Lookup(sysno.Native(), f.syscall)
		if !ok {
			continue // arm64 has none of the older ones
		}
		var of []Fault
		for _, name := range strings.Fields(f.errnos) {
			errno, _ := sysno.Errno(name) // TestEachFaultWorthTryingIsOne
			of = append(of, Fault{id, errno})
		}
		out = append(out, of)
	}
	slices.SortFunc(out, func(a, b []Fault) int { return a[0].ID.Compare(b[0].ID) })
	return out
})

// Faults lists the faults that are ever drawn, sorted by syscall.
func Faults() []Fault { return slices.Concat(possible()...) }
