package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
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
	f.DurationVar(&r.timeout, "timeout", 0, "end a single run after this `time` (default: by how long the first runs take)")
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

// fixture is what a target finds in its working directory beside its input, so
// that programs that work on files and directories have some.
func fixture() []fuzz.File {
	return []fuzz.File{
		{Name: "dir/file", Data: []byte("one\ntwo words\n")},
		{Name: "dir/sub/data.json", Data: []byte("{\"key\": [1, true, null]}\n")},
		{Name: "file", Data: []byte("two words\nthree\n")},
	}
}

// fixtureNames are the files and directories of the fixture.
func fixtureNames() []string {
	names := []string{"."}
	for _, f := range fixture() {
		for n := f.Name; n != "."; n = filepath.Dir(n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// base is the scenario that the command line stands for.
func (s *session) base() fuzz.Scenario { return fuzz.Scenario{Argv: s.args, Files: fixture()} }
