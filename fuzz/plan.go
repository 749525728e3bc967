package fuzz

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Phase says what a run is for. The zero value is invalid.
type Phase uint8

// The phases, in the order in which the engine enters them.
const (
	PhaseInvalid Phase = iota
	PhaseBase          // the user's command line as given, with empty input
	PhaseStored        // what an earlier run left in the state directory
	PhaseSeeds         // each seed
	PhaseOptions       // each known option and sub-command
	PhaseExplore       // random draws; the only runs that the statistics count
	PhaseReplay        // a scenario again, or a smaller one, to confirm and minimize
)

// String is the phase as a word for progress lines.
func (p Phase) String() string {
	return [...]string{"invalid", "base", "stored", "seeds", "options", "explore", "replay"}[p]
}

// templates are the ways in which a base scenario can be given an input: by its
// own @@, else on standard input and, where the user gave no arguments at all, as
// the only operand.
func templates(base Scenario, fixed int) []Scenario {
	given := base.Stdin
	with := func(k StdinKind, operand ...string) Scenario {
		s := base
		s.Argv = slices.Concat(base.Argv, operand)
		s.Stdin = k
		if given != StdinInvalid {
			s.Stdin = given
		}
		return s
	}
	if base.usesFile() {
		return []Scenario{with(StdinNull)}
	}
	out := []Scenario{with(StdinPipe)}
	if given == StdinInvalid {
		out = append(out, with(StdinFile))
	}
	if len(base.Argv) == fixed {
		out = append(out, with(StdinNull, mutate.Input))
	}
	return out
}

// planned is a run that is decided before the first one.
type planned struct {
	s     Scenario
	phase Phase
}

// plan lists the deliberate runs: no scenario twice.
func plan(o *Options, stored []Stored) []planned {
	var out []planned
	done := make(map[string]bool)
	add := func(p Phase, s Scenario) {
		if id := s.ID(); !done[id] {
			done[id] = true
			out = append(out, planned{s, p})
		}
	}
	for _, base := range o.Bases {
		base.Input = nil
		for k := StdinNull; k <= StdinPipe; k++ {
			s := base
			if s.Stdin == StdinInvalid {
				s.Stdin = k
			}
			add(PhaseBase, s)
		}
	}
	for _, s := range stored {
		add(PhaseStored, s.Scenario)
	}
	for _, base := range o.Bases {
		ways := templates(base, o.Fixed)
		for _, seed := range o.Seeds {
			for _, s := range ways {
				s.Input = seed.Data
				add(PhaseSeeds, s)
			}
		}
	}
	for _, base := range o.Bases {
		probes(o, base, func(s Scenario) { add(PhaseOptions, s) })
	}
	return out
}

// probes are single options and sub-commands, each alone and each with the
// user's own arguments and a seed, in turn.
func probes(o *Options, base Scenario, add func(Scenario)) {
	ways := templates(base, o.Fixed)
	work := ways[len(ways)-1]
	work.Input = nil
	alone := base
	alone.Stdin, alone.Input = StdinNull, nil
	turn := 0
	try := func(s Scenario, words ...string) {
		s.Argv = slices.Concat(s.Argv[:o.Fixed], words, s.Argv[o.Fixed:])
		if len(o.Seeds) > 0 && s.usesInput() {
			s.Input = o.Seeds[turn%len(o.Seeds)].Data
			turn++
		}
		add(s)
	}
	alone.Argv = alone.Argv[:o.Fixed]
	for _, w := range []string{"--version", "--help", "-h", "--no-such-option"} {
		try(alone, w)
	}
	for i := range o.Table.Options {
		opt := &o.Table.Options[i]
		values := opt.Values
		switch {
		case opt.Arity == mutate.NoValue:
			values = []string{""}
		case len(values) == 0:
			values = []string{"1", mutate.Input}
		}
		try(alone, opt.Words(values[0])...)
		for _, v := range values {
			try(work, opt.Words(v)...)
		}
	}
	for _, c := range o.Table.Commands {
		try(alone, c)
		try(work, c)
	}
}
