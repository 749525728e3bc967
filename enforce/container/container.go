// Package container decides how container runtimes are asked to start a program of this
// machine under a profile: which files the container sees, and by which command line. It
// refuses to know what the profile says, who watches, and how the command is run.
//
// Its main hazard is a container that differs from what people run: what is refused then may
// be the fault of the difference. So the capabilities, the namespaces and no_new_privs are
// what docker gives by default, and the files are the machine's own, which cannot be written
// but for the working directory, /tmp, /run and /var/tmp.
package container

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Engine starts containers. It is made by Find.
type Engine struct {
	Name    string // one of Engines
	Version string // the first line of what it says of itself

	// Cgroup is a directory below which its containers are, where they do not descend from the
	// command that starts them, but from a daemon; else empty.
	Cgroup string

	path string
	dir  string // bundles and what else it needs, removed by Close
	n    int    // containers so far
	kind kind

	imported bool // docker has the image
	holder   *exec.Cmd
	release  io.Closer // ends the holder
}

// kind is how an engine is talked to.
type kind interface {
	// command is what starts the container.
	command(e *Engine, c *Container, id string) ([]string, error)
	// remove removes what a container has left that did not end by itself.
	remove(e *Engine, id string) []string
	// failed is what the engine says of a container that it could not start, "" for one that has run.
	failed(e *Engine, code int, said string) string
	// prepare makes what all containers share.
	prepare(e *Engine) error
	// close undoes that.
	close(e *Engine) error
}

// Container is a program to start.
type Container struct {
	Profile string   // path of the OCI profile; "" for none
	Path    string   // of the program, absolute
	Args    []string // behind the program's name
	Env     []string
	Work    string   // directory of this machine that is the working directory, and can be written
	At      string   // where the container sees it, absolute
	Shown   []string // absolute paths of this machine that are shown although they lie in a directory that is the container's own
}

// Engines are the names that Find knows.
func Engines() []string { return []string{"crun", "docker", "podman", "runc"} }

// ErrUnknown says that there is no engine of a name.
var ErrUnknown = errors.New("no such container runtime")

// Find looks an engine up on this machine. The error is exec.ErrNotFound where it is not
// installed. The engine must be closed.
func Find(name string) (*Engine, error) {
	kinds := map[string]kind{"runc": runtime{}, "crun": runtime{}, "podman": podman{}, "docker": docker{}}
	k := kinds[name]
	if k == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknown, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	version, _, _ := strings.Cut(string(out), "\n")
	dir, err := os.MkdirTemp("", "tjfuzz-container-") // its path has to be short: it comes to hold sockets
	if err != nil {
		return nil, err
	}
	e := &Engine{Name: name, Version: strings.TrimSpace(version), path: path, dir: dir, kind: k}
	if err := e.makeRoot(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := k.prepare(e); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", name, err), k.close(e), os.RemoveAll(dir))
	}
	return e, nil
}

// Command is the command line that starts a container and ends as the program in it does, as
// far as shells can tell: 128 and the number of a signal. remove, where it is not nil, is what is to be
// run when the container may have been left behind.
func (e *Engine) Command(c *Container) (start, remove []string, err error) {
	e.n++
	id := fmt.Sprintf("tjfuzz-%d-%d", os.Getpid(), e.n)
	start, err = e.kind.command(e, c, id)
	return start, e.kind.remove(e, id), err
}

// Failed is what the engine says of the last container where it could not start that, by its exit
// code and what came on standard error; "" for a program that was started.
func (e *Engine) Failed(code int, said string) string { return e.kind.failed(e, code, said) }

// Itself reports whether a name of a thread is the engine's own, in the process that becomes the
// container's program when the filter is on already.
func (e *Engine) Itself(comm string) bool {
	return strings.HasPrefix(comm, "runc:[") || slices.Contains([]string{"runc", "crun", "exe", "3", "4", "5", "6", "7", "8", "9"}, comm) // the numbers: fexecve(3) of a copy
}

// Close removes all that was made for containers.
func (e *Engine) Close() error {
	return errors.Join(e.kind.close(e), os.RemoveAll(e.dir))
}

func (e *Engine) root() string { return filepath.Join(e.dir, "rootfs") }

// own are the directories that are a container's own; work and what is shown may lie in them.
var own = []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"}

// makeRoot makes a root directory with a place for each directory of this machine's.
func (e *Engine) makeRoot() error {
	for _, d := range own {
		if err := os.MkdirAll(filepath.Join(e.root(), d), 0o755); err != nil {
			return err
		}
	}
	top, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, f := range top {
		at := filepath.Join(e.root(), f.Name())
		switch {
		case f.IsDir():
			err = os.MkdirAll(at, 0o755)
		case f.Type()&fs.ModeSymlink != 0:
			var to string
			if to, err = os.Readlink("/" + f.Name()); err == nil {
				err = os.Symlink(to, at)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bind is a path of this machine that a container sees.
type bind struct {
	from, to string
	write    bool
}

// binds are what a container sees of this machine, what is below behind what is above.
func (e *Engine) binds(c *Container) ([]bind, error) {
	top, err := os.ReadDir("/")
	if err != nil {
		return nil, err
	}
	var all []bind
	for _, f := range top {
		if p := "/" + f.Name(); f.IsDir() && !slices.Contains(own, p) && f.Name() != "lost+found" {
			all = append(all, bind{from: p, to: p})
		}
	}
	for _, p := range c.Shown {
		if slices.ContainsFunc(own, func(d string) bool { return strings.HasPrefix(p, d+"/") }) {
			all = append(all, bind{from: p, to: p})
		}
	}
	return append(all, bind{c.Work, c.At, true}), nil
}

// hidingUnified is how a command is run where both versions of cgroups are mounted, which
// crun cannot use.
func hidingUnified(command []string) []string {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup/unified", &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return command
	}
	return append([]string{"unshare", "--mount", "sh", "-c", `umount /sys/fs/cgroup/unified && exec "$0" "$@"`}, command...)
}
