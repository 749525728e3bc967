package fuzz

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// hidden are syscalls behind what nothing but the code tells of, with the clues to them.
var hidden = []struct {
	guard
	clues []Clue
}{
	{guard{200, "a variable and its value", func(s *Scenario) bool { return slices.Contains(s.Env, "QUIETLY=opensesame") }, Scenario{}},
		[]Clue{{Kind: ClueText, Text: "opensesame", Distance: 1}, {Kind: ClueVariable, Text: "QUIETLY", Distance: 2}}},
	{guard{201, "a line of a file", func(s *Scenario) bool {
		f := s.File("tool.conf")
		return f != nil && bytes.Contains(f.Data, []byte("pool=shared\n"))
	}, Scenario{}},
		[]Clue{{Kind: ClueText, Text: "shared", Distance: 1}, {Kind: ClueText, Text: "pool", Distance: 2}, {Kind: ClueText, Text: "tool.conf", Distance: 9}}},
	{guard{202, "a magic number at an offset", func(s *Scenario) bool {
		return s.usesInput() && len(s.Input) >= 12 && bytes.Equal(s.Input[8:12], []byte{0xfe, 0xed, 0xc0, 0xde})
	}, Scenario{}},
		[]Clue{{Kind: ClueNumber, Number: 0xfeedc0de, Size: 4, Distance: 1}}},
	{guard{203, "an option's value", arg("--when=4711"), Scenario{}},
		[]Clue{{Kind: ClueNumber, Number: 4711, Size: 4, Distance: 1}}},
	{guard{204, "a signal", func(s *Scenario) bool { return s.World.Interruption == Interruption{unix.SIGWINCH, MomentRead} }, Scenario{}},
		[]Clue{{Kind: ClueSignal, Number: uint64(unix.SIGWINCH), Distance: 1}}},
	{guard{205, "an error", func(s *Scenario) bool { return slices.Contains(s.World.Faults, Fault{id(82), syscall.EXDEV}) }, Scenario{}},
		[]Clue{{Kind: ClueErrno, Number: uint64(syscall.EXDEV), Distance: 1}, {Kind: ClueFailure, ID: id(82), Distance: 2}}},
	{guard{206, "a word", arg("excavate"), Scenario{}}, []Clue{{Kind: ClueText, Text: "excavate", Distance: 1}}},
}

// secretive is an executor for a target of which nothing but its code tells.
type secretive struct {
	t   testing.TB
	log *[]string
}

func (x secretive) Run(_ context.Context, s *Scenario) (*Result, error) {
	if err := s.Check(); err != nil {
		x.t.Errorf("the engine made a scenario that cannot run: %v: %+v", err, s)
	}
	if x.log != nil {
		*x.log = append(*x.log, s.ID())
	}
	r := &Result{Seen: []sysno.ID{id(0)}}
	for _, h := range hidden {
		if h.open(s) {
			r.Seen = append(r.Seen, id(h.nr))
		}
	}
	return r, nil
}

func (secretive) Close() error { return nil }

func secretOptions(t testing.TB, log *[]string) Options {
	return Options{
		Can: all, Bases: []Scenario{{Argv: target()}}, Seed: 1, Execs: 8000,
		Seeds: []Seed{{Name: "one", Data: []byte("plain text\n")}},
		Table: mutate.Table{Options: []mutate.Option{
			{Name: "-a", Arity: mutate.NoValue}, {Name: "--when", Arity: mutate.NeedsValue}, {Name: "--how", Arity: mutate.NeedsValue},
		}},
		NewExecutor: func(int) (Executor, error) { return secretive{t, log}, nil },
	}
}

func finds(ids ...sysno.ID) func(context.Context) []sysno.ID {
	return func(context.Context) []sysno.ID { return ids }
}

// hiddenAims counts how often each is asked for.
func hiddenAims(asked map[sysno.ID]int) *Aims {
	a := &Aims{Aim: func(of sysno.ID) *Aim {
		asked[of]++
		for _, h := range hidden {
			if id(h.nr) == of {
				return &Aim{Blocks: []AimBlock{{Key: uint64(h.nr)}}, Clues: h.clues}
			}
		}
		return nil
	}}
	var ids []sysno.ID
	for _, h := range hidden {
		ids = append(ids, id(h.nr))
	}
	a.Find = finds(append(ids, id(300))...) // of which nothing is known
	return a
}

