package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/claim"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// place is where a run takes place: a world of the cage, or a directory.
type place interface {
	Spec() *spawn.Spec   // how a run starts
	Server() *spawn.Spec // how a process starts that copies are made of
	Copy() *spawn.Spec   // how a copy starts
	Dir() string
	Open() (fd int, err error)               // its working directory, following no link
	File(name string) (cage.Location, error) // where a file of the working directory is to be made
	Pipe(name string) cage.Location          // where a FIFO that somebody outside opens too is to be made
	Close()
}

// directory is the place of a run without a cage: a temporary directory of the
// host. A pid namespace still makes sure that nothing outlives the run, where one
// may be made; elsewhere all that descends from the target is looked for.
type directory struct {
	path string
}

// newRoom makes the temporary directory in which an executor makes those of its runs.
// The rooms of executors that were killed are removed.
func newRoom() (string, *claim.Claim, error) {
	claim.Sweep(filepath.Join(os.TempDir(), "tjfuzz-run-*"), os.RemoveAll)
	return claim.Make(func() (string, error) { return os.MkdirTemp("", "tjfuzz-run-") })
}

// executed is where in a room the directories of runs by execve are; servers have others.
const executed = "0"

// newDirectory makes the directory of a run, which has the same path in each: the
// arguments of a program say where its input is.
func newDirectory(room string) (*directory, error) {
	path := filepath.Join(room, executed, "work")
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.Mkdir(path, 0o755)
	}
	if errors.Is(err, os.ErrExist) { // a run has left what cannot be removed
		path, err = os.MkdirTemp(filepath.Dir(path), "work-")
	}
	return &directory{path: path}, err
}

// lastingDirectory is the directory of the copies of a server, with the same path for all of them. It is
// as the server's was for as long as no run changes anything in it, and then made anew for the next run.
type lastingDirectory struct {
	directory
	changes int  // an inotify of all directories below, or -1
	clean   bool // nothing has changed since it was furnished
	spoilt  int  // runs that changed it, less those that did not
}

// futile is how often a lastingDirectory is spoilt before it is made anew for each run without more ado:
// to watch it costs more than to make it.
const futile = 4

// newLastingDirectory makes such a directory in a room, with a path as long as that of a run by execve.
func newLastingDirectory(room string) (*lastingDirectory, error) {
	for n := 1; ; n++ {
		own := filepath.Join(room, fmt.Sprint(n))
		err := os.Mkdir(own, 0o755)
		if errors.Is(err, os.ErrExist) {
			continue // another server's
		}
		d := &lastingDirectory{directory: directory{filepath.Join(own, "work")}, changes: -1}
		if err == nil {
			err = os.Mkdir(d.path, 0o755)
		}
		if err != nil {
			return nil, fmt.Errorf("make the directory of a fork server: %w", err)
		}
		return d, nil
	}
}

// renew empties the directory.
func (d *lastingDirectory) renew() error {
	d.unwatch()
	if err := errors.Join(os.RemoveAll(d.path), os.Mkdir(d.path, 0o755)); err != nil {
		return fmt.Errorf("make the directory of a run anew: %w", err)
	}
	return nil
}

// watch begins to look for changes: the directory is furnished.
func (d *lastingDirectory) watch() error {
	d.unwatch()
	var err error
	if d.changes, err = unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC); err != nil {
		return fmt.Errorf("watch a directory: %w", err)
	}
	const written = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVE | unix.IN_ATTRIB | unix.IN_MODIFY | unix.IN_CLOSE_WRITE |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	err = filepath.WalkDir(d.path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		_, err = unix.InotifyAddWatch(d.changes, path, written)
		return err
	})
	if err != nil {
		return fmt.Errorf("watch a directory: %w", err)
	}
	d.clean = true
	return nil
}

func (d *lastingDirectory) unwatch() {
	if d.clean = false; d.changes >= 0 {
		unix.Close(d.changes)
		d.changes = -1
	}
}

// Changed reports whether anything was written in a directory that is watched since the last
// call, see [cage.World.Changed].
func (d *lastingDirectory) Changed() (bool, error) {
	for changed := false; ; changed = true {
		var events [4096]byte
		switch n, err := unix.Read(d.changes, events[:]); {
		case err == unix.EAGAIN:
			return changed, nil
		case err != nil && err != unix.EINTR:
			return true, fmt.Errorf("ask for changes: %w", err)
		case n > 0 && n < len(events)/2: // an event has less, so these were all
			return true, nil
		}
	}
}

// judge notes what a run may have done to the directory; sure says that only what is watched for.
func (d *lastingDirectory) judge(sure bool) {
	if !d.clean {
		return
	}
	if changed, err := d.Changed(); changed || err != nil || !sure {
		d.clean = false
		d.spoilt++
	} else {
		d.spoilt = max(0, d.spoilt-1)
	}
}

func (d *lastingDirectory) Close() {
	d.unwatch()
	os.RemoveAll(filepath.Dir(d.path))
}

func (d *directory) Dir() string { return d.path }

func (d *directory) Open() (int, error) {
	return unix.Open(d.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

func (d *directory) Close() { os.RemoveAll(d.path) }

func (d *directory) File(name string) (cage.Location, error) {
	if !filepath.IsLocal(name) {
		return cage.Location{}, fmt.Errorf("file %q is not below the working directory", name)
	}
	at := d.Pipe(name)
	return at, os.MkdirAll(filepath.Dir(at.Path), 0o755)
}

func (d *directory) Pipe(name string) cage.Location {
	path := filepath.Join(d.path, name)
	return cage.Location{Dir: unix.AT_FDCWD, Path: path, Seen: path}
}

func (d *directory) Spec() *spawn.Spec {
	s := d.Server()
	s.Init = true
	return s
}

func (d *directory) Server() *spawn.Spec {
	s := d.Copy()
	s.World.DieWithParent()
	return s
}

func (d *directory) Copy() *spawn.Spec {
	s := &spawn.Spec{}
	if cage.Permitted() {
		s.Namespaces = unix.CLONE_NEWPID
	}
	s.World.Chdir(d.path)
	s.Target.DieWithParent()
	s.Target.Call("setsid", unix.SYS_SETSID)
	s.Target.Rlimit(unix.RLIMIT_CORE, 0, 0)
	return s
}
