package fuzz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func id(nr uint32) sysno.ID { return sysno.ID{Arch: sysno.AMD64, NR: nr} }

// guard is a syscall of the synthetic target and what it takes to reach it.
type guard struct {
	nr   uint32
	what string
	open func(s *Scenario) bool
	want Scenario // the minimal witness; Argv nil: several are minimal
}

func arg(w ...string) func(*Scenario) bool {
	return func(s *Scenario) bool {
		return !slices.ContainsFunc(w, func(x string) bool { return !slices.Contains(s.Argv[1:], x) })
	}
}

func input(token string) func(*Scenario) bool {
	return func(s *Scenario) bool { return s.usesInput() && bytes.Contains(s.Input, []byte(token)) }
}

func both(a, b func(*Scenario) bool) func(*Scenario) bool {
	return func(s *Scenario) bool { return a(s) && b(s) }
}

func target(args ...string) []string { return append([]string{"target"}, args...) }

const longInput = 43

// guards are what the engine must find: every dimension, alone and together.
var guards = []guard{
	{0, "always", func(*Scenario) bool { return true }, Scenario{Argv: target(), Stdin: StdinNull}},
	{10, "a pipe", func(s *Scenario) bool { return s.Stdin == StdinPipe }, Scenario{Argv: target(), Stdin: StdinPipe}},
	{11, "a file on stdin", func(s *Scenario) bool { return s.Stdin == StdinFile }, Scenario{Argv: target(), Stdin: StdinFile}},
	{12, "a file as operand", (*Scenario).usesFile, Scenario{Argv: target("@@"), Stdin: StdinNull}},
	{20, "an option", arg("--listen"), Scenario{Argv: target("--listen"), Stdin: StdinNull}},
	{21, "an option's value", arg("--when=dusk"), Scenario{Argv: target("--when=dusk"), Stdin: StdinNull}},
	{22, "two options", arg("-a", "--listen"), Scenario{}},
	{23, "a sub-command and an option", arg("serve", "-b"), Scenario{}},
	{24, "a path as value", arg("-f", "/dev/full"), Scenario{}},
	{25, "no arguments dropped", func(s *Scenario) bool { return len(s.Argv) > 3 }, Scenario{}},
	{30, "a variable", func(s *Scenario) bool { return slices.Contains(s.Env, "FOO_MODE=1") }, Scenario{Argv: target(), Env: []string{"FOO_MODE=1"}, Stdin: StdinNull}},
	{31, "a variable unset", func(s *Scenario) bool { return slices.Contains(s.Env, "HOME") }, Scenario{Argv: target(), Env: []string{"HOME"}, Stdin: StdinNull}},
	{40, "a seed", input("<seed-two/>"), Scenario{}},
	{41, "a token", both((*Scenario).usesFile, input("MAGIC")), Scenario{Argv: target("@@"), Stdin: StdinNull, Input: []byte("MAGIC")}},
	{42, "a token after an option", both(arg("-a"), input("MAGIC")), Scenario{}},
	{longInput, "a long input", func(s *Scenario) bool { return s.usesInput() && len(s.Input) > 300 }, Scenario{}},
	{60, "a closed output", func(s *Scenario) bool { return s.World.Stdout == OutputClosed }, Scenario{Argv: target(), Stdin: StdinNull, World: World{Stdout: OutputClosed}}},
	{61, "a failing call", func(s *Scenario) bool { return slices.Contains(s.World.Faults, Fault{id(0), 5}) },
		Scenario{Argv: target(), Stdin: StdinNull, World: World{Faults: []Fault{{id(0), 5}}}}},
	{70, "what an earlier run has left", func(s *Scenario) bool {
		return arg("--listen")(s) && slices.ContainsFunc(s.Before, func(p Step) bool { return slices.Contains(p.Argv[1:], "serve") })
	}, Scenario{Argv: target("--listen"), Stdin: StdinNull, Before: []Step{{Argv: target("serve")}}}},
	{50, "a file in the directory", func(s *Scenario) bool {
		return slices.ContainsFunc(s.Files, func(f File) bool { return f.Name == ".config" })
	}, Scenario{}},
}

