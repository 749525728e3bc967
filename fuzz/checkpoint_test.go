package fuzz

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// photographer copies the state directory before some runs, as a kill in that run
// would leave it, and notes what the runs before have shown.
type photographer struct {
	synthetic
	t     *testing.T
	state string
	shots map[uint64]*shot // by run
	seen  map[sysno.ID]uint64
}

type shot struct {
	dir  string
	seen map[sysno.ID]uint64 // syscalls, and in how many runs
}

func (p *photographer) Run(ctx context.Context, s *Scenario) (*Result, error) {
	if shot := p.shots[p.runs+1]; shot != nil {
		shot.dir = p.t.TempDir()
		if err := os.CopyFS(shot.dir, os.DirFS(p.state)); err != nil {
			p.t.Error(err)
		}
		shot.seen = make(map[sysno.ID]uint64)
		for id, n := range p.seen {
			shot.seen[id] = n
		}
	}
	r, err := p.synthetic.Run(ctx, s)
	if err == nil {
		for _, id := range r.Seen {
			p.seen[id]++
		}
	}
	return r, err
}

// Syscall 99 shows in one run of 700, so no replay brings it back: only the
// checkpoint knows it.
func TestAKillAtAnyMomentTakesNoMoreThanTheRunInFlight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := &photographer{synthetic: synthetic{t: t, every: 700}, t: t, state: dir, shots: map[uint64]*shot{}, seen: map[sysno.ID]uint64{}}
	for run := uint64(1); run <= 120; run += 17 {
		p.shots[run] = &shot{}
	}
	for run := uint64(130); run <= 2000; run += 397 {
		p.shots[run] = &shot{}
	}
	for run := uint64(700); run <= 703; run++ { // while 99 is new
		p.shots[run] = &shot{}
	}
	o := options(t, synthetic{})
	o.Execs, o.State, o.Subject = 2000, state, subject()
	o.NewExecutor = func(int) (Executor, error) { return p, nil }
	whole := run(t, o)
	if whole.Stats.Draws == 0 || !slices.Contains(whole.Unstable, id(99)) {
		t.Fatalf("the run does not show what is asked here: %d draws, unstable %v", whole.Stats.Draws, whole.Unstable)
	}
	const resumed = 60
	for run, shot := range p.shots {
		state, err := LoadState(shot.dir)
		if err != nil {
			t.Fatal(err)
		}
		mustHaveInterim(t, run, state, shot)
		before := make(map[string]bool)
		for _, f := range folders {
			stored, err := state.List(f)
			if err != nil {
				t.Errorf("killed in run %d: %v", run, err)
			}
			for _, s := range stored {
				before[string(f)+s.ID] = true
			}
		}
		o := options(t, synthetic{}) // which never shows 99
		o.Execs, o.State = resumed, state
		out, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[sysno.ID]uint64)
		for _, ob := range out.Observations {
			got[ob.ID] = ob.Runs
		}
		for id, n := range shot.seen {
			if _, found := got[id]; !found {
				t.Errorf("killed in run %d: %v is forgotten", run, id)
			}
			if got[id] > n+resumed {
				t.Errorf("killed in run %d: %v was seen in %d runs, of which there were %d", run, id, got[id], n+resumed)
			}
		}
		if out.Stats.Runs > run-1+resumed {
			t.Errorf("killed in run %d: %d runs are counted, there were %d", run, out.Stats.Runs, run-1+resumed)
		}
		for f := range before {
			if _, err := os.Lstat(filepath.Join(shot.dir, f[:len(f)-16], f[len(f)-16:]+".json")); err != nil {
				t.Errorf("killed in run %d: %v", run, err)
			}
		}
	}
}

func TestASessionGoesOnWithItsNumbers(t *testing.T) {
	t.Parallel()
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, synthetic{})
	o.Execs, o.State, o.Evidence = 2000, state, "this program"
	first := run(t, o)
	stored := make(map[string]bool)
	for _, f := range []Folder{Queue, Witnesses} {
		all, err := state.List(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			stored[s.ID] = true
		}
	}
	// Enough for what is stored, and not for the plan.
	more := uint64(len(stored) + len(deliberate(&o))/2)
	o = options(t, synthetic{})
	o.Execs, o.State, o.Evidence = more, state, "this program"
	second := run(t, o)
	if got, want := second.Stats.Runs, first.Stats.Runs+more; got != want {
		t.Errorf("%d runs are counted, want %d", got, want)
	}
	if second.Stats.Draws <= first.Stats.Draws {
		t.Errorf("%d draws, before %d", second.Stats.Draws, first.Stats.Draws)
	}
	for i, ob := range second.Observations {
		if i < len(first.Observations) && first.Observations[i].ID == ob.ID && ob.Runs <= first.Observations[i].Runs {
			t.Errorf("%v: seen in %d runs, before in %d", ob.ID, ob.Runs, first.Observations[i].Runs)
		}
	}
	if a, b := first.Crashes, second.Crashes; len(a) == 0 || len(b) < len(a) {
		t.Errorf("%d kinds of crashes, before %d", len(b), len(a))
	}
}

// What two sessions draw must differ, or a draw would be counted twice.
func TestASessionThatGoesOnDrawsAnew(t *testing.T) {
	t.Parallel()
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var logs [3][]string
	for i := range logs {
		o := options(t, synthetic{log: &logs[i]})
		o.Execs, o.State = 1000, state
		run(t, o)
	}
	again := 0
	for _, id := range logs[2] {
		if slices.Contains(logs[1], id) {
			again++
		}
	}
	if again > len(logs[2])/2 { // short scenarios come up in any order
		t.Errorf("%d of %d runs are those of the session before", again, len(logs[2]))
	}
}

