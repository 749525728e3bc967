package cage

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// A lasting world is one for several runs, which are copies of a process that lives in
// it, its server (package forkserver). It lasts as long as no run has left anything:
// whoever makes the runs asks Changed after each, and makes a new world when it says
// so. What else a run can leave takes calls that change another process, or keys, sockets
// and ipc; who sees the calls must look for them.
//
// The server is confined as a target is, and can do one thing more, which does nobody
// harm: say which number the next process gets.

// ErrShortLived says that this cage's worlds cannot last.
var ErrShortLived = errors.New("worlds cannot last here")

// NewLastingWorld is NewWorld, for several runs. Nobody else gets its network and ipc
// namespaces. The cage of an ordinary user has none: there the numbers of processes
// belong to another user namespace than the server. Needs Linux 5.13, for fanotify on
// tmpfs.
func (c *Cage) NewLastingWorld() (*World, error) {
	if c.ordinary {
		return nil, fmt.Errorf("%w: an ordinary user's cage", ErrShortLived)
	}
	changes, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_NONBLOCK|unix.FAN_CLOEXEC|
		unix.FAN_UNLIMITED_QUEUE|unix.FAN_REPORT_DFID_NAME, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("%w: fanotify_init: %w", ErrShortLived, err)
	}
	c.used = true
	w, err := c.NewWorld()
	if err != nil {
		unix.Close(changes)
		return nil, err
	}
	c.used = true
	w.changes = changes
	const written = unix.FAN_CREATE | unix.FAN_DELETE | unix.FAN_MOVED_FROM | unix.FAN_MOVED_TO |
		unix.FAN_ATTRIB | unix.FAN_MODIFY | unix.FAN_CLOSE_WRITE | unix.FAN_ONDIR
	if err := unix.FanotifyMark(changes, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, written, w.scratch, "."); err != nil {
		w.Close()
		return nil, fmt.Errorf("%w: fanotify_mark: %w", ErrShortLived, err)
	}
	return w, nil
}

// Changed reports whether anything was written in a lasting world since the last call:
// all that is writable in it lies in its scratch file system. What is opened for writing counts as
// written, for nothing tells of writes to a mapping. Times of access do not count.
func (w *World) Changed() (bool, error) {
	// An event with a name has less than 512 bytes, so a half-empty buffer is the end.
	if w.events == nil {
		w.events = make([]byte, 4096)
	}
	for changed := false; ; changed = true {
		switch n, err := unix.Read(w.changes, w.events); {
		case err == unix.EAGAIN:
			return changed, nil
		case n > 0 && n < len(w.events)/2:
			return true, nil
		case err == unix.EINTR, n > 0:
		default:
			return true, fmt.Errorf("ask for changes: %w", err)
		}
	}
}

// Server is how the server of a lasting world starts.
func (w *World) Server() *spawn.Spec {
	s := w.Spec()
	s.Init = false
	s.Target = spawn.Script{}
	w.cage.newSession(&s.Target)
	s.Target.Call("close the descriptors of tjfuzz at exec", unix.SYS_CLOSE_RANGE, 3, ^uintptr(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	for k := range unix.CAP_LAST_CAP + 1 {
		if !slices.Contains(kept, k) && k != unix.CAP_CHECKPOINT_RESTORE {
			drop(&s.Target, k)
		}
	}
	permit(&s.Target, append(slices.Clone(kept), unix.CAP_CHECKPOINT_RESTORE))
	return s
}

// Settle is a system call that the server makes when it has executed the program: then
// nothing needs its bounding set to have the one capability that copies have not.
func (w *World) Settle() (nr uintptr, args [6]uintptr) {
	return unix.SYS_PRCTL, [6]uintptr{unix.PR_CAPBSET_DROP, unix.CAP_CHECKPOINT_RESTORE}
}

// Copy is how a copy of the server starts, whose limits and keyring it has.
func (w *World) Copy() *spawn.Spec {
	s := &spawn.Spec{Namespaces: unix.CLONE_NEWPID}
	s.Target.Call("setsid", unix.SYS_SETSID)
	permit(&s.Target, kept)
	return s
}
