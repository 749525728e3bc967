package userland

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// Attach makes a slot that records processes which are running, with all their
// threads and all that descends from them, until Release. They are stopped for a
// moment: a blocked call is made again or, where the kernel does not restart it,
// fails with EINTR (signal(7), "Interruption of system calls by stop signals").
func (r *Ptrace) Attach(slot int, pids []int) (*PtraceSlot, error) {
	s, err := r.newSlot(slot)
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	if err := s.do(func() error { return s.attach(pids) }); err != nil {
		return nil, errors.Join(fmt.Errorf("attach: %w", err), s.Release())
	}
	return s, nil
}

// attach runs on the tracer's thread.
func (s *PtraceSlot) attach(pids []int) error {
	b, err := newBell()
	if err != nil {
		return err
	}
	s.bell = b
	t := s.tracer
	t.armed = true
	for found := 1; found > 0 && err == nil; {
		found, err = t.sweep(pids)
	}
	s.over = make(chan struct{})
	go func() {
		s.jobs <- func() {
			b.ended(t.follow(b.process.Pid, true))
			close(s.over)
		}
	}()
	return err
}

// sweep seizes what it finds of the processes, and returns how much that was. What a
// seized task creates is seized with it, so once nothing is found nothing is missing.
func (t *tracer) sweep(roots []int) (found int, err error) {
	processes := append([]int(nil), roots...)
	visited := map[int]bool{}
	for len(processes) > 0 {
		pid := processes[0]
		processes = processes[1:]
		if visited[pid] {
			continue
		}
		visited[pid] = true
		dir := fmt.Sprintf("/proc/%d/task", pid)
		threads, err := numbers(os.ReadDir(dir))
		if err != nil {
			return found, err
		}
		for _, tid := range threads {
			n, err := t.catch(tid)
			if err != nil {
				return found, fmt.Errorf("thread %d of process %d: %w", tid, pid, err)
			}
			found += n
			// It is gone where this cannot be read.
			children, _ := os.ReadFile(fmt.Sprintf("%s/%d/children", dir, tid))
			for _, word := range strings.Fields(string(children)) {
				child, err := strconv.Atoi(word)
				if err != nil {
					return found, err
				}
				processes = append(processes, child)
			}
		}
	}
	return found, nil
}

// numbers are the names of directory entries. A directory that is not there is that
// of a process that has ended.
func numbers(entries []os.DirEntry, err error) ([]int, error) {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []int
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// catch seizes one task and reports whether that is new.
func (t *tracer) catch(tid int) (found int, err error) {
	if t.tasks[tid] != nil {
		return 0, nil
	}
	switch err := seize(tid, 0); {
	case err == unix.ESRCH:
		return 0, nil
	case err != nil:
		return 0, t.excuse(tid, err)
	}
	t.task(tid)
	_ = request(unix.PTRACE_INTERRUPT, tid, 0, 0) // ESRCH: it is ending
	return 1, nil
}

// excuse is nil where a task need not be seized: it has ended, or was seized with
// the task that created it.
func (t *tracer) excuse(tid int, err error) error {
	status, readErr := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if readErr != nil {
		return nil
	}
	self := fmt.Sprintf("\nTracerPid:\t%d\n", unix.Gettid())
	for _, harmless := range []string{self, "\nState:\tZ", "\nState:\tX"} {
		if strings.Contains(string(status), harmless) {
			return nil
		}
	}
	if !strings.Contains(string(status), "\nTracerPid:\t0\n") {
		return fmt.Errorf("another tracer has it: %w", err)
	}
	return err
}

// Alive is how many tasks are still recorded.
func (s *PtraceSlot) Alive() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tracer.tasks), nil
}

// bell is a child of the tracer's thread, by whose end the wait for the tracees can
// be ended from another thread. Nothing else wakes it for certain: the Go runtime has
// the kernel restart what its signals interrupt.
type bell struct {
	process *spawn.Process
	ended   func(unix.WaitStatus)
	rope    int // write end of a pipe; the bell ends with its last copy at the latest
}

func newBell() (*bell, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer unix.Close(pipe[0])
	spec := &spawn.Spec{}
	spec.World.Call("keep the pipe", unix.SYS_DUP3, uintptr(pipe[0]), 0, 0)
	spec.World.Call("close all else", unix.SYS_CLOSE_RANGE, 1, ^uintptr(0)>>32, 0)
	spec.World.Call("wait for the end", unix.SYS_READ, 0, spec.World.Bytes(make([]byte, 1)), 1)
	spec.Target.Exec("/", nil, nil, nil)
	p, err := spawn.Start(spec)
	if err != nil {
		unix.Close(pipe[1])
		return nil, fmt.Errorf("start what ends the wait: %w", err)
	}
	ended, err := p.Delegate()
	if err != nil {
		unix.Close(pipe[1])
		p.Kill()
		_, waitErr := p.Wait(spawn.Limits{})
		return nil, errors.Join(err, waitErr)
	}
	return &bell{p, ended, pipe[1]}, nil
}

// ring ends the bell and waits until its tracer has seen to it.
func (b *bell) ring() error {
	b.process.Kill()
	unix.Close(b.rope)
	// Either it was killed or it read the end of the pipe, and had nothing to execute.
	_, err := b.process.Wait(spawn.Limits{})
	var step *spawn.StepError
	if errors.As(err, &step) {
		return nil
	}
	return err
}
