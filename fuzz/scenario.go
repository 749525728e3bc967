package fuzz

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Scenario is one thing that the engine runs: argv, environment, kind of
// standard input and files. It is a value: mutators copy it, never change it.
type Scenario struct {
	Argv  []string // Argv[0] is the program; "@@" inside an argument stands for the path of Input
	Env   []string // "KEY=VALUE" sets, "KEY" unsets, on top of the executor's base environment
	Stdin StdinKind
	Input []byte // the bytes of the @@ file, of standard input, where that carries any, and of what peers say
	Files []File // further files in the working directory
	World World  // what else is varied

	Before []Step // what the program did in the working directory before, the first first
	Acts   []Act  // what is done to the program while it runs, if it is a service; nil leaves it alone
}

// StdinKind says what standard input is. The zero value is invalid.
type StdinKind uint8

// The kinds of standard input.
const (
	StdinInvalid   StdinKind = iota
	StdinNull                // /dev/null
	StdinFile                // a regular file that holds Input
	StdinPipe                // a pipe that delivers Input and then ends
	StdinTerminal            // a terminal at which the first TypedSize bytes of Input are typed, but for control characters, and then the end of file
	StdinSocket              // a connected stream socket that delivers Input and then ends
	StdinDirectory           // a directory
	StdinClosed              // no descriptor
	stdinKinds
)

// TypedSize is less than what a terminal takes in one line (N_TTY_BUF_SIZE in drivers/tty/n_tty.c).
const TypedSize = 1024

var stdinNames = [stdinKinds]string{"", "null", "file", "pipe", "terminal", "socket", "directory", "closed"}

// File is a file that exists in the target's working directory before it runs.
type File struct {
	Name string // relative, without ".."
	Data []byte
	Kind FileKind
}

// Result is what one run showed.
type Result struct {
	Seen     []sysno.ID        // sorted, without duplicates
	Signals  []Signal          // sorted, without duplicates; an executor may leave out those that it has reported before
	Words    [][]byte          // what the target compares its input with, as far as this run was the first to show it; evidence of nothing
	ExitCode int               // valid when Signal is 0 and TimedOut is false
	Signal   int               // the signal that ended the target, 0 for none
	Place    Place             // where it was then, or waited when the time was up
	TimedOut bool              // the run was ended by the time limit
	Sought   bool              // the run was made by Seek, and may have been ended when it had shown enough
	Left     bool              // the target ended, but processes that it had started had to be killed
	Called   bool              // it tried to reach somebody over the network, where nobody is
	Asked    map[string]uint64 // what peers have been asked, by protocol
	Faulted  bool              // something was made to fail that would not have failed, or a call of the scenario's was made: what was seen is of an error path
	Stopped  bool              // it was still there when all of Scenario.Acts was done, or when its terminal was hung up, and ended by a signal that was sent to it; Signal is 0 then
	Said     []Exchange        // with a service, sorted by socket
	Waited   bool              // it waited at a terminal for something to be typed, and nothing was there
	Keyed    bool              // it did so for single keys, not for a line
	Acts     int               // how many of Scenario.Acts were begun before it ended
	Shown    []int             // for each of Seen the index of the act by which it was first seen, -1 before all and len(Scenario.Acts) after them; nil where that is not known
	Duration time.Duration
}

// Place is where in its code a program was when a signal ended it by its own fault, or it
// waited in a system call for longer than it may, in terms that are the same in all runs. The zero value says that it is not known.
type Place struct {
	Module string // name of the file that was mapped there, without directories
	Offset uint64 // in that file
	Caller uint64 // the innermost return address within the program's own code, from where that begins; 0 for none
}

// Clean reports whether the target ended by itself, by exit, and nothing was made to fail.
func (r *Result) Clean() bool { return r.Signal == 0 && !r.TimedOut && !r.Faulted && !r.Sought }

// Signal is something beside a syscall that a run showed, and that makes a scenario
// worth keeping when no run has shown it before. It is evidence of nothing.
type Signal struct {
	Kind SignalKind
	Key  uint64 // names one thing of its kind, in all runs and all processes alike
}

// SignalKind says what a Signal tells of. The zero value is invalid.
type SignalKind uint8

// The kinds, the most telling first.
const (
	SignalInvalid SignalKind = iota
	SignalValue              // an argument of a syscall had a value
	SignalErrno              // a syscall failed with an errno
	SignalPair               // two syscalls were made in one run; the engine sees that by itself
	SignalBlock              // a basic block of the program or of its libraries was reached
	SignalEdge               // an edge of an instrumented program was taken about so often
	SignalTree               // the target left another kind of tree in its working directory than it found there; every run tells
)

