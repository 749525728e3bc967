// Package atomicfile decides how bytes that outlive the process reach the disk:
// under a temporary name in the same directory, fsynced, renamed, and the
// directory fsynced. A reader sees the old file or the new one, never a part.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Prefix starts the temporary names, so that leftovers of a killed process can
// be told from files.
const Prefix = ".tmp-"

// Write replaces the file at path, or creates it with mode 0644.
func Write(path string, data []byte) error {
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

// Writable reports whether Write could replace the file at path now, so that an
// output that cannot be written is known before the work is done.
func Writable(path string) error {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return &os.PathError{Op: "write", Path: path, Err: errors.New("is a directory")}
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
