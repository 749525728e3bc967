package fuzz

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrInUse is returned where another process writes to a state directory.
var ErrInUse = errors.New("another session uses it")

const lockName = ".lock"

// Lock makes this process the only one that may write to s, until unlock is called or
// the process ends, however it ends. The lock is of the kind that children do not
// inherit (fcntl(2), F_SETLK), so a target that is still being killed keeps nobody out;
// within one process it excludes nobody.
func (s *State) Lock() (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock state: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if err == nil {
		return f.Close, nil
	}
	f.Close()
	if err == unix.EAGAIN || err == unix.EACCES {
		err = ErrInUse
	}
	return nil, fmt.Errorf("lock state: %s: %w", s.dir, err)
}
