package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/fuzz/mine"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// patience is how many runs may hang until study asks no more: each costs a whole
// time limit, and a server never answers.
const patience = 3

// study finds out, without keeping a record, what the target understands: from what it
// prints when it is asked for help, from its file, and from which of the seeds it
// accepts; and what can be varied here. What language it interprets takes many more runs: see callSeeds.
func (s *session) study(ctx context.Context, seeds []corpora.Seed) (mine.Found, []corpora.Seed, error) {
	var rec recorder
	if s.runs.backend != backendEBPF {
		// It slows the target down, which the time limit has to allow for.
		var err error
		if rec, err = s.runs.backend.open(recording{slots: 1}); err != nil {
			return mine.Found{}, nil, err
		}
		defer rec.Close()
	}
	e, _, err := s.executor(rec, 0)
	if err != nil {
		return mine.Found{}, nil, err
	}
	defer func() { e.Close() }()
	s.can = s.abilities(e)
	if !s.can.User && slices.ContainsFunc(s.users, func(u fuzz.User) bool { return u != fuzz.UserSame }) {
		return mine.Found{}, nil, hinted(fmt.Errorf("%s cannot be run as another user", s.args[0]),
			"that takes root, and a program that everybody may read and execute, in directories that everybody may enter")
	}
	if err := s.survey(ctx, e); err != nil {
		return mine.Found{}, nil, err
	}
	if e, err = s.resurvey(ctx, e, rec); err != nil {
		return mine.Found{}, nil, err
	}
	if s.asking > 0 {
		s.until = time.Now().Add(s.asking)
	}
	hung, slowest := 0, time.Duration(0)
	var piped struct{ hung, ended int }
	try := func(sc *fuzz.Scenario) (*fuzz.Result, error) {
		if hung == patience || s.late() {
			return &fuzz.Result{TimedOut: true}, nil
		}
		r, err := e.Run(ctx, sc)
		if err != nil {
			return nil, runError(err, s.args[0])
		}
		if r.TimedOut {
			hung++
			if sc.Stdin == fuzz.StdinPipe {
				piped.hung++
			}
		} else {
			if sc.Stdin == fuzz.StdinPipe {
				piped.ended++
			}
			slowest = max(slowest, r.Duration)
		}
		return r, nil
	}
	answer := func(sc fuzz.Scenario) ([]byte, error) {
		r, err := try(&sc)
		if err != nil {
			return nil, err
		}
		if r.TimedOut {
			return nil, nil // this is no answer
		}
		return append(e.Output(), "\n\n"...), nil
	}
	ask := func(words ...string) ([]byte, error) {
		return answer(fuzz.Scenario{Argv: append(slices.Clone(s.args[:s.fixed]), words...), Stdin: fuzz.StdinNull, Acts: s.base().Acts})
	}
	var help []byte
	for _, words := range [][]string{{"--help"}, {"-h"}, {"help"}, {"-help"}, {"--help", "all"}} {
		text, err := ask(words...)
		if err != nil {
			return mine.Found{}, nil, err
		}
		help = append(help, text...)
	}
	f, err := os.Open(s.text)
	if err != nil {
		return mine.Found{}, nil, fmt.Errorf("read the program: %w", err)
	}
	defer f.Close()
	page := manPage(s.text)
	found, err := mine.Program(f, help, page)
	if err != nil {
		return mine.Found{}, nil, err
	}
	found.Table.Names = fixtureNames()
	found.Table.Examples = mine.Examples(filepath.Base(s.text), help, page)
	found.Table.Listed = mine.Listed(filepath.Base(s.text), help, page)
	if err := s.commands(&found.Table, ask); err != nil {
		return mine.Found{}, nil, err
	}
	if s.can.Peers {
		// A few come before what the texts show, so that each option is tried with one.
		callees := mine.Callees(help, &found.Table)
		few := min(3, len(callees))
		found.Table.Examples = slices.Concat(callees[:few], found.Table.Examples, callees[few:])
	}
	var formats []string
	if len(s.doors) == 0 { // a service accepts nothing, and ends only when it is told to
		seeds, formats, err = s.accepted(try, e.Output, seeds)
	}
	s.waits = piped.hung == patience && piped.ended == 0
	if s.runs.timeout == 0 {
		if slowest == 0 && hung == 0 && s.late() { // nothing is known of it
			slowest = time.Hour
		}
		s.runs.timeout = limit(slowest)
	}
	for _, f := range formats {
		found.Dictionary = append(found.Dictionary, corpora.Dictionary(f)...)
	}
	found.Table = found.Table.Merge(mutate.Table{Texts: texts(seeds)})
	if err != nil {
		return mine.Found{}, nil, err
	}
	if len(s.doors) > 0 {
		return found, slices.Concat(seeds, listSeeds(found.Table.Names)), nil
	}
	questions := s.base()
	questions.Stdin, questions.Input = fuzz.StdinPipe, []byte(mine.Questions)
	commands, err := answer(questions)
	if err != nil {
		return mine.Found{}, nil, err
	}
	strs, err := mine.Strings(f)
	if err != nil {
		return mine.Found{}, nil, fmt.Errorf("read the program: %w", err)
	}
	known := commandSeeds("command", mine.Script(commands, strs, fixtureFile, fixtureDir), seeds)
	return found, slices.Concat(seeds, listSeeds(found.Table.Names), known), nil
}

