package service

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// rotate renames the regular files that the service has open for appending, as those who rotate logs
// do. Paths are followed within the world of the run only.
func (t *talker) rotate() error {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", t.init), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // the run has ended
	}
	defer unix.Close(root)
	// Links of descriptors lead from the root of the mount namespace, in which the run's own root is a directory.
	base, err := os.Readlink(fmt.Sprintf("/proc/%d/root", t.init))
	if err != nil {
		return nil
	}
	done := make(map[string]bool)
	for todo := t.tops(); len(todo) > 0; todo = todo[1:] {
		pid := todo[0]
		todo = append(todo, t.children(pid, pid)...)
		for _, fd := range numbers(fmt.Sprintf("/proc/%d/fd", pid)) {
			path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
			if err != nil || !filepath.IsAbs(path) || done[path] || !appends(pid, fd) {
				continue
			}
			done[path] = true
			if below, err := filepath.Rel(base, path); err == nil && filepath.IsLocal(below) {
				rename(root, below)
			}
		}
	}
	return nil
}

// appends reports whether a descriptor was opened with O_APPEND, see proc_pid_fdinfo(5).
func appends(pid, fd int) bool {
	info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return false
	}
	_, flags, found := bytes.Cut(info, []byte("flags:"))
	line, _, _ := bytes.Cut(flags, []byte("\n"))
	n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 8, 32)
	return found && err == nil && n&unix.O_APPEND != 0
}

// rename gives a regular file the name that logs of yesterday have.
func rename(root int, path string) {
	dir, err := unix.Openat2(root, filepath.Dir(path), &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return
	}
	defer unix.Close(dir)
	base := filepath.Base(path)
	var st unix.Stat_t
	if unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		_ = unix.Renameat(dir, base, dir, base+".1")
	}
}
