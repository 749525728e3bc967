package fuzz

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func about(t *testing.T, text string) Options {
	o := options(t, synthetic{})
	o.Bases[0].Files = []File{{Name: "dir/a", Data: []byte("x")}, {Name: "dir/b", Kind: FileDangling}, {Name: "dir/c", Kind: FileSymlink}, {Name: "file"}}
	o.Seeds = append(o.Seeds, Seed{Name: "gzip-a", File: "input.gz", Data: []byte("gz"), Packed: true}, Seed{Name: "gzip-b", File: "input.gz", Data: []byte("no"), Packed: true},
		Seed{Name: "xz-a", File: "input.xz", Data: []byte("xz"), Packed: true})
	o.Table.Options = append(o.Table.Options, mutate.Option{Name: "-z", Arity: mutate.NoValue, About: text})
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	return o
}

// planned reports whether a run is among the late ones that is as the words say and ok agrees with.
func plans(o Options, ok func(*Scenario) bool, words ...string) bool {
	return slices.ContainsFunc(deliberate(&o), func(p planned) bool {
		return (p.rank == rankTold || p.rank == rankToldAround) && slices.Equal(p.s.Argv, target(words...)) && ok(&p.s)
	})
}

func TestAnOptionIsTriedWithWhatItsDescriptionSpeaksOf(t *testing.T) {
	any := func(*Scenario) bool { return true }
	for _, c := range []struct {
		about string
		ok    func(*Scenario) bool
		words []string
	}{
		{"operate recursively on directories", any, []string{"-z", "dir"}},
		{"descend into subdirectories", any, []string{"-z", "dir", "new"}},
		{"follow symbolic links", any, []string{"-z", "dir/c", "new"}},
		{"make a backup of each existing file", func(s *Scenario) bool {
			return len(s.Before) == 1 && slices.Equal(s.Before[0].Argv, target("input", "new"))
		}, []string{"-z", "input", "new"}},
		{"control creation of sparse files", func(s *Scenario) bool { return strings.Count(string(s.Input), "\x00") > 100<<10 }, []string{"-z", "@@", "new"}},
		{"ask before anything is done", func(s *Scenario) bool { return s.Stdin == StdinTerminal && s.World.Stdout == OutputTerminal }, []string{"-z", "@@"}},
		{"try to look inside compressed files", func(s *Scenario) bool { return string(s.Files[len(s.Files)-1].Data) == "xz" }, []string{"-z", "input.xz"}},
		{"take the names of files from standard input", func(s *Scenario) bool { return s.Stdin == StdinPipe && strings.Contains(string(s.Input), "dir\n") }, []string{"-z"}},
	} {
		if !plans(about(t, c.about), c.ok, c.words...) {
			t.Errorf("%q is not tried for an option that is to %s", c.words, c.about)
		}
		if plans(about(t, "do something else"), c.ok, c.words...) {
			t.Errorf("%q is tried for any option", c.words)
		}
	}
}

func TestWhatIsToldIsPlannedWhateverElseIsVaried(t *testing.T) {
	all := about(t, "ask before existing directories, links and sparse files of the list are removed")
	planned := map[string]bool{}
	for _, p := range deliberate(&all) {
		planned[p.s.ID()] = true
	}
	o := all
	o.Only = []string{"argv"}
	for _, p := range deliberate(&o) {
		if !planned[p.s.ID()] {
			t.Errorf("%q is planned where only argv is varied, and not where all is", p.s.Argv)
		}
	}
}

func TestFilesAreNamedByRoundaboutPaths(t *testing.T) {
	o := about(t, "")
	named := func(words ...string) bool {
		return slices.ContainsFunc(deliberate(&o), func(p planned) bool { return slices.Equal(p.s.Argv, target(words...)) })
	}
	if !named(mutate.Roundabout) {
		t.Error("not as an operand")
	}
	z := &o.Table.Options[len(o.Table.Options)-1]
	z.Arity, z.Kind = mutate.NeedsValue, "FILE"
	if !named("-z", mutate.Roundabout, mutate.Input) {
		t.Error("not as the value of an option that takes a file")
	}
	z.Kind = "NUM"
	if named("-z", mutate.Roundabout, mutate.Input) {
		t.Error("as the value of an option that takes a number")
	}
}

