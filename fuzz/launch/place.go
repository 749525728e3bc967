package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// place is where a run takes place: a world of the cage, or a directory.
type place interface {
	Spec() *spawn.Spec
	Dir() string
	WriteFile(name string, data []byte) error
	Close()
}

// directory is the place of a run without a cage: a temporary directory of the
// host. A pid namespace still makes sure that nothing outlives the run, where one
// may be made; elsewhere all that descends from the target is looked for.
type directory struct {
	path string
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

func (d *directory) Close() { os.RemoveAll(d.path) }

func (d *directory) WriteFile(name string, data []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("file %q is not below the working directory", name)
	}
	path := filepath.Join(d.path, name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644))
}

func (d *directory) Spec() *spawn.Spec {
	s := &spawn.Spec{Init: true}
	if cage.Permitted() {
		s.Namespaces = unix.CLONE_NEWPID
	}
	s.World.DieWithParent()
	s.World.Chdir(d.path)
	s.Target.DieWithParent()
	s.Target.Call("setsid", unix.SYS_SETSID)
	s.Target.Rlimit(unix.RLIMIT_CORE, 0, 0)
	return s
}
