package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/trace"
)

// stateEvidence is what the session in a state directory has shown, whether it has ended or not.
func stateEvidence(v voice, dir string) (*trace.Trace, error) {
	s, err := fuzz.LoadState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted(fmt.Errorf("%s is no state directory", dir), "%s", evidenceHint)
	}
	if err != nil {
		return nil, err
	}
	if path := filepath.Join(dir, evidenceName); exists(path) {
		return loadEvidence(path)
	}
	t, err := s.Interim()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted(fmt.Errorf("%s: the session has made no run", dir), "start it again, or leave it out")
	}
	if err != nil {
		return nil, err
	}
	v.warn("%s: the session has not ended; its %d runs so far count, without arguments and call sites", dir, t.Runs)
	return t, nil
}

// gatherStates makes the state directory at dir of those at from, so that their scenarios can be replayed
// together, and writes their evidence there.
func gatherStates(c *cobra.Command, v voice, dir string, from []string) (t *trace.Trace, err error) {
	if err := emptyState(dir, from); err != nil {
		return nil, err
	}
	var states []*fuzz.State
	var all []*trace.Trace
	for _, path := range from {
		t, err := stateEvidence(v, path)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			if _, err := trace.Merge(all[0], t); err != nil {
				return nil, mergeError(path, err)
			}
		}
		s, err := fuzz.LoadState(path)
		if err != nil {
			return nil, err
		}
		states, all = append(states, s), append(all, t)
	}
	to, err := fuzz.OpenState(dir)
	if err != nil {
		return nil, hinted(err, "choose another place with --state")
	}
	for i, s := range states {
		if all[i], err = s.Relocated(all[i], to); err != nil {
			return nil, err
		}
	}
	if t, err = trace.Merge(all...); err != nil {
		return nil, err
	}
	unlock, err := to.Lock()
	if err != nil {
		return nil, hinted(err, "choose another place with --state")
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := os.Remove(filepath.Join(dir, evidenceName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := to.Clear(); err != nil {
		return nil, err
	}
	crashes, hangs, err := to.Gather(states)
	if err != nil {
		return nil, err
	}
	if err := gatherSummary(dir, from, crashes, hangs); err != nil {
		return nil, err
	}
	if err := gatherReach(dir, from); err != nil {
		return nil, err
	}
	// The last of all, as learn does: with evidence the state is complete.
	w, err := outputTo(c, filepath.Join(dir, evidenceName))
	if err != nil {
		return nil, err
	}
	return t, w.write(func(w io.Writer) error { return trace.Encode(w, t) })
}

// emptyState refuses to make a state directory anew out of itself, or where a session is under way that nobody has merged.
func emptyState(dir string, from []string) error {
	for _, path := range from {
		if same, err := sameFile(dir, path); err != nil {
			return err
		} else if same {
			return hinted(fmt.Errorf("%s cannot be merged into itself", dir), "name another directory with --state")
		}
	}
	s, err := fuzz.LoadState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := s.Interim(); err == nil && !exists(filepath.Join(dir, evidenceName)) {
		return hinted(fmt.Errorf("%s holds a session that has not ended", dir), "name another directory with --state, or remove it")
	}
	return nil
}

func sameFile(a, b string) (bool, error) {
	x, err := os.Stat(a)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y), nil
}

// gatherSummary writes what all sessions that have ended tell together; if none has, there is nothing to tell.
func gatherSummary(dir string, from []string, crashes, hangs []fuzz.Failure) error {
	var all []sessionSummary
	for _, path := range from {
		s, err := loadSummary(filepath.Join(path, summaryName))
		if err != nil {
			return err
		}
		if s != nil && exists(filepath.Join(path, evidenceName)) { // without evidence it is of an earlier session there
			all = append(all, *s)
		}
	}
	path := filepath.Join(dir, summaryName)
	if len(all) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	united := unite(dir, all, len(from)-len(all))
	united.fail(crashes, hangs)
	return output{path: path}.write(united.encode)
}

// gatherReach keeps what the code can reach, which every shard has found out alike.
func gatherReach(dir string, from []string) error {
	for _, path := range from {
		beside := filepath.Join(path, reachName)
		if !exists(beside) {
			continue
		}
		r, err := loadReach(beside)
		if err != nil {
			return err
		}
		return keepReach(dir, r)
	}
	return nil
}
