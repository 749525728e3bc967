package fuzz

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// endless is an Executor for a target that goes on for ever after the word --forever, and shows syscall 1
// with it. With --also beside it, it makes syscall 2, too, and 3 in runs that are ended.
type endless struct {
	full, sought int // runs that took all their time, and runs that did not
	wrong        *testing.T
	can          bool
	plain        map[string]bool // scenarios of which there was a run like any other
}

func (x *endless) Seeks() bool { return x.can }

func (x *endless) Run(_ context.Context, s *Scenario) (*Result, error) {
	r := x.seen(s)
	x.plain[s.ID()] = true
	if r.TimedOut = slices.Contains(s.Argv, "--forever"); r.TimedOut {
		x.full++
	}
	return r, nil
}

func (x *endless) seen(s *Scenario) *Result {
	r := &Result{Seen: []sysno.ID{id(0)}}
	if slices.Contains(s.Argv, "--forever") {
		r.Seen = append(r.Seen, id(1))
		if slices.Contains(s.Argv, "--also") {
			r.Seen = append(r.Seen, id(2))
		}
	}
	return r
}

func (x *endless) Seek(ctx context.Context, s *Scenario, sought []sysno.ID) (*Result, error) {
	if len(sought) == 0 {
		x.wrong.Errorf("a run is to show nothing")
	}
	r := x.seen(s)
	r.Sought = true
	for _, id := range sought {
		if !slices.Contains(r.Seen, id) {
			if r.TimedOut = slices.Contains(s.Argv, "--forever"); r.TimedOut {
				x.full++
			}
			return r, nil
		}
	}
	x.sought++
	r.Seen = append(r.Seen, id(3)) // which only such a run has shown by then
	return r, nil
}

func (*endless) Close() error { return nil }

func learnEndless(t *testing.T, seeks bool) (*Outcome, *endless) {
	x := &endless{wrong: t, can: seeks, plain: make(map[string]bool)}
	o := options(t, synthetic{})
	o.Execs, o.Can = 40, Abilities{}
	o.Bases = []Scenario{{Argv: target("--forever", "--also", "--more", "word"), Stdin: StdinFile}}
	o.Seeds, o.EnvNames = nil, nil
	o.NewExecutor = func(int) (Executor, error) { return x, nil }
	return run(t, o), x
}

// What takes all its time is confirmed and minimized by runs that end when they have shown what they are made for.
func TestWitnessesOfWhatTakesLongAreSought(t *testing.T) {
	out, x := learnEndless(t, true)
	for nr, want := range map[uint32]Scenario{
		1: {Argv: target("--forever"), Stdin: StdinNull},
		2: {Argv: target("--forever", "--also"), Stdin: StdinNull},
	} {
		if w := witness(out, nr); w == nil || !slices.Equal(w.Argv, want.Argv) || w.Stdin != want.Stdin {
			t.Errorf("the witness of %d is %+v, want %+v", nr, w, want)
		}
	}
	if x.sought == 0 {
		t.Error("no run was ended when it had shown enough")
	}
	// What chance added to such a run is not missed, and what it counts for is no statement on how runs end.
	for _, obs := range out.Observations {
		if obs.ID == id(3) && (obs.Runs == 0 || obs.CleanRuns != 0) {
			t.Errorf("%+v: it was seen in runs that are not known to end", obs)
		}
	}
	if witness(out, 3) == nil {
		t.Error("a syscall that only a run showed that was ended is missed")
	}
	for _, w := range out.Witnesses {
		if !x.plain[w.ID] {
			t.Errorf("what %v shows, and how it ends, is not known: no run of it went to its end", w.Scenario.Argv)
		}
	}
	_, plain := learnEndless(t, false)
	if plain.sought > 0 {
		t.Error("an executor that cannot seek was asked to")
	}
	if x.full >= plain.full {
		t.Errorf("%d runs took all their time, and %d where all that replay do", x.full, plain.full)
	}
}

// A run that was ended says nothing of how the target ends, nor of what ends it.
func TestWhatWasEndedIsNotTakenForComplete(t *testing.T) {
	o := options(t, synthetic{})
	o.Now = time.Now
	c := newCoordinator(&o)
	s := Scenario{Argv: target(), Acts: []Act{send(sigkill), send(sigkill)}}
	fresh, _ := c.report(&job{s: s, phase: PhaseReplay, sought: []sysno.ID{id(1)}}, &Result{
		Sought: true, Seen: []sysno.ID{id(0), id(1)}, Acts: 1, Words: [][]byte{[]byte("word")}, Signals: []Signal{{Kind: SignalTree, Key: 1}},
	})
	if !slices.Equal(fresh, []sysno.ID{id(0), id(1)}) {
		t.Errorf("%v are new, want both", fresh)
	}
	if n := c.books[id(1)].clean + c.stats.CleanRuns + c.stats.Accepted; n > 0 {
		t.Errorf("it counts as clean: %+v, %+v", c.books[id(1)], c.stats)
	}
	if len(c.corpus.fates)+len(c.corpus.leavings)+len(c.corpus.entries) > 0 {
		t.Errorf("it is an example of what acts do: %+v, %+v, %+v", c.corpus.fates, c.corpus.leavings, c.corpus.entries)
	}
}
