// Package claim decides whether a directory that a process made on the host is still
// its own, or was left behind by one that was killed. A claim is a lock that the
// kernel releases with its holder, however that ends (flock(2)); unlike a process id
// in a name, it cannot come back to life, and it means the same in every pid
// namespace. Its main hazard is to remove what somebody is about to claim: Make
// looks whether that has happened.
package claim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Claim is held on a directory until Release, or the end of the process.
type Claim struct{ dir *os.File }

// Make claims the directory that mkdir makes and returns the path of.
func Make(mkdir func() (string, error)) (string, *Claim, error) {
	for range 16 {
		path, err := mkdir()
		if err != nil {
			return "", nil, err
		}
		f, err := lock(path, unix.LOCK_SH)
		if err == nil && same(f, path) {
			return path, &Claim{f}, nil
		}
		if err == nil {
			f.Close()
		} else if !errors.Is(err, unix.ENOENT) {
			return "", nil, errors.Join(fmt.Errorf("claim %s: %w", path, err), os.Remove(path))
		}
	}
	return "", nil, errors.New("claim: each new directory is removed at once by somebody else")
}

// Release ends the claim. The directory stays.
func (c *Claim) Release() error { return c.dir.Close() }

// Sweep calls remove for the directories that match the pattern, as in
// [filepath.Match], that belong to this user and that nobody claims. What cannot be
// removed is left to the next one.
func Sweep(pattern string, remove func(path string) error) {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return
	}
	for _, path := range found {
		f, err := lock(path, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		if same(f, path) {
			_ = remove(path)
		}
		f.Close()
	}
}

// lock opens and locks a directory of this user. A link that another user has put
// there leads nowhere.
func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || int(st.Uid) != os.Geteuid() {
		f.Close()
		return nil, errors.Join(unix.EPERM, err)
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// same reports whether path still is the directory that was opened.
func same(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}