func TestOnlyWhatStillHoldsIsTakenOver(t *testing.T) {
	lossy := func() ([]sysno.ID, trace.Lost) { return []sysno.ID{id(98)}, trace.Lost{Tasks: 1} }
	late := func() ([]sysno.ID, trace.Lost) { return []sysno.ID{id(0), id(98)}, trace.Lost{Late: 2} }
	for _, c := range []struct {
		name     string
		aside    func() ([]sysno.ID, trace.Lost)
		evidence string
		table    bool
		knows99  bool
		knows98  bool
		runs     uint64
		draws    bool
		lost     trace.Lost
	}{
		{name: "the same", aside: late, table: true, knows99: true, knows98: true, runs: 3000, draws: true, lost: trace.Lost{Late: 2}},
		{name: "other options", aside: late, knows99: true, knows98: true, runs: 3000, lost: trace.Lost{Late: 2}},
		{name: "another program", aside: late, evidence: "other", table: true},
		{name: "something was lost", aside: lossy, table: true, knows99: true, knows98: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			state, err := OpenState(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			o := options(t, synthetic{every: 700})
			o.Execs, o.State, o.Aside = 3000, state, c.aside
			run(t, o)

			o = options(t, synthetic{})
			o.Execs, o.State, o.Evidence = 1, state, c.evidence
			if !c.table {
				o.Table = mutate.Table{}
			}
			out := run(t, o)
			knows := func(nr uint32) bool {
				return slices.ContainsFunc(out.Observations, func(o trace.Observation) bool { return o.ID == id(nr) })
			}
			if knows(99) != c.knows99 || knows(98) != c.knows98 {
				t.Errorf("knows 99: %v, want %v; knows 98: %v, want %v", knows(99), c.knows99, knows(98), c.knows98)
			}
			if out.Stats.Runs != c.runs+1 {
				t.Errorf("%d runs are counted, want %d", out.Stats.Runs, c.runs+1)
			}
			if got := out.Stats.Draws > 0; got != c.draws {
				t.Errorf("%d draws are counted", out.Stats.Draws)
			}
			if out.LostBefore != c.lost {
				t.Errorf("lost before: %+v, want %+v", out.LostBefore, c.lost)
			}
		})
	}
}

// teller shows syscall 97 on a terminal.
type teller struct {
	synthetic
	terminals *int
}

func (x *teller) Run(ctx context.Context, s *Scenario) (*Result, error) {
	r, err := x.synthetic.Run(ctx, s)
	if err == nil && s.Stdin == StdinTerminal {
		*x.terminals++
		r.Seen = append(r.Seen, id(97))
	}
	return r, err
}

func TestWhatThisExecutorCannotRunStaysKnown(t *testing.T) {
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	terminals := 0
	session := func(execs uint64, can Abilities) *Outcome {
		o := options(t, synthetic{})
		o.Execs, o.State, o.Can = execs, state, can
		o.Imported = []Scenario{{Argv: target(), Stdin: StdinTerminal}}
		o.NewExecutor = func(int) (Executor, error) { return &teller{synthetic{t: t}, &terminals}, nil }
		return run(t, o)
	}
	session(60, Abilities{Terminal: true})
	if terminals == 0 {
		t.Fatal("no run had a terminal")
	}
	terminals = 0
	out := session(50, Abilities{})
	if !slices.ContainsFunc(out.Observations, func(o trace.Observation) bool { return o.ID == id(97) }) {
		t.Error("what needs a terminal is forgotten")
	}
	if terminals > 0 {
		t.Errorf("%d runs had terminals, which this executor has not", terminals)
	}
}

func TestACheckpointThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	state, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"{":               "unexpected EOF",
		`{"version": 9}`:  "version 9, this program reads 1",
		`{"verse": 1}`:    "unknown field",
		`{"version": 1}x`: "data after the end",
	} {
		path := filepath.Join(dir, checkpointName)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		o := options(t, synthetic{})
		o.State, o.Execs = state, 1
		if _, err := Run(t.Context(), o); !mentions(err, path) || !mentions(err, want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if err := state.Clear(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{checkpointName, statsName, plotName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Clear: %s: %v", name, err)
		}
	}
}

// Whoever can write the file can make a session believe what is not so, but not harm
// it otherwise.
func FuzzCheckpoint(f *testing.F) {
	dir := f.TempDir()
	state, err := OpenState(dir)
	if err != nil {
		f.Fatal(err)
	}
	o := options(f, synthetic{})
	o.Execs, o.State = 600, state
	run(f, o)
	real, err := os.ReadFile(filepath.Join(dir, checkpointName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(real)
	f.Add([]byte(`{"version": 1, "digest": "", "done": -1, "beyond": [[-7, 9223372036854775807], [3, 2]], "corpus": {"tries": {"argv": -50}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeCheckpoint(b)
		if err != nil {
			return
		}
		o := options(t, synthetic{})
		o.State = state
		if err := o.fill(); err != nil {
			t.Fatal(err)
		}
		k.Evidence, k.Digest = "", digest(&o, deliberate(&o))
		stored, err := o.stored()
		if err != nil {
			t.Fatal(err)
		}
		c := newCoordinator(&o)
		c.asked = asked{len(deliberate(&o)), k.Digest}
		if err := c.goOn(k, stored); err == nil {
			c.before.done.rest(deliberate(&o))
		}
	})
}

func mentions(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