func TestAimedRunsShowWhatTheCodeGuardsAndDrawsDoNotFind(t *testing.T) {
	for seed := range uint64(3) {
		asked := map[sysno.ID]int{}
		o := secretOptions(t, nil)
		o.Seed, o.Aims = seed, hiddenAims(asked)
		directed := run(t, o)
		for _, h := range hidden {
			if witness(directed, h.nr) == nil {
				t.Errorf("seed %d: not found in %d runs: %s", seed, o.Execs, h.what)
			}
		}
		for of, n := range asked {
			if n != 1 {
				t.Errorf("%v was asked for %d times", of, n)
			}
		}
		aimed := slices.ContainsFunc(directed.Found, func(f Found) bool { return f.Phase == PhaseAimed })
		if !aimed {
			t.Error("no aimed run found anything")
		}
		o.Aims = nil
		if straight := run(t, o); len(straight.Observations) >= len(directed.Observations) {
			t.Errorf("seed %d: %d syscalls without aims, %d with: the test shows nothing", seed, len(straight.Observations), len(directed.Observations))
		}
	}
}

func TestAimedRunsAreTheSameEachTime(t *testing.T) {
	var logs [2][]string
	for i := range logs {
		o := secretOptions(t, &logs[i])
		o.Execs, o.Aims = 2000, hiddenAims(map[sysno.ID]int{})
		run(t, o)
	}
	if !slices.Equal(logs[0], logs[1]) {
		t.Error("two sessions with the same options made different runs")
	}
}

// Draws are what the statistics stand on, and find what nobody thought of.
func TestAimedRunsInVainLeaveMostRunsToDraws(t *testing.T) {
	o := secretOptions(t, nil)
	o.Execs = 8000
	o.Aims = &Aims{Find: finds(id(300)), Aim: func(sysno.ID) *Aim {
		return &Aim{Blocks: []AimBlock{{Key: 1}}, Clues: []Clue{{Kind: ClueText, Text: "nothing"}}}
	}}
	out := run(t, o)
	if out.Stats.Draws < out.Stats.Runs/2 {
		t.Errorf("%d draws of %d runs, want half of them at least", out.Stats.Draws, out.Stats.Runs)
	}
}

// Finding a way takes as long as many runs.
func TestRunsAreMadeWhileWaysAreFound(t *testing.T) {
	o := secretOptions(t, nil)
	o.Execs, o.Duration = 0, 2*time.Hour
	var seconds atomic.Int64
	o.Now = func() time.Time { return time.Unix(seconds.Add(1), 0) }
	made, asked := make(chan struct{}), make(chan struct{})
	o.NewExecutor = func(int) (Executor, error) {
		return &awaited{secretive: secretive{t: t}, asked: asked, made: made}, nil
	}
	o.Aims = &Aims{Find: finds(id(300)), Aim: func(sysno.ID) *Aim {
		close(asked)
		<-made
		return nil
	}}
	run(t, o)
}

// awaited is an executor that tells of the first runs that are made after a way was asked for.
type awaited struct {
	secretive
	asked, made chan struct{}
	after       int
}

func (x *awaited) Run(ctx context.Context, s *Scenario) (*Result, error) {
	select {
	case <-x.asked:
		if x.after++; x.after == 3 {
			close(x.made)
		}
	default:
	}
	return x.secretive.Run(ctx, s)
}

// How long it takes to find what can be reached decides nothing where runs are counted.
func TestAimedRunsAreTheSameHoweverLongItTakesToFindWhatToAimAt(t *testing.T) {
	var logs [2][]string
	for i := range logs {
		o := secretOptions(t, &logs[i])
		o.Execs, o.Aims = 1500, hiddenAims(map[sysno.ID]int{})
		find := o.Aims.Find
		o.Aims.Find = func(ctx context.Context) []sysno.ID {
			time.Sleep(time.Duration(i) * 200 * time.Millisecond) // in which all runs could be made
			return find(ctx)
		}
		if out := run(t, o); !slices.ContainsFunc(out.Found, func(f Found) bool { return f.Phase == PhaseAimed }) {
			t.Error("no aimed run found anything, so nothing is shown")
		}
	}
	if !slices.Equal(logs[0], logs[1]) {
		t.Error("two sessions with the same options made different runs")
	}
}

func TestNoRunWaitsForAimsWhereTimeIsShort(t *testing.T) {
	o := secretOptions(t, nil)
	var seconds atomic.Int64
	o.Execs, o.Duration = 0, 2*time.Hour
	o.Now = func() time.Time { return time.Unix(seconds.Add(1), 0) }
	called := false
	o.Aims = &Aims{
		Find: func(ctx context.Context) []sysno.ID {
			called = true
			<-ctx.Done()
			return nil
		},
		Aim: func(sysno.ID) *Aim { return nil },
	}
	if out := run(t, o); !called || out.Stop != StopDuration || out.Stats.Draws == 0 {
		t.Errorf("called %t; the session ended because %v, after %d draws", called, out.Stop, out.Stats.Draws)
	}
}

