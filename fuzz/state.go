package fuzz

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// State is a state directory: what one target has shown so far, so that a
// killed run is resumed and a finished one is replayed. Its layout is AFL's,
// with a folder more:
//
//	queue/      scenarios that showed something new
//	witnesses/  the smallest scenario known for each syscall
//	crashes/    one scenario for each kind of crash
//	hangs/      one scenario for each kind of timeout
//	fuzzer_stats     numbers for people and for afl-whatsup
//	plot_data        their history, for afl-plot
//	checkpoint.json  numbers to go on from
//
// A scenario is <id>.json, with <id>.input and <id>.files/ beside it where it has
// them. The JSON file is written last, so a scenario without one does not exist.
// Every file is written under a temporary name, fsynced and renamed. Only
// the last three hold times: the rest is the same for the same options and seed.
type State struct{ dir string }

// Folder is a folder of scenarios in a State.
type Folder string

// The folders.
const (
	Queue     Folder = "queue"
	Witnesses Folder = "witnesses"
	Crashes   Folder = "crashes"
	Hangs     Folder = "hangs"
)

var folders = [...]Folder{Queue, Witnesses, Crashes, Hangs}

// Stored is a scenario in a State.
type Stored struct {
	ID       string
	Scenario Scenario
}

// scenarioName is the name of a file that makes a scenario exist.
var scenarioName = lazyregexp.New(`^([0-9a-f]{16})\.json$`)

// OpenState opens the state directory at dir and makes what is missing of it.
func OpenState(dir string) (*State, error) {
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, string(f)), 0o755); err != nil {
			return nil, fmt.Errorf("open state: %w", err)
		}
	}
	return &State{dir: dir}, nil
}

// LoadState opens an existing state directory to read from it. When there is
// none, the error is fs.ErrNotExist.
func LoadState(dir string) (*State, error) {
	if _, err := os.ReadDir(filepath.Join(dir, string(Witnesses))); err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	return &State{dir: dir}, nil
}

// Dir is the directory as it was given.
func (s *State) Dir() string { return s.dir }

// Clear removes all stored scenarios and what is known of them, so that the next run
// starts afresh.
func (s *State) Clear() error {
	for _, name := range []string{checkpointName, statsName, plotName} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear state: %w", err)
		}
	}
	for _, f := range folders {
		path := filepath.Join(s.dir, string(f))
		if err := errors.Join(os.RemoveAll(path), os.MkdirAll(path, 0o755)); err != nil {
			return fmt.Errorf("clear state: %w", err)
		}
	}
	return nil
}

// Scenarios returns the witnesses, sorted by ID.
func (s *State) Scenarios() ([]Stored, error) { return s.List(Witnesses) }

// List returns the scenarios of a folder, sorted by ID. Leftovers of an
// interrupted write are ignored; a scenario that cannot be read or whose content
// does not match its name is an error that names the file.
func (s *State) List(f Folder) ([]Stored, error) {
	var out []Stored
	err := s.each(f, func(id string, read func() (Scenario, error)) error {
		sc, err := read()
		if err != nil {
			return fmt.Errorf("%s.json: %w", s.Prefix(f, id), err)
		}
		out = append(out, Stored{ID: id, Scenario: sc})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return out, nil
}

// each calls visit for the scenarios of a folder in the order of their IDs, with a
// function that reads the scenario. It returns the first error of visit.
func (s *State) each(f Folder, visit func(id string, read func() (Scenario, error)) error) error {
	// A root, for what is imported or shared may have links that lead elsewhere.
	root, err := os.OpenRoot(filepath.Join(s.dir, string(f)))
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".") // sorted by name
	if err != nil {
		return err
	}
	for _, e := range entries {
		m := scenarioName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		if err := visit(m[1], func() (Scenario, error) { return load(root, m[1]) }); err != nil {
			return err
		}
	}
	return nil
}

func load(root *os.Root, id string) (Scenario, error) {
	b, err := readBounded(root, id+".json")
	if err != nil {
		return Scenario{}, err
	}
	sc, err := decodeScenario(b)
	if err != nil {
		return Scenario{}, err
	}
	if sc.usesInput() {
		if sc.Input, err = readBounded(root, id+".input"); err != nil {
			return Scenario{}, err
		}
	}
	for i := range sc.Files {
		if sc.Files[i].Data, err = readBounded(root, filepath.Join(id+".files", sc.Files[i].Name)); err != nil {
			return Scenario{}, err
		}
	}
	if is := sc.ID(); is != id {
		return Scenario{}, fmt.Errorf("content has the id %s; the file, its .input or its .files was changed", is)
	}
	return sc, nil
}

// readBounded reads a regular file. Others may have put a FIFO there, which must not
// block.
func readBounded(root *os.Root, name string) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(errors.New("no regular file"), err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxStored+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxStored {
		return nil, fmt.Errorf("larger than %d bytes", maxStored)
	}
	return b, nil
}

// Prefix is the path of a stored scenario without suffix, as Command wants it.
func (s *State) Prefix(f Folder, id string) string { return filepath.Join(s.dir, string(f), id) }

// Save stores a scenario, unless it is there already. Input that the target
// cannot see is not stored.
func (s *State) Save(f Folder, sc *Scenario) error {
	prefix := s.Prefix(f, sc.ID())
	if _, err := os.Lstat(prefix + ".json"); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("save scenario: %w", err)
	}
	b, err := encodeScenario(sc)
	if err != nil {
		return err
	}
	if sc.usesInput() {
		if err := atomicfile.Write(prefix+".input", sc.Input); err != nil {
			return fmt.Errorf("save scenario: %w", err)
		}
	}
	if len(sc.Before) > 0 { // there is a place for what the steps leave, see Command
		if err := os.MkdirAll(prefix+".files", 0o755); err != nil {
			return fmt.Errorf("save scenario: %w", err)
		}
	}
	for _, file := range sc.Files {
		path := filepath.Join(prefix+".files", file.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), atomicfile.Write(path, file.Data)); err != nil {
			return fmt.Errorf("save scenario: %w", err)
		}
	}
	if err := atomicfile.Write(prefix+".json", b); err != nil {
		return fmt.Errorf("save scenario: %w", err)
	}
	return nil
}