// synthetic is an Executor for a target made of guards.
type synthetic struct {
	t      testing.TB
	pause  time.Duration // how long a run takes
	every  uint64        // syscall 99 shows in each run with this number, 0: never
	runs   uint64
	closed *atomic.Int64
	fail   func(run uint64) error
	log    *[]string
}

func (x *synthetic) Run(ctx context.Context, s *Scenario) (*Result, error) {
	x.runs++
	if err := s.Check(); err != nil {
		x.t.Errorf("the engine made a scenario that cannot run: %v: %+v", err, s)
	}
	if x.log != nil {
		*x.log = append(*x.log, s.ID())
	}
	if x.fail != nil {
		if err := x.fail(x.runs); err != nil {
			return nil, err
		}
	}
	if x.pause > 0 {
		select {
		case <-time.After(x.pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	r := &Result{}
	for _, g := range guards {
		if g.open(s) {
			r.Seen = append(r.Seen, id(g.nr))
		}
	}
	if x.every > 0 && x.runs%x.every == 0 {
		r.Seen = append(r.Seen, id(99))
	}
	if arg("serve")(s) {
		r.Signals = []Signal{{SignalTree, 1}}
	}
	r.TimedOut = slices.Contains(s.Argv, "--sleep")
	if input("\xde\xad")(s) {
		r.Signal = 11
	}
	return r, nil
}

func (x *synthetic) Close() error {
	if x.closed != nil {
		x.closed.Add(1)
	}
	return nil
}

// options are those of a run on the synthetic target.
func options(t testing.TB, x synthetic) Options {
	x.t = t
	return Options{
		Can:   all,
		Bases: []Scenario{{Argv: target()}},
		Seeds: []Seed{{Name: "one", Data: []byte("plain text 12\xde")}, {Name: "two", Data: []byte(strings.Repeat("abc ", 20) + "<seed-two/>")}},
		Table: mutate.Table{
			Options: []mutate.Option{
				{Name: "--listen", Arity: mutate.NoValue}, {Name: "--sleep", Arity: mutate.NoValue}, {Name: "--when", Arity: mutate.NeedsValue, Values: []string{"dawn", "dusk"}},
				{Name: "-a", Arity: mutate.NoValue}, {Name: "-b", Arity: mutate.NoValue}, {Name: "-f", Arity: mutate.NeedsValue},
			},
			Commands: []string{"serve", "stop"},
		},
		Dictionary:  mutate.Dictionary{[]byte("MAGIC"), []byte("\xde\xad")},
		EnvNames:    []string{"FOO_MODE"},
		Seed:        1,
		NewExecutor: func(int) (Executor, error) { y := x; return &y, nil },
	}
}

func run(t testing.TB, o Options) *Outcome {
	t.Helper()
	out, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// witness is the scenario that is named as witness of a syscall, nil for one not seen.
func witness(out *Outcome, nr uint32) *Scenario {
	for _, o := range out.Observations {
		for i := range out.Witnesses {
			w := &out.Witnesses[i]
			if o.ID == id(nr) && strings.HasPrefix(o.Witness.Command, w.Scenario.Command(w.ID)) {
				return &w.Scenario
			}
		}
	}
	return nil
}

func TestRunFindsEveryGuardedSyscall(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			o := options(t, synthetic{})
			o.Seed, o.Execs = seed, 20_000
			out := run(t, o)
			for _, g := range guards {
				if witness(out, g.nr) == nil {
					t.Errorf("not found in %d runs: %s", o.Execs, g.what)
				}
			}
			if out.Stop != StopExecs || out.Stats.Runs != o.Execs {
				t.Errorf("stopped after %d runs: %s", out.Stats.Runs, out.Stop)
			}
		})
	}
}

func TestWitnessesAreMinimal(t *testing.T) {
	o := options(t, synthetic{})
	o.Execs, o.Seed = 20_000, 2 // with 1, a draw on the long seed shows the token, which takes more steps than a discovery is worth
	out := run(t, o)
	for _, g := range guards {
		got := witness(out, g.nr)
		if got == nil {
			t.Errorf("%s: not found", g.what)
			continue
		}
		if !g.open(got) {
			t.Errorf("%s: the witness does not show it: %+v", g.what, got)
		}
		if g.want.Argv != nil && got.ID() != g.want.ID() {
			t.Errorf("%s: got %+v, want %+v", g.what, *got, g.want)
		}
		if g.nr == longInput {
			continue // its bytes are removed in more steps than a discovery is worth
		}
		// Nothing can be taken away from the others.
		smaller := minimize(*got, 1, 5000, g.open)
		if smaller.ID() != got.ID() {
			t.Errorf("%s: %+v can be reduced to %+v", g.what, *got, smaller)
		}
	}
	if len(out.Unstable) != 0 {
		t.Errorf("unstable: %v", out.Unstable)
	}
}

func TestOneWorkerIsDeterministic(t *testing.T) {
	type result struct {
		out   *Outcome
		runs  []string
		files map[string]string
	}
	once := func(seed uint64) result {
		var r result
		o := options(t, synthetic{every: 400, log: &r.runs})
		o.Seed, o.Execs = seed, 1500
		dir := t.TempDir()
		var err error
		if o.State, err = OpenState(dir); err != nil {
			t.Fatal(err)
		}
		r.out = run(t, o)
		st := &r.out.Stats
		st.Elapsed, st.LastNew, st.LastCrash, st.LastHang = 0, 0, 0, 0
		for i := range r.out.Found {
			r.out.Found[i].At = 0
		}
		r.files = make(map[string]string)
		err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !slices.Contains([]string{statsName, plotName, checkpointName}, path) {
				var b []byte
				b, err = os.ReadFile(filepath.Join(dir, path))
				r.files[path] = strings.ReplaceAll(string(b), dir, "DIR")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.out.Observations { // the commands name the directory
			w := &r.out.Observations[i].Witness
			w.Command = strings.ReplaceAll(w.Command, dir, "DIR")
		}
		return r
	}
	a, b := once(3), once(3)
	if diff := cmp.Diff(a.out, b.out); diff != "" {
		t.Errorf("outcomes differ:\n%s", diff)
	}
	if !slices.Equal(a.runs, b.runs) {
		t.Error("sequences of runs differ")
	}
	if diff := cmp.Diff(a.files, b.files); diff != "" {
		t.Errorf("state directories differ:\n%s", diff)
	}
	if len(a.files) < 20 || len(a.runs) != 1500 {
		t.Errorf("%d files, %d runs: too little to tell", len(a.files), len(a.runs))
	}
	if slices.Equal(a.runs, once(4).runs) {
		t.Error("the seed makes no difference")
	}
}

func TestCountsAreOfAllRunsAndStatisticsOfDrawsOnly(t *testing.T) {
	var log []string
	o := options(t, synthetic{log: &log})
	o.Execs = 3000
	out := run(t, o)
	always := out.Observations[0]
	if always.ID != id(0) || always.Runs != 3000 || out.Stats.Runs != 3000 || len(log) != 3000 {
		t.Errorf("syscall %v in %d of %d runs, executor made %d", always.ID, always.Runs, out.Stats.Runs, len(log))
	}
	if always.CleanRuns != out.Stats.CleanRuns || out.Stats.CleanRuns+out.Stats.TimedOut > 3000 || out.Stats.CleanRuns == 3000 {
		t.Errorf("clean: %d of %d runs, %d timed out", always.CleanRuns, out.Stats.CleanRuns, out.Stats.TimedOut)
	}
	planned := uint64(len(deliberate(&o)))
	if out.Stats.Draws == 0 || out.Stats.Draws > 3000-planned {
		t.Errorf("%d draws, of 3000 runs %d were planned", out.Stats.Draws, planned)
	}
	if out.Stats.Quiet > out.Stats.Draws || out.Stats.Chance < UpperBound(0, out.Stats.Quiet, 0.95) {
		t.Errorf("%+v", out.Stats)
	}
}

func TestAnObservationThatDoesNotComeBackIsKeptAndMarked(t *testing.T) {
	o := options(t, synthetic{every: 1000})
	o.Execs = 3500
	out := run(t, o)
	if want := []sysno.ID{id(99)}; !slices.Equal(out.Unstable, want) {
		t.Errorf("unstable: got %v, want %v", out.Unstable, want)
	}
	last := out.Observations[len(out.Observations)-1]
	if last.ID != id(99) || last.Runs != 3 || !strings.HasSuffix(last.Witness.Command, Unconfirmed) {
		t.Errorf("got %+v", last)
	}
}

func TestCrashesAndHangsAreKeptApartOnceAKind(t *testing.T) {
	o := options(t, synthetic{})
	o.Execs = 5000
	var err error
	if o.State, err = OpenState(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	out := run(t, o)
	kinds := make(map[string]bool)
	for _, f := range slices.Concat(out.Crashes, out.Hangs) {
		key := fmt.Sprint(f.Signal, f.Words)
		if len(f.Scenario.World.Faults) > 0 {
			key += " with faults"
		}
		if kinds[key] {
			t.Errorf("twice: %s", key)
		}
		kinds[key] = true
	}
	if !kinds["11 []"] || !kinds["0 [--sleep]"] {
		t.Errorf("kinds: %v", kinds)
	}
	for _, c := range []struct {
		f    Folder
		want []Failure
	}{{Crashes, out.Crashes}, {Hangs, out.Hangs}} {
		stored, err := o.State.List(c.f)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(stored, c.want, func(s Stored, f Failure) bool { return s.ID == f.ID }) {
			t.Errorf("%s: %d stored, %d reported", c.f, len(stored), len(c.want))
		}
	}
}

func TestWordsThatHangAreDrawnRarely(t *testing.T) {
	o := options(t, synthetic{})
	o.Execs = 20_000
	if out := run(t, o); out.Stats.TimedOut > 300 || out.Stats.TimedOut < 3 {
		t.Errorf("%d of %d runs timed out", out.Stats.TimedOut, out.Stats.Runs)
	}
	// A server hangs in every run; that is no option's fault.
	c := newCorpus(&o, nil)
	for range 100 {
		c.blame(&Scenario{Argv: target("--listen")}, true)
	}
	if len(c.banned) != 0 {
		t.Errorf("banned although every run hangs: %v", c.banned)
	}
}

func TestRunStopsWhenMoreRunsAreUnlikelyToShowMore(t *testing.T) {
	for _, workers := range []int{1, 3} {
		o := options(t, synthetic{})
		o.Confidence, o.Workers = 0.002, workers
		out := run(t, o)
		most := 0.002
		if workers > 1 { // what the others have begun then may be another after all
			most = 0.003
		}
		if out.Stop != StopSaturated || out.Stats.Chance >= most {
			t.Errorf("%d workers: %s with %+v", workers, out.Stop, out.Stats)
		}
		if out.Stats.Quiet < 1497 {
			t.Errorf("%d workers: stopped after %d quiet draws; 0.002 needs 1498", workers, out.Stats.Quiet)
		}
	}
}

// A busy machine may take the whole time for what comes before the first run.
func TestThereIsARunHoweverLateItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, synthetic{pause: 10 * time.Millisecond})
		o.Duration, o.Workers = time.Second, 1
		executor := o.NewExecutor
		o.NewExecutor = func(worker int) (Executor, error) {
			time.Sleep(time.Minute)
			return executor(worker)
		}
		out := run(t, o)
		if out.Stop != StopDuration || out.Stats.Runs == 0 || len(out.Observations) == 0 {
			t.Errorf("%s after %d runs with %d syscalls", out.Stop, out.Stats.Runs, len(out.Observations))
		}
	})
}

func TestRunStopsWhenTheTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, synthetic{pause: 10 * time.Millisecond})
		o.Duration, o.Workers = 3*time.Second, 2
		var last Progress
		calls := 0
		o.Progress = func(p Progress) { last, calls = p, calls+1 }
		out := run(t, o)
		if out.Stop != StopDuration || out.Stats.Elapsed < 3*time.Second || out.Stats.Elapsed > 3*time.Second+10*time.Millisecond {
			t.Errorf("%s after %s", out.Stop, out.Stats.Elapsed)
		}
		if last.Stats != out.Stats || last.Session != out.Stats.Elapsed || !slices.Equal(last.Varied, out.Varied) {
			t.Errorf("the last progress was\n%+v, the outcome is\n%+v", last, out)
		}
		if shown := last.Firsts(); !reflect.DeepEqual(shown, out.Found) || last.Observed == 0 || last.Observed > len(shown) {
			t.Errorf("the last progress has %+v, %d of them observed; the outcome has %+v", shown, last.Observed, out.Found)
		}
		if calls < 12 || calls > 12+len(guards)+1 {
			t.Errorf("%d calls of Progress", calls)
		}
	})
}

// synctest fails when a goroutine is left behind.
func TestAnInterruptedRunReturnsWhatItKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int64
		o := options(t, synthetic{pause: time.Second, closed: &closed})
		o.Workers = 4
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
		defer cancel()
		begin := time.Now()
		out, err := Run(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if out.Stop != StopInterrupted || out.Stats.Runs != 40 || witness(out, 0) == nil {
			t.Errorf("%s, %+v", out.Stop, out.Stats)
		}
		if took := time.Since(begin); took > 10*time.Second+2*time.Millisecond {
			t.Errorf("returned after %s", took)
		}
		if closed.Load() != 4 {
			t.Errorf("%d of 4 executors closed", closed.Load())
		}
	})
}

