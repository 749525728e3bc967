package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce/early"
	"github.com/tjfuzz/tjfuzz/fuzz/external"
	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/trace"
)

// resolve finds the program that a person named, as a shell would, and says why
// it cannot be run. The result is absolute.
func resolve(name string) (string, error) {
	path, err := lookUp(name)
	if err == nil {
		err = runnable(path)
	}
	return path, err
}

// lookUp is resolve that does not look at the program.
func lookUp(name string) (string, error) {
	path, err := early.LookUp(name)
	switch {
	case err == nil:
		return path, nil
	case strings.Contains(name, "/"):
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	hint := "check the name, or give a path"
	if _, err := os.Stat(name); err == nil {
		hint = fmt.Sprintf("the file in this directory is ./%s", name)
	}
	return "", hinted(fmt.Errorf("there is no program %q in PATH", name), "%s", hint)
}

// runnable says why the program at path cannot be run.
func runnable(path string) error {
	if err := image.CheckRunnable(path); err != nil {
		return hinted(err, "%s", runnableHint(path, err))
	}
	return nil
}

// rather is why the program at path, if there is one, cannot be run at all, and where it can be, the
// error that it was not run for.
func rather(path string, err error) error {
	if path == "" {
		return err
	}
	return cmp.Or(runnable(path), err)
}

func runnableHint(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "check the path"
	case strings.Contains(err.Error(), "interpreter"):
		return "install the interpreter, or correct the first line of the file"
	case errors.Is(err, fs.ErrPermission):
		return "make it executable: chmod +x " + path
	}
	return "give a program: an ELF file for this machine, or a script that starts with #!"
}

// runError says what kept a program from running.
func runError(err error, program string) error {
	var step *spawn.StepError
	if errors.As(err, &step) && strings.HasPrefix(step.Step, "execve") {
		return hinted(fmt.Errorf("%s cannot be executed: %w", program, step.Errno), "try it without tjfuzz")
	}
	if errors.Is(err, external.ErrMutator) {
		return hinted(err, "docs/mutators.md has what a mutator reads and writes")
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return hinted(err, "run as root, or see 'tjfuzz doctor'")
	}
	return err
}

// identify describes the program for the evidence.
func identify(path string) (trace.Target, error) {
	id, err := image.Identify(path)
	if err != nil {
		return trace.Target{}, err
	}
	t := trace.Target{Path: id.Path, SHA256: id.SHA256, BuildID: id.BuildID}
	libs, _, err := id.Libraries(os.Getenv("LD_LIBRARY_PATH"))
	if err != nil {
		return trace.Target{}, err
	}
	for _, l := range libs {
		t.Libraries = append(t.Libraries, trace.Library{Path: l.Path, BuildID: l.BuildID})
	}
	return t, nil
}

// kernelRelease is the release of the running kernel, as in uname -r.
func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