func TestOptionsThatSpeakOfArchivesShareABoundedNumberOfRuns(t *testing.T) {
	o := about(t, "extract the archive")
	for i := range 2 * maxPacked {
		o.Table.Options = append(o.Table.Options, mutate.Option{Name: fmt.Sprintf("--of-archives-%03d", i), Arity: mutate.NoValue, About: "about archives"})
	}
	o.Table = o.Table.Merge(mutate.Table{})
	of := map[string]int{}
	for _, p := range deliberate(&o) {
		if n := len(p.s.Argv); p.rank == rankTold && n > 2 && strings.HasPrefix(p.s.Argv[n-1], "input.") {
			of[p.s.Argv[n-1]]++
		}
	}
	if n := of["input.gz"] + of["input.xz"]; n != 2*maxPacked+1 || of["input.gz"]-of["input.xz"] > 1 {
		t.Errorf("of %d options that speak of archives, packed seeds are tried so often: %v", 2*maxPacked+1, of)
	}
}

func TestEachOptionIsTriedWithWhatIsNotThere(t *testing.T) {
	o := about(t, "")
	o.Table.Commands = append(o.Table.Commands, "build")
	o.Table.Options = append(o.Table.Options, mutate.Option{Name: "--run-tests", Arity: mutate.MayHaveValue, Kind: "filename"})
	for _, words := range [][]string{{"-z", freshName}, {"build", freshName}, {"--run-tests", freshName}} {
		if !slices.ContainsFunc(deliberate(&o), func(p planned) bool { return slices.Equal(p.s.Argv, target(words...)) }) {
			t.Errorf("%q is not tried", words)
		}
	}
}

func TestAnotherSpellingWaits(t *testing.T) {
	o := about(t, "operate recursively on directories")
	o.Table.Options[len(o.Table.Options)-1].Same = "--listen"
	o.Table = o.Table.Merge(mutate.Table{})
	for _, p := range deliberate(&o) {
		if slices.Contains(p.s.Argv, "-z") && !slices.Contains(p.s.Argv, "--listen") && (p.rank != rankSpellings || p.leads()) {
			t.Errorf("%q is planned as %v", p.s.Argv, p.rank)
		}
	}
	o.Table.Options[len(o.Table.Options)-1].Same = "--unknown"
	if !plans(o, func(*Scenario) bool { return true }, "-z", "dir") {
		t.Error("an option waits for a spelling that is not known")
	}
}

func TestOperandsWithNamesAreTriedBesideThoseThatNameFiles(t *testing.T) {
	o := about(t, "")
	o.Table.Texts = []string{"bs=1", "bs=@@", "if=@@", "if=out", "of=@@", "of=out"}
	if !plans(o, func(*Scenario) bool { return true }, "if=@@", "of=new", "bs=1") {
		t.Error("a size is not tried with both files")
	}
}

func TestWorldsAreTriedWhereTheProgramDoesMost(t *testing.T) {
	o := about(t, "")
	c := begun(t, o)
	s := o.Bases[0]
	s.Stdin, s.Argv = StdinNull, target("dir/a", "file")
	kinds := map[FileKind]bool{}
	outputs := map[OutputKind]bool{}
	rename := sysno.ID{}
	for _, f := range telling() {
		if f.String() == "rename:EXDEV" {
			rename = f.ID
		}
	}
	other := s
	other.Argv = target("file")
	for i, w := range c.corpus.around([]start{{s, []sysno.ID{rename}}, {other, []sysno.ID{rename}}}) {
		if other := slices.Equal(w.Argv, other.Argv); (len(w.World.Faults) > 0) != (i < 2) || other != (i == 1) {
			t.Errorf("world %d of %q has the faults %v", i, w.Argv, w.World.Faults)
		}
		if err := w.Check(); err != nil {
			t.Error(err)
		}
		if f := slices.IndexFunc(w.Files, func(f File) bool { return f.Name == "dir/a" }); f >= 0 {
			kinds[w.Files[f].Kind] = true
		}
		outputs[w.World.Stdout] = true
		if f := w.World.Faults; len(f) > 0 && f[0].ID != rename {
			t.Errorf("%v is tried, and the program does not call that", f)
		}
	}
	if len(kinds) != int(fileKinds)-1 || len(outputs) < 5 {
		t.Errorf("the file is of the kinds %v, the output of %v", kinds, outputs)
	}
	if again := c.corpus.around([]start{{s: c.corpus.starts[0]}}); again != nil {
		t.Errorf("%d worlds are tried where the plan tries them", len(again))
	}
}