func TestNothingIsFoundToAimAtWhereNoRunIsLeftForIt(t *testing.T) {
	o := secretOptions(t, nil)
	o.Execs = lead
	o.Aims = &Aims{Find: func(context.Context) []sysno.ID {
		t.Error("looked for what no run could be aimed at")
		return nil
	}}
	run(t, o)
}

func TestNoAimedRunIsMadeWhereAllWasSeen(t *testing.T) {
	o := secretOptions(t, nil)
	o.Execs = 500
	o.Aims = &Aims{Find: finds(id(0)), Aim: func(sysno.ID) *Aim {
		t.Error("asked for a syscall that each run shows")
		return nil
	}}
	run(t, o)
}

// Whatever clues say, what comes of them can be run, and varies nothing else than it may.
func TestAttemptsCanBeRunWhateverTheClues(t *testing.T) {
	odd := []string{"", "a\x00b", "%s/%s", "../up", "/etc/passwd", "dir/", ".", "-", "--x=", "%n%", strings.Repeat("A", 300), "=", "sub/x.conf", "\n"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var clues []Clue
		for range r.IntN(6) {
			clues = append(clues, Clue{
				Kind: ClueText + ClueKind(r.IntN(int(clueKinds-ClueText))), Text: odd[r.IntN(len(odd))],
				Number: []uint64{0, 1, 12, 4711, 1 << 40, ^uint64(0)}[r.IntN(6)], Size: 1 << r.IntN(4), ID: id(uint32(r.IntN(400))), Distance: r.IntN(9),
			})
		}
		o := secretOptions(t, nil)
		o.Fixed = 1
		if r.IntN(2) == 0 {
			o.Only = []string{dimensionNames[dimEnv]}
		}
		s := Scenario{Argv: target(), Stdin: StdinNull, Files: []File{{Name: "sub/x"}}}
		d := draft{s: s, clues: clues}
		if r.IntN(2) == 0 {
			set := Scenario{Argv: target("-a", mutate.Input), Env: []string{"X=1", "Y"}, Files: []File{{Name: "sub/x/y"}, {Name: "z"}}}
			d.setters = []Scenario{set, set}
		}
		got := d.attempt(r, &o, &plugin{})
		if err := got.Check(); err != nil {
			t.Fatalf("%v: %+v of %+v", err, got, clues)
		}
		if len(o.Only) > 0 && (!slices.Equal(got.Argv, s.Argv) || len(got.Files) != 1 || got.Stdin != s.Stdin || len(got.World.Faults) > 0) {
			t.Fatalf("more than the environment was varied: %+v of %+v", got, clues)
		}
	}
}

// staged is an executor for a target that reads a file line by line: what each line is looked at for depends on
// those before.
type staged struct{ secretive }

func (staged) Run(_ context.Context, s *Scenario) (*Result, error) {
	r := &Result{Seen: []sysno.ID{id(0)}}
	f := s.File("tool.conf")
	if f == nil || f.Kind != FileRegular {
		return r, nil
	}
	wanted := []string{"", "[net]", "listen=yes", "mode=fast", "trust=none"}
	stage := 1
	for line := range strings.Lines(string(f.Data)) {
		if stage < len(wanted) && strings.TrimSpace(line) == wanted[stage] {
			stage++
		}
	}
	for i := range stage {
		r.Signals = append(r.Signals, Signal{SignalBlock, uint64(10 - i)})
	}
	if stage == len(wanted) {
		r.Seen = append(r.Seen, id(200))
	}
	return r, nil
}

func TestWhatBroughtARunNearerIsBuiltUpon(t *testing.T) {
	for seed := range uint64(3) {
		o := secretOptions(t, nil)
		o.Seed, o.Execs = seed, 4000
		o.NewExecutor = func(int) (Executor, error) { return staged{}, nil }
		aim := &Aim{Blocks: []AimBlock{{1, 0}, {6, 4}, {7, 8}, {8, 12}, {9, 16}, {10, 20}}}
		for i, text := range []string{"none", "trust", "fast", "mode", "yes", "listen", "net", "tool.conf"} {
			aim.Clues = append(aim.Clues, Clue{Kind: ClueText, Text: text, Distance: 1 + 2*i})
		}
		o.Aims = &Aims{Find: finds(id(200)), Aim: func(sysno.ID) *Aim { return aim }}
		if witness(run(t, o), 200) == nil {
			t.Errorf("seed %d: not found in %d runs", seed, o.Execs)
		}
	}
}