// resurvey adopts the configuration that a service reads by itself, where nothing else was said of any, and surveys it where targets
// start then. The executor that it returns takes the place of e.
func (s *session) resurvey(ctx context.Context, e *launch.Exec, rec recorder) (*launch.Exec, error) {
	if !s.mayAdopt || len(s.doors) == 0 {
		return e, nil
	}
	back, doors := s.standing(), len(s.doors)
	adopted, err := s.adopt()
	if err != nil || !adopted {
		return e, err
	}
	anew, _, err := s.executor(rec, 0)
	if err != nil {
		return e, err
	}
	s.doors, s.talks = nil, nil // what is said would end it
	if err := s.survey(ctx, anew); err != nil {
		return e, errors.Join(err, anew.Close())
	}
	if len(s.doors) < doors { // it needs to start elsewhere
		back()
		return e, anew.Close()
	}
	return anew, e.Close()
}

// standing remembers where targets start and what was found of them there, for the function that it returns to go back to.
func (s *session) standing() (back func()) {
	exec, files, confs, guessed, moved, cage := s.exec, slices.Clone(s.files), s.confs, s.guessed, s.moved, *s.cage
	doors, talks, verbTalks, complained := s.doors, s.talks, s.verbTalks, s.complained
	return func() {
		s.exec, s.files, s.confs, s.guessed, s.moved, *s.cage = exec, files, confs, guessed, moved, cage
		s.doors, s.talks, s.verbTalks, s.complained = doors, talks, verbTalks, complained
	}
}

// listSeeds are seeds for a target that reads the names of the files it is to work on,
// as people and as find -print0 write them.
func listSeeds(names []string) []corpora.Seed {
	lines := strings.Join(names, "\n") + "\n"
	return []corpora.Seed{
		{Name: "names", Data: []byte(lines)},
		{Name: "names-0", Data: []byte(strings.ReplaceAll(lines, "\n", "\x00"))},
	}
}

// commandSeeds are seeds for a target that reads commands: each comes after the small text that
// the target likes best, for many commands show or save what was said before.
func commandSeeds(name string, commands []string, seeds []corpora.Seed) []corpora.Seed {
	var before []byte
	for _, s := range seeds {
		if len(s.Data) <= 4<<10 && printable(string(s.Data)) {
			before = append(slices.Clone(s.Data), '\n')
			break
		}
	}
	var out []corpora.Seed
	for i, c := range commands {
		out = append(out, corpora.Seed{Name: fmt.Sprintf("%s-%d", name, i+1), Data: append(slices.Clone(before), c...)})
	}
	return out
}

