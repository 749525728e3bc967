package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// A program that prints the same for every sub-command that it does not know is not asked for
// ever, and one that knows help as a sub-command alone is asked that way.
func TestSubCommandsOfSubCommandsAreAsked(t *testing.T) {
	general := "Usage: tool COMMAND\n\nCommands:\n  remote   Manage remotes\n  clean    Clean up\n"
	texts := map[string]string{
		"remote --help":     "Usage: tool remote COMMAND\n\nCommands:\n  add      Add one\n  prune    Remove old ones\n\nOptions:\n  --url=URL  where it is\n",
		"remote add --help": "Options:\n  --fetch  at once\n\nExamples:\n  tool remote add --fetch there\n",
		"help clean":        "Options:\n  --all  everything\n",
	}
	var asked []string
	s := session{text: "/nowhere/tool-of-nobody"}
	table := mutate.Table{Commands: []string{"clean", "remote"}}
	err := s.commands(&table, func(words ...string) ([]byte, error) {
		question := strings.Join(words, " ")
		asked = append(asked, question)
		if text, ok := texts[question]; ok {
			return []byte(text), nil
		}
		return []byte(general), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"clean", "remote", "remote add", "remote prune"}; !slices.Equal(table.Commands, want) {
		t.Errorf("commands: got %q, want %q", table.Commands, want)
	}
	got := map[string]string{}
	for c, options := range table.Sub {
		for _, o := range options {
			got[c] += o.Name
		}
	}
	want := map[string]string{"clean": "--all", "remote": "--url", "remote add": "--fetch"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options: %s\nasked %q", diff, asked)
	}
}

// What an interpreter knows is found out by asking it, and what is no language is left alone.
func TestAnInterpreterIsAskedForItsLanguage(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	for program, want := range map[string]string{"perl": "chdir(\"file\");\n", "cat": ""} {
		s, err := newSession([]string{testenv.Program(t, program)}, runFlags{})
		if err != nil {
			t.Fatal(err)
		}
		scripts, err := s.language(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(scripts, ""); !strings.Contains(all, want) || want == "" && all != "" {
			t.Errorf("%s: the scripts are %q, want %q in them", program, all, want)
		}
	}
}

// Whether it is an interpreter on its standard input alone, this one cannot tell otherwise.
func TestWhatHangsOnItsInputIsNotAskedThereAgain(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	testenv.Program(t, "perl")
	for _, waits := range []bool{false, true} {
		s, err := newSession([]string{script(t, t.TempDir(), "target", "# chdir\nexec perl")}, runFlags{})
		if err != nil {
			t.Fatal(err)
		}
		s.waits = waits
		scripts, err := s.language(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := len(scripts) > 0; got == waits {
			t.Errorf("waits %v: the scripts are %q", waits, scripts)
		}
	}
}

func TestHangingWithAnInputIsNoticed(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	for body, want := range map[string]bool{"[ $# -gt 0 ] || exec sleep 86394": true, "[ $# = 0 ] || exec sleep 86394": false,
		"[ $# -gt 0 ] || [ -z \"$(cat)\" ] || exec sleep 86394": false} {
		runs := runFlags{backend: backendEBPF, timeout: time.Second}
		s, err := newSession([]string{script(t, t.TempDir(), "target", body)}, runs)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.study(t.Context(), make([]corpora.Seed, patience)); err != nil {
			t.Fatal(err)
		}
		if s.waits != want {
			t.Errorf("%s: got %v, want %v", body, s.waits, want)
		}
	}
}

// Programs that read an operand alone take seeds as well, even if of a format that is not common; what a program says of
// an operand that it does not read is the same whether there is such a file or not.
func TestSeedsAreTriedAsAnOperand(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	const missing = `[ -e "$1" ] || { echo "$1: not there"; exit 1; }; read -r first <"$1"; `
	few := slices.DeleteFunc(corpora.Pack(), func(s corpora.Seed) bool { return s.Name != "text-lines" && s.Name != "zip-files" })
	for _, c := range []struct {
		name, body string
		seeds      []corpora.Seed
		first      string // of the formats of seeds
		refused    bool
	}{
		{"common", missing + `case $first in PK*) ;; *) echo "$1: no archive"; exit 1; esac`, few, "zip", false},
		{"rare", missing + `case $first in MSCF*) ;; *) echo "$1: no cabinet"; exit 1; esac`, few, "cab", false},
		{"none", missing + `echo "$1: no input"; exit 1`, few, "text", true},
		{"its own", missing + `echo "$1: no input"; exit 1`, []corpora.Seed{{Data: []byte("some")}}, "", true},
		{"an answer", missing + `[ "$first" = no ] || exit 2`, few, "text", false},
		{"unread", `echo "$1: no such user"; exit 1`, few, "text", false},
		{"directories", missing + `[ -d "$1" ] || { echo "$1: no directory"; exit 1; }`, few, "text", false},
	} {
		s, err := newSession([]string{script(t, t.TempDir(), "target", c.body)}, runFlags{backend: backendEBPF})
		if err != nil {
			t.Fatal(err)
		}
		_, seeds, err := s.study(t.Context(), c.seeds)
		if err != nil {
			t.Fatal(err)
		}
		if got := seeds[0].Format; got != c.first || s.refused != c.refused {
			t.Errorf("%s: the first seed is of %q, refused is %v; want %q, %v", c.name, got, s.refused, c.first, c.refused)
		}
	}
}

func TestNothingIsAskedWhenItIsLate(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	testenv.Program(t, "perl")
	for _, late := range []bool{false, true} {
		target := script(t, t.TempDir(), "target", "# chdir\n[ \"$1\" != --help ] || { echo \"  -\"-gone  go away; exit; }\nexec perl")
		s, err := newSession([]string{target}, runFlags{backend: backendEBPF})
		if err != nil {
			t.Fatal(err)
		}
		if late {
			s.until = time.Unix(1, 0)
		}
		found, _, err := s.study(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		scripts, err := s.language(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		helped := slices.ContainsFunc(found.Table.Options, func(o mutate.Option) bool { return o.Name == "--gone" })
		if helped == late || len(scripts) > 0 == late {
			t.Errorf("late %v: helped %v, the scripts are %q", late, helped, scripts)
		}
	}
}

func TestRunsHaveTheTimeThatAskingLeaves(t *testing.T) {
	for _, c := range []struct{ duration, asking, want time.Duration }{
		{time.Minute, time.Second, 59 * time.Second},
		{time.Minute, 40 * time.Second, 30 * time.Second},
		{1, time.Second, 1}, // 0 would be no limit
		{0, time.Hour, 0},
	} {
		if got := remaining(c.duration, c.asking); got != c.want {
			t.Errorf("remaining(%v, %v) = %v, want %v", c.duration, c.asking, got, c.want)
		}
	}
}

func TestWhereAnOptionSpeaksOfArchivesTheSeedsHaveSome(t *testing.T) {
	seeds := []corpora.Seed{{Format: "gzip"}}
	table := mutate.Table{Options: []mutate.Option{{Name: "-z", About: "look inside compressed files"}}}
	got := packedFor(&table, seeds)
	if len(got) < 5 || slices.ContainsFunc(got, func(s corpora.Seed) bool { return s.Format == "gzip" || !corpora.IsPacked(s.Format) }) {
		t.Errorf("got %d beside the one of gzip: %v", len(got), got)
	}
	table.Options[0].About = "look inside"
	if got := packedFor(&table, seeds); got != nil {
		t.Errorf("got %d where none does", len(got))
	}
}
