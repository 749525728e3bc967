package fuzz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// begun is a coordinator that has made no run yet.
func begun(t *testing.T, o Options) *coordinator {
	t.Helper()
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	c := newCoordinator(&o)
	if err := c.begin(nil); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNoKindOfPlannedRunWaitsForAnother(t *testing.T) {
	a := &begun(t, options(t, synthetic{})).agenda
	for a.early() {
		a.take(!a.late(false))
	}
	want := map[rank]bool{}
	for r := range ranks {
		if a.ready(r) {
			want[r] = true
		}
	}
	if len(want) < 8 {
		t.Fatalf("the plan has late runs of %d kinds only", len(want))
	}
	for range 100 {
		delete(want, a.take(!a.late(false)).rank)
	}
	if len(want) > 0 {
		t.Errorf("of the kinds %v none of 100 late runs is", want)
	}
}

// What runs of a session that varies words alone would have shown, one that varies all is to show in the same time, nearly.
func TestWordsAreTriedAsSoonWhateverElseIsVaried(t *testing.T) {
	o := options(t, synthetic{})
	o.Bases[0].Files = []File{{Name: "dir/a", Data: []byte("x")}, {Name: "file", Data: []byte("y")}}
	o.Table.Examples = [][]string{{"-a", "file"}, {"--listen", "dir"}}
	o.Table.Texts = []string{"s/a/b/"}
	for i := range 40 {
		o.Table.Options = append(o.Table.Options, mutate.Option{Name: fmt.Sprintf("--option-%d", i), Arity: mutate.NoValue, About: "overwrite existing directories"})
	}
	const most = 600
	// order is which planned runs are made, by ID; "" stands for all others.
	order := func(only []string, n int, run func(*job, uint64) *Result) (made []string) {
		o := o
		o.Only = only
		c := begun(t, o)
		r := rand.New(rand.NewPCG(1, 2))
		planned := map[int]string{}
		for _, p := range c.agenda.plan {
			planned[p.turn] = p.s.ID()
		}
		for i := range uint64(n) {
			j := c.choose(r, &plugin{})
			made = append(made, planned[j.turn])
			c.report(&j, run(&j, i))
		}
		return made
	}
	around := func(j *job) bool { return j.from != fromNone && j.from != fromPlan }
	for name, run := range map[string]func(*job, uint64) *Result{
		"nothing is shown": func(*job, uint64) *Result { return &Result{} },
		"all else shows more": func(j *job, i uint64) *Result {
			r := &Result{}
			if around(j) {
				r.Signals = []Signal{{SignalValue, i}}
			}
			if i%16 == 0 && len(j.s.Before) == 0 {
				r.Signals = append(r.Signals, Signal{SignalTree, i})
			}
			return r
		},
		"all else runs into time limits": func(j *job, _ uint64) *Result { return &Result{TimedOut: around(j)} },
	} {
		at := map[string]int{}
		for i, id := range order(nil, 2*most, run) {
			at[id] = i
		}
		words := order([]string{"argv"}, most, run)
		for n := 100; n <= most; n += 100 {
			planned, soon := 0, 0
			for _, id := range words[:n] {
				if id == "" {
					continue
				}
				planned++
				switch i, made := at[id]; {
				case !made || i >= 2*n:
					t.Fatalf("%s: scenario %s is one of the first %d where words alone are varied, and not of %d where all is", name, id, n, 2*n)
				case i < n:
					soon++
				}
			}
			if soon < planned*9/10 {
				t.Errorf("%s: of %d planned runs among the first %d where words alone are varied, %d are where all is", name, planned, n, soon)
			}
		}
	}
}

func TestEachPlannedRunIsTakenOnce(t *testing.T) {
	a := &begun(t, options(t, synthetic{})).agenda
	taken := map[int]bool{}
	for !a.over() {
		p := a.take(!a.late(false))
		if taken[p.turn] {
			t.Fatalf("run %d is taken twice", p.turn)
		}
		taken[p.turn] = true
	}
	if len(taken) != len(a.plan) {
		t.Errorf("%d of %d runs are taken", len(taken), len(a.plan))
	}
	if a.phase() != PhaseExplore {
		t.Errorf("when all are taken the phase is %v", a.phase())
	}
}

func TestTurnsFollowWhatTheyGain(t *testing.T) {
	f := newFair([]float64{1, 1, 0, 2})
	count := func() (n [4]int) {
		for range 400 {
			i := f.pick(func(i int) bool { return i != 2 })
			n[i]++
			gain := 0.0
			if i == 0 {
				gain = 1
			}
			f.spend(i, 1, gain)
		}
		return n
	}
	count()
	if n := count(); n[0] < 200 || n[1] < 400/2/4-2 || n[2] != 0 || n[3] < 400/2/2-2 {
		t.Errorf("turns %v: the first gains most, and half is shared as was expected", n)
	}
}

func TestSharesAreOfWhatTurnsCost(t *testing.T) {
	f := newFair([]float64{1, 1})
	var turns [2]int
	take := func(ready func(int) bool) {
		i := f.pick(ready)
		turns[i]++
		f.spend(i, []float64{1, 16}[i], 0)
	}
	for range 400 { // alone it has nobody to wait for, and owes little for that
		take(func(i int) bool { return i == 1 })
	}
	if turns[1] != 400 {
		t.Fatalf("turns %v: one is alone", turns)
	}
	turns = [2]int{}
	for range 1700 {
		take(func(int) bool { return true })
	}
	if turns[1] < 60 || turns[1] > 100 {
		t.Errorf("turns %v: a turn of the second costs as much as 16 of the first", turns)
	}
}

func TestRunsThatAreDoneAreNotPlannedAgain(t *testing.T) {
	c := begun(t, options(t, synthetic{}))
	r := rand.New(rand.NewPCG(1, 2))
	made := map[int]bool{}
	var flying job
	for n := 0; n < 80; {
		j := c.choose(r, &plugin{})
		if j.turn == 0 {
			continue
		}
		if n++; n == 40 {
			flying = j
			continue
		}
		made[j.turn] = true
		c.report(&j, &Result{})
	}
	all := deliberate(c.o)
	rest := c.done().rest(all)
	if len(rest) != len(all)-len(made) {
		t.Errorf("%d of %d runs are left, and %d were made", len(rest), len(all), len(made))
	}
	if !slices.ContainsFunc(rest, func(p planned) bool { return p.turn == flying.turn }) {
		t.Errorf("run %d had not ended, and counts as done", flying.turn)
	}
	for _, p := range rest {
		if made[p.turn] {
			t.Errorf("run %d is planned again", p.turn)
		}
	}
}

// A life that ended early is done when all of it has been said, at once or by those that come after, and so also for a session that
// goes on. What was not ready in time is asked once more.
func TestALifeIsNotDoneBeforeItsTalksWereHad(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begun []int // acts, of one run after the other
		want  []int // how many acts are left then
	}{
		{"ends in the first talk", []int{1, 1, 2}, []int{4, 2, 0}},
		{"hears all", []int{6}, []int{0}},
		{"is not ready once", []int{0, 6}, []int{6, 0}},
		{"is never ready", []int{0, 0}, []int{6, 0}},
		{"is not ready now and then", []int{0, 1, 0, 1, 0, 0}, []int{6, 4, 4, 2, 2, 0}},
	} {
		o := talking()
		o.Talks = [][]Act{{said(1, "a")}, {said(1, "b")}, {said(1, "c")}}
		o.NewExecutor = func(int) (Executor, error) { return nil, nil }
		c := begun(t, *o)
		r := rand.New(rand.NewPCG(1, 2))
		life, left, runs := 0, 6, 0 // the turn
		for c.agenda.early() {
			j := c.choose(r, &plugin{})
			if life == 0 && len(j.s.Acts) == left && j.s.Acts[0].To != "" {
				life = j.turn
			}
			if life == 0 || j.turn != life {
				if runs > 0 && left > 0 && tt.begun[runs-1] > 0 {
					t.Errorf("%s: a run comes before %d acts that the service has not lived to hear", tt.name, left)
				}
				c.report(&j, &Result{Acts: len(j.s.Acts)})
				continue
			}
			if len(j.s.Acts) != left || runs == len(tt.begun) {
				t.Fatalf("%s: run %d of the life has %d acts, want %d", tt.name, runs+1, len(j.s.Acts), left)
			}
			if c.done().has(life) {
				t.Errorf("%s: run %d of the life has not ended, and counts as done", tt.name, runs+1)
			}
			c.report(&j, &Result{Acts: tt.begun[runs]})
			left = tt.want[runs]
			runs++
			if done := left == 0; c.done().has(life) != done {
				t.Errorf("%s: after run %d of the life %d acts are left, and it counts as done: %v", tt.name, runs, left, !done)
			}
		}
		if runs != len(tt.begun) {
			t.Errorf("%s: the life has %d runs, want %d", tt.name, runs, len(tt.begun))
		}
	}
}

