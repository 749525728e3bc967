package fuzz

import (
	"path/filepath"
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Phase says what a run is for. The zero value is invalid.
type Phase uint8

// The phases, in the order in which the engine enters them.
const (
	PhaseInvalid Phase = iota
	PhaseBase          // the user's command line as given, with empty input
	PhaseStored        // what an earlier session left in its state directory
	PhaseSeeds         // each seed
	PhaseOptions       // each known option and sub-command
	PhaseExplore       // random draws; the only runs that the statistics count
	PhaseReplay        // a scenario again, or a smaller one, to confirm and minimize
	PhaseShared        // what another session has found meanwhile
)

// String is the phase as a word for progress lines.
func (p Phase) String() string {
	return [...]string{"invalid", "base", "stored", "seeds", "options", "explore", "replay", "shared"}[p]
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
		out = append(out, with(StdinPipe, mutate.Input))
	}
	return out
}

// planned is a run that is decided before the first one.
type planned struct {
	s     Scenario
	phase Phase
	turn  int // counted from 1 over the deliberate runs; 0 for a scenario of this state directory
}

// plan puts the stored scenarios after the base: no scenario twice, and none of the
// first done deliberate runs.
func plan(deliberate []planned, stored []Stored, done int) []planned {
	var out []planned
	todo := deliberate[done:]
	for len(todo) > 0 && todo[0].phase == PhaseBase {
		out, todo = append(out, todo[0]), todo[1:]
	}
	twice := make(map[string]bool)
	for _, p := range out {
		twice[p.s.ID()] = true
	}
	for _, s := range stored {
		if !twice[s.ID] {
			twice[s.ID] = true
			out = append(out, planned{s: s.Scenario, phase: PhaseStored})
		}
	}
	for _, p := range todo {
		if !twice[p.s.ID()] {
			out = append(out, p)
		}
	}
	return out
}

// deliberate lists the runs that the options ask for: no scenario twice.
func deliberate(o *Options) []planned {
	var out []planned
	twice := make(map[string]bool)
	add := func(p Phase, s Scenario) {
		if id := s.ID(); !twice[id] {
			twice[id] = true
			out = append(out, planned{s, p, len(out) + 1})
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
	for _, s := range o.Imported {
		if s, ok := o.adopt(s); ok {
			add(PhaseStored, s)
		}
	}
	for _, base := range o.Bases {
		ways := templates(base, o.Fixed)
		for _, seed := range o.Seeds {
			for _, s := range ways {
				s.Input = seed.Data
				add(PhaseSeeds, s)
				if s, ok := named(s, &seed); ok {
					add(PhaseSeeds, s)
				}
			}
		}
	}
	for _, base := range o.Bases {
		probes(o, base, func(s Scenario) { add(PhaseOptions, s) })
	}
	return out
}

// favoured is how many of the first seeds, which the target likes best, every
// second probe is made with.
const favoured = 4

// pairs are two files, two directories, and one of each: what compares, copies or joins
// does nothing with one operand.
func pairs(files []File) [][]string {
	var names, dirs []string
	for _, f := range files {
		names = append(names, f.Name)
		for d := filepath.Dir(f.Name); ; d = filepath.Dir(d) {
			dirs = append(dirs, d)
			if d == "." {
				break
			}
		}
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	if len(names) < 2 || len(dirs) < 2 {
		return nil
	}
	file, dir := names[len(names)-1], dirs[0]
	return [][]string{{names[0], file}, {dir, dirs[1]}, {file, dirs[1]}}
}

// probes are common variables unset, and single options and sub-commands: each
// alone, and each in all the ways to give the target a seed.
func probes(o *Options, base Scenario, add func(Scenario)) {
	alone := base
	alone.Argv = base.Argv[:o.Fixed]
	alone.Stdin, alone.Input = StdinNull, nil
	ways := templates(base, o.Fixed)
	light := slices.DeleteFunc(slices.Clone(o.Seeds), func(s Seed) bool { return s.heavy() })
	turn := 0
	seed := func() []byte {
		if len(light) == 0 {
			return nil
		}
		turn++
		if turn%2 == 0 {
			return light[turn/2%min(favoured, len(light))].Data
		}
		return light[turn/2%len(light)].Data
	}
	try := func(s Scenario, words []string) {
		s.Argv = slices.Concat(s.Argv[:o.Fixed], words, s.Argv[o.Fixed:])
		if s.usesInput() {
			s.Input = seed()
		}
		add(s)
	}
	everyWay := func(words ...string) {
		for _, s := range ways {
			try(s, words)
		}
	}
	unset := func(names ...string) {
		s := ways[0]
		s.Env = names
		try(s, nil)
	}
	if o.varies(dimEnv) {
		unset(mutate.CommonEnv()...)
		for _, name := range mutate.CommonEnv() {
			unset(name)
		}
	}
	surroundings(o, &base, ways, seed, add)
	if !o.varies(dimArgv) {
		return
	}
	for _, w := range []string{"--version", "--help", "-h", "--no-such-option"} {
		try(alone, []string{w})
	}
	both := pairs(base.Files)
	for _, pair := range both {
		try(alone, pair)
	}
	for i := range o.Table.Options {
		opt := &o.Table.Options[i]
		values := opt.Likely()
		switch {
		case opt.Arity == mutate.NoValue:
			values = []string{""}
		case len(values) == 0:
			values = []string{"1", mutate.Input}
		}
		try(alone, opt.Words(values[0]))
		for _, v := range values {
			everyWay(opt.Words(v)...)
		}
		if len(light) > 0 {
			liked := &light[i%min(favoured, len(light))]
			for _, s := range ways {
				if s, ok := named(s, liked); ok {
					try(s, opt.Words(values[0]))
				}
			}
		}
		for _, name := range o.Table.Names {
			if opt.Arity == mutate.NoValue {
				try(alone, append(opt.Words(""), name))
			}
		}
		for _, pair := range both {
			try(alone, slices.Concat(opt.Words(values[0]), pair))
		}
	}
	for _, c := range o.Table.Commands {
		try(alone, []string{c})
		everyWay(c)
	}
}