// commands asks the sub-commands in t what they understand, and those that these have
// themselves.
func (s *session) commands(t *mutate.Table, ask func(words ...string) ([]byte, error)) error {
	t.Sub = make(map[string][]mutate.Option)
	program := filepath.Base(s.text)
	todo := slices.Clone(t.Commands)
	for asked := 0; asked < len(todo) && asked < maxAsked; asked++ {
		words := strings.Fields(todo[asked])
		page := manPage(s.text + "-" + strings.Join(words, "-"))
		questions := [][]string{append(slices.Clone(words), "--help"), append([]string{"help"}, words...)} // some know it in this form alone
		if len(page) > 0 {                                                                                 // those that have one mostly show it, which takes long
			questions = append([][]string{append(slices.Clone(words), "-h")}, questions...)
		}
		var text []byte
		var known mutate.Table
		for _, q := range questions {
			var err error
			if text, err = ask(q...); err != nil {
				return err
			}
			if known = mine.Help(text); len(known.Options) > 0 {
				break
			}
		}
		t.Examples = append(t.Examples, mine.Examples(program, text, page)...)
		if options := known.Merge(mine.Man(page)).Options; len(options) > 0 {
			t.Sub[todo[asked]] = options
		}
		if len(words) > 1 || slices.Equal(known.Commands, t.Commands) { // the text is that of the program
			continue
		}
		for _, c := range known.Commands[:min(len(known.Commands), maxNested)] {
			if !slices.Contains(t.Commands, c) {
				todo = append(todo, todo[asked]+" "+c)
			}
		}
	}
	*t = t.Merge(mutate.Table{Commands: todo})
	return nil
}

// maxNested bounds how many sub-commands of a sub-command are asked.
const maxNested = 16

// manPage is the source of the manual page of a program, or nothing. It is one source of
// guesses among several, so a page that cannot be read is none.
func manPage(program string) []byte {
	name := filepath.Base(program)
	page, err := mine.ManPage(os.DirFS("/usr/share/man"), strings.TrimSuffix(name, filepath.Ext(name)))
	if err != nil {
		return nil
	}
	return page
}

// texts are the small seeds that could stand on a command line, and their lines:
// a query, a filter, an expression.
func texts(seeds []corpora.Seed) []string {
	const most, longest = 256, 200
	var out []string
	for _, s := range seeds {
		text := strings.TrimSpace(string(s.Data))
		if len(s.Data) > 4<<10 || !printable(text) {
			continue
		}
		for _, t := range append([]string{text}, strings.Split(text, "\n")...) {
			if t = strings.TrimSpace(t); t != "" && len(t) <= longest && len(out) < most {
				out = append(out, t)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) })
}

// limit is ten times what the slowest of the first runs took, in coarse steps: how
// fast the machine was just then is not to decide what the session finds.
func limit(slowest time.Duration) time.Duration {
	steps := []time.Duration{time.Second, 3 * time.Second, 10 * time.Second}
	for _, s := range steps {
		if 10*slowest <= s {
			return s
		}
	}
	return steps[len(steps)-1]
}

// maxAsked bounds how many sub-commands are asked for help.
const maxAsked = 256

// discerning is how many formats a target may accept and still tell us something
// by it: what copies its input accepts them all.
const discerning = 8

// tooMany is how many seeds are more than a session has time for: of the formats that the
// target does not accept, a few must do then.
const (
	tooMany     = 512
	fewOfFormat = 8
)

