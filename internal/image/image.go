// Package image decides what is in an executable file: which kind of program it
// is, what identifies it, what has to be loaded with it, where its code can be
// stopped, and what would keep the kernel from running it. It refuses to know processes: it runs nothing. Its main
// hazard is the file itself, which may have been made to mislead: every size and
// offset in it is a claim, and what is read on its word is bounded.
package image

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Kind is what the kernel would take a file for.
type Kind uint8

// The kinds of files. Unknown are those that it runs in no case, ELF object files
// and core dumps among them.
const (
	Unknown      Kind = iota
	Dynamic           // ELF with an interpreter, which loads its libraries
	Static            // ELF at a fixed address, without an interpreter
	StaticPIE         // ELF at any address, without an interpreter
	SharedObject      // ELF at any address, not marked as a program: a library, or ld.so
	Script            // a text whose first line names its interpreter after #!
)

// String is the kind in words, with no article.
func (k Kind) String() string {
	names := [...]string{"unknown", "dynamic ELF", "static ELF", "static-PIE ELF", "shared object", "script"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[Unknown]
}

// Identity is what tells one executable file from another, and what it names as
// necessary. Strings out of the file are as they stand in it: they may hold any
// byte but NUL.
type Identity struct {
	Path    string // absolute, symbolic links resolved
	SHA256  string // of the whole file, hex
	BuildID string // the GNU build ID in hex, empty when there is none

	Kind        Kind
	Machine     elf.Machine // EM_NONE if the file is not ELF
	Interpreter string      // PT_INTERP, or the program after #!; empty when there is none
	Args        []string    // of the #! line; Linux passes all that follows as one
	Needed      []string    // DT_NEEDED, in the order of the file
}

// Identify reads the regular file at path, wholly. It fails if the file cannot be
// read, and if it is an ELF file that is cut off or contradicts itself; a file that
// is neither ELF nor script is Unknown.
func Identify(path string) (*Identity, error) {
	resolved, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("identify %s: %w", path, err)
	}
	f, r, err := open(resolved)
	if err != nil {
		return nil, fmt.Errorf("identify %s: %w", path, err)
	}
	defer f.Close()
	return identity(r, resolved)
}

// IdentifyOpen is Identify for what a link leads to whose text is no path here, such
// as /proc/PID/exe of a process with another root. The path stands in the result as
// it is given.
func IdentifyOpen(link, path string) (*Identity, error) {
	f, r, err := open(link)
	if err != nil {
		return nil, fmt.Errorf("identify %s: %w", path, err)
	}
	defer f.Close()
	return identity(r, path)
}

func identity(r *io.SectionReader, path string) (*Identity, error) {
	c, err := inspect(r)
	if err != nil {
		return nil, fmt.Errorf("identify %s: %w", path, err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return nil, fmt.Errorf("identify %s: %w", path, err)
	}
	return &Identity{
		Path:        path,
		SHA256:      hex.EncodeToString(sum.Sum(nil)),
		BuildID:     c.buildID,
		Kind:        c.kind,
		Machine:     c.abi.machine,
		Interpreter: c.interpreter,
		Args:        c.args,
		Needed:      c.needed,
	}, nil
}

// BuildID is the GNU build ID of the regular file at path, in hex, empty when it has
// none or is no ELF file. Unlike Identify it reads the file's headers and notes alone.
func BuildID(path string) (string, error) {
	c, err := load(path)
	if err != nil {
		return "", fmt.Errorf("read the build id of %s: %w", path, err)
	}
	return c.buildID, nil
}

// Needed is what the regular file at path names as necessary, as in Identity; nothing
// when it is no ELF file. It reads the file's headers alone.
func Needed(path string) ([]string, error) {
	c, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("read what %s needs: %w", path, err)
	}
	return c.needed, nil
}

func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// open opens a regular file. Others are not even opened: a pipe would block, and
// some devices act on it.
func open(path string) (*os.File, *io.SectionReader, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, io.NewSectionReader(f, 0, fi.Size()), nil
}

func load(path string) (*content, error) {
	f, r, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return inspect(r)
}
