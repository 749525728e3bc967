package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce/early"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/forced"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// runFlags say how a target is run by learn and by verify.
type runFlags struct {
	state   string
	jobs    int
	timeout time.Duration
	noCage  bool
	backend backend
}

func (r *runFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.state, "state", "", "the state `directory` with scenarios and evidence (default "+stateRoot+"/PROGRAM)")
	f.DurationVar(&r.timeout, "timeout", 0, "end a single run when it has used this CPU `time`, or none for as long (default: by how long the first runs take)")
	r.backend.add(f)
	f.BoolVar(&r.noCage, "no-cage", false, "run the target in this very system; it can change and destroy things")
}

// session is a target with what is needed to run it again and again.
type session struct {
	path       string      // of the program, absolute
	exec       string      // the same as a shell would execute it
	args       []string    // as given
	more       [][]string  // further command lines, as args
	fixed      int         // leading words of args that are the target itself
	files      []fuzz.File // beside the fixture, or in its place
	env        []string    // changes of the environment
	confs      []string    // names of those of files that are configurations
	guessed    []string    // the command line's words for those, where nobody named any, and files that they include
	mayAdopt   bool        // whether they may be those that a service's own file names, as nothing else does
	moved      string      // the directory that targets start in for the sake of those; empty: they are below the usual one
	text       string      // the file that knows the target's options: path, or an interpreter's script
	cage       *cage.Options
	runs       runFlags
	can        fuzz.Abilities // once it was studied
	users      []fuzz.User    // whose process targets are; none: the usual
	said       []door         // what a scenario file says of sockets
	doors      []door         // where it can be talked to, if it is a service, once it was studied
	talks      [][]fuzz.Act   // what to say there
	verbTalks  [][]fuzz.Act   // what else, if words in its file are commands
	complained string         // how the program fails as it was called, if it does
	refused    bool           // whether it reads its input, and took none of the seeds
	code       *coverage.Map  // of which runs tell whether they reached more; nil: they do not tell
	calls      forced.Search  // for what it can be made to call
	asking     time.Duration  // for how long the target is asked, once it is known whether it is a service; 0: until all is asked
	until      time.Time      // when that ends
	waits      bool           // whether it hung whenever it had a standard input, when it was studied
}

// late reports whether no more is to be asked.
func (s *session) late() bool { return !s.until.IsZero() && time.Now().After(s.until) }

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
	s := &session{path: path, exec: early.Executable(args[0], path), args: slices.Clone(args), fixed: 1, text: path, runs: runs}
	if s.runs.state == "" {
		s.runs.state = defaultState(args[0])
	}
	expose := []string{filepath.Dir(path)}
	relative := s.exec != path
	for i, a := range s.args[1:] {
		// A dot is jq's filter as often as a directory, and every run has a directory.
		if a == "" || a == "." || strings.Contains(a, mutate.Input) || !exists(a) {
			continue
		}
		abs, err := filepath.Abs(a)
		if err != nil {
			return nil, fmt.Errorf("resolve %s: %w", a, err)
		}
		relative = relative || !filepath.IsAbs(a)
		expose = append(expose, abs)
		if st, err := os.Stat(a); i == 0 && err == nil && st.Mode().IsRegular() && isInterpreter(path) {
			s.fixed, s.text = 2, abs
			expose = append(expose, filepath.Dir(abs)) // it may load what lies beside it
		}
	}
	if runs.noCage {
		return s, s.resolveArgs()
	}
	s.cage = &cage.Options{Run: runDirs(textsOf(path, s.args[1:]), packaged)}
	if relative {
		err = s.startHere()
	}
	s.expose(expose)
	return s, err
}

// startHere makes the target start in the current directory, to which words of
// its command line are relative. Otherwise it starts in an empty one, where less
// distracts it.
func (s *session) startHere() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	if dir == "/" {
		return s.resolveArgs()
	}
	s.cage.Dir, s.cage.Hide = dir, []string{stateRoot}
	return nil
}

// resolveArgs makes the words of the command lines that name files absolute.
func (s *session) resolveArgs() error {
	s.exec = s.path
	for _, args := range append([][]string{s.args}, s.more...) {
		for i, a := range args[1:] {
			if a == "" || a == "." || !exists(a) {
				continue
			}
			abs, err := filepath.Abs(a)
			if err != nil {
				return fmt.Errorf("resolve %s: %w", a, err)
			}
			args[i+1] = abs
		}
	}
	return nil
}

