package fuzz

import (
	"errors"
	"fmt"
	"slices"
)

// World is what a run meets beside arguments, environment, standard input and the
// data of files. The zero value is what every run meets unless it is varied.
type World struct {
	Stdout, Stderr OutputKind
	Input          FileKind // of the file that @@ stands for
	Faults         []Fault  // sorted by syscall
	Kernel         Kernel
	Limits         []Limit // sorted by resource
	User           User
	Interruption   Interruption
	Clock          Clock
	Times          FileTimes
	Peers          Peers
	Call           Call
}

// OutputKind says what standard output or standard error is. The zero value is the usual.
type OutputKind uint8

// The kinds of output.
const (
	OutputFile     OutputKind = iota // a regular file
	OutputPipe                       // a pipe that somebody reads
	OutputNull                       // /dev/null
	OutputTerminal                   // a terminal, the same for all streams that are one
	OutputClosed                     // no descriptor
	OutputFull                       // /dev/full: writing fails with ENOSPC
	OutputBroken                     // a pipe that nobody reads: EPIPE and SIGPIPE
	OutputBusy                       // a full pipe that does not block: EAGAIN
	OutputInput                      // the very descriptor that standard input is, where that is a file; else a regular file
	outputKinds
)

var outputNames = [outputKinds]string{"file", "pipe", "null", "terminal", "closed", "full", "broken", "busy", "input"}

// String is the kind's name in files, empty for an invalid kind.
func (k OutputKind) String() string {
	if k >= outputKinds {
		return ""
	}
	return outputNames[k]
}

// FileKind says what lies at the name of a file. The zero value is the usual.
type FileKind uint8

// The kinds of file.
const (
	FileRegular    FileKind = iota
	FileMissing             // nothing; for the file that @@ stands for only
	FileDirectory           // an empty directory
	FileFIFO                // a FIFO; the one that @@ stands for delivers Input once, others nothing
	FileSocket              // a socket at which nobody listens
	FileUnreadable          // a file that nobody may read or write, but for who may all
	FileReadOnly            // a file that nobody may write, but for who may all
	FileSparse              // a file of [SparseSize] bytes: its data, then a hole
	FileSymlink             // a symbolic link to a file that holds the data
	FileLoop                // a symbolic link to itself
	FileDangling            // a symbolic link to nothing
	FileCrowd               // a directory of [CrowdSize] empty files with long names
	FileDeep                // a directory in a directory and so on, [DeepSize] of them, with long names
	fileKinds
)

// SparseSize is larger than what any 32-bit number of bytes counts, and than memory.
const SparseSize = 1 << 40

// What a program keeps of each file in a crowd is together more than what allocators take
// from mappings of its own, and grow by mremap(2); getdents64(2) is called more than once. A path to the end of what is
// deep is longer than PATH_MAX.
const (
	CrowdSize = 1500
	DeepSize  = 24
	LongName  = 200 // bytes
)

var fileNames = [fileKinds]string{"regular", "missing", "directory", "fifo", "socket", "unreadable", "read-only", "sparse", "symlink", "loop", "dangling", "crowd", "deep"}

// String is the kind's name in files, empty for an invalid kind.
func (k FileKind) String() string {
	if k >= fileKinds {
		return ""
	}
	return fileNames[k]
}

// holds reports whether a file of the kind has data of its own.
func (k FileKind) holds() bool {
	switch k {
	case FileRegular, FileUnreadable, FileReadOnly, FileSparse, FileSymlink:
		return true
	}
	return false
}

// parse finds the kind that has a name.
func parse[K interface {
	~uint8
	String() string
}](name string, kinds K) (K, error) {
	for k := range kinds {
		if name != "" && k.String() == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%q is unknown", name)
}

// Usual reports whether the scenario varies nothing but arguments, environment, files that
// nothing flows through, and which of null, file and pipe standard input is. What acts are done to is not usual.
func (s *Scenario) Usual() bool {
	flows := slices.ContainsFunc(s.Files, func(f File) bool { return f.Kind == FileFIFO || f.Kind == FileSocket })
	return s.Stdin <= StdinPipe && !flows && len(s.Acts) == 0 && len((&Scenario{World: s.World}).world()) == 0
}

// world lists what the scenario varies of its world, a word each. Equal worlds give
// equal lists; the words are part of a scenario's ID.
func (s *Scenario) world() []string {
	var out []string
	add := func(what, value string) { out = append(out, what+"="+value) }
	w := &s.World
	if w.Stdout != OutputFile {
		add("stdout", w.Stdout.String())
	}
	if w.Stderr != OutputFile {
		add("stderr", w.Stderr.String())
	}
	if w.Input != FileRegular {
		add("input", w.Input.String())
	}
	for _, f := range s.Files {
		if f.Kind != FileRegular {
			add("file "+f.Name, f.Kind.String())
		}
	}
	for _, f := range w.Faults {
		add("fault", f.String())
	}
	if w.Kernel != KernelHost {
		add("kernel", w.Kernel.String())
	}
	for _, l := range w.Limits {
		add("limit", l.String())
	}
	if w.User != UserSame {
		add("user", string(w.User))
	}
	if w.Interruption != (Interruption{}) {
		add("signal", w.Interruption.String())
	}
	if w.Clock != ClockHost {
		add("clock", w.Clock.String())
	}
	if w.Times != TimesMade {
		add("times", w.Times.String())
	}
	if w.Peers != (Peers{}) {
		add("peers", w.Peers.String())
	}
	if w.Call != (Call{}) {
		add("call", w.Call.String())
	}
	return out
}

// checkWorld reports what cannot be.
func (s *Scenario) checkWorld() error {
	w := &s.World
	if w.Stdout >= outputKinds || w.Stderr >= outputKinds {
		return errors.New("output of an unknown kind")
	}
	if w.Input >= fileKinds {
		return errors.New("an input file of an unknown kind")
	}
	if w.Input != FileRegular && !s.usesFile() {
		return fmt.Errorf("the input is a %s file, and no argument names it", w.Input)
	}
	for _, f := range s.Files {
		switch {
		case f.Kind >= fileKinds || f.Kind == FileMissing:
			return fmt.Errorf("file %q is of an unknown kind", f.Name)
		case !f.Kind.holds() && len(f.Data) > 0:
			return fmt.Errorf("file %q is a %s and has data", f.Name, f.Kind)
		}
	}
	if w.Kernel >= kernels {
		return errors.New("an unknown kernel")
	}
	if w.Clock >= clocks || w.Times >= fileTimes {
		return errors.New("an unknown clock")
	}
	if w.Times != TimesMade && !s.dates() {
		return errors.New("times of files, and there are none, or they have those of earlier runs")
	}
	return errors.Join(checkFaults(w.Faults), s.checkProcess(), s.checkPeers(), w.checkCall())
}

// plainFiles returns copies of the files that have no kind but the usual.
func plainFiles(files []File) []File {
	out := slices.Clone(files)
	for i := range out {
		out[i].Kind = FileRegular
	}
	return out
}
