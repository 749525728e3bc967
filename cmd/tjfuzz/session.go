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

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/fuzz/mine"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// runFlags say how a target is run by learn and by verify.
type runFlags struct {
	state   string
	jobs    int
	timeout time.Duration
	noCage  bool
}

func (r *runFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.state, "state", "", "the state `directory` with scenarios and evidence (default "+stateRoot+"/PROGRAM)")
	f.DurationVar(&r.timeout, "timeout", 2*time.Second, "end a single run after this `time`")
	f.BoolVar(&r.noCage, "no-cage", false, "run the target in this very system; it can change and destroy things")
}

// session is a target with what is needed to run it again and again.
type session struct {
	path  string   // of the program
	args  []string // as given, files of this directory made absolute
	fixed int      // leading words of args that are the target itself
	text  string   // the file that knows the target's options: path, or an interpreter's script
	cage  *cage.Options
	runs  runFlags
}

// interpreters are programs whose first operand is the program that a person
// means. A version may follow, as in python3.11.
var interpreters = []string{"python", "pypy", "perl", "ruby", "node", "php", "lua", "luajit", "tclsh", "Rscript",
	"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "gawk", "guile", "java", "mono", "wine"}

// isInterpreter tells by the name.
func isInterpreter(path string) bool {
	return slices.Contains(interpreters, strings.TrimRight(filepath.Base(path), "0123456789."))
}

// newSession prepares to run the program that a person named.
func newSession(args []string, runs runFlags) (*session, error) {
	path, err := resolve(args[0])
	if err != nil {
		return nil, err
	}
	s := &session{path: path, args: slices.Clone(args), fixed: 1, text: path, runs: runs}
	if s.runs.state == "" {
		s.runs.state = defaultState(args[0])
	}
	// Targets start in an empty directory, so names relative to this one are
	// resolved now; and what lies in a place that a cage hides is shown there.
	expose := []string{filepath.Dir(path)}
	for i, a := range s.args[1:] {
		// A dot is jq's filter as often as a directory, and every run has a directory.
		if a == "." || strings.Contains(a, mutate.Input) {
			continue
		}
		abs, err := filepath.Abs(a)
		if a == "" || err != nil || !exists(abs) {
			continue
		}
		if !filepath.IsAbs(a) {
			s.args[i+1] = abs
		}
		expose = append(expose, abs)
		if st, err := os.Stat(abs); i == 0 && err == nil && st.Mode().IsRegular() && isInterpreter(path) {
			s.fixed, s.text = 2, abs
			expose = append(expose, filepath.Dir(abs)) // it may load what lies beside it
		}
	}
	if !runs.noCage {
		s.cage = &cage.Options{}
		for _, p := range expose {
			if real, err := filepath.EvalSymlinks(p); err == nil && real != p {
				expose = append(expose, real)
			}
		}
		for _, p := range expose {
			// A directory such as /tmp itself is private, not what lies in it.
			if slices.Contains([]string{"/tmp", "/run", "/dev/shm"}, p) {
				p = path
			}
			s.cage.Expose = append(s.cage.Expose, p)
		}
	}
	return s, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// executor starts an executor whose runs are recorded in a slot of rec, or not
// at all when rec is nil. With a filter, the target runs under it.
func (s *session) executor(rec *rawtp.Recorder, slot int, filter []byte) (*launch.Exec, *rawtp.Slot, error) {
	var watched *rawtp.Slot
	o := launch.Options{Program: s.path, Env: os.Environ(), Timeout: s.runs.timeout, Cage: s.cage, Filter: filter}
	if rec != nil {
		o.Watch = func() (launch.Watcher, error) {
			var err error
			watched, err = rec.Launcher(slot)
			return watched, err
		}
	}
	e, err := launch.New(o)
	if errors.Is(err, cage.ErrRights) {
		err = hinted(err, "run as root; --no-cage runs the target without protection")
	}
	return e, watched, err
}

// base is the scenario that the command line stands for. The target finds a
// small directory to work on beside its input.
func (s *session) base() fuzz.Scenario {
	return fuzz.Scenario{Argv: s.args, Files: []fuzz.File{
		{Name: "dir/file", Data: []byte("one\ntwo words\n")},
		{Name: "dir/sub/data.json", Data: []byte("{\"key\": [1, true, null]}\n")},
	}}
}

// patience is how many runs may hang until study asks no more: each costs a whole
// time limit, and a server never answers.
const patience = 3

// study finds out, without recording, what the target understands: from what it
// prints when it is asked for help, from its file, and from which of the seeds it
// accepts.
func (s *session) study(ctx context.Context, seeds []corpora.Seed) (mine.Found, []corpora.Seed, error) {
	e, _, err := s.executor(nil, 0, nil)
	if err != nil {
		return mine.Found{}, nil, err
	}
	defer e.Close()
	hung := 0
	try := func(sc *fuzz.Scenario) (*fuzz.Result, error) {
		if hung == patience {
			return &fuzz.Result{TimedOut: true}, nil
		}
		r, err := e.Run(ctx, sc)
		if err != nil {
			return nil, runError(err, s.args[0])
		}
		if r.TimedOut {
			hung++
		}
		return r, nil
	}
	ask := func(words ...string) ([]byte, error) {
		sc := fuzz.Scenario{Argv: append(slices.Clone(s.args[:s.fixed]), words...), Stdin: fuzz.StdinNull}
		r, err := try(&sc)
		if err != nil {
			return nil, err
		}
		if r.TimedOut {
			return nil, nil // this is no answer
		}
		return append(e.Output(), "\n\n"...), nil
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
	found, err := mine.Program(f, help)
	if err != nil {
		return mine.Found{}, nil, err
	}
	found.Table.Sub = make(map[string][]mutate.Option)
	for _, command := range found.Table.Commands[:min(len(found.Table.Commands), maxAsked)] {
		text, err := ask(command, "--help")
		if err != nil {
			return mine.Found{}, nil, err
		}
		if options := mine.Help(text).Options; len(options) > 0 {
			found.Table.Sub[command] = options
		}
	}
	seeds, formats, err := s.accepted(try, seeds)
	for _, f := range formats {
		found.Dictionary = append(found.Dictionary, corpora.Dictionary(f)...)
	}
	return found, seeds, err
}

// maxAsked bounds how many sub-commands are asked for help.
const maxAsked = 256

// discerning is how many formats a target may accept and still tell us something
// by it: what copies its input accepts them all.
const discerning = 8

// accepted puts the seeds first whose format the target takes without complaint,
// and adds the other seeds of those formats.
func (s *session) accepted(try func(*fuzz.Scenario) (*fuzz.Result, error), seeds []corpora.Seed) (_ []corpora.Seed, formats []string, err error) {
	ranked := corpora.Rank(seeds, func(seed corpora.Seed) bool {
		sc := s.base()
		sc.Stdin, sc.Input = fuzz.StdinPipe, seed.Data
		r, e := try(&sc)
		if e != nil {
			err = e
			return false
		}
		ok := r.Clean() && r.ExitCode == 0
		if ok && seed.Format != "" {
			formats = append(formats, seed.Format)
		}
		return ok
	})
	if err != nil {
		return nil, nil, err
	}
	if len(formats) > discerning {
		return seeds, nil, nil
	}
	for _, p := range corpora.Pack() {
		if slices.Contains(formats, p.Format) && !slices.ContainsFunc(ranked, func(r corpora.Seed) bool { return r.Name == p.Name }) {
			ranked = append(ranked, p)
		}
	}
	return ranked, formats, nil
}

// readDictionary reads a dictionary in AFL's format; without a path, an empty one.
func readDictionary(path string) (mutate.Dictionary, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, hinted(fmt.Errorf("read the dictionary: %w", err), "-x takes a file of lines like name=\"token\"")
	}
	d, err := mutate.ReadDictionary(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}
