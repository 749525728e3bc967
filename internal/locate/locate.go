// Package locate decides which processes and cgroups a name stands for: a pid, a
// cgroup, a systemd unit, or a container of runc, crun, docker, podman, containerd
// or Kubernetes. It reads what the runtimes leave on disk and asks their command
// lines only where that does not answer. It refuses to know what is done with the
// processes. Its main hazard is a name that stands for something else than the
// person meant, so what is ambiguous, stale or shared with others is an error or
// is not used.
package locate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Place is what a name stands for.
type Place struct {
	Name    string   // for messages: "process 12 (nginx)", "docker container web"
	PIDs    []int    // the processes whose trees are meant; empty where a cgroup says it
	Cgroups []string // directories of cgroups, with all that lies below them
	Program string   // the main process' executable as that process sees it, "" when unknown
}

// Error says what a name does not stand for, and the next step.
type Error struct {
	Problem string
	Mend    string // "" when there is none to give
}

func (e *Error) Error() string { return e.Problem }

// System is where names are looked up. The zero value is the system that the
// process runs on.
type System struct {
	Root string                   // stands before every path that is read; "" is /
	Env  func(name string) string // the environment; nil is the process' own
	// Run runs a program and returns its standard output; nil runs it on the real
	// system. Its error is exec.ErrNotFound where the program is not installed.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
}

// cliTimeout ends a command line whose daemon does not answer.
const cliTimeout = 15 * time.Second

// PID is the process of which pid is a thread, with its descendants.
func (s System) PID(pid int) (Place, error) {
	p, err := s.process(pid)
	if err != nil {
		return Place{}, err
	}
	name := fmt.Sprintf("process %d (%s)", p.pid, p.name)
	switch {
	case p.kernel:
		return Place{}, &Error{name + " is a kernel thread, which makes no syscalls", ""}
	case p.dead:
		return Place{}, &Error{name + " has ended, its parent has not waited for it yet", ""}
	}
	return Place{Name: name, PIDs: []int{p.pid}, Program: s.program(p.pid)}, nil
}

// process is what /proc says of a process.
type process struct {
	pid    int
	name   string
	parent int
	start  uint64 // in clock ticks since the boot
	dead   bool
	kernel bool
}

// process reads the process that pid is a thread of.
func (s System) process(pid int) (process, error) {
	gone := &Error{fmt.Sprintf("there is no process %d", pid), "ps -e lists those that are there"}
	if pid <= 0 {
		return process{}, gone
	}
	status, err := s.read(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return process{}, gone
	} else if err != nil {
		return process{}, fmt.Errorf("read the state of process %d: %w", pid, err)
	}
	p := process{pid: pid}
	mapped := false
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			p.name = value
		case "State":
			p.dead = strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X")
		case "Tgid":
			if p.pid, err = strconv.Atoi(value); err != nil {
				return process{}, fmt.Errorf("read the state of process %d: %w", pid, err)
			}
		case "PPid":
			p.parent, _ = strconv.Atoi(value)
		case "VmSize":
			mapped = true
		}
	}
	// A kernel thread has no memory of its own; neither has the dead.
	p.kernel = !mapped && !p.dead
	stat, err := s.read(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return process{}, gone
	}
	p.start = startTime(stat)
	return p, nil
}

// startTime is field 22 of /proc/PID/stat, 0 when it is not there. The second
// field, the name, may hold blanks and parentheses.
func startTime(stat []byte) uint64 {
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0
	}
	start, _ := strconv.ParseUint(fields[19], 10, 64)
	return start
}

// program is the executable of a process as the process sees it. The link leads
// from the root of the file system that the process is in, but not from the
// directory that it may have called chroot with.
func (s System) program(pid int) string {
	exe, err := os.Readlink(s.path(fmt.Sprintf("/proc/%d/exe", pid)))
	if err != nil {
		return ""
	}
	root, err := os.Readlink(s.path(fmt.Sprintf("/proc/%d/root", pid)))
	if err == nil && root != "/" {
		if inside, ok := strings.CutPrefix(exe, root+"/"); ok {
			exe = "/" + inside
		}
	}
	return strings.TrimSuffix(exe, " (deleted)")
}

func (s System) path(p string) string { return filepath.Join("/", s.Root, p) }

func (s System) read(p string) ([]byte, error) { return os.ReadFile(s.path(p)) }

func (s System) env(name string) string {
	if s.Env != nil {
		return s.Env(name)
	}
	return os.Getenv(name)
}

func (s System) exists(p string) bool {
	_, err := os.Stat(s.path(p))
	return err == nil
}

// run runs a command line for its standard output. Its error has what the program
// said on standard error.
func (s System) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	if s.Run != nil {
		return s.Run(ctx, name, args...)
	}
	ctx, cancel := context.WithTimeout(ctx, cliTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// What the program leaves behind may hold its output open.
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound), err == nil:
	case ctx.Err() != nil:
		err = fmt.Errorf("%s did not answer within %v", name, cliTimeout)
	default:
		err = fmt.Errorf("%s: %s (%w)", name, firstLine(stderr.String()), err)
	}
	return out, err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
