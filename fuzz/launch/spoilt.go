package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// spoilt reports whether a run, which made these calls, may have left something to the
// next copy of the server: in the server's world, or in the server itself, which is
// the init of its copies and belongs to their user.
func (s *server) spoilt(seen []sysno.ID) bool {
	if s.Ended() || s.seen.disturbs || s.seen.writes && !s.traits.kept() {
		return true
	}
	if s.seen.limits {
		if now, err := limitsOf(s.parent); err != nil || now != s.limits {
			return true
		}
	}
	if s.bound && slices.ContainsFunc(seen, meddles) {
		return true
	}
	if s.dir != nil {
		s.dir.judge(!s.seen.links)
		return false
	}
	changed, err := s.world.Changed()
	return changed || err != nil || s.seen.leaves
}

// changes reports whether the last run may have changed files in the place of the server.
func (s *server) changes(spoilt bool) bool {
	if s.dir != nil {
		return !s.dir.clean
	}
	return spoilt
}

// calls are the system calls of a run, and what they can mean for the next copy. Mostly
// they are those of the run before.
type calls struct {
	seen []sysno.ID

	disturbs bool // see there
	limits   bool // the limits of another process may have been changed
	writes   bool // something may have been written to a file
	leaves   bool // see Leaves
	tells    bool // see there
	controls bool // flags or locks of open files may have been changed
	links    bool // a file may have got a name elsewhere, of which nothing in its directory tells
	silent   bool // nothing was written to a stream, and no stream is elsewhere than before
}

func (c *calls) judge(seen []sysno.ID) {
	if slices.Equal(c.seen, seen) {
		return
	}
	*c = calls{seen: slices.Clone(seen)}
	moves := false
	for _, id := range seen {
		name, _ := id.Name()
		c.disturbs = c.disturbs || disturbs(name)
		c.limits = c.limits || name == "prlimit64"
		c.writes = c.writes || writes(name)
		c.leaves = c.leaves || Leaves(id)
		c.tells = c.tells || tells(name)
		c.controls = c.controls || controls(name)
		c.links = c.links || name == "link" || name == "linkat" || name == "io_uring_setup" || name == ""
		moves = moves || resizes(name) || name == "lseek" || name == "_llseek"
	}
	c.silent = !c.writes && !c.tells && !moves
}

// resizes reports whether a call can change the size of a file without writing to it.
func resizes(name string) bool {
	return name == "ftruncate" || name == "ftruncate64" || name == "truncate" || name == "truncate64"
}

// disturbs reports whether a call can change another process of the same user in a way
// that its children inherit, or the keyring that all copies have. What ptrace(2) guards is out of reach, since a server
// has a capability that its copies have not.
func disturbs(name string) bool {
	switch name {
	case "setpriority", "ioprio_set", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
		"add_key", "keyctl", "request_key":
		return true
	}
	return false
}

// writes reports whether a call can write to a file that was opened.
func writes(name string) bool {
	switch name {
	case "write", "writev", "pwrite64", "pwritev", "pwritev2", "sendfile", "sendfile64", "splice", "vmsplice",
		"copy_file_range", "io_submit", "io_uring_setup", "":
		return true
	}
	return false
}

// limits are the resource limits of a process.
type limits [unix.RLIMIT_RTTIME + 1]unix.Rlimit

func limitsOf(pid int) (l limits, err error) {
	for n := range l {
		if err := unix.Prlimit(pid, n, nil, &l[n]); err != nil {
			return l, fmt.Errorf("read the limits of the fork server: %w", err)
		}
	}
	return l, nil
}

// traits are what children inherit of a process that its user can write to in /proc.
type traits []trait

type trait struct {
	file *os.File
	text string
}

// traitsOf must be called on a thread that has a /proc.
func traitsOf(pid int) (all traits, err error) {
	for _, name := range []string{"oom_score_adj", "coredump_filter"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without it
		}
		if err != nil {
			all.close()
			return nil, fmt.Errorf("look at the fork server: %w", err)
		}
		all = append(all, trait{file: f})
		if all[len(all)-1].text, err = read(f); err != nil {
			all.close()
			return nil, fmt.Errorf("look at the fork server: %w", err)
		}
	}
	return all, nil
}

func read(f *os.File) (string, error) {
	var b [128]byte
	n, err := unix.Pread(int(f.Fd()), b[:], 0)
	return string(b[:max(0, n)]), err
}

func (all traits) kept() bool {
	for _, t := range all {
		if now, err := read(t.file); err != nil || now != t.text {
			return false
		}
	}
	return true
}

func (all traits) close() {
	for _, t := range all {
		t.file.Close()
	}
}
