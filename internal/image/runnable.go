package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// maxScripts is how many scripts the kernel goes through from interpreter to
// interpreter (exec_binprm in fs/exec.c).
const maxScripts = 5

// NotRunnableError says why the kernel would not run a file.
type NotRunnableError struct {
	Path   string // as it was given
	Reason string // for a person, to be read after the path

	// Interpreter is the file at fault if it is not the one at Path but what that
	// names as its interpreter.
	Interpreter string
	// Err is fs.ErrNotExist, fs.ErrPermission or another error of the system that
	// concerns Path itself. It is nil if the contents, or an interpreter, are at fault.
	Err error
}

func (e *NotRunnableError) Error() string { return e.Path + ": " + e.Reason }

func (e *NotRunnableError) Unwrap() error { return e.Err }

// CheckRunnable returns nil if the kernel would run the file at path, and a
// *NotRunnableError otherwise. A path without a slash is a file in the current
// directory, PATH is not searched. Formats that binfmt_misc adds to the kernel are
// not known here, nor is whether the libraries are there: see Libraries.
func CheckRunnable(path string) error {
	file, by := path, (*content)(nil)
	for scripts := 0; scripts <= maxScripts; {
		c, reason, err := examine(file, by)
		switch {
		case reason != "" && by != nil:
			if strings.HasSuffix(file, "\r") {
				reason += "; the line after #! ends in a carriage return"
			}
			return &NotRunnableError{Path: path, Interpreter: file, Reason: "its interpreter " + printable(file) + " " + reason}
		case reason != "":
			return &NotRunnableError{Path: path, Reason: reason, Err: err}
		case c.interpreter == "" || by != nil && by.kind == Dynamic:
			return nil
		case c.kind == Script:
			scripts++
		}
		file, by = c.interpreter, c
	}
	return &NotRunnableError{Path: path, Reason: fmt.Sprintf("more than %d scripts interpret one another", maxScripts)}
}

// examine returns what is in file, and why it cannot be run, "" if it can. by is
// what names it as interpreter, nil if nothing does.
func examine(file string, by *content) (c *content, reason string, err error) {
	fi, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "does not exist", err
	case err != nil:
		return nil, "cannot be reached: " + cause(err), err
	case fi.IsDir():
		return nil, "is a directory", nil
	case !fi.Mode().IsRegular():
		return nil, "is not a regular file", nil
	case fi.Mode()&0o111 == 0:
		return nil, "has no execute permission", fs.ErrPermission
	}
	if err := unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS); err != nil {
		return nil, "may not be executed: this user has no permission to, or its file system is mounted noexec", err
	}
	c, err = load(file)
	var system *fs.PathError
	switch {
	case errors.As(err, &system):
		return nil, "cannot be read: " + cause(err), err
	case err != nil:
		return nil, "is a damaged ELF file: " + err.Error(), nil
	case fi.Size() == 0:
		return nil, "is empty", nil
	case by != nil && by.kind == Dynamic && c.abi != by.abi:
		return nil, fmt.Sprintf("is not an ELF file for %s", by.abi), nil
	case c.kind == Unknown && c.abi == abi{}:
		return nil, "is neither an ELF file nor a script that starts with #!", nil
	case c.kind == Unknown:
		return nil, "is an ELF file, but no program", nil
	case c.kind == SharedObject && (c.entry == 0 || len(c.needed) > 0):
		return nil, "is a shared library, not a program", nil
	case c.kind != Script && !slices.Contains(native(runtime.GOARCH), c.abi):
		return nil, fmt.Sprintf("is a program for %s, which this machine cannot run", c.abi), nil
	}
	return c, "", nil
}

// native are the programs that a kernel for a Go architecture runs.
func native(goarch string) []abi {
	x86 := abi{elf.EM_386, elf.ELFCLASS32, elf.ELFDATA2LSB}
	amd64 := abi{elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB}
	switch goarch {
	case "386", "amd64":
		return []abi{amd64, x86}
	case "arm64":
		return []abi{{elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB}, {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB}}
	}
	return nil
}

// cause is the system's own word, without the path, which the reader knows.
func cause(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}

// printable returns a name out of a file in a form that does a terminal no harm.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