// What comes after each talk of a service that ends with its connection is not all said before draws.
func TestAServiceOfOneConnectionDoesNotKeepDrawsWaiting(t *testing.T) {
	o := talking()
	o.Talks, o.Commands = [][]Act{{said(1, "a")}}, nil
	for i := range 64 {
		o.Commands = append(o.Commands, []Act{said(1, fmt.Sprint(i))})
	}
	o.NewExecutor = func(int) (Executor, error) { return nil, nil }
	c := begun(t, *o)
	r := rand.New(rand.NewPCG(1, 2))
	var heard []string
	for c.agenda.early() {
		j := c.choose(r, &plugin{})
		if slices.ContainsFunc(o.Commands, func(acts []Act) bool { return len(j.s.Acts) > 0 && string(acts[0].Data) == string(j.s.Acts[0].Data) }) {
			heard = append(heard, string(j.s.Acts[0].Data))
		}
		c.report(&j, &Result{Acts: min(2, len(j.s.Acts))})
	}
	if len(heard) < 8 || len(heard) > 16 {
		t.Errorf("before draws it hears %d commands of %d: %q", len(heard), len(o.Commands), heard)
	}
}

// Everything that is planned of a service talks to it. With options that end the program at once, that is soon known.
func TestOnlyLivesAreHadOnceMoreWhereNobodyListens(t *testing.T) {
	o := options(t, synthetic{})
	o.Talks, o.Can.Talk = [][]Act{{said(1, "a")}, {said(1, "b")}}, true
	o.Bases[0].Stdin, o.Bases[0].Acts = StdinNull, o.Talks[0]
	c := begun(t, o)
	ranks := map[int]rank{}
	for _, p := range c.agenda.plan {
		ranks[p.turn] = p.rank
	}
	r := rand.New(rand.NewPCG(1, 2))
	made := map[int]int{}
	for range 400 {
		j := c.choose(r, &plugin{})
		c.report(&j, &Result{})
		if j.turn > 0 {
			made[j.turn]++
		}
	}
	lives, others := 0, 0
	for turn, n := range made {
		want := 1
		if k := ranks[turn]; k == rankTalks || k == rankFavoured && c.agenda.plan[turn-1].phase == PhaseOptions {
			want = 2
			lives++
		} else {
			others++
		}
		if n != want {
			t.Errorf("planned run %d, of rank %d, is made %d times, want %d", turn, ranks[turn], n, want)
		}
	}
	if lives < 5 || others < 50 {
		t.Errorf("%d lives and %d others are made", lives, others)
	}
}

