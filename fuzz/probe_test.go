package fuzz

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

func TestTheBroadestRunsComeBeforeAllDrawsAndTheOthersTakeTurnsWithThem(t *testing.T) {
	o := options(t, synthetic{})
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	c := newCoordinator(&o)
	if err := c.begin(nil); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	early := slices.IndexFunc(c.agenda.plan, func(p planned) bool { return !p.early })
	if early < 1 || len(c.agenda.plan)-early < 10 {
		t.Fatalf("of %d planned runs %d are early", len(c.agenda.plan), early)
	}
	tried := map[string]bool{}
	for _, p := range c.agenda.plan[:early] {
		if c.choose(r, &plugin{}).phase != p.phase {
			t.Fatal("an early run is not made in its turn")
		}
		for _, w := range p.s.Argv[1:] {
			tried[w] = true
		}
	}
	for c.agenda.early() {
		for _, w := range c.choose(r, &plugin{}).s.Argv[1:] {
			tried[w] = true
		}
	}
	for i := range o.Table.Options {
		opt := &o.Table.Options[i]
		if v := append(opt.Likely(), "1"); !tried[opt.Words(v[0])[0]] {
			t.Errorf("%s is not tried before all draws", opt.Name)
		}
	}
	draws := 0
	for range 30 {
		if c.choose(r, &plugin{}).phase == PhaseExplore {
			draws++
		}
	}
	if draws < 4 || draws > 15 {
		t.Errorf("%d of the 30 runs after those are draws", draws)
	}
}

func TestASessionIsNotSaturatedBeforeItsPlanIsDone(t *testing.T) {
	o := options(t, synthetic{})
	o.Confidence, o.Execs = 0.5, 20_000
	out := run(t, o)
	if planned := uint64(len(deliberate(&o))); out.Stop != StopSaturated || out.Stats.Runs-out.Stats.Draws < planned {
		t.Errorf("%v after %d runs, %d of them draws; %d were planned", out.Stop, out.Stats.Runs, out.Stats.Draws, planned)
	}
}

func TestExamplesAreCarriedOutWithTheFilesThatTheyName(t *testing.T) {
	base := Scenario{Argv: target("x"), Files: []File{{Name: "dir/a"}, {Name: "file"}}}
	seeds := []Seed{{Name: "s", Data: []byte("text")}, {Name: "t", File: "input.tar", Data: []byte("archive")}}
	for _, c := range []struct {
		words   []string
		literal []string // beside the files of base, with their data
		fitted  []string // nil: there is none
	}{
		{[]string{"-v", "--all"}, nil, nil},
		{[]string{"-c", "new.tar", "/etc/passwd"}, []string{"new.tar=archive"}, []string{"-c", "@@", "dir/a"}},
		{[]string{"--out=sub/b.txt", "-x"}, []string{"sub/b.txt=text"}, []string{"--out=@@", "-x"}},
		{[]string{"file", "dir", "dir/a/b"}, nil, []string{"@@", "dir", "dir"}}, // there is no room for files of these names
		{[]string{"-p", "destination-directory", "--from=source_dir", "directive"}, []string{"destination-directory/input=text", "source_dir/input=archive", "directive=text"},
			[]string{"-p", "dir", "--from=dir", "dir"}},
		{[]string{"-c", "dir.tar", "dir/file.c"}, []string{"dir.tar=archive", "dir/file.c=archive"}, []string{"-c", "@@", "dir/a"}},
		{[]string{"build", "12", "../up", "{}", "a b"}, nil, nil},
	} {
		o := Options{Fixed: 1, Seeds: seeds, Table: mutate.Table{Commands: []string{"build"}}}
		got := o.staged(base, c.words)
		var literal []string
		for _, f := range got[0].Files[len(base.Files):] {
			literal = append(literal, f.Name+"="+string(f.Data))
		}
		if diff := cmp.Diff(c.literal, literal); diff != "" {
			t.Errorf("%q: files %s", c.words, diff)
		}
		if want := slices.Concat(base.Argv, c.words); !slices.Equal(got[0].Argv, want) {
			t.Errorf("got %q, want %q", got[0].Argv, want)
		}
		var fitted []string
		if len(got) > 1 {
			fitted = got[1].Argv[len(base.Argv):]
		}
		if diff := cmp.Diff(c.fitted, fitted); diff != "" {
			t.Errorf("%q: fitted %s", c.words, diff)
		}
		for i := range got {
			got[i].Stdin = StdinNull
			if err := got[i].Check(); err != nil {
				t.Errorf("%q: %v", c.words, err)
			}
		}
	}
}