// String is what a signal of the kind is about, as a word.
func (k SignalKind) String() string {
	return [...]string{"invalid", "value", "errno", "pair", "block", "edge", "tree"}[k]
}

// Executor runs one scenario after the other. When Run returns, nothing of the
// target is alive. An error means that the run could not take place, not that
// the target failed. An Executor is used by one goroutine at a time.
type Executor interface {
	Run(ctx context.Context, s *Scenario) (*Result, error)
	Close() error
}

// Seeker is an Executor that can end runs early, if Seeks says so. Seek is Run for who wants to know only whether a scenario shows
// certain syscalls, sorted: the run is ended soon after it has shown the last of them. It is evidence of nothing but what no run of
// the executor has shown before.
type Seeker interface {
	Executor
	Seeks() bool
	Seek(ctx context.Context, s *Scenario, sought []sysno.ID) (*Result, error)
}

// ID is the short name of a scenario: 16 hexadecimal digits of a hash over all
// that the target can see of it. It is part of the state directory's format.
func (s *Scenario) ID() string {
	h := sha256.New()
	field := func(b string) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write([]byte(b))
	}
	list := func(words []string) {
		field(fmt.Sprint(len(words)))
		for _, w := range words {
			field(w)
		}
	}
	list(s.Argv)
	list(s.Env)
	field(s.Stdin.String())
	if s.usesInput() { // bytes that nobody can read make no difference
		field(string(s.Input))
	}
	for _, f := range s.Files {
		field(f.Name)
		field(string(f.Data))
	}
	if world := s.world(); len(world) > 0 {
		field("\x00world") // no file has such a name
		list(world)
	}
	if len(s.Before) > 0 {
		field("\x00before")
		list(s.steps())
	}
	if len(s.Acts) > 0 {
		field("\x00acts")
		list(ActWords(s.Acts))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Check reports what makes a scenario impossible to run.
func (s *Scenario) Check() error {
	if len(s.Argv) == 0 || s.Argv[0] == "" {
		return errors.New("no program")
	}
	if err := checkWords(s.Argv, s.Env); err != nil {
		return err
	}
	if s.Stdin.String() == "" {
		return errors.New("no kind of standard input")
	}
	for i, f := range s.Files {
		if !filepath.IsLocal(f.Name) || f.Name != filepath.Clean(f.Name) || f.Name == "." || strings.Contains(f.Name, "\x00") {
			return fmt.Errorf("file name %q leaves the working directory", f.Name)
		}
		if slices.ContainsFunc(s.Files[:i], func(o File) bool { return o.Name == f.Name }) {
			return fmt.Errorf("two files are named %q", f.Name)
		}
		if slices.ContainsFunc(s.Files, func(o File) bool { return strings.HasPrefix(o.Name, f.Name+"/") }) {
			return fmt.Errorf("the file %q is the directory of another", f.Name)
		}
	}
	return errors.Join(s.checkSteps(), s.checkWorld(), checkActs(s.Acts))
}

// checkWords reports which word or variable execve(2) cannot be given.
func checkWords(argv, env []string) error {
	for _, w := range slices.Concat(argv, env) {
		if strings.Contains(w, "\x00") {
			return fmt.Errorf("%q contains a NUL byte", w)
		}
	}
	for _, e := range env {
		if e == "" || e[0] == '=' {
			return fmt.Errorf("%q names no environment variable", e)
		}
	}
	return nil
}

// usesInput reports whether the target can see Input at all.
func (s *Scenario) usesInput() bool {
	return s.Stdin.carries() || s.World.Peers.answers() || s.usesFile() && (s.World.Input.holds() || s.World.Input == FileFIFO)
}

// usesFile reports whether an argument names the file that holds Input.
func (s *Scenario) usesFile() bool {
	return slices.ContainsFunc(s.Argv, func(w string) bool { return strings.Contains(w, mutate.Input) })
}

// dates reports whether the scenario can say when files were changed: it makes some, and what earlier
// runs have left has the times that it got there.
func (s *Scenario) dates() bool { return len(s.Before) == 0 && (len(s.Files) > 0 || s.usesFile()) }

// carries reports whether the target can read Input from standard input of the kind.
func (k StdinKind) carries() bool {
	switch k {
	case StdinFile, StdinPipe, StdinTerminal, StdinSocket:
		return true
	}
	return false
}

// String is the kind's name in files, empty for an invalid kind.
func (k StdinKind) String() string {
	if k >= stdinKinds {
		return ""
	}
	return stdinNames[k]
}
