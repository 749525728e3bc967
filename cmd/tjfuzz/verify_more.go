package main

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// moreFlags name what is run under the policy beside what learn has kept.
type moreFlags struct {
	inputs   string
	commands string
}

func (m *moreFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.inputs, "inputs", "", "also run the program on each file of this `directory`, in the place of @@ or as standard input")
	f.StringVar(&m.commands, "commands", "", "also run the program with the arguments on each line of this `file`, in quotes as a shell wants them")
}

// scenarios are the further ones, each once.
func (m *moreFlags) scenarios(s *session) ([]kept, error) {
	var all []kept
	add := func(sc fuzz.Scenario) {
		id := sc.ID()
		if !slices.ContainsFunc(all, func(k kept) bool { return k.ID == id }) {
			all = append(all, kept{fuzz.Stored{ID: id, Scenario: sc}, sc.Command("")})
		}
	}
	if m.inputs != "" {
		err := filepath.WalkDir(m.inputs, func(path string, d fs.DirEntry, err error) error {
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
	if m.commands != "" {
		f, err := openNamed(m.commands, "list of commands", "--commands takes a file with the arguments of one run on each line")
		if err != nil {
			return nil, err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			words, err := words(lines.Text())
			if err != nil {
				return nil, hinted(fmt.Errorf("%s: line %d: %w", m.commands, n, err), "close the quote; a backslash takes the next character as it is")
			}
			if text := strings.TrimSpace(lines.Text()); text == "" || text[0] == '#' {
				continue
			}
			sc := s.base()
			sc.Argv = append(slices.Clone(s.args[:s.fixed]), words...)
			sc.Stdin = fuzz.StdinNull
			add(sc)
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", m.commands, err)
		}
	}
	return all, nil
}

// words splits a line as a shell does, but expands nothing.
func words(line string) ([]string, error) {
	var (
		all   []string
		word  strings.Builder
		begun bool
		quote rune
		plain bool // the next character stands for itself
	)
	for _, r := range line {
		switch {
		case plain:
			word.WriteRune(r)
			plain = false
		case r == '\\' && quote != '\'':
			plain, begun = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if begun {
				all = append(all, word.String())
				word.Reset()
			}
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 || plain {
		return nil, errors.New("a quote is open at the end")
	}
	if begun {
		all = append(all, word.String())
	}
	return all, nil
}

// writeJUnit writes the results as CI systems read them: a test case for each scenario.
func writeJUnit(w io.Writer, profile string, results []enforce.Result) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Failure *failure `xml:"failure"`
	}
	type testsuite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	suite := testsuite{Name: profile, Tests: len(results)}
	for _, r := range results {
		c := testcase{Name: r.ID, Class: profile}
		if len(r.Violations) > 0 {
			suite.Failures++
			var calls []string
			for _, v := range r.Violations {
				calls = append(calls, v.Syscall)
			}
			c.Failure = &failure{"refused: " + strings.Join(calls, ", "), "violation", legible(r.Command) + "\n" + r.End}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
