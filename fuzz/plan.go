package fuzz

import (
	"cmp"
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Phase says what a run is for. The zero value is invalid.
type Phase uint8

// The phases. Deliberate runs come first, but not all of them before the first draw.
const (
	PhaseInvalid Phase = iota
	PhaseBase          // the user's command line as given, with empty input
	PhaseStored        // what an earlier session left in its state directory
	PhaseSeeds         // each seed
	PhaseOptions       // each known option and sub-command
	PhaseExplore       // random draws; the only runs that the statistics count
	PhaseReplay        // a scenario again, or a smaller one, to confirm and minimize
	PhaseShared        // what another session has found meanwhile
	PhaseAimed         // runs that are to show what the target can reach by its code and none has shown
)

// String is the phase as a word for progress lines.
func (p Phase) String() string {
	return [...]string{"invalid", "base", "stored", "seeds", "options", "explore", "replay", "shared", "aimed"}[p]
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
	turn  int  // counted from 1 over the deliberate runs; 0 for a scenario of this state directory
	early bool // it comes before all draws; others take turns with them
	rank  rank // of a deliberate run
	trial trial
	guess string // the guessed option that it builds on, "" for none
	stage stage  // to which it adds an option
	bare  stage  // that it is, without any option
	again bool   // it was made, and its service was not ready in time

	saidOn int // how often what was left of it was planned, see agenda.sayOn
}

// glances reports whether the run shows if the target waits at a terminal. What is then typed is only known by that.
func (p *planned) glances() bool { return p.rank == rankBase && len(p.s.Acts) > 0 }

// also makes the run stand for another one of the same scenario.
func (p *planned) also(o planned) {
	if o.trial != (trial{}) {
		p.trial = o.trial
	}
	if p.stage == (stage{}) {
		p.stage = o.stage
	}
	if p.bare == (stage{}) {
		p.bare = o.bare
	}
}

// plan puts the stored scenarios after the base: no scenario twice, and none of the
// deliberate runs that are done, but for those that tell whether there is somebody to type for.
func plan(deliberate []planned, stored []Stored, done turns) []planned {
	var out []planned
	todo := done.rest(deliberate)
	for _, p := range deliberate {
		if p.glances() && done.has(p.turn) {
			todo = append(todo, p)
		}
	}
	slices.SortStableFunc(todo, func(a, b planned) int { return cmp.Compare(a.turn, b.turn) })
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
			out = append(out, planned{s: s.Scenario, phase: PhaseStored, early: true})
		}
	}
	for _, p := range todo {
		if !twice[p.s.ID()] {
			out = append(out, p)
		}
	}
	return out
}

// deliberate lists the runs that the options ask for, no scenario twice: the broadest first,
// and the first of each kind before any draw.
func deliberate(o *Options) []planned {
	var all [ranks][]planned
	at := make(map[string][2]int)
	put := func(p planned) {
		id := p.s.ID()
		if i, twice := at[id]; !twice {
			at[id] = [2]int{int(p.rank), len(all[p.rank])}
			p.early = p.rank < rankLate
			all[p.rank] = append(all[p.rank], p)
		} else {
			all[i[0]][i[1]].also(p)
		}
	}
	add := func(r rank, p Phase, s Scenario) { put(planned{s: s, phase: p, rank: r}) }
	for _, base := range o.Bases {
		base.Input = nil
		for k := StdinNull; k <= StdinPipe; k++ {
			s := base
			if s.Stdin == StdinInvalid {
				s.Stdin = k
			}
			add(rankBase, PhaseBase, s)
		}
	}
	for _, s := range o.Imported {
		if s, ok := o.adopt(s); ok {
			add(rankImported, PhaseStored, s)
		}
	}
	for _, base := range o.Bases {
		ways, alone := templates(base, o.Fixed), base
		if alone.Stdin == StdinInvalid {
			alone.Stdin = StdinNull
		}
		for i, seed := range o.Seeds {
			for j, s := range ways {
				r := rankSeedWays
				switch {
				case i < favoured:
					r = rankFavoured
				case j == i%len(ways):
					r = rankSeeds
				}
				if alone, ok := lying(alone, &seed); ok && j == 0 {
					add(r, PhaseSeeds, alone)
				}
				s.Input = seed.Data
				add(r, PhaseSeeds, s)
				if s, ok := named(s, &seed); ok {
					add(r, PhaseSeeds, s)
				}
			}
		}
	}
	for _, base := range o.Bases {
		probe(o, base, func(p planned) {
			p.phase = PhaseOptions
			put(p)
		})
	}
	out := slices.Concat(all[:]...)
	for i := range out {
		out[i].turn = i + 1
	}
	return out
}