func TestExecutorErrors(t *testing.T) {
	broken := errors.New("no more ptys")
	t.Run("one in a row is retried", func(t *testing.T) {
		o := options(t, synthetic{fail: func(n uint64) error {
			if n%50 == 0 {
				return broken
			}
			return nil
		}})
		o.Execs = 500
		if out := run(t, o); out.Stats.Runs != 500 {
			t.Errorf("%d runs, want 500", out.Stats.Runs)
		}
	})
	t.Run("two in a row end the run with what is known", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var closed atomic.Int64
			o := options(t, synthetic{pause: time.Millisecond, closed: &closed, fail: func(n uint64) error {
				if n > 100 {
					return broken
				}
				return nil
			}})
			o.Workers = 3
			out, err := Run(t.Context(), o)
			if !errors.Is(err, broken) || !strings.Contains(err.Error(), "target") {
				t.Errorf("got %v", err)
			}
			if out.Stop != StopNone || out.Stats.Runs < 100 || witness(out, 0) == nil || closed.Load() != 3 {
				t.Errorf("%s, %d runs, %d executors closed", out.Stop, out.Stats.Runs, closed.Load())
			}
		})
	})
	t.Run("an executor that does not start", func(t *testing.T) {
		o := options(t, synthetic{})
		o.Workers = 2
		start := o.NewExecutor
		o.NewExecutor = func(w int) (Executor, error) {
			if w == 1 {
				return nil, broken
			}
			return start(w)
		}
		if _, err := Run(t.Context(), o); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}

func TestARunResumesFromItsState(t *testing.T) {
	dir := t.TempDir()
	state, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, synthetic{})
	o.Execs, o.State = 20_000, state
	first := run(t, o)

	o.Seeds, o.Table, o.Dictionary = nil, mutate.Table{}, nil // without the state, most would be out of reach
	o.Execs = 3000
	second := run(t, o)
	if a, b := len(first.Observations), len(second.Observations); a != len(guards) || b != a {
		t.Errorf("first run %d, second run %d, target has %d", a, b, len(guards))
	}
	stored, err := state.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	for _, ob := range second.Observations {
		i := slices.IndexFunc(stored, func(s Stored) bool { return s.ID == ob.Witness.ID })
		if i < 0 || ob.Witness.Command != stored[i].Scenario.Command(state.Prefix(Witnesses, ob.Witness.ID)) {
			t.Errorf("%v: witness %q is not stored", ob.ID, ob.Witness.ID)
		}
	}
	o.Bases = []Scenario{{Argv: []string{"other"}}}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a state of another program was taken: %v", err)
	}
}

