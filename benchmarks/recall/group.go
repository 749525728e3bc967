package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// group is a cgroup of version 2, by its directory.
type group string

func newGroup() (group, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		before, after, _ := strings.Cut(line, " - ")
		if words := strings.Fields(before); len(words) > 4 && strings.HasPrefix(after, "cgroup2 ") {
			dir, err := os.MkdirTemp(words[4], "tjfuzz-recall-")
			return group(dir), err
		}
	}
	return "", errors.New("no cgroup file system of version 2 is mounted")
}

// empty ends what a suite left behind, and waits for that.
func (g group) empty() error {
	if err := os.WriteFile(filepath.Join(string(g), "cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("end what the suite left: %w", err)
	}
	return g.await(func(populated bool) bool { return !populated })
}

// await blocks until cgroup.events says what is wanted.
func (g group) await(done func(populated bool) bool) error {
	f, err := os.Open(filepath.Join(string(g), "cgroup.events"))
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		text := make([]byte, 256)
		n, err := f.ReadAt(text, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if done(bytes.Contains(text[:n], []byte("populated 1"))) {
			return nil
		}
		if err := changed(f); err != nil {
			return err
		}
	}
}

func (g group) remove() error {
	return errors.Join(g.empty(), os.Remove(string(g)))
}

// record attaches the recorder to all that will enter the group. It attaches to no group
// without a process, so there is one meanwhile: it stands at the end of its execve,
// makes no other call, and is killed.
func (g group) record(rec *rawtp.Recorder) (_ *rawtp.Slot, err error) {
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	dir, err := os.Open(string(g))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process in the cgroup: %w", err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it has not ended, so it can be killed
		_ = cmd.Wait()         // says that it was
	}()
	var status unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &status, 0, nil); err != nil || !status.Stopped() {
		return nil, fmt.Errorf("the process in the cgroup did not stop: %v, status %#x", err, status)
	}
	return rec.Attach(0, rawtp.Attachment{Cgroups: []string{string(g)}})
}

// changed waits until the kernel says that a file of a cgroup has changed.
func changed(f *os.File) error {
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
	for {
		_, err := unix.Poll(fds, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
