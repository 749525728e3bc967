package main

import (
	"slices"

	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/symbol"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// details says what is recorded of syscalls beyond that they were made.
type details struct {
	program              string // whose startup is told from the rest, empty for none
	results, args, sites bool
}

// add offers those that cost time.
func (d *details) add(f *pflag.FlagSet) {
	f.BoolVar(&d.results, "results", false, "also record which errors the calls returned, and whether they succeeded")
	f.BoolVar(&d.args, "args", false, "also record the values of arguments that are flags or choices")
	f.BoolVar(&d.sites, "sites", false, "also record where the calls were made: file, function, offset")
}

// entry is where the program's startup ends, nil where that cannot be told.
func (d details) entry() *rawtp.Entry {
	if d.program == "" {
		return nil
	}
	path, offset, err := image.Entry(d.program)
	if err != nil {
		return nil // the phases are unknown then, which the evidence says
	}
	return &rawtp.Entry{Path: path, Offset: offset}
}

// addDetails adds to the syscalls of a trace what the launchers of a recorder know of
// them, and the names of the places where they were called.
func addDetails(t *trace.Trace, launchers [][]trace.Observation) error {
	known, err := union(t, launchers)
	if err != nil {
		return err
	}
	symbols := symbol.New(files(t.Target)...)
	for i := range t.Observations {
		o := &t.Observations[i]
		at, found := slices.BinarySearchFunc(known, o.ID, func(k trace.Observation, id sysno.ID) int { return k.ID.Compare(id) })
		if !found {
			continue
		}
		k := known[at]
		o.Phases, o.Returns, o.Args, o.Sites, o.MoreSites = k.Phases, k.Returns, k.Args, k.Sites, k.MoreSites
		for j, s := range o.Sites {
			place := symbols.Find(s.Module, s.BuildID, s.Offset)
			o.Sites[j].Symbol = place.Symbol()
			if place.Path != "" {
				o.Sites[j].Module = place.Path
			}
		}
		o.Sites = trace.SortSites(o.Sites) // a path is elsewhere in the order than its last part
	}
	return nil
}

// forgetDetails takes from a trace what its recorder knows of these syscalls from some
// of their runs only, as [trace.Merge] does: to know a part would look like knowing all.
func forgetDetails(t *trace.Trace, ids []sysno.ID) {
	for i := range t.Observations {
		o := &t.Observations[i]
		if _, found := slices.BinarySearchFunc(ids, o.ID, sysno.ID.Compare); !found {
			continue
		}
		if o.Phases != trace.PhaseStartup|trace.PhaseMain {
			o.Phases = trace.PhaseUnknown
		}
		o.Args, o.Returns = nil, trace.Returns{Refused: o.Returns.Refused}
		o.MoreSites = o.MoreSites || len(o.Sites) > 0
	}
}

// union is what several launchers know of the same target.
func union(t *trace.Trace, launchers [][]trace.Observation) ([]trace.Observation, error) {
	parts := make([]*trace.Trace, len(launchers))
	for i, obs := range launchers {
		parts[i] = &trace.Trace{Target: t.Target, Arch: t.Arch, Observations: obs}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	all, err := trace.Merge(parts...)
	if err != nil {
		return nil, err
	}
	return all.Observations, nil
}

// files are the program and its libraries.
func files(t trace.Target) []string {
	paths := []string{t.Path}
	for _, l := range t.Libraries {
		paths = append(paths, l.Path)
	}
	return paths
}