// accepted puts the seeds first whose format the target takes without complaint, and adds the other built-in seeds
// of those formats, if the seeds are built-in. What takes none of those that it reads is asked about all other formats.
func (s *session) accepted(try func(*fuzz.Scenario) (*fuzz.Result, error), output func() []byte, seeds []corpora.Seed) ([]corpora.Seed, []string, error) {
	var err error
	hung, code := false, 0
	// ends runs the target with an input, and reports whether it was content.
	ends := func(sc fuzz.Scenario, input []byte) bool {
		if err != nil {
			return false
		}
		sc.Input = input
		var r *fuzz.Result
		if r, err = try(&sc); err != nil {
			return false
		}
		hung, code = hung || r.TimedOut, r.ExitCode
		return r.Clean() && r.ExitCode == 0
	}
	// reads reports whether the target says something else of an input, which is none for it, than of a file that is not there,
	// and fails in the same way: another exit code may be its answer, as that of grep is. What works on directories may do so, too.
	reads := func(sc fuzz.Scenario) bool {
		const absent = "-absent"
		gone, dir := sc, sc
		gone.Argv = slices.Clone(sc.Argv)
		for i, a := range gone.Argv {
			gone.Argv[i] = strings.ReplaceAll(a, mutate.Input, mutate.Input+absent)
		}
		dir.World.Input = fuzz.FileDirectory
		if ends(gone, nil) {
			return false
		}
		missed, failed := bytes.ReplaceAll(output(), []byte(absent), nil), code
		return !ends(sc, []byte("text\n")) && code == failed && !bytes.Equal(missed, output()) && !ends(dir, nil)
	}
	took := 0
	rank := func(way fuzz.Scenario, seeds []corpora.Seed) (ranked []corpora.Seed, formats []string) {
		took = 0
		return corpora.Rank(seeds, func(seed corpora.Seed) bool {
			ok := ends(way, seed.Data)
			if ok {
				took++
			}
			return ok
		})
	}
	ways := s.ways()
	ranked, formats := rank(ways[0], seeds)
	if len(ways) > 1 && (took == 0 || len(formats) > discerning) {
		before := took
		if order, taken := rank(ways[1], seeds); 0 < took && len(taken) <= discerning {
			ranked, formats = order, taken
		} else {
			took += before
		}
	}
	if way := ways[len(ways)-1]; took == 0 && len(seeds) > 0 && namesInput(way) && reads(way) {
		var others []corpora.Seed
		if !slices.ContainsFunc(seeds, func(s corpora.Seed) bool { return s.Kind == corpora.KindUnknown }) {
			others, formats = rank(way, corpora.Others(seeds))
		}
		s.refused = took == 0 && !hung
		ranked = slices.Concat(slices.DeleteFunc(others, func(o corpora.Seed) bool { return !slices.Contains(formats, o.Format) }), ranked)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(formats) > discerning {
		ranked, formats = seeds, nil
	}
	if len(ranked) > tooMany {
		ranked = corpora.Pick(ranked, formats, fewOfFormat)
	}
	for _, p := range corpora.Pack() {
		builtIn := func(r corpora.Seed) bool { return r.Format == p.Format && r.Kind != corpora.KindUnknown }
		if slices.Contains(formats, p.Format) && slices.ContainsFunc(ranked, builtIn) && !slices.ContainsFunc(ranked, func(r corpora.Seed) bool { return r.Name == p.Name }) {
			ranked = append(ranked, p)
		}
	}
	return ranked, formats, nil
}

// ways are those in which the target is asked about seeds: on its standard input, or in the file that the command line
// names; and as its only operand, where it was given none.
func (s *session) ways() []fuzz.Scenario {
	piped := s.base()
	piped.Stdin = fuzz.StdinPipe
	out := []fuzz.Scenario{piped}
	if len(s.args) == s.fixed {
		operand := s.base()
		operand.Argv = append(slices.Clone(operand.Argv), mutate.Input)
		operand.Stdin = fuzz.StdinNull
		out = append(out, operand)
	}
	return out
}

func namesInput(sc fuzz.Scenario) bool {
	return slices.ContainsFunc(sc.Argv, func(a string) bool { return strings.Contains(a, mutate.Input) })
}