// A run that came nearer is what the next ones begin with, and its clues are those that count.
func TestTheNearestScenarioIsWhatIsChanged(t *testing.T) {
	o := secretOptions(t, nil)
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	c := newCorpus(&o, map[sysno.ID]*record{})
	far, near := Scenario{Argv: target("far"), Stdin: StdinNull}, Scenario{Argv: target("near"), Stdin: StdinNull}
	c.learn(&far, &Result{Signals: []Signal{{SignalBlock, 3}}}, 0)
	g := &goal{aim: &Aim{
		Blocks: []AimBlock{{1, 0}, {2, 4}, {3, 20}},
		Clues:  []Clue{{Kind: ClueText, Text: "first", Distance: 2}, {Kind: ClueText, Text: "second", Distance: 19}},
	}, reached: 3}
	g.look(c)
	if e := g.nearest(c); e == nil || e.s.ID() != far.ID() || g.distance() != 20 {
		t.Fatalf("nearest is %+v, want the scenario that reached block 3", e)
	}
	g.tired = 50
	c.learn(&near, &Result{Signals: []Signal{{SignalBlock, 2}}}, 0)
	g.look(c)
	if e := g.nearest(c); e == nil || e.s.ID() != near.ID() || g.distance() != 4 || g.tired != 0 {
		t.Fatalf("nearest is %+v at %d after %d in vain, want the scenario that reached block 2", e, g.distance(), g.tired)
	}
	r := rand.New(rand.NewPCG(1, 2))
	passed := 0
	const tries = 400
	for range tries {
		if slices.ContainsFunc(g.clues(r), func(k Clue) bool { return k.Text == "second" }) {
			passed++
		}
	}
	if passed == 0 || passed > tries/2 {
		t.Errorf("the clue of a branch that was passed is used in %d of %d draws, want some", passed, tries)
	}
}

// choosy is an executor for a target that makes a call only where three options are given, each of which sets something.
type choosy struct{ secretive }

var chosen = []string{"--flush", "--force", "--twice"}

func (choosy) Run(_ context.Context, s *Scenario) (*Result, error) {
	r := &Result{Seen: []sysno.ID{id(0)}, Signals: []Signal{{SignalBlock, 9}}}
	set := 0
	for i, name := range chosen {
		if slices.Contains(s.Argv, name) {
			r.Signals = append(r.Signals, Signal{SignalBlock, uint64(1 + i)})
			set++
		}
	}
	if set == len(chosen) {
		r.Seen = append(r.Seen, id(200))
	}
	return r, nil
}

func TestWhatSetsSomethingEachIsTriedTogether(t *testing.T) {
	missed := [2]int{}
	const seeds = 2
	for seed := range uint64(seeds) {
		for i, setters := range [][]AimBlock{{{1, 1}, {2, 1}, {3, 1}}, nil} {
			o := secretOptions(t, nil)
			o.Seed, o.Execs = seed, 1000
			for _, name := range chosen {
				o.Table.Options = append(o.Table.Options, mutate.Option{Name: name, Arity: mutate.NoValue})
			}
			for c := 'a'; c <= 'z'; c++ {
				o.Table.Options = append(o.Table.Options, mutate.Option{Name: "--with-" + string(c), Arity: mutate.NoValue})
			}
			o.NewExecutor = func(int) (Executor, error) { return choosy{}, nil }
			o.Aims = &Aims{Find: finds(id(200)), Aim: func(sysno.ID) *Aim {
				return &Aim{Blocks: []AimBlock{{8, 0}, {9, 4}}, Setters: setters, Clues: []Clue{{Kind: ClueText, Text: "nothing", Distance: 1}}}
			}}
			if witness(run(t, o), 200) == nil {
				missed[i]++
			}
		}
	}
	if missed[0] > 0 || missed[1] == 0 {
		t.Errorf("not found in %d of %d sessions that know what sets something, and in %d of others; want it in all of those, and not in all of these", missed[0], seeds, missed[1])
	}
}