// Options are added where it is fed so, too, if that shows most.
func TestWhatAnExampleNamesMayBeWhatItMakes(t *testing.T) {
	base := Scenario{Argv: target(), Stdin: StdinNull, Files: []File{{Name: "file"}}}
	o := Options{Fixed: 1}
	for _, c := range []struct {
		words []string
		there []string // of each way, beside the files of base
	}{
		{[]string{"--all", "file"}, nil},
		{[]string{"-G", "new.key"}, []string{""}},
		{[]string{"-c", "a.tar", "b", "c"}, []string{"", "b c", "a.tar b"}},
	} {
		var there []string
		for i, s := range o.unmade(base, c.words, StdinPipe) {
			var names []string
			for _, f := range s.Files[len(base.Files):] {
				names = append(names, f.Name)
			}
			there = append(there, strings.Join(names, " "))
			if fed := s.Stdin == StdinPipe; fed != (i == 0) {
				t.Errorf("%q: way %d is fed: %v", c.words, i, fed)
			}
		}
		if diff := cmp.Diff(c.there, there); diff != "" {
			t.Errorf("%q: %s", c.words, diff)
		}
	}
}

// An option does nothing with an input that the program refuses.
func TestWhereTheProgramDoesMostOptionsGetSeedsThatItLikes(t *testing.T) {
	o := options(t, synthetic{})
	o.Seeds = nil
	for i := range 4 * favoured {
		o.Seeds = append(o.Seeds, Seed{Name: fmt.Sprint(i), Data: []byte{byte(i)}})
	}
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	liked := map[byte]bool{}
	for _, p := range deliberate(&o) {
		if p.stage == (stage{}) || len(p.s.Input) != 1 || p.stage.rank == rankExamples {
			continue
		}
		if liked[p.s.Input[0]] = true; p.s.Input[0] >= favoured {
			t.Errorf("%q has seed %d", p.s.Argv, p.s.Input[0])
		}
	}
	if len(liked) != favoured {
		t.Errorf("%d seeds are tried, want %d", len(liked), favoured)
	}
}

// Of texts that a program takes for its program, as sed(1) does, most are none: only the one of the stage is known to be.
func TestOptionsAreTriedWithTheTextOfTheirStage(t *testing.T) {
	o := options(t, synthetic{})
	o.Fixed = 1
	o.Table.Texts = []string{"# comment", "007", "1K"}
	tried := 0
	for _, p := range deliberate(&o) {
		if p.stage.rank != rankShown {
			continue
		}
		if tried++; !slices.Contains(p.s.Argv, "# comment") {
			t.Errorf("%q", p.s.Argv)
		}
	}
	if tried < len(o.Table.Options) {
		t.Errorf("%d runs for %d options", tried, len(o.Table.Options))
	}
}

func TestWhatReadsNamesIsFedWithThem(t *testing.T) {
	o := options(t, synthetic{})
	o.Fixed = 1
	o.Bases[0].Files = []File{{Name: "dir/a"}, {Name: "c"}}
	o.Table.Examples = [][]string{{"cat"}, {"-0", "cat"}}
	for _, listed := range []bool{false, true} {
		o.Table.Listed = listed
		bare := map[string]stage{}
		stages := map[stage]bool{}
		for _, p := range deliberate(&o) {
			if p.rank == rankExamples {
				bare[string(p.s.Input)] = p.bare
			}
			stages[p.stage] = true
		}
		for _, names := range []string{"dir/a\nc\ncat\n", "dir/a\x00c\x00cat\x00"} {
			if st, ok := bare[names]; ok != listed || ok && !stages[st] {
				t.Errorf("listed %v: fed with %q: %v, on a stage %v", listed, names, ok, stages[st])
			}
		}
	}
}

