package fuzz

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

func TestARunBecomesAStep(t *testing.T) {
	step := func(stdin string, words ...string) []Step { return []Step{{Argv: target(words...), Stdin: stdin}} }
	files := []File{{Name: "a", Data: []byte("1")}}
	for _, tt := range []struct {
		name   string
		s      Scenario
		before []Step
		files  []File
	}{
		{"no input", Scenario{Argv: target("init"), Stdin: StdinNull, Input: []byte("unseen"), Files: files}, step("", "init"), files},
		{"an operand", Scenario{Argv: target("add", "@@", "--in=@@"), Stdin: StdinNull, Input: []byte("x")}, step("", "add", "input", "--in=input"), []File{{Name: "input", Data: []byte("x")}}},
		{"standard input", Scenario{Argv: target(), Stdin: StdinPipe, Input: []byte("x")}, step("input"), []File{{Name: "input", Data: []byte("x")}}},
		{"a file of that name", Scenario{Argv: target("@@"), Stdin: StdinNull, Input: []byte("x"), Files: []File{{Name: "input/y"}}}, step("", "input2"), []File{{Name: "input/y"}, {Name: "input2", Data: []byte("x")}}},
		{"a variable", Scenario{Argv: target(), Env: []string{"A=b"}, Stdin: StdinNull}, []Step{{Argv: target(), Env: []string{"A=b"}}}, nil},
		{"another output", Scenario{Argv: target(), Stdin: StdinNull, World: World{Stdout: OutputPipe}}, step(""), nil},
		{"a further step", Scenario{Argv: target("b"), Stdin: StdinNull, Before: step("", "a")}, append(step("", "a"), step("", "b")...), nil},
		{"a path around the input", Scenario{Argv: target("file://@@"), Stdin: StdinNull}, nil, nil},
		{"a fault", Scenario{Argv: target(), Stdin: StdinNull, World: World{Faults: []Fault{fault("write:EIO")}}}, nil, nil},
		{"another user", Scenario{Argv: target(), Stdin: StdinNull, World: World{User: UserNobody}}, nil, nil},
		{"a socket", Scenario{Argv: target(), Stdin: StdinSocket}, nil, nil},
		{"a kind of file", Scenario{Argv: target("@@"), Stdin: StdinNull, World: World{Input: FileDirectory}}, nil, nil},
		{"much", Scenario{Argv: target("@@"), Stdin: StdinNull, Input: make([]byte, maxPastBytes+1)}, nil, nil},
		{"many steps", Scenario{Argv: target(), Stdin: StdinNull, Before: make([]Step, maxSteps)}, nil, nil},
	} {
		before, got, ok := tt.s.past()
		if !ok {
			before, got = nil, nil
		}
		if diff := cmp.Diff(tt.before, before); diff != "" || ok != (tt.before != nil) {
			t.Errorf("%s: (-want +got):\n%s", tt.name, diff)
		}
		if diff := cmp.Diff(tt.files, got); diff != "" {
			t.Errorf("%s: files (-want +got):\n%s", tt.name, diff)
		}
		if ok {
			next := Scenario{Argv: target("next"), Stdin: StdinNull, Files: got, Before: before}
			if err := next.Check(); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

func TestOfEachKindOfTreeTheCheapestWayIsKept(t *testing.T) {
	c := emptyCorpus(t)
	left := func(key uint64, r Result, words ...string) bool {
		r.Signals = []Signal{{SignalTree, key}}
		s := Scenario{Argv: target(words...), Stdin: StdinNull}
		return c.remember(&s, &r) != nil
	}
	if !left(1, Result{}, "make", "costly") || left(1, Result{}, "cheap") || left(1, Result{}, "costly", "too") {
		t.Error("a kind of tree is not new once")
	}
	if got := c.leavings[0].before[0].Argv[1]; len(c.leavings) != 1 || got != "cheap" {
		t.Errorf("kept %s, want the cheapest", got)
	}
	for _, r := range []Result{{ExitCode: 1}, {Signal: 9}, {TimedOut: true}, {Faulted: true}, {Left: true}} {
		if left(2, r) {
			t.Errorf("what %+v has left is kept", r)
		}
	}
	for key := range uint64(2 * maxLeavings) {
		left(key+10, Result{})
	}
	if len(c.leavings) != maxLeavings {
		t.Errorf("%d states are kept, want %d", len(c.leavings), maxLeavings)
	}
}

func TestAStepThatCannotBeIsRefused(t *testing.T) {
	for _, before := range [][]Step{
		{{}}, {{Argv: []string{""}}}, {{Argv: []string{"x", "\x00"}}}, {{Argv: []string{"x"}, Env: []string{"=x"}}},
		{{Argv: []string{"x"}, Stdin: "missing"}}, {{Argv: []string{"x"}, Stdin: "link"}}, make([]Step, maxSteps+1),
	} {
		s := Scenario{Argv: []string{"x"}, Stdin: StdinNull, Files: []File{{Name: "link", Kind: FileSymlink}}, Before: before}
		if s.Check() == nil {
			t.Errorf("steps %+v are accepted", before)
		}
	}
	if _, err := decodeScenario([]byte(`{"version": 1, "argv": ["x"], "stdin": "null", "before": [{"argv": ["x"], "stdin": "a"}]}`)); err == nil {
		t.Error("a stored step with a standard input that is nowhere is accepted")
	}
}

// In a new state each sub-command is tried, and what made it once more; what is tried is bounded, and
// so is how often.
func TestWhatThePlanTriesFirstIsTriedInANewState(t *testing.T) {
	o := options(t, synthetic{})
	for i := range 200 {
		o.Table.Options = append(o.Table.Options, mutate.Option{Name: fmt.Sprintf("--option-%d", i), Arity: mutate.NoValue})
	}
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	c := newCoordinator(&o)
	if err := c.begin(nil); err != nil {
		t.Fatal(err)
	}
	tried := map[string]int{}
	for key := range uint64(2 * maxSweeps) {
		s := Scenario{Argv: target("serve", "@@"), Stdin: StdinNull, Input: []byte("x")}
		l := c.corpus.remember(&s, &Result{Signals: []Signal{{SignalTree, key}}})
		all := c.corpus.sweep(l)
		if len(all) > 1+sweepCommands+sweepExamples+sweepOptions {
			t.Fatalf("%d runs are made in one state", len(all))
		}
		for _, s := range all {
			if err := s.Check(); err != nil || len(s.Before) == 0 {
				t.Errorf("%+v: %v", s, err)
			}
			tried[strings.Join(s.Argv[1:], " ")]++
		}
	}
	for _, words := range []string{"serve", "stop", "serve input"} {
		if tried[words] != maxSweeps {
			t.Errorf("%s is tried in %d of %d states", words, tried[words], maxSweeps)
		}
	}
	options := 0
	for words := range tried {
		if strings.HasPrefix(words, "--option-") {
			options++
		}
	}
	if options <= sweepOptions {
		t.Errorf("the same %d options are tried in all states", options)
	}
}

// What waits to be swept is not put there again by what leads to it once more, and is not known as made before it is.
func TestWhatWaitsToBeSweptIsNotQueuedTwice(t *testing.T) {
	c := begun(t, options(t, synthetic{}))
	one, other := Scenario{Argv: []string{"served", "a"}}, Scenario{Argv: []string{"served", "b"}}
	if got := c.unswept([]Scenario{one, one}); len(got) != 1 {
		t.Errorf("%d of two that are the same are queued", len(got))
	}
	if got := c.unswept([]Scenario{one, other}); len(got) != 1 || got[0].ID() != other.ID() {
		t.Errorf("beside what waits, %v is queued", got)
	}
	c.report(&job{s: one, phase: PhaseOptions, from: fromSweep}, &Result{})
	if got := c.known().Swept; len(got) != 1 || got[0] != one.ID() {
		t.Errorf("as made are stored %q, want %q", got, one.ID())
	}
}

// What a step was told to make is what the next one is told to use: the examples of a text have names of their own.
func TestWhatAStepHasMadeIsNamedInTheNextOne(t *testing.T) {
	o := Options{Fixed: 1, Table: mutate.Table{Commands: []string{"add"}}}
	for _, c := range []struct {
		step, next, want []string
	}{
		{[]string{"-cf", "new.tar", "file"}, []string{"-tvf", "old.tar", "x"}, []string{"-tvf", "new.tar", "x"}},
		{[]string{"add", "--force", "a.db"}, []string{"--check"}, []string{"--check", "a.db"}},
		{[]string{"a", "new", "file"}, []string{"x", "old", "-y"}, []string{"x", "new", "-y"}},
		{[]string{"-n", "12", "a.db"}, []string{"add", "@@", "y"}, []string{"add", "a.db", "y"}},
		{[]string{"-cf", "file"}, []string{"-x", "@@"}, []string{"-x", "file"}},
		{[]string{"pack", "file"}, []string{"unpack", "old"}, []string{"unpack", "file"}},
		{[]string{"add"}, []string{"--check"}, []string{"--check"}},
	} {
		l := leaving{before: []Step{{Argv: target(c.step...)}}, files: []File{{Name: "file"}}}
		argv := target(c.next...)
		if made, commanded := o.made(&l); made != "" {
			argv = o.using(argv, made, commanded)
		}
		if diff := cmp.Diff(target(c.want...), argv); diff != "" {
			t.Errorf("after %q: %s", c.step, diff)
		}
	}
}
