package fuzz

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/trace"
)

// Interim is the evidence of a session that has not ended, or was killed, as of its last
// checkpoint: all but the runs that were under way, and a part of the last second's counts.
// Phases, values, results and call sites are not in it. When there is none, the error is
// fs.ErrNotExist.
func (s *State) Interim() (*trace.Trace, error) {
	k, err := s.checkpoint()
	if err != nil {
		return nil, err
	}
	if k == nil || len(k.Subject) == 0 {
		return nil, fmt.Errorf("read state: %s: no run is on record: %w", s.dir, fs.ErrNotExist)
	}
	t, err := k.interim(s)
	if err != nil {
		return nil, fmt.Errorf("read state: %s: %w", filepath.Join(s.dir, checkpointName), err)
	}
	return t, nil
}

func (k *checkpoint) interim(s *State) (*trace.Trace, error) {
	t, err := trace.Decode(bytes.NewReader(k.Subject))
	if err != nil {
		return nil, err
	}
	stored := make(map[string]Scenario)
	for _, f := range []Folder{Queue, Witnesses} {
		list, err := s.List(f)
		if err != nil {
			return nil, err
		}
		for _, sc := range list {
			stored[sc.ID] = sc.Scenario
		}
	}
	t.Runs, t.CleanRuns, t.Lost = k.Stats.Runs, k.Stats.CleanRuns, k.Lost
	add := func(id savedID, o trace.Observation) (err error) {
		o.ID, err = id.id()
		t.Observations = append(t.Observations, o)
		return err
	}
	for _, r := range k.Syscalls {
		o := trace.Observation{Runs: r.Runs, CleanRuns: r.Clean}
		if sc, kept := stored[r.Witness]; kept { // else the kill came before it was stored
			o.Witness = trace.Witness{ID: r.Witness, Command: sc.Command(s.Prefix(Witnesses, r.Witness))}
			if !r.Confirmed {
				o.Witness.Command += Unconfirmed
			}
		}
		if err := add(r.savedID, o); err != nil {
			return nil, err
		}
	}
	for _, id := range k.Aside {
		if err := add(id, trace.Observation{}); err != nil {
			return nil, err
		}
	}
	return t, t.Validate()
}

// Gather copies into s what other state directories hold: their scenarios, and each kind of
// crash and timeout once, which it returns. What else they know in numbers stays with them.
func (s *State) Gather(from []*State) (crashes, hangs []Failure, err error) {
	kinds := map[Folder]map[string]*Failure{Crashes: {}, Hangs: {}}
	for _, other := range from {
		for _, f := range []Folder{Queue, Witnesses} {
			if err := s.copy(other, f); err != nil {
				return nil, nil, err
			}
		}
		k, err := other.checkpoint()
		if err != nil {
			return nil, nil, err
		}
		if k == nil {
			continue
		}
		if err := errors.Join(gather(kinds[Crashes], other, Crashes, k.Crashes), gather(kinds[Hangs], other, Hangs, k.Hangs)); err != nil {
			return nil, nil, err
		}
	}
	for f, of := range kinds {
		for _, kind := range slices.Sorted(maps.Keys(of)) {
			if err := s.Save(f, &of[kind].Scenario); err != nil {
				return nil, nil, err
			}
		}
		if err := s.note(f, failures(of)); err != nil {
			return nil, nil, err
		}
	}
	return failures(kinds[Crashes]), failures(kinds[Hangs]), nil
}

func (s *State) copy(from *State, f Folder) error {
	list, err := from.List(f)
	if err != nil {
		return err
	}
	for _, sc := range list {
		if err := s.Save(f, &sc.Scenario); err != nil {
			return err
		}
	}
	return nil
}

// gather unites kinds of failures: of two scenarios that of the smaller ID stays, so that the order has no effect.
func gather(all map[string]*Failure, from *State, f Folder, saved []savedFailure) error {
	theirs, err := from.failures(f, saved)
	if err != nil {
		return err
	}
	for kind, x := range theirs {
		known := all[kind]
		if known == nil {
			all[kind] = x
			continue
		}
		count := known.Count + x.Count
		if x.ID < known.ID {
			all[kind] = x
		}
		all[kind].Count = count
	}
	return nil
}

// Relocated is evidence of the session in s as it reads where Gather has copied its scenarios to.
func (s *State) Relocated(t *trace.Trace, to *State) (*trace.Trace, error) {
	list, err := s.List(Witnesses)
	if err != nil {
		return nil, err
	}
	stored := make(map[string]*Scenario)
	for i := range list {
		stored[list[i].ID] = &list[i].Scenario
	}
	out := *t
	out.Observations = slices.Clone(t.Observations)
	for i := range out.Observations {
		w := &out.Observations[i].Witness
		if sc := stored[w.ID]; sc != nil {
			suffix := ""
			if strings.HasSuffix(w.Command, Unconfirmed) {
				suffix = Unconfirmed
			}
			w.Command = sc.Command(to.Prefix(Witnesses, w.ID)) + suffix
		}
	}
	return &out, nil
}
