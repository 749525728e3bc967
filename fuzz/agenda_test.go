package fuzz

import (
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
		a.take()
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
		delete(want, a.take().rank)
	}
	if len(want) > 0 {
		t.Errorf("of the kinds %v none of 100 late runs is", want)
	}
}

func TestEachPlannedRunIsTakenOnce(t *testing.T) {
	a := &begun(t, options(t, synthetic{})).agenda
	taken := map[int]bool{}
	for !a.over() {
		p := a.take()
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
