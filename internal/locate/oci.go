package locate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
)

// each reads the file called name of every directory in dir. A directory that
// is not there has none; a container whose file is not there is being made or
// removed.
func (s System) each(dir, name string, read func(id string, b []byte) error) error {
	entries, err := os.ReadDir(s.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return s.unreadable(err)
	}
	var bad []error
	for _, e := range entries {
		file := path.Join(dir, e.Name(), name)
		b, err := s.read(file)
		if errors.Is(err, fs.ErrNotExist) || !e.IsDir() {
			continue
		}
		if err == nil {
			err = read(e.Name(), b)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("read %s: %w", file, err))
		}
	}
	return errors.Join(bad...)
}

// unreadable takes the injected root out of an error's path.
func (s System) unreadable(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && s.Root != "" {
		if below, ok := within(pe.Path, path.Clean(s.Root)); ok {
			return &fs.PathError{Op: pe.Op, Path: "/" + below, Err: pe.Err}
		}
	}
	return err
}

// stateRoots are where a runtime keeps its state: for root, and for the user.
func (s System) stateRoots(name string, more ...string) []string {
	roots := append([]string{"/run/" + name}, more...)
	if dir := s.env("XDG_RUNTIME_DIR"); dir != "" {
		roots = append(roots, path.Join(dir, name))
	}
	return slices.Compact(roots)
}

// runcFiles reads STATE/ID/state.json, whose form is libcontainer's State.
func (s System) runcFiles() ([]container, error) {
	var all []container
	var bad []error
	// The last one is where docker lets runc keep its state.
	for _, root := range s.stateRoots("runc", "/run/docker/runtime-runc/moby") {
		bad = append(bad, s.each(root, "state.json", func(_ string, b []byte) error {
			c, err := parseRunc(b)
			if err != nil {
				return err
			}
			c.runtime = "runc"
			all = append(all, c)
			return nil
		}))
	}
	return all, errors.Join(bad...)
}

func parseRunc(b []byte) (container, error) {
	var state struct {
		ID      string            `json:"id"`
		PID     int               `json:"init_process_pid"`
		Start   uint64            `json:"init_process_start"`
		Cgroups map[string]string `json:"cgroup_paths"` // by controller
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return container{}, err
	}
	if state.ID == "" || state.PID < 0 {
		return container{}, errors.New("it is not the state of a container")
	}
	c := container{id: state.ID, pid: state.PID, start: state.Start}
	for _, dir := range state.Cgroups {
		c.cgroups = append(c.cgroups, path.Clean(dir))
	}
	slices.Sort(c.cgroups)
	return c, nil
}

// crunFiles reads STATE/ID/status.
func (s System) crunFiles() ([]container, error) {
	var all []container
	var bad []error
	for _, root := range s.stateRoots("crun") {
		bad = append(bad, s.each(root, "status", func(id string, b []byte) error {
			c, err := parseCrun(b)
			if err != nil {
				return err
			}
			c.runtime, c.id = "crun", id
			all = append(all, c)
			return nil
		}))
	}
	return all, errors.Join(bad...)
}

func parseCrun(b []byte) (container, error) {
	var state struct {
		PID    int    `json:"pid"`
		Start  uint64 `json:"process-start-time"`
		Cgroup string `json:"cgroup-path"` // in the hierarchies
	}
	if err := json.Unmarshal(b, &state); err != nil {
		return container{}, err
	}
	if state.PID < 0 {
		return container{}, errors.New("it is not the state of a container")
	}
	c := container{pid: state.PID, start: state.Start}
	if state.Cgroup != "" {
		c.cgroups = []string{path.Clean("/" + state.Cgroup)}
	}
	return c, nil
}
