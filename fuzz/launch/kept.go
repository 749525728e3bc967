package launch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// kept are streams that a server has and all of its copies inherit, for to make them
// anew and to pass them takes as long as some programs run. All that a run may do with
// them is undone after it; see tells for what cannot be.
type kept struct {
	output *os.File
	input  *os.File // nil where each copy gets a standard input of its own
	file   bool     // the input is a file with data, and not the null device
}

// keep takes over those streams of a server that its copies can have.
func keep(st *streams, s *fuzz.Scenario) (*kept, error) {
	k := &kept{output: st.output}
	st.output, st.of[1], st.of[2] = nil, nil, nil
	if s.Stdin == fuzz.StdinNull || s.Stdin == fuzz.StdinFile {
		k.input, st.of[0] = st.of[0], nil
		k.file = s.Stdin == fuzz.StdinFile
	}
	// What came before the copies may have written something.
	if err := rewrite(k.output, nil); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// streams are those of a copy, as if they were new.
func (k *kept) streams(s *fuzz.Scenario) (*streams, error) {
	st := &streams{output: k.output, kept: k}
	var err error
	switch {
	case k.input == nil:
		st.of[0], err = st.input(s)
	case k.file:
		err = rewrite(k.input, s.Input)
	}
	if err != nil {
		st.close()
		return nil, fmt.Errorf("make standard input: %w", err)
	}
	return st, nil
}

// finish returns what a run has written, and makes the output as it was before.
func (k *kept) finish() []byte {
	out := readAll(k.output)
	if len(out) > 0 {
		_ = k.output.Truncate(0) // of a file in memory that nobody has sealed
	}
	_, _ = k.output.Seek(0, unix.SEEK_SET)
	return out
}

func (k *kept) close() {
	k.output.Close()
	if k.input != nil {
		k.input.Close()
	}
}

// rewrite makes a file, whatever became of it, one with this content that nothing was
// read from.
func rewrite(f *os.File, data []byte) error {
	_, err := f.WriteAt(data, 0)
	if err == nil {
		err = f.Truncate(int64(len(data)))
	}
	if err == nil {
		_, err = f.Seek(0, unix.SEEK_SET)
	}
	return err
}

// settle undoes what else a run, which made these calls, may have done with the streams.
// It reports whether the next run cannot tell.
func (k *kept) settle(made *calls) bool {
	if made.tells {
		return false
	}
	return !made.controls || restore(k.output, true) == nil && (k.input == nil || restore(k.input, k.file) == nil)
}

// controls reports whether a call can change what restore restores.
func controls(name string) bool {
	return name == "fcntl" || name == "fcntl64" || name == "ioctl" || name == "flock"
}

// restore makes the flags and the locks of an open file those of a new one. Attributes,
// which only files have, it refuses to have got.
func restore(f *os.File, attributed bool) error {
	fd := f.Fd()
	if _, err := unix.FcntlInt(fd, unix.F_SETFL, 0); err != nil {
		return err
	}
	if attributed {
		switch got, err := unix.IoctlGetInt(int(fd), unix.FS_IOC_GETFLAGS); {
		case err == unix.ENOTTY: // files in memory have none before Linux 6.6
		case err != nil:
			return err
		case got != 0:
			return errors.New("it has attributes")
		}
	}
	if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK); err != nil && err != unix.EAGAIN { // it has none
		return err
	}
	_, owner := unix.FcntlInt(fd, unix.F_SETOWN, 0)
	_, signal := unix.FcntlInt(fd, unix.F_SETSIG, 0)
	return errors.Join(owner, signal,
		unix.FcntlFlock(fd, unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}), unix.Flock(int(fd), unix.LOCK_UN))
}

// tells reports whether what a call did with streams might be told by the next run that
// has them, whatever settle does: whether it is any call but those that can change of an open
// file its data, where in it one is, its flags and its locks. What changes owners, modes
// and times is one of the others.
func tells(name string) bool {
	switch name {
	case "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2",
		"lseek", "_llseek", "sendfile", "sendfile64", "copy_file_range", "splice", "ftruncate", "ftruncate64", "truncate", "truncate64",
		"fsync", "fdatasync", "fadvise64", "fadvise64_64", "readahead",
		"open", "openat", "openat2", "creat", "close", "close_range", "dup", "dup2", "dup3", "pipe", "pipe2", "memfd_create", "eventfd", "eventfd2",
		"stat", "stat64", "fstat", "fstat64", "lstat", "lstat64", "newfstatat", "fstatat64", "statx", "statfs", "statfs64", "fstatfs", "fstatfs64",
		"access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "umask",
		"getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr",
		"unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "rename", "renameat", "renameat2", "symlink", "symlinkat",
		"poll", "ppoll", "select", "_newselect", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
		"mmap", "mmap2", "mprotect", "munmap", "mremap", "brk", "madvise", "msync", "mincore", "mlock", "mlock2", "munlock",
		"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "pause",
		"kill", "tkill", "tgkill", "alarm", "setitimer", "getitimer", "restart_syscall",
		"clone", "clone3", "fork", "vfork", "execve", "execveat", "wait4", "waitid", "waitpid", "exit", "exit_group",
		"futex", "set_robust_list", "get_robust_list", "set_tid_address", "set_thread_area", "rseq", "arch_prctl", "membarrier",
		"sched_yield", "sched_getaffinity", "getcpu", "gettid", "getpid", "getppid", "getpgrp", "getpgid", "getsid", "setsid", "setpgid",
		"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getpriority",
		"getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "sysinfo", "times", "uname",
		"time", "gettimeofday", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "getrandom",
		"socket", "connect", "fcntl", "fcntl64", "ioctl", "flock":
		return false
	}
	return true
}
