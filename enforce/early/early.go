// Package early decides whether tjfuzz is to do nothing but become a program under a profile, and
// then does that before the packages are initialised that only other commands need: their tables
// take longer than all of such a start. It refuses to know messages, and everything that a start
// may be asked for besides: what is not the plainest start without a fault is left to the command,
// which begins anew. Its main hazard is a start that means something else here than there; so only
// what both do alike is done here, by the same functions.
//
// The Go runtime initialises packages in the order of their import paths, as far as what they
// import permits (The Go Programming Language Specification, "Package initialization"). A test
// holds that this one stands before those that take long.
package early

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
)

// failed is what kept the process from becoming the program, when it was tried.
var failed error

// There is no other place that comes before the packages of the command.
func init() {
	if profile, argv, ok := plain(os.Args); ok {
		failed = become(profile, argv)
	}
}

// Failed is what kept this process from becoming the program that it was started to become,
// by which it was left as [enforce.Become] leaves it; or nil.
func Failed() error { return failed }

// plain reads a command line that asks for nothing but a program under one profile, of which
// nothing is told.
func plain(args []string) (profile string, argv []string, ok bool) {
	if len(args) < 2 || args[1] != "enforce" {
		return "", nil, false
	}
	quiet, named := false, false
	for args = args[2:]; len(args) > 0; args = args[1:] {
		value, isPolicy := strings.CutPrefix(args[0], "--policy=")
		switch {
		case args[0] == "--quiet":
			quiet = true
			continue
		case args[0] == "--policy" && len(args) > 1:
			value, isPolicy, args = args[1], true, args[1:]
		case args[0] == "--":
			args = args[1:]
		}
		if !isPolicy {
			break
		}
		if named {
			return "", nil, false
		}
		profile, named = value, true
	}
	if !quiet || len(args) == 0 || args[0] == "" || args[0][0] == '-' {
		return "", nil, false
	}
	return profile, args, true
}

// become returns nil where the command is to do it.
func become(profile string, argv []string) error {
	path, err := LookUp(argv[0])
	if err != nil || enforce.Forfeits(path) != "" {
		return nil
	}
	p, ok := read(profile, argv[0])
	if !ok || len(p.Listeners()) > 0 {
		return nil
	}
	program, err := filter.Compile(p)
	if err != nil || filter.Check(program, p) != nil {
		return nil
	}
	c := AsIs(argv, path)
	c.Filter = program.Bytes()
	return enforce.Become(context.Background(), c)
}

// read reads a profile from a file that can be read again.
func read(path, program string) (*synth.Policy, bool) {
	if path == "" {
		path = DefaultProfile(program)
	}
	if filepath.Ext(path) != ".json" {
		return nil, false
	}
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return nil, false
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	p, err := format.ReadOCI(f)
	return p, err == nil
}

// DefaultProfile is where the profile of a program lies unless somebody says otherwise.
func DefaultProfile(program string) string { return filepath.Base(program) + ".seccomp.json" }

// LookUp is the absolute path of the program that a shell would run.
func LookUp(name string) (string, error) {
	if !strings.Contains(name, "/") {
		found, err := exec.LookPath(name)
		if err != nil && !errors.Is(err, exec.ErrDot) { // a shell whose PATH has "." runs it
			return "", err
		}
		name = found
	}
	return filepath.Abs(name)
}

// Executable is how a shell executes the program that was named, for the program
// may look at it: by the path as given, or by the path that was found.
func Executable(name, path string) string {
	if strings.Contains(name, "/") {
		return name
	}
	return path
}

// AsIs is a program, found at path, to run as if no tjfuzz stood in between.
func AsIs(argv []string, path string) enforce.Command {
	c := enforce.Command{Path: Executable(argv[0], path), Argv: argv, Env: os.Environ()}
	if files, ignored, ok := filter.Inherited(); ok {
		c.Files, c.Ignored = files, ignored
	}
	return c
}
