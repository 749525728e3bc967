// Package atomicfile decides how bytes that outlive the process reach the disk:
// under a temporary name in the same directory, fsynced, renamed, and the
// directory fsynced. A reader sees the old file or the new one, never a part.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Prefix starts the temporary names, so that leftovers of a killed process can
// be told from files.
const Prefix = ".tmp-"

// Write replaces the file at path, or creates it with mode 0644. A symbolic link
// stays, and what it leads to is replaced. What is no regular file, such as
// /dev/null or a FIFO, is written to as it is: to rename over it would destroy it.
func Write(path string, data []byte) error {
	path, special, err := resolve(path)
	if err != nil {
		return err
	}
	if special {
		return os.WriteFile(path, data, 0)
	}
	f, err := os.CreateTemp(filepath.Dir(path), Prefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// resolve follows symbolic links and reports whether something other than a
// regular file is there. Nothing there is no error.
func resolve(path string) (real string, special bool, err error) {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return path, false, nil
	}
	if err != nil {
		return "", false, err
	}
	if st.IsDir() {
		return "", false, &os.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	}
	real, err = filepath.EvalSymlinks(path)
	return real, !st.Mode().IsRegular(), err
}

// Writable reports whether Write could replace the file at path now, so that an
// output that cannot be written is known before the work is done.
func Writable(path string) error {
	path, special, err := resolve(path)
	if err != nil || special {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), Prefix+"*")
	var pe *os.PathError
	if errors.As(err, &pe) {
		return &os.PathError{Op: "write", Path: path, Err: pe.Err} // the temporary name would only confuse
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
