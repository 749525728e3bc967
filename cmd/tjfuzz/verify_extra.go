package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// extraFlags name what is run under the policy beside what learn has kept.
type extraFlags struct {
	inputs   string
	commands string
}

func (e *extraFlags) add(f *pflag.FlagSet) {
	f.StringVar(&e.inputs, "inputs", "", "also run the program on each file of this `directory`, in the place of @@ or as standard input")
	f.StringVar(&e.commands, "commands", "", "also run the program with the arguments on each line of this `file`, in quotes as a shell wants them")
}

// scenarios are the further ones, each once.
func (e *extraFlags) scenarios(s *session) ([]kept, error) {
	var all []kept
	add := func(sc fuzz.Scenario) {
		id := sc.ID()
		if !slices.ContainsFunc(all, func(k kept) bool { return k.ID == id }) {
			all = append(all, kept{fuzz.Stored{ID: id, Scenario: sc}, sc.Command("")})
		}
	}
	if e.inputs != "" {
		err := filepath.WalkDir(e.inputs, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sc := s.base()
			sc.Input, sc.Stdin = data, fuzz.StdinPipe
			if slices.ContainsFunc(sc.Argv, func(a string) bool { return strings.Contains(a, mutate.Input) }) {
				sc.Stdin = fuzz.StdinNull
			}
			add(sc)
			return nil
		})
		if err != nil {
			return nil, hinted(fmt.Errorf("read the inputs: %w", err), "--inputs takes a directory of files")
		}
	}
	if e.commands != "" {
		f, err := openNamed(e.commands, "list of commands", "--commands takes a file with the arguments of one run on each line")
		if err != nil {
			return nil, err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			text := strings.TrimSpace(lines.Text())
			if text == "" || text[0] == '#' {
				continue
			}
			words, err := shellquote.Split(text)
			if err != nil {
				return nil, hinted(fmt.Errorf("%s: line %d: %w", e.commands, n, err), "words and quotes are as in a shell, but nothing is expanded")
			}
			sc := s.base()
			sc.Argv = append(slices.Clone(s.args[:s.fixed]), words...)
			sc.Stdin = fuzz.StdinNull
			add(sc)
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", e.commands, err)
		}
	}
	return all, nil
}
