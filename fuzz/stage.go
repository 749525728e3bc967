package fuzz

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// stage is a command line to which options are added one at a time. Which of them a program does anything
// on is not known before it has run: many only complain where nothing is named to work on, and many options do
// nothing where the program has no work. So each option is tried first on the stage that shows most
// by itself. The zero value is none.
type stage struct {
	rank rank
	n    int // among those of the rank
}

// The examples that are stages, and the ways there are to carry out each.
const (
	shownExamples = 6
	ways          = 3
)

// stages are what the program did on each of them without any option.
type stages struct {
	order   []stage
	results map[stage]*Result
	bare    map[stage]Scenario
	turns   map[stage]int // planned.turn of that run
	chosen  []stage       // by best
}

// start is a stage that was chosen, and what the program did there.
type start struct {
	s    Scenario
	seen []sysno.ID
}

func (g *stages) note(st stage, turn int, s *Scenario, r *Result) {
	if st == (stage{}) || g.results[st] != nil {
		return
	}
	if g.results == nil {
		g.results, g.bare, g.turns = make(map[stage]*Result), make(map[stage]Scenario), make(map[stage]int)
	}
	g.order = append(g.order, st)
	g.results[st], g.bare[st], g.turns[st] = kept(r), *s, turn
}

// best are the stage that showed most, and of equal ones the first, and then those that show what the ones
// before them do not. Syscalls that a Result may leave out do not count. That a program is content is worth as
// much as four that it makes: what complains has mostly done little else. What was chosen stays so: a session that goes on
// knows more syscalls as settled, by which all stages look alike.
func (g *stages) best(settled func(sysno.ID) bool) []stage {
	const most, content, worthwhile = 4, 4, 2
	if len(g.chosen) > 0 {
		return g.chosen
	}
	shown := make(map[sysno.ID]bool)
	value := func(st stage) (n int) {
		r := g.results[st]
		for _, id := range r.Seen {
			if !shown[id] && !settled(id) {
				n++
			}
		}
		if r.ExitCode == 0 {
			n += content
		}
		return n
	}
	var out []stage
	rest := slices.DeleteFunc(slices.Clone(g.order), func(st stage) bool { return !g.results[st].Clean() })
	for len(out) < most && len(rest) > 0 {
		best := slices.MaxFunc(rest, func(a, b stage) int { return cmp.Compare(value(a), value(b)) })
		if len(out) > 0 && value(best) < content+worthwhile {
			break
		}
		out = append(out, best)
		for _, id := range g.results[best].Seen {
			shown[id] = true
		}
		rest = slices.DeleteFunc(rest, func(st stage) bool { return st == best })
	}
	if len(out) == 0 { // none ended by itself, or they are not known any more
		out = append(out, stage{rank: rankOptions})
	}
	g.chosen = out
	return out
}

// starts are those of the chosen stages that were made.
func (g *stages) starts() (out []start) {
	for _, st := range g.chosen {
		if s, ok := g.bare[st]; ok {
			out = append(out, start{s, g.results[st].Seen})
		}
	}
	return out
}

// savedStage is what the program did on a stage, for a session that goes on.
type savedStage struct {
	Turn     int       `json:"turn"` // of the planned run without any option
	Seen     []savedID `json:"seen"`
	ExitCode int       `json:"exit_code,omitempty"`
	Unclean  bool      `json:"unclean,omitempty"`
	Chosen   int       `json:"chosen,omitempty"` // which of the chosen ones it is, from 1
}

func (g *stages) save() (out []savedStage) {
	for _, st := range g.order {
		r := g.results[st]
		out = append(out, savedStage{g.turns[st], saveIDs(slices.Clone(r.Seen), nil), r.ExitCode, !r.Clean(), 1 + slices.Index(g.chosen, st)})
	}
	return out
}

// load takes over what was saved, of a session with the same plan.
func (g *stages) load(saved []savedStage, plan []planned) error {
	chosen := make(map[int]stage)
	for _, k := range saved {
		if k.Turn < 1 || k.Turn > len(plan) || plan[k.Turn-1].bare == (stage{}) {
			continue
		}
		p := &plan[k.Turn-1]
		r := Result{ExitCode: k.ExitCode, Faulted: k.Unclean}
		for _, s := range k.Seen {
			id, err := s.id()
			if err != nil {
				return err
			}
			r.Seen = append(r.Seen, id)
		}
		g.note(p.bare, k.Turn, &p.s, &r)
		if k.Chosen > 0 {
			chosen[k.Chosen] = p.bare
		}
	}
	for _, i := range slices.Sorted(maps.Keys(chosen)) {
		g.chosen = append(g.chosen, chosen[i])
	}
	return nil
}
