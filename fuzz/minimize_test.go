package fuzz

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestMinimizeLeavesOnlyWhatIsNeeded(t *testing.T) {
	noise := bytes.Repeat([]byte("lorem ipsum "), 300)
	big := Scenario{
		Argv:  []string{"prog", "fixed", "-v", "--opt", "value", "@@", "x", "--y=1"},
		Env:   []string{"LANG=C", "TZ", "FOO=1"},
		Stdin: StdinPipe,
		Input: slices.Concat(noise, []byte("<key>"), noise),
		Files: []File{{Name: "a", Data: []byte("1")}, {Name: "b", Data: []byte("2")}},
	}
	has := func(s *Scenario, w string) bool { return slices.Contains(s.Argv, w) }
	cases := []struct {
		name  string
		shows func(*Scenario) bool
		want  Scenario
	}{
		{"nothing", func(*Scenario) bool { return true }, Scenario{Argv: []string{"prog", "fixed"}, Stdin: StdinNull}},
		{"one option", func(s *Scenario) bool { return has(s, "-v") }, Scenario{Argv: []string{"prog", "fixed", "-v"}, Stdin: StdinNull}},
		{"an option only with its value or gone", func(s *Scenario) bool {
			i := slices.Index(s.Argv, "--opt")
			return has(s, "x") && (i < 0 && !has(s, "value") || i >= 0 && s.Argv[i+1] == "value")
		}, Scenario{Argv: []string{"prog", "fixed", "x"}, Stdin: StdinNull}},
		{"two far apart", func(s *Scenario) bool { return has(s, "-v") && has(s, "--y=1") }, Scenario{Argv: []string{"prog", "fixed", "-v", "--y=1"}, Stdin: StdinNull}},
		{"input by pipe", func(s *Scenario) bool { return s.Stdin == StdinPipe && bytes.Contains(s.Input, []byte("<key>")) },
			Scenario{Argv: []string{"prog", "fixed"}, Stdin: StdinPipe, Input: []byte("<key>")}},
		{"input by operand", func(s *Scenario) bool { return has(s, "@@") && bytes.Contains(s.Input, []byte("<key>")) },
			Scenario{Argv: []string{"prog", "fixed", "@@"}, Stdin: StdinNull, Input: []byte("<key>")}},
		{"environment", func(s *Scenario) bool { return slices.Contains(s.Env, "TZ") }, Scenario{Argv: []string{"prog", "fixed"}, Env: []string{"TZ"}, Stdin: StdinNull}},
		{"file", func(s *Scenario) bool { return len(s.Files) > 0 && s.Files[len(s.Files)-1].Name == "b" },
			Scenario{Argv: []string{"prog", "fixed"}, Stdin: StdinNull, Files: []File{{Name: "b"}}}},
		{"data of a file", func(s *Scenario) bool { return len(s.Files) > 0 && string(s.Files[0].Data) == "1" },
			Scenario{Argv: []string{"prog", "fixed"}, Stdin: StdinNull, Files: []File{{Name: "a", Data: []byte("1")}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			got := minimize(big, 2, 1000, func(s *Scenario) bool { calls++; return c.shows(s) })
			for _, s := range []*Scenario{&got, &c.want} { // empty and nil are alike
				s.Input, s.Env, s.Files = append([]byte{}, s.Input...), append([]string{}, s.Env...), append([]File{}, s.Files...)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if calls > 200 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

func TestMinimizeShortensHugeWords(t *testing.T) {
	s := Scenario{Argv: []string{"prog", strings.Repeat("A", 5000)}, Stdin: StdinNull}
	got := minimize(s, 1, 100, func(s *Scenario) bool { return len(s.Argv) == 2 && len(s.Argv[1]) > 1000 })
	if n := len(got.Argv[1]); n != 1250 {
		t.Errorf("%d bytes left, want 1250", n)
	}
}

func TestMinimizeKeepsToItsTries(t *testing.T) {
	s := Scenario{Argv: []string{"prog", "@@"}, Stdin: StdinNull, Input: make([]byte, 10_000)}
	calls := 0
	got := minimize(s, 1, 17, func(s *Scenario) bool { calls++; return len(s.Input)%2 == 0 && len(s.Input) > 100 })
	if calls > 17 {
		t.Errorf("%d calls of the predicate, 17 allowed", calls)
	}
	if len(got.Input) >= len(s.Input) {
		t.Error("nothing was removed")
	}
}

// Of long lists most goes at once.
func TestMinimizeHalvesLongLists(t *testing.T) {
	s := Scenario{Argv: []string{"prog"}, Stdin: StdinNull}
	for i := range 60 {
		s.Argv = append(s.Argv, fmt.Sprint("-", i))
		s.Env = append(s.Env, fmt.Sprintf("V%d=1", i))
		s.Files = append(s.Files, File{Name: fmt.Sprint("f", i), Data: []byte("data")})
	}
	calls := 0
	got := minimize(s, 1, 1000, func(s *Scenario) bool {
		calls++
		return slices.Contains(s.Argv, "-7") && slices.Contains(s.Argv, "-55") && slices.Contains(s.Env, "V31=1") &&
			slices.ContainsFunc(s.Files, func(f File) bool { return f.Name == "f40" })
	})
	want := Scenario{Argv: []string{"prog", "-7", "-55"}, Env: []string{"V31=1"}, Files: []File{{Name: "f40"}}, Stdin: StdinNull}
	if got.ID() != want.ID() {
		t.Errorf("got %+v", got)
	}
	if calls > 110 {
		t.Errorf("%d calls", calls)
	}
}

func TestMinimizeDropsAtOnceTheFilesThatNoWordNames(t *testing.T) {
	s := Scenario{Argv: target("-x", "archive", "dir"), Files: []File{{Name: "archive", Data: []byte("z")}, {Name: "dir/a"}}}
	for i := range 20 {
		s.Files = append(s.Files, File{Name: fmt.Sprint("other", i)})
	}
	needed := func(s *Scenario) bool { return s.File("archive") != nil && slices.Contains(s.Argv, "archive") }
	tries := 0
	got := minimize(s, 1, 100, func(s *Scenario) bool { tries++; return needed(s) })
	if len(got.Files) != 1 || tries > 14 {
		t.Errorf("%d files are left after %d tries", len(got.Files), tries)
	}
}