func TestWhereOnlyOtherCodeIsLeftOnTheWayFewerRunsAreAimed(t *testing.T) {
	o := secretOptions(t, nil)
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	c := newCorpus(&o, map[sysno.ID]*record{})
	own := &goal{id: id(200), aim: &Aim{Blocks: []AimBlock{{1, 2}}}, reached: 1, tired: 4096}
	deep := &goal{id: id(201), aim: &Aim{Blocks: []AimBlock{{2, 2}}}, reached: 0, tired: 4096}
	a := aims{goals: []*goal{own, deep}}
	a.share()
	turns := map[*goal]int{}
	for range 4000 {
		g := a.choose(c)
		g.missed(0)
		turns[g]++
	}
	if turns[deep] < 4000/stray/2 || turns[deep] > turns[own]/4 {
		t.Errorf("%d runs were aimed at what is reached by other code alone, %d at the other one", turns[deep], turns[own])
	}
}

func TestWhatSetsSomethingIsTriedWithOtherValues(t *testing.T) {
	o := secretOptions(t, nil)
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	set := Scenario{Argv: target("--level=1", "-w3", "--name", "x"), Env: []string{"LEVEL=1"}, Files: []File{{Name: "tool.conf", Data: []byte("level=1\n")}}}
	r := rand.New(rand.NewPCG(1, 2))
	tried := map[string]int{}
	for range 2000 {
		a := attempt{r: r, o: &o, s: Scenario{Argv: target(), Stdin: StdinNull}}
		a.sort([]Clue{{Kind: ClueNumber, Number: 4711, Size: 4}})
		if !a.join([]Scenario{set}, nil) {
			continue
		}
		words := append(slices.Clone(a.s.Argv), a.s.Env...)
		for _, f := range a.s.Files {
			words = append(words, strings.Split(string(f.Data), "\n")...)
		}
		for _, w := range words {
			tried[w]++
		}
	}
	for _, want := range []string{"--level=1", "--level=4711", "-w3", "-w4711", "--name", "x", "4711", "LEVEL=1", "LEVEL=4711", "level=1"} {
		if tried[want] < 20 {
			t.Errorf("%q was tried %d times in 2000", want, tried[want])
		}
	}
	if slices.Compare(set.Argv, target("--level=1", "-w3", "--name", "x")) != 0 {
		t.Errorf("the scenario itself was changed: %q", set.Argv)
	}
}

func TestGoalsToWhichOneBlockLeadsShareTurns(t *testing.T) {
	o := secretOptions(t, nil)
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	c := newCorpus(&o, map[sysno.ID]*record{})
	a := aims{from: 1}
	for i := range 9 {
		a.goals = append(a.goals, &goal{id: id(uint32(200 + i)), aim: &Aim{Blocks: []AimBlock{{uint64(1 + i/8), 2}}}, reached: 1})
	}
	a.share()
	turns := map[sysno.ID]int{}
	for i := range 1600 {
		if i == 800 { // one of them is seen
			c.books[id(203)] = &record{}
		}
		if !a.due(1, c) {
			t.Fatal("no goal is left")
		}
		g := a.choose(c)
		g.missed(0)
		turns[g.id]++
	}
	if alone := turns[id(208)]; alone < 700 || alone > 900 {
		t.Errorf("the goal that shares nothing had %d of 1600 turns, want half", alone)
	}
	for i := range 8 {
		if n := turns[id(uint32(200+i))]; n < 40 {
			t.Errorf("goal %d of 8 that share had %d turns", i, n)
		}
	}
}

// What is planned is sure to be made, and shows something sooner or later; draws are by chance, as aimed runs.
func TestAimedRunsTakeTurnsFromDrawsAndNotFromThePlan(t *testing.T) {
	part := func(aims *Aims, with ...source) float64 {
		c := newCoordinator(&Options{Now: time.Now, Aims: aims})
		if slices.Contains(with, fromAim) {
			c.aims.from, c.aims.goals = 1, []*goal{{id: id(200), aim: &Aim{Blocks: []AimBlock{{1, 2}}}}}
			c.aims.share()
		}
		c.started = 1
		c.source()
		f := c.sources
		return shares(f.expected, f.tries, f.gains, func(i int) bool { return slices.Contains(with, source(i)) })[fromPlan]
	}
	aimed, without := part(&Aims{}, fromPlan, fromDraw, fromAim), part(nil, fromPlan, fromDraw)
	if waiting := part(&Aims{}, fromPlan, fromDraw); waiting != without {
		t.Errorf("the plan has %.2f of the runs while nothing is known to aim at, want %.2f", waiting, without)
	}
	if aimed < without*8/10 { // half of the share is what turns have gained, of three and of two
		t.Errorf("the plan has %.2f of the runs, and %.2f where none is aimed", aimed, without)
	}
}