func TestEveryOptionIsTriedWhereMuchFlows(t *testing.T) {
	o := options(t, synthetic{})
	o.Fixed = 1
	o.Bases[0].Files = []File{{Name: "dir/a"}, {Name: "c"}}
	const pipe = 64 << 10 // what one holds, pipe(7)
	tried := map[string]map[string]bool{}
	for _, p := range deliberate(&o) {
		if p.rank != rankFlows {
			continue
		}
		if err := p.s.Check(); err != nil {
			t.Error(err)
		}
		how := ""
		switch w := p.s.World; {
		case w.Stdout == OutputBroken && slices.Contains(p.s.Argv, "@@") && len(p.s.Input) > pipe:
			how = "a file, and nobody reads"
		case w.Stdout == OutputBroken && slices.Contains(p.s.Argv, "c") && len(p.s.File("c").Data) > pipe && len(p.s.File("dir/a").Data) > pipe:
			how = "two files, and nobody reads"
		case w.Interruption.Moment == MomentWrite && w.Stdout == OutputTerminal && len(p.s.File("c").Data) > pipe:
			how = "two files, and interrupted"
		case w.Stdout == OutputTerminal && p.s.Stdin == StdinTerminal:
			how = "at a terminal"
		case w.Stdout == OutputNull && p.s.Stdin == StdinPipe && len(p.s.Input) > pipe && slices.Contains(p.s.Argv, "1"):
			how = "a pipe, and the output goes nowhere"
		case p.s.Stdin == StdinPipe && len(p.s.Input) > pipe:
			how = "a pipe"
		}
		if tried[how] == nil {
			tried[how] = map[string]bool{}
		}
		name, _, _ := strings.Cut(p.s.Argv[1], "=")
		tried[how][name] = true
	}
	for _, how := range []string{"at a terminal", "a file, and nobody reads", "two files, and nobody reads", "two files, and interrupted", "a pipe", "a pipe, and the output goes nowhere"} {
		for _, opt := range o.Table.Options {
			if !tried[how][opt.Name] {
				t.Errorf("%s is not tried with much from or to %s", opt.Name, how)
			}
		}
	}
	if len(tried) != 6 {
		t.Errorf("tried %v", tried)
	}
	if o.Bases[0].Files[1].Data != nil {
		t.Error("the files of the user's scenario have changed")
	}
}

// sort -S 1 lets its buffer grow for a line that does not fit, and for nothing else.
func TestWhatTakesAnAmountIsTriedOnALongLine(t *testing.T) {
	o := options(t, synthetic{})
	o.Fixed = 1
	o.Seeds = append(o.Seeds, Seed{Name: "large", Data: bytes.Repeat([]byte("line\n"), heavy/4)})
	o.Table.Options = append(o.Table.Options, mutate.Option{Name: "--buffer", Arity: mutate.NeedsValue, Kind: "SIZE"})
	lines, line := 0, 0
	for _, p := range deliberate(&o) {
		switch {
		case p.rank != rankLarge:
		case !slices.Contains(p.s.Argv, "--buffer=1"):
			t.Errorf("%q takes no amount", p.s.Argv)
		case bytes.Contains(p.s.Input, []byte("\n")):
			lines++
		default:
			line++
		}
	}
	if lines == 0 || line == 0 {
		t.Errorf("%d runs with many lines, %d with one", lines, line)
	}
}

func TestAllIsPlannedThatIsPlannedWhereLessIsVaried(t *testing.T) {
	all := options(t, synthetic{})
	if err := all.fill(); err != nil {
		t.Fatal(err)
	}
	planned := map[string]bool{}
	for _, p := range deliberate(&all) {
		planned[p.s.ID()] = true
	}
	for _, only := range []string{"argv", "bytes"} {
		o := all
		o.Only = []string{only}
		for _, p := range deliberate(&o) {
			if !planned[p.s.ID()] {
				t.Errorf("%q is planned where only %s is varied, and not where all is", p.s.Argv, only)
			}
		}
	}
}
