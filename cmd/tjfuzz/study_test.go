package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
