// Package trace decides what evidence is: which syscalls were seen, in how many
// runs, shown by which witness, and what the recorder knows that it missed. It is
// pure data: it knows neither BPF nor processes. Its main hazard is a merge or a
// codec that forgets a loss.
package trace

import "github.com/tjfuzz/tjfuzz/internal/sysno"

// Version is the version of the evidence file that this package writes.
const Version = 1

// Trace is everything known from running one target.
type Trace struct {
	Target       Target
	Arch         sysno.Arch // the ABI of the machine that recorded
	Kernel       string     // release of the kernel that recorded, as in uname -r
	Runs         uint64     // recorded runs, whatever their end
	CleanRuns    uint64     // runs that ended by exit, without an injected fault
	Observations []Observation
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
	Witness   Witness // the smallest run known to make it
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
}

// Complete reports whether no syscall can be missing from the trace. Late calls
// are in the trace, only their run is unknown.
func (l Lost) Complete() bool { return l.Tasks == 0 && l.Beyond == 0 }
