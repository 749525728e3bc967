package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var (
	anew        = flag.Bool("update", false, "write docs/commands.md anew")
	manual      = flag.String("man", "", "write the manual pages to this directory")
	completions = flag.String("completions", "", "write the completions to this directory")
)

// The reference of the commands is what they say of themselves.
func TestTheReferenceIsWhatTheCommandsSay(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("# Commands\n\nWhat `--help` says of each command.\n")
	for _, c := range append([]*cobra.Command{newRoot(nil)}, newRoot(nil).Commands()...) {
		if c.Name() == "help" {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n```text\n", c.CommandPath())
		c.SetOut(&b)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		b.WriteString("```\n")
	}
	const path = "../../docs/commands.md"
	if *anew {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got); go test ./cmd/tjfuzz -run %s -update writes it anew:\n%s", path, t.Name(), diff)
	}
}

// Each command has a manual page with examples. `make release` takes them from here, so
// that what makes them is no part of the program.
func TestEachCommandHasAManualPage(t *testing.T) {
	dir := *manual
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot(nil)
	root.DisableAutoGenTag = true
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "tjfuzz " + version, Manual: "tjfuzz"}, dir); err != nil {
		t.Fatal(err)
	}
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			continue
		}
		page, err := os.ReadFile(filepath.Join(dir, "tjfuzz-"+c.Name()+".1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXAMPLE"} {
			if !strings.Contains(string(page), part) {
				t.Errorf("the page of %s has no %q", c.Name(), part)
			}
		}
	}
}

// What --help shows is a command that there is, with flags that it has.
func TestExamplesAreCommandsThatThereAre(t *testing.T) {
	shown := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for _, line := range strings.Split(strings.ReplaceAll(c.Example, "\\\n", " "), "\n") {
			_, args, ok := strings.Cut(" "+line, " tjfuzz ")
			if !ok || strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			words, err := shellquote.Split(args)
			if err != nil {
				t.Errorf("%s: %s: %v", c.CommandPath(), line, err)
				continue
			}
			if i := slices.IndexFunc(words, func(w string) bool { return strings.Trim(w, "|>&;") == "" || w == "#" }); i >= 0 {
				words = words[:i] // what follows is the shell's
			}
			found, rest, err := newRoot(nil).Find(words)
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err != nil || !found.HasParent() {
				t.Errorf("%s: %s: found %q, %v", c.CommandPath(), line, found.CommandPath(), err)
			}
			shown++
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(newRoot(nil))
	if shown < 50 {
		t.Errorf("only %d examples were found", shown)
	}
}

// Shells are told what to complete in files that packages install.
func TestShellsComplete(t *testing.T) {
	dir := *completions
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRoot(nil)
	for name, write := range map[string]func(io.Writer) error{
		"tjfuzz.bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"tjfuzz.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"_tjfuzz":     root.GenZshCompletion,
	} {
		var out bytes.Buffer
		if err := write(&out); err != nil || !strings.Contains(out.String(), "tjfuzz") {
			t.Fatalf("%s: %v, %d bytes", name, err, out.Len())
		}
		if err := os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A command is the same whether it is made alone, as at a start, or with all others.
func TestACommandIsFoundByItsName(t *testing.T) {
	all := newRoot(nil)
	for _, c := range commands {
		alone, _, err := newRoot([]string{c.name, "--help"}).Find([]string{c.name})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		together, _, err := all.Find([]string{c.name})
		if err != nil || alone.Name() != c.name || alone.Long != together.Long {
			t.Errorf("by the name %s comes %s, and %s among all commands (%v)", c.name, alone.Name(), together.Name(), err)
		}
	}
}
