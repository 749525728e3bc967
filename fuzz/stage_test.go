package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestEachOptionIsTriedFirstWhereTheProgramDoesMost(t *testing.T) {
	shows := func(n int, code int) *Result {
		r := &Result{ExitCode: code}
		for nr := range n {
			r.Seen = append(r.Seen, sysno.ID{Arch: sysno.AMD64, NR: uint32(nr)})
		}
		return r
	}
	alone, file := stage{rankOptions, 0}, stage{rankFiles, 0}
	for _, c := range []struct {
		name  string
		shown map[stage]*Result
		want  stage
	}{
		{"nothing was noted", nil, alone},
		{"it complains without a file", map[stage]*Result{alone: shows(3, 2), file: shows(3, 0)}, file},
		{"it does more without a file", map[stage]*Result{alone: shows(9, 1), file: shows(3, 0)}, alone},
		{"both are alike", map[stage]*Result{alone: shows(3, 0), file: shows(3, 0)}, alone},
		{"it did not end by itself", map[stage]*Result{alone: shows(1, 0), file: {Seen: shows(9, 0).Seen, TimedOut: true}}, alone},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, synthetic{})
			a := &begun(t, o).agenda
			for a.first() {
				if p := a.take(!a.late(false)); c.shown[p.bare] != nil {
					a.stages.note(p.bare, p.turn, &p.s, c.shown[p.bare])
				}
			}
			led := map[string]bool{}
			for a.early() {
				p := a.take(!a.late(false))
				if p.stage != c.want {
					t.Fatalf("%q is made on %v, want %v", p.s.Argv, p.stage, c.want)
				}
				led[p.s.ID()] = true
			}
			if len(led) < len(o.Table.Options)/2 {
				t.Errorf("%d of %d options are tried before all draws", len(led), len(o.Table.Options))
			}
			for !a.over() {
				if p := a.take(!a.late(false)); led[p.s.ID()] {
					t.Fatalf("%q is taken twice", p.s.Argv)
				}
			}
		})
	}
}

// A program that does most on a file, and waits for keys at a terminal.
func onFiles(s *Scenario) *Result {
	r := &Result{Seen: []sysno.ID{id(0)}, Waited: s.onTerminal(), Keyed: s.onTerminal()}
	if s.usesFile() {
		r.Seen = append(r.Seen, id(1), id(2))
	}
	return r
}

func TestASessionThatGoesOnKnowsWhereOptionsDoMostAndWhatWasTypedThere(t *testing.T) {
	for _, tt := range []struct {
		runs, options int // of the first session; beside the usual ones
		open          bool
	}{ // before that is known, while options are tried there, and after
		{10, 300, true}, {120, 300, true}, {400, 0, false},
	} {
		runs := tt.runs
		state, err := OpenState(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		session := func(runs int) (*coordinator, []job, bool) {
			o := options(t, synthetic{})
			o.State, o.Can.Talk = state, true
			for i := range tt.options {
				o.Table.Options = append(o.Table.Options, mutate.Option{Name: fmt.Sprintf("--option-%d", i), Arity: mutate.NoValue})
			}
			if err := o.fill(); err != nil {
				t.Fatal(err)
			}
			stored, err := o.stored()
			if err != nil {
				t.Fatal(err)
			}
			c := newCoordinator(&o)
			if err := c.begin(stored); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			var made []job
			open := c.agenda.open
			for range runs {
				j := c.choose(r, &plugin{})
				fresh, keep := c.report(&j, onFiles(&j.s))
				for _, id := range fresh {
					c.settle(id, j.s, true, false, true, nil)
				}
				for _, f := range keep {
					if err := state.Save(f, &j.s); err != nil {
						t.Fatal(err)
					}
				}
				made = append(made, j)
			}
			if err := c.checkpoint(); err != nil {
				t.Fatal(err)
			}
			return c, made, open
		}
		_, before, _ := session(runs)
		c, after, open := session(500)
		if open != tt.open {
			t.Fatalf("after %d runs options are left: %v", runs, open)
		}
		swept := map[string]bool{}
		known := 0
		for i, j := range append(before, after...) {
			if i == len(before) {
				known = len(swept)
			}
			if j.from != fromSweep {
				continue
			}
			if swept[j.s.ID()] {
				t.Fatalf("after %d runs: %q with %d keys is made again", runs, j.s.Argv, len(j.s.Acts))
			}
			swept[j.s.ID()] = true
		}
		if n := len(swept) - known; n < 50 {
			t.Errorf("after %d runs: %d runs of the next session are sweeps", runs, n)
		}
		want := []stage{{rankFiles, 0}}
		if !slices.Equal(c.agenda.stages.chosen, want) {
			t.Errorf("after %d runs: options are tried on %v, want %v", runs, c.agenda.stages.chosen, want)
		}
		there, elsewhere := 0, 0
		for _, j := range after {
			i := slices.IndexFunc(c.agenda.plan, func(p planned) bool { return j.turn > 0 && p.turn == j.turn })
			switch {
			case i < 0 || !c.agenda.plan[i].leads():
			case c.agenda.plan[i].stage == want[0]:
				there++
			default:
				elsewhere++
			}
		}
		if open && there <= 5*elsewhere {
			t.Errorf("after %d runs: the next session tries %d options where the program does most, and %d elsewhere", runs, there, elsewhere)
		}
		ways := templates(c.o.Bases[0], c.o.Fixed)
		if at := c.corpus.starts[len(ways):]; len(at) != len(want) || !at[0].usesFile() {
			t.Errorf("after %d runs: draws of the next session begin with %v, too", runs, at)
		}
	}
}
