// Package trace decides what evidence is: which syscalls were seen, in how many
// runs, shown by which witness, and what the recorder knows that it missed. It is
// pure data: it knows neither BPF nor processes. Its main hazard is a merge or a
// codec that forgets a loss, or makes a detail that was not recorded look known.
package trace

import (
	"cmp"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Version is the version of the evidence file that this package writes.
const Version = 2

// Trace is everything known from running one target.
type Trace struct {
	Target       Target
	Arch         sysno.Arch // the ABI of the machine that recorded
	Kernel       string     // release of the kernel that recorded, as in uname -r
	Runs         uint64     // recorded runs, whatever their end
	CleanRuns    uint64     // runs that ended by exit, without an injected fault
	AtLeast      bool       // the recorder looks for a syscall only until it knows it: counts of runs are lower bounds
	Observations []Observation
	Operations   []Operation // of io_uring, sorted by code
	Lost         Lost
}

// Target identifies the program that was run.
type Target struct {
	Path      string // absolute, symbolic links resolved
	SHA256    string // hex
	BuildID   string // hex, empty when the file has none
	Libraries []Library
}

// Library is a shared object that the target loads.
type Library struct {
	Path    string
	BuildID string
}

// Observation is one syscall that the target was seen to make. The key is the
// (architecture, number) pair, so an unknown number stays a number.
type Observation struct {
	ID        sysno.ID
	Runs      uint64  // runs in which it was seen at least once (incidence, not calls)
	CleanRuns uint64  // of these, runs that ended by exit, without an injected fault
	Phases    Phase   // when it was seen, PhaseUnknown where that was not recorded
	Returns   Returns // what came of it
	Args      []Arg   // of its typed enum and flag arguments, sorted by index; nil where they were not recorded
	Sites     []Site  // where it was called from, sorted, at most MaxSites
	MoreSites bool    // there are others beside Sites
	Witness   Witness // the smallest run known to make it
}

// Phase is a set of the parts of a program's life.
type Phase uint8

// The parts. A program that another one of the target's has executed, and one that
// was running when the recording began, is in the main phase at once.
const (
	PhaseUnknown Phase = 0
	PhaseStartup Phase = 1 << (iota - 1) // from execve until the target's entry point, in the dynamic loader
	PhaseMain
)

// Words are the parts by name, in the order of the program's life.
func (p Phase) Words() []string {
	var words []string
	for i, name := range phaseNames() {
		if p&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return words
}

// Returns is what came of an observation's calls. Without Success and Errnos it was
// not recorded, or no call has returned; Refused is recorded in any case.
type Returns struct {
	Success bool
	Errnos  []uint16 // positive, sorted
	Refused bool     // a seccomp filter, of the target's own or one that injected a fault, refused it
}

// known reports whether results were recorded.
func (r Returns) known() bool { return r.Success || len(r.Errnos) > 0 }

// Words are the results for people, "success" and the names of errnos.
func (r Returns) Words() []string {
	var words []string
	if r.Success {
		words = append(words, "success")
	}
	for _, e := range r.Errnos {
		words = append(words, cmp.Or(unix.ErrnoName(syscall.Errno(e)), fmt.Sprintf("errno %d", e)))
	}
	if r.Refused {
		words = append(words, "refused by a filter, the program's own or one that made it fail")
	}
	return words
}

// MaxValues is how many values of an argument are told apart.
const MaxValues = 32

// Arg is what is known of an enum or flag argument.
type Arg struct {
	Index  int      // counted from 0
	Values []uint64 // sorted; as the kernel sees them: 32 bits of an int
	Any    bool     // more than MaxValues, or a value was lost; Values is nil then
}

// MaxSites is how many call sites of a syscall are kept.
const MaxSites = 16

// Site is the instruction after a system call instruction.
type Site struct {
	Module  string // path of the file that holds it, empty where unknown
	BuildID string // hex, empty when the file has none
	Offset  uint64 // in the file
	Symbol  string // "function+0x12", empty where unknown
}

// Compare orders sites by module, build id and offset, which together identify one.
func (s Site) Compare(o Site) int {
	return cmp.Or(cmp.Compare(s.Module, o.Module), cmp.Compare(s.BuildID, o.BuildID), cmp.Compare(s.Offset, o.Offset))
}

// Operation is an io_uring operation: it is no syscall, and seccomp does not see it.
type Operation struct {
	Code uint8
	Name string // such as "READV", empty for an unknown one
}

// Witness names a run that can be replayed.
type Witness struct {
	ID      string // key of the scenario in the state directory, empty when none was kept
	Command string // the same as a command line for a shell
}

// Lost is what the recorder knows that it missed. The zero value says: nothing.
type Lost struct {
	Tasks  uint64 // processes or threads that could not be followed
	Beyond uint64 // syscall numbers that did not fit the table of unknown numbers
	Late   uint64 // calls made by a process that outlived its run: counted for the trace, not for that run

	// Details counts values, results and call sites that did not fit. No syscall is
	// missing because of them.
	Details uint64
}

// Complete reports whether no syscall can be missing from the trace. Late calls
// are in the trace, only their run is unknown; lost details are of known syscalls.
func (l Lost) Complete() bool { return l.Tasks == 0 && l.Beyond == 0 }

// Plus is what two recordings lost together.
func (l Lost) Plus(o Lost) Lost {
	return Lost{l.Tasks + o.Tasks, l.Beyond + o.Beyond, l.Late + o.Late, l.Details + o.Details}
}

// sorted is a copy in canonical order, which shares no list with t.
func (t *Trace) sorted() *Trace {
	c := *t
	c.Target.Libraries = slices.Clone(t.Target.Libraries)
	slices.SortFunc(c.Target.Libraries, Library.compare)
	c.Target.Libraries = slices.Compact(c.Target.Libraries)
	c.Operations = slices.Clone(t.Operations)
	c.Observations = slices.Clone(t.Observations)
	for i := range c.Observations {
		o := &c.Observations[i]
		o.Returns.Errnos = slices.Clone(o.Returns.Errnos)
		o.Sites = slices.Clone(o.Sites)
		o.Args = slices.Clone(o.Args)
		for j := range o.Args {
			o.Args[j].Values = slices.Clone(o.Args[j].Values)
		}
	}
	slices.SortFunc(c.Observations, func(a, b Observation) int { return a.ID.Compare(b.ID) })
	return &c
}

func (l Library) compare(o Library) int {
	return cmp.Or(cmp.Compare(l.Path, o.Path), cmp.Compare(l.BuildID, o.BuildID))
}
