package launch

import (
	"errors"
	"fmt"
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

// newDirectory makes the directory of a run, which has the same path in each: the
// arguments of a program say where its input is.
func newDirectory(room string) (*directory, error) {
	path := filepath.Join(room, "work")
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, os.ErrExist) { // a run has left what cannot be removed
		path, err = os.MkdirTemp(room, "work-")
	}
	return &directory{path: path}, err
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
