package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Follow traces a process with these options of PTRACE_SEIZE, and whatever they make traced
// beside it, on a thread of its own. Each stop or end of a thread is given to serve there, which
// lets it go on with Ptrace, and says done where nothing is traced any more. Where serve fails
// the thread is killed, and what is left is waited for all the same; that a thread is gone, an
// error of ESRCH, is no failure. What ended tells comes when serve is done, when the process has ended, which is
// left to whoever started it, or when nothing is traced any more.
func Follow(pid int, options uintptr, serve func(tid int, ws unix.WaitStatus) (done bool, err error)) (ended <-chan error, err error) {
	seized, result := make(chan error), make(chan error, 1)
	go func() {
		// Whoever traces waits for all of its tracees, and has no other children. The thread ends here.
		runtime.LockOSThread()
		err := Ptrace(unix.PTRACE_SEIZE, pid, 0, options)
		seized <- err
		if err == nil {
			result <- follow(pid, serve)
		}
	}()
	if err := <-seized; err != nil {
		return nil, err
	}
	return result, nil
}

func follow(root int, serve func(int, unix.WaitStatus) (bool, error)) (failed error) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, nil)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.ECHILD:
			return failed
		default:
			return fmt.Errorf("wait for what is traced: %w", err)
		}
		// struct siginfo has si_pid first in its union.
		tid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
		const exited, dumped = 1, 3 // CLD_EXITED and CLD_DUMPED of waitid(2); CLD_KILLED lies between
		if tid == root && info.Code >= exited && info.Code <= dumped {
			return failed
		}
		var ws unix.WaitStatus
		if _, err := unix.Wait4(tid, &ws, unix.WALL|unix.WNOTHREAD, nil); err == unix.EINTR {
			continue
		} else if err != nil {
			return fmt.Errorf("wait for what is traced: %w", err)
		}
		done, err := serve(tid, ws)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has been killed, which the next wait tells
			failed = errors.Join(failed, err)
			_ = unix.Kill(tid, unix.SIGKILL)
		}
		if done {
			return failed
		}
	}
}

// Look reads a file of a process in /proc that says something of its memory. The error is ESRCH where that has
// none any more: what is traced can be killed at any time.
func Look(pid int, name string) ([]byte, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	switch {
	case err == nil && len(b) == 0, errors.Is(err, unix.ENOENT):
		err = unix.ESRCH
	case errors.Is(err, unix.EACCES) && bare(pid):
		err = unix.ESRCH // what has no memory any more is root's
	}
	if err != nil {
		return nil, fmt.Errorf("look at the memory of a process: %w", err)
	}
	return b, nil
}

// bare reports whether a process has no memory, as one that ends.
func bare(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	return err != nil || bytes.HasPrefix(b, []byte("0 "))
}

// Ptrace makes a request that has no pointers of this process.
func Ptrace(request, pid int, address, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