// expose shows paths in the cage that lie where it is private, and what they are
// links to.
func (s *session) expose(paths []string) {
	for _, p := range paths {
		if real, err := filepath.EvalSymlinks(p); err == nil && real != p {
			paths = append(paths, real)
		}
	}
	for _, p := range paths {
		// A directory such as /tmp itself is private, not what lies in it.
		if slices.Contains([]string{"/tmp", "/run", "/dev/shm"}, p) {
			p = s.path
		}
		if s.cage.Dir == "" || p != s.cage.Dir && !strings.HasPrefix(p, s.cage.Dir+"/") {
			s.cage.Expose = append(s.cage.Expose, p)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// executor starts an executor whose runs are recorded by a launcher of rec, or not
// at all when rec is nil.
func (s *session) executor(rec recorder, slot int) (*launch.Exec, watcher, error) {
	var watched watcher
	o := launch.Options{Program: s.exec, Env: os.Environ(), Timeout: s.runs.timeout, Cage: s.cage, ForkServer: true, Pretend: s.runs.backend != backendNotify, Coverage: s.code, Calls: &s.calls, Trees: s.code != nil}
	if rec != nil {
		o.Filter = rec.filter()
		o.Watch = func() (launch.Watcher, error) {
			var err error
			watched, err = rec.launcher(slot)
			return watched, err
		}
	}
	e, err := launch.New(o)
	if errors.Is(err, cage.ErrRights) {
		err = hinted(err, "run as root; --no-cage runs the target without protection")
	}
	return e, watched, err
}

// abilities says what of a scenario's world can be made here. What a filter refuses is
// not seen by one that notifies, so calls are not made to fail below it.
func (s *session) abilities(e *launch.Exec) fuzz.Abilities {
	can := e.Can()
	can.Faults = can.Faults && s.runs.backend != backendNotify
	if s.runs.backend == backendPtrace { // a process has one tracer
		can.TimeOfDay, can.Calls = false, nil
	}
	return can
}

// fixture is what a target finds in its working directory beside its input, so
// that programs that work on files and directories have some.
func fixture() []fuzz.File {
	return []fuzz.File{
		{Name: fixtureDir + "/dangling", Kind: fuzz.FileDangling},
		{Name: fixtureDir + "/file", Data: []byte("one\ntwo words\n")},
		{Name: fixtureDir + "/link", Data: []byte("one\ntwo words\n"), Kind: fuzz.FileSymlink},
		{Name: fixtureDir + "/sub/data.json", Data: []byte("{\"key\": [1, true, null]}\n")},
		{Name: fixtureFile, Data: []byte("two words\nthree\n")},
	}
}

// A file and a directory of the fixture.
const (
	fixtureFile = "file"
	fixtureDir  = "dir"
)

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
func (s *session) base() fuzz.Scenario { return s.scenario(s.args) }

// bases are those of all command lines.
func (s *session) bases() []fuzz.Scenario {
	var all []fuzz.Scenario
	for _, args := range append([][]string{s.args}, s.more...) {
		sc := s.scenario(args)
		all = append(all, sc)
		for _, u := range s.users[min(1, len(s.users)):] {
			sc.World.User = u
			all = append(all, sc)
		}
	}
	return all
}

func (s *session) scenario(args []string) fuzz.Scenario {
	files := slices.Clone(s.files)
	placed := fixture()
	if slices.ContainsFunc(s.doors, func(d door) bool { return d.protocol == protocolHTTP }) {
		placed = append(placed, webPage())
	}
	for _, f := range placed {
		within := func(a, b string) bool { return a == b || strings.HasPrefix(a, b+"/") }
		if !slices.ContainsFunc(s.files, func(o fuzz.File) bool { return within(f.Name, o.Name) || within(o.Name, f.Name) }) {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b fuzz.File) int { return strings.Compare(a.Name, b.Name) })
	sc := fuzz.Scenario{Argv: args, Env: s.env, Files: files}
	if len(s.users) > 0 {
		sc.World.User = s.users[0]
	}
	if len(s.talks) > 0 {
		sc.Stdin, sc.Acts = fuzz.StdinNull, s.talks[0]
	}
	return sc
}
