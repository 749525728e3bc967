package fuzz

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// picky takes files by their names only: it decompresses what is called .gz, and fails on
// one of them that is damaged.
type picky struct{}

func (picky) Run(_ context.Context, s *Scenario) (*Result, error) {
	r := &Result{Seen: []sysno.ID{id(0)}}
	for _, f := range s.Files {
		if !strings.HasSuffix(f.Name, ".gz") || !slices.Contains(s.Argv[1:], f.Name) {
			continue
		}
		if bytes.Equal(f.Data, []byte("compressed")) {
			r.Seen = append(r.Seen, id(1))
			if slices.Contains(s.Argv, "-a") {
				r.Seen = append(r.Seen, id(2))
			}
		} else if len(f.Data) > 0 { // an empty one is what minimization tries
			r.Seen = append(r.Seen, id(3))
		}
	}
	return r, nil
}

func (picky) Close() error { return nil }

func TestSeedsAreGivenUnderTheirNamesToo(t *testing.T) {
	o := options(t, synthetic{})
	o.Seeds = []Seed{{Name: "plain", Data: []byte("text")}, {Name: "gzip", File: "input.gz", Data: []byte("compressed")}}
	o.NewExecutor = func(int) (Executor, error) { return picky{}, nil }
	o.Execs = 2000
	out := run(t, o)
	phases := map[uint32]Phase{}
	for _, f := range out.Found {
		phases[f.ID.NR] = f.Phase
	}
	for nr, want := range map[uint32]Phase{1: PhaseSeeds, 2: PhaseOptions, 3: PhaseExplore} {
		if got := phases[nr]; got != want {
			t.Errorf("syscall %d was found in phase %v, want %v", nr, got, want)
		}
	}
}

func TestNamedReplacesTheInputAndNothingElse(t *testing.T) {
	seed := Seed{Name: "gzip", File: "input.gz", Data: []byte("z")}
	s := Scenario{Argv: target("-k", "@@"), Stdin: StdinPipe, Input: []byte("x"), Files: []File{{Name: "file"}, {Name: "input.gz", Data: []byte("old")}}}
	before := s.ID()
	got, ok := named(s, &seed)
	want := Scenario{Argv: target("-k", "input.gz"), Stdin: StdinNull, Files: []File{{Name: "file"}, {Name: "input.gz", Data: []byte("z")}}}
	if !ok || got.ID() != want.ID() {
		t.Errorf("got %+v, %v; want %+v", got, ok, want)
	}
	if s.ID() != before {
		t.Error("the scenario that was given has changed")
	}
	for _, c := range []struct {
		why  string
		s    Scenario
		seed Seed
	}{
		{"no name", s, Seed{Data: []byte("z")}},
		{"no word for the input", Scenario{Argv: target("-k"), Stdin: StdinPipe}, seed},
		{"a word that only contains it", Scenario{Argv: target("--file=@@"), Stdin: StdinPipe}, seed},
	} {
		if _, ok := named(c.s, &c.seed); ok {
			t.Errorf("%s: named all the same", c.why)
		}
	}
}

func TestPairsAreOfFilesAndDirectories(t *testing.T) {
	got := pairs([]File{{Name: "dir/a"}, {Name: "dir/sub/b"}, {Name: "c"}})
	want := [][]string{{"dir/a", "c"}, {".", "dir"}, {"c", "dir"}, {"dir", "new"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := pairs([]File{{Name: "a"}}); got != nil {
		t.Errorf("one file gives %q", got)
	}
}

func TestEveryOptionIsProbedWithTwoOperands(t *testing.T) {
	o := options(t, synthetic{})
	o.Fixed = 1
	o.Bases[0].Files = []File{{Name: "dir/a"}, {Name: "c"}}
	var got []string
	for _, p := range deliberate(&o) {
		if n := len(p.s.Argv); n > 3 && p.s.Argv[n-2] == "." && p.s.Argv[n-1] == "dir" {
			got = append(got, p.s.Argv[1])
		}
	}
	for _, opt := range o.Table.Options {
		if !slices.ContainsFunc(got, func(w string) bool { return strings.HasPrefix(w, opt.Name) }) {
			t.Errorf("%s is not tried with two directories, only %q are", opt.Name, got)
		}
	}
}

func TestASeedOfAConventionalNameIsFoundByTheProgramItself(t *testing.T) {
	o := options(t, synthetic{})
	o.Seeds = []Seed{{Name: "plain", File: "input.txt", Data: []byte("text")}, {Name: "rules", File: "Rulefile", Data: []byte("all:")}}
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	alone, with := false, map[string]bool{}
	for _, p := range deliberate(&o) {
		for _, f := range p.s.Files {
			if f.Name != "Rulefile" || slices.Contains(p.s.Argv, "Rulefile") || p.s.Stdin != StdinNull {
				continue
			}
			if len(p.s.Argv) == o.Fixed {
				alone = alone || p.early
			} else {
				with[p.s.Argv[o.Fixed]] = true
			}
		}
	}
	if !alone || !with["-a"] {
		t.Errorf("the program is run beside it without arguments before all draws: %v; with -a: %v", alone, with["-a"])
	}
}