func TestThePlanRunsTheUsersCommandLineFirst(t *testing.T) {
	seeds := []Seed{{Name: "s", Data: []byte("seed")}}
	cases := []struct {
		name string
		base Scenario
		want []string
	}{
		{"no arguments: stdin and operand", Scenario{Argv: target()}, []string{
			"base null [] ", "base file [] ", "base pipe [] ", "seeds pipe [] seed", "seeds file [] seed", "seeds pipe [@@] seed",
			"options null [--version] ", "options null [--help] ", "options null [-h] ", "options null [--no-such-option] ", "options null [/proc/..@@] seed", "options null [-a] ",
			"options pipe [-a @@] seed", "options null [-a new] ", "options pipe [-a] seed", "options file [-a] seed"}},
		{"operand given", Scenario{Argv: target("x", "@@")}, []string{
			"base null [x @@] ", "base file [x @@] ", "base pipe [x @@] ", "seeds null [x @@] seed",
			"options null [] ", "options null [--version] ", "options null [--help] ", "options null [-h] ", "options null [--no-such-option] ", "options null [/proc/..@@] seed", "options null [-a] ", "options null [-a x @@] seed", "options null [-a new] "}},
		{"arguments only", Scenario{Argv: target("x"), Stdin: StdinPipe}, []string{
			"base pipe [x] ", "seeds pipe [x] seed",
			"options null [] ", "options null [--version] ", "options null [--help] ", "options null [-h] ", "options null [--no-such-option] ", "options null [/proc/..@@] seed", "options null [-a] ", "options pipe [-a x] seed", "options null [-a new] "}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Fixed: 1, Bases: []Scenario{c.base}, Seeds: seeds, Table: mutate.Table{Options: []mutate.Option{{Name: "-a", Arity: mutate.NoValue}}}}
			var got []string
			unset := map[string]bool{}
			for _, p := range plan(deliberate(&o), nil, nil) {
				if len(p.s.Env) > 0 {
					unset[strings.Join(p.s.Env, " ")] = true
					continue
				}
				if !p.s.Usual() || p.rank == rankFlows { // TestEveryTellingWorldIsTried, TestEveryOptionIsTriedWhereMuchFlows
					continue
				}
				got = append(got, fmt.Sprintf("%s %s %v %s", p.phase, p.s.Stdin, p.s.Argv[1:], p.s.Input))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			for _, names := range append(mutate.CommonEnv(), strings.Join(mutate.CommonEnv(), " ")) {
				if !unset[names] {
					t.Errorf("no run without %s", names)
				}
			}
		})
	}
}

