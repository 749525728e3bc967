// Package foreign decides what recordings of other tools are worth as evidence:
// logs of strace, and the profiles that recorders of containers write. It refuses
// what it cannot read to the end, with the line, and says what a recording lacks.
// It knows neither processes nor policies. Its main hazard is a recording that is
// believed to be whole, or a profile that a person wrote and no program showed.
package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Recording is what a tool recorded of one program.
type Recording struct {
	// Trace has one run, which is clean unless the recording shows otherwise, and no
	// witness. Of the target it has the path at most, where the recording has an
	// absolute one.
	Trace *trace.Trace

	Argv    []string // the command line that the tool was given, nil where that is not recorded in full
	Lacks   string   // what recordings of this format do not say
	Missing []string // what is missing in this one: the reasons of Trace.Lost
}

// Options say of a recording what it does not say itself.
type Options struct {
	Arch sysno.Arch // the ABI of the calls; the zero value stands for this program's own
}

func (o Options) arch() sysno.Arch {
	if o.Arch == sysno.ArchInvalid {
		return sysno.Native()
	}
	return o.Arch
}

// ErrEmpty says that a recording has no syscall in it.
var ErrEmpty = errors.New("no syscall is recorded")

// Format is how a recording is written. The zero value is an unknown one.
type Format uint8

// The formats.
const (
	Unknown       Format = iota
	Strace               // a log of strace
	StraceProcess        // a log of strace that does not begin with the number of a process, such as one of -ff
	Profile              // a seccomp profile as JSON, or a SeccompProfile of Kubernetes as YAML or JSON
)

// HeadSize is how much of a file Detect wants to see.
const HeadSize = 1 << 16

// Detect tells the format of a file from its first HeadSize bytes, or all there are.
func Detect(head []byte) Format {
	var first []byte
	for line := range bytes.Lines(head) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && !bytes.HasPrefix(line, []byte("//")) { // a comment names a container
			first = line
			break
		}
	}
	switch {
	case len(first) == 0:
		return Unknown
	case first[0] == '{' && (bytes.Contains(head, []byte(`"defaultAction"`)) || bytes.Contains(head, []byte(`"SeccompProfile`))):
		return Profile
	case first[0] == '{':
		return Unknown
	case isKubernetes(head):
		return Profile
	}
	return detectStrace(string(first))
}

// collector gathers the observations of one run.
type collector map[sysno.ID]*trace.Observation

// observe notes that a call was made. The result is the caller's to fill in.
func (c collector) observe(id sysno.ID) *trace.Observation {
	if c[id] == nil {
		c[id] = &trace.Observation{ID: id, Runs: 1}
	}
	return c[id]
}

// trace makes evidence of what was gathered.
func (c collector) trace(machine sysno.Arch, clean bool) (*trace.Trace, error) {
	if len(c) == 0 {
		return nil, ErrEmpty
	}
	t := &trace.Trace{Arch: machine, Runs: 1}
	if clean {
		t.CleanRuns = 1
	}
	for _, o := range c {
		o.CleanRuns = t.CleanRuns
		t.Observations = append(t.Observations, *o)
	}
	slices.SortFunc(t.Observations, func(a, b trace.Observation) int { return a.ID.Compare(b.ID) })
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}

// machineOf is the ABI of the machines that have an ABI beside their own.
func machineOf(a sysno.Arch) sysno.Arch {
	if a == sysno.I386 || a == sysno.X32 {
		return sysno.AMD64
	}
	return a
}

// shorten cuts what is shown of a line.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", s[:most])
}
