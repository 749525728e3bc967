package fuzz

import (
	"context"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Scenario is one thing that the engine runs: argv, environment, kind of
// standard input and files. It is a value: mutators copy it, never change it.
type Scenario struct {
	Argv  []string // Argv[0] is the program; "@@" inside an argument stands for the path of Input
	Env   []string // "KEY=VALUE" sets, "KEY" unsets, on top of the executor's base environment
	Stdin StdinKind
	Input []byte // the bytes of the @@ file and, unless Stdin is StdinNull, of standard input
	Files []File // further files in the working directory
}

// StdinKind says what standard input is. The zero value is invalid.
type StdinKind uint8

// The kinds of standard input.
const (
	StdinInvalid StdinKind = iota
	StdinNull              // /dev/null
	StdinFile              // a regular file that holds Input
	StdinPipe              // a pipe that delivers Input and then ends
)

// File is a file that exists in the target's working directory before it runs.
type File struct {
	Name string // relative, without ".."
	Data []byte
}

// Result is what one run showed.
type Result struct {
	Seen     []sysno.ID // sorted, without duplicates
	ExitCode int        // valid when Signal is 0 and TimedOut is false
	Signal   int        // the signal that ended the target, 0 for none
	TimedOut bool       // the run was ended by the time limit
	Duration time.Duration
}

// Clean reports whether the target ended by itself, by exit.
func (r *Result) Clean() bool { return r.Signal == 0 && !r.TimedOut }

// Executor runs one scenario after the other. When Run returns, nothing of the
// target is alive. An error means that the run could not take place, not that
// the target failed. An Executor is used by one goroutine at a time.
type Executor interface {
	Run(ctx context.Context, s *Scenario) (*Result, error)
	Close() error
}