// guessing plans the runs of a target of which one option is documented and some words are
// guessed, and makes those that are deliberate. It returns in how many of these each guess occurs, and the
// coordinator.
func guessing(t *testing.T, run func(words []string) *Result) (map[string]int, *coordinator) {
	t.Helper()
	o := options(t, synthetic{})
	o.Table = mutate.Table{Options: []mutate.Option{{Name: "--told", Arity: mutate.NoValue}}, Examples: [][]string{{"--told", "x"}}}
	for _, w := range []string{"--false", "--hidden", "--wrong"} {
		o.Table.Options = append(o.Table.Options, mutate.Option{Name: w, Arity: mutate.NoValue, Guessed: true})
	}
	c := begun(t, o)
	r := rand.New(rand.NewPCG(1, 2))
	n := map[string]int{}
	for !c.agenda.over() {
		j := c.choose(r, &plugin{})
		if j.phase == PhaseExplore {
			continue
		}
		words := j.s.Argv[c.o.Fixed:]
		for _, w := range words {
			n[w]++
		}
		c.report(&j, run(words))
	}
	return n, c
}

// strict is a target that knows two options and takes operands.
func strict(words []string) *Result {
	for _, w := range words {
		if strings.HasPrefix(w, "-") && w != "--told" && w != "--hidden" {
			return &Result{ExitCode: 129}
		}
	}
	return &Result{ExitCode: len(words) % 2}
}

func TestLittleIsBuiltOnAWordThatTheTargetRefuses(t *testing.T) {
	n, c := guessing(t, strict)
	if n["--false"] != 2 || n["--wrong"] != 2 || n["--hidden"] < 8 {
		t.Errorf("of deliberate runs two have each word that is refused, and many the one that is not: %v", n)
	}
	if got := c.agenda.all(); !slices.Equal(got, []string{"--false", "--wrong"}) {
		t.Errorf("refused are %q", got)
	}
	if got := len(c.done().rest(deliberate(c.o))); got != 0 {
		t.Errorf("%d runs are left to a session that goes on", got)
	}
}

func TestAWordThatNeedsSomethingToWorkOnIsNotTakenForRefused(t *testing.T) {
	n, _ := guessing(t, func(words []string) *Result {
		if len(words) > 0 && words[0] == "--hidden" && len(words) == 1 {
			return &Result{ExitCode: 129} // its value is missing
		}
		return strict(words)
	})
	if n["--hidden"] < 8 || n["--false"] != 2 {
		t.Errorf("deliberate runs: %v", n)
	}
}

func TestNoWordIsRefusedWhereUnknownOnesMakeNoDifference(t *testing.T) {
	n, _ := guessing(t, func([]string) *Result { return &Result{} })
	for _, w := range []string{"--false", "--hidden", "--wrong"} {
		if n[w] < 8 {
			t.Errorf("%s is in %d deliberate runs", w, n[w])
		}
	}
}

func TestGuessesAreAllThereIsWhereNothingIsDocumented(t *testing.T) {
	o := options(t, synthetic{})
	for i := range o.Table.Options {
		o.Table.Options[i].Guessed = true
	}
	for _, p := range deliberate(&o) {
		if p.guess != "" || p.rank == rankGuessed {
			t.Fatalf("%q waits for others", p.s.Argv)
		}
	}
}