func TestRunRefusesWhatCannotRun(t *testing.T) {
	never := func(int) (Executor, error) { return nil, errors.New("asked for an executor") }
	ok := Scenario{Argv: target()}
	cases := map[string]Options{
		"no command line":  {NewExecutor: never},
		"no executor":      {Bases: []Scenario{ok}},
		"no program":       {NewExecutor: never, Bases: []Scenario{{}}},
		"NUL":              {NewExecutor: never, Bases: []Scenario{{Argv: target("a\x00b")}}},
		"too short":        {NewExecutor: never, Bases: []Scenario{ok}, Fixed: 2},
		"file outside":     {NewExecutor: never, Bases: []Scenario{{Argv: target(), Files: []File{{Name: "../x"}}}}},
		"confidence of 5":  {NewExecutor: never, Bases: []Scenario{ok}, Confidence: 5},
		"option sans kind": {NewExecutor: never, Bases: []Scenario{ok}, Table: mutate.Table{Options: []mutate.Option{{Name: "-x"}}}},
	}
	for name, o := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Run(t.Context(), o); err == nil || strings.Contains(err.Error(), "asked for") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFixedWordsAreNeverChanged(t *testing.T) {
	x := options(t, synthetic{})
	x.Bases = []Scenario{{Argv: []string{"python3", "script.py", "arg"}}}
	x.Fixed, x.Execs = 2, 3000
	x.NewExecutor = func(int) (Executor, error) {
		return runFunc(func(s *Scenario) {
			if len(s.Argv) < 2 || !reflect.DeepEqual(s.Argv[:2], []string{"python3", "script.py"}) {
				t.Errorf("ran %q", s.Argv)
			}
		}), nil
	}
	run(t, x)
}

// runFunc is an Executor that looks at scenarios and shows one syscall.
type runFunc func(*Scenario)

func (f runFunc) Run(_ context.Context, s *Scenario) (*Result, error) {
	f(s)
	return &Result{Seen: []sysno.ID{id(0)}}, nil
}

func (f runFunc) Close() error { return nil }

// forgetful leaves out what is settled, as a recorder does that knows it. Syscall 98
// is made in crashes alone.
type forgetful struct {
	synthetic
	settled map[sysno.ID]bool
}

func (x *forgetful) Run(ctx context.Context, s *Scenario) (*Result, error) {
	r, err := x.synthetic.Run(ctx, s)
	if err != nil {
		return nil, err
	}
	if r.Signal != 0 {
		r.Seen = append(r.Seen, id(98))
		slices.SortFunc(r.Seen, sysno.ID.Compare)
	}
	r.Seen = slices.DeleteFunc(r.Seen, func(id sysno.ID) bool { return x.settled[id] })
	return r, nil
}

func TestWhatIsSettledIsNotMissed(t *testing.T) {
	for seed := range uint64(5) {
		x := &forgetful{synthetic{t: t, every: 50}, map[sysno.ID]bool{}}
		o := options(t, synthetic{})
		o.Seed, o.Execs, o.Confidence = seed, 60000, 0.0005
		o.NewExecutor = func(int) (Executor, error) { return x, nil }
		o.Settled = func(id sysno.ID) {
			if x.settled[id] {
				t.Errorf("seed %d: %v is settled twice", seed, id)
			}
			x.settled[id] = true
		}
		out := run(t, o)
		// Nothing that a draw has shown is still thought to have been shown by one.
		if out.Stop != StopSaturated || out.Stats.Singletons != 0 {
			t.Errorf("seed %d: %v with %d singletons, want %v with none", seed, out.Stop, out.Stats.Singletons, StopSaturated)
		}
		want := []uint32{98, 99}
		for _, g := range guards {
			want = append(want, g.nr)
		}
		slices.Sort(want)
		var got []uint32
		for _, obs := range out.Observations {
			got = append(got, obs.ID.NR)
			crash := obs.ID == id(98)
			if crash && (x.settled[obs.ID] || obs.CleanRuns != 0 || obs.Runs == 0) {
				t.Errorf("seed %d: %+v, settled %v: it is made in crashes alone", seed, obs, x.settled[obs.ID])
			}
			if !crash && (obs.CleanRuns == 0 || x.settled[obs.ID] && obs.CleanRuns < settling) {
				t.Errorf("seed %d: %+v, settled %v: want clean runs", seed, obs, x.settled[obs.ID])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: got %v, want %v", seed, got, want)
		}
		for _, u := range out.Unstable {
			if u != id(99) {
				t.Errorf("seed %d: %v is called unstable", seed, u)
			}
		}
		for _, g := range guards {
			if w := witness(out, g.nr); w == nil || !g.open(w) {
				t.Errorf("seed %d: the witness of %s does not show it: %+v", seed, g.what, w)
			}
		}
		if !x.settled[id(0)] {
			t.Errorf("seed %d: what every run shows is never settled", seed)
		}
	}
}

func TestWhatAPersonIsShownOfAScenario(t *testing.T) {
	for want, s := range map[string]Scenario{
		"jq . INPUT":                       {Argv: []string{"/usr/bin/jq", ".", "@@"}, Stdin: StdinNull},
		"env -u HOME 'A=two words' jq <&-": {Argv: []string{"jq"}, Env: []string{"A=two words", "HOME"}, Stdin: StdinClosed},
		"jq '' < INPUT > /dev/full":        {Argv: []string{"jq", ""}, Stdin: StdinPipe, World: World{Stdout: OutputFull}},
		"jq dir/x # with \"dir\" of mode 000": {Argv: []string{"jq", "dir/x"}, Stdin: StdinNull,
			Files: []File{{Name: "dir", Kind: FileUnreadable}, {Name: "other", Kind: FileUnreadable}}},
	} {
		if got := s.Brief(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
