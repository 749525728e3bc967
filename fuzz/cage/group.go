package cage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/claim"
)

// group is the cgroup that bounds memory and processes. A host has either one
// tree (v2), into which children are born by descriptor, or a tree for each
// controller (v1), which threads join and children inherit.
type group struct {
	trees    []string
	dirs     []string
	claims   []*claim.Claim // on dirs
	roots    []*os.File     // "tasks" of the v1 trees' roots, for the way back
	used     *os.File       // where the kernel counts CPU time, nil where it does not
	usedFD   int            // its descriptor, for which os.File makes a system call each time
	fd       int            // of a v2 group, else 0
	warnings []string
}

const cgroups = "/sys/fs/cgroup"

func newGroup(l Limits) (*group, error) {
	g := &group{}
	name := fmt.Sprintf("tjfuzz-%d-%d", os.Getpid(), unix.Gettid())
	if _, err := os.Stat(cgroups + "/cgroup.controllers"); err == nil {
		g.unified(name, l)
		return g, nil
	}
	for _, c := range []struct{ controller, file, value, what string }{
		{"memory", "memory.limit_in_bytes", strconv.FormatInt(l.Memory, 10), "memory"},
		{"pids", "pids.max", strconv.Itoa(l.Processes), "the number of processes"},
		{"cpuacct", "", "", ""},
	} {
		tree := filepath.Join(cgroups, c.controller)
		g.trees = append(g.trees, tree)
		sweep(tree)
		dir := filepath.Join(tree, name)
		err := g.make(dir)
		if err == nil {
			err = g.join(tree, dir)
		}
		if err == nil && c.file != "" {
			err = write(dir, c.file, c.value)
		}
		if c.file == "" {
			// Without it, the clock on the wall has to do.
			g.count(filepath.Join(dir, "cpuacct.usage"))
			continue
		}
		if err != nil {
			g.warnings = append(g.warnings, fmt.Sprintf("%s of a target is bounded by time only: %v", c.what, err))
		}
	}
	return g, nil
}

// make makes a group that nobody sweeps.
func (g *group) make(dir string) error {
	_, c, err := claim.Make(func() (string, error) { return dir, os.Mkdir(dir, 0o755) })
	if err == nil {
		g.dirs = append(g.dirs, dir)
		g.claims = append(g.claims, c)
	}
	return err
}

// join moves the calling thread into a v1 group; its children are born there.
func (g *group) join(tree, dir string) error {
	root, err := os.OpenFile(filepath.Join(tree, "tasks"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	g.roots = append(g.roots, root)
	return write(dir, "tasks", strconv.Itoa(unix.Gettid()))
}

func (g *group) unified(name string, l Limits) {
	g.trees = []string{cgroups}
	sweep(cgroups)
	// Only a group without processes of its own may hand out controllers; the
	// root is exempt. Elsewhere, as in a container, this may fail.
	dir := filepath.Join(cgroups, name)
	_ = write(cgroups, "cgroup.subtree_control", "+memory +pids")
	err := g.make(dir)
	if err == nil {
		err = errors.Join(write(dir, "memory.max", strconv.FormatInt(l.Memory, 10)), write(dir, "pids.max", strconv.Itoa(l.Processes)))
	}
	if err == nil {
		g.fd, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		g.count(filepath.Join(dir, "cpu.stat"))
	}
	if err != nil {
		g.warnings = []string{fmt.Sprintf("memory and the number of processes of a target are bounded by time only: %v", err)}
	}
}

func (g *group) count(path string) {
	if g.used, _ = os.Open(path); g.used != nil {
		g.usedFD = int(g.used.Fd())
	}
}

// cpuTime is what all processes of the group have ever used.
func (g *group) cpuTime() time.Duration {
	var buf [256]byte
	n, _ := unix.Pread(g.usedFD, buf[:], 0) // ReadAt would look for the end, too
	text, unit := string(buf[:max(0, n)]), time.Nanosecond
	if _, rest, ok := strings.Cut(text, "usage_usec "); ok { // v2
		text, unit = rest, time.Microsecond
	}
	text, _, _ = strings.Cut(text, "\n")
	v, _ := strconv.ParseInt(text, 10, 64)
	return time.Duration(v) * unit
}

// leave returns the calling thread, the one that made the group, to the roots of
// the v1 trees.
func (g *group) leave() error {
	var errs []error
	for _, f := range g.roots {
		_, err := f.WriteString(strconv.Itoa(unix.Gettid()))
		errs = append(errs, err, f.Close())
	}
	g.roots = nil
	return errors.Join(errs...)
}

// remove deletes the group, which nothing may be in any more. It sweeps again, for
// what was being killed when the group was made is gone by now.
func (g *group) remove() error {
	if g.fd != 0 {
		unix.Close(g.fd)
		g.fd = 0
	}
	if g.used != nil {
		g.used.Close()
	}
	var errs []error
	for i, dir := range g.dirs {
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
		errs = append(errs, g.claims[i].Release())
	}
	for _, tree := range g.trees {
		sweep(tree)
	}
	g.dirs, g.claims, g.trees = nil, nil, nil
	return errors.Join(errs...)
}

// sweep removes groups of processes that were killed before they could. A group that
// something is in cannot be removed.
func sweep(tree string) { claim.Sweep(filepath.Join(tree, "tjfuzz-*-*"), unix.Rmdir) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func write(dir, file, value string) error {
	// No O_CREAT: a file that is not there is a controller that is not there.
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
