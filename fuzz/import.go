package fuzz

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// The bounds of what is imported at once.
const (
	maxImported      = 4096
	maxImportedBytes = 256 << 20
)

// errEnough ends a reading that has reached its bound.
var errEnough = errors.New("enough")

// Import returns the scenarios that sessions have stored in dir: in a state
// directory, a directory of such, as one that is shared has, or one folder of a state
// directory. It knows them by their files; where there are none, it returns none.
// Hangs are left out, for each costs a time limit. A scenario that cannot be read, and
// what is beyond 4096 scenarios or 256 MiB, is skipped with a reason.
func Import(dir string) (found []Scenario, skipped []error, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, nil, fmt.Errorf("import scenarios: %w", err)
	}
	states := []string{dir}
	for _, e := range entries {
		if e.IsDir() {
			states = append(states, filepath.Join(dir, e.Name()))
		}
	}
	seen := make(map[string]bool)
	size := 0
	take := func(s *State, f Folder) error {
		return s.each(f, func(id string, read func() (Scenario, error)) error {
			if seen[id] {
				return nil
			}
			if len(found) >= maxImported || size >= maxImportedBytes {
				skipped = append(skipped, fmt.Errorf("%s: more than %d scenarios or %d bytes", s.dir, maxImported, maxImportedBytes))
				return errEnough
			}
			sc, err := read()
			if err != nil {
				skipped = append(skipped, fmt.Errorf("%s.json: %w", s.Prefix(f, id), err))
				return nil
			}
			seen[id] = true
			size += sc.size()
			found = append(found, sc)
			return nil
		})
	}
	for i, state := range states {
		for _, f := range []Folder{Witnesses, Queue, Crashes, "."} {
			st, err := os.Stat(filepath.Join(state, string(f)))
			if i > 0 && f == "." || errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
				continue
			}
			if err == nil {
				err = take(&State{dir: state}, f)
			}
			if err == errEnough {
				return found, skipped, nil
			}
			if err != nil {
				return nil, nil, fmt.Errorf("import scenarios: %w", err)
			}
		}
	}
	return found, skipped, nil
}

// size is how many bytes of memory a scenario takes, about.
func (s *Scenario) size() int {
	n := len(s.Input)
	for _, f := range s.Files {
		n += len(f.Name) + len(f.Data)
	}
	for _, w := range slices.Concat(s.Argv, s.Env, s.steps(), ActWords(s.Acts)) {
		n += len(w)
	}
	return n
}

// adopt makes a scenario of elsewhere one of this target, if that can be done: its
// first words are ours. So nobody who can write to a folder can choose which program is run.
func (o *Options) adopt(s Scenario) (Scenario, bool) {
	if len(s.Argv) < o.Fixed {
		return Scenario{}, false
	}
	ours := func(argv []string) []string { return slices.Concat(o.Bases[0].Argv[:o.Fixed], argv[o.Fixed:]) }
	s.Argv, s.Before = ours(s.Argv), slices.Clone(s.Before)
	for i := range s.Before {
		if len(s.Before[i].Argv) < o.Fixed {
			return Scenario{}, false
		}
		s.Before[i].Argv = ours(s.Before[i].Argv)
	}
	return s, s.Check() == nil && o.Can.Allow(&s)
}
