package trace

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Reach is which syscalls a program can reach by its code: an upper bound, where Gaps is
// empty, to the lower one that a Trace is.
type Reach struct {
	Target  Target // with all files that were looked at
	Arch    sysno.Arch
	Reached []Reached // sorted by ID, each once
	Gaps    []string  // why others may be reached too, one sentence fragment each, sorted
	Assumed []string  // what it rests on that may differ on another machine, sorted
}

// Complete reports whether the program reaches nothing else.
func (r *Reach) Complete() bool { return len(r.Gaps) == 0 }

// Reached is one syscall, and how it is reached.
type Reached struct {
	ID sysno.ID

	// Startup says that only what runs before the program's own entry point reaches it.
	Startup bool

	// BeforeMain says that nothing of what may run once main() has begun reaches it, as far as pointers tell: a
	// hint. All of Startup are among them.
	BeforeMain bool

	// Args are the values that its typed enum and flag arguments may have, in the order of
	// their index. An argument that is missing or Any may have any value; so may all where
	// the analysis has gaps.
	Args []Arg

	// Path is a shortest one through the functions, from where the program begins to the
	// system call instruction. It is empty for what the kernel, the vDSO or the launcher
	// makes any program do.
	Path []Step

	// Short says why no run of those that were aimed at it has shown it, in terms of
	// functions; empty where that is not known, or not so.
	Short string
}

// Step is one function of a path.
type Step struct {
	Module   string // path of the file
	Function string // empty where the file has no name for it
	Offset   uint64 // where the function begins, as the file wants to be loaded
	Link     Link   // by what the step before leads to it
}

// Link says what leads to a function. The zero value is invalid.
type Link string

// The links. A Pointer to the function is made by code, a Datum is one that lies in the
// file's data, Found is by its name while the program runs.
const (
	Begin   Link = "begin"
	Called  Link = "call"
	Jumped  Link = "jump"
	Pointer Link = "pointer"
	Datum   Link = "data"
	Found   Link = "lookup"
	Exec    Link = "exec"
)

// Find returns how a syscall is reached, and false where it is not.
func (r *Reach) Find(id sysno.ID) (Reached, bool) {
	i, ok := slices.BinarySearchFunc(r.Reached, id, func(x Reached, id sysno.ID) int { return x.ID.Compare(id) })
	if !ok {
		return Reached{}, false
	}
	return r.Reached[i], true
}

// Beyond lists what a trace of the program shows and the analysis does not reach. Where the
// analysis is complete, each is an error of it or of the recorder. A number that
// no table names is not among them: programs try such to see whether it exists.
func (r *Reach) Beyond(t *Trace) []Observation {
	var beyond []Observation
	for _, o := range t.Observations {
		if _, named := o.ID.Name(); !named {
			continue
		}
		if _, ok := r.Find(o.ID); !ok {
			beyond = append(beyond, o)
		}
	}
	return beyond
}

// BeyondArgs lists the calls of a trace whose typed arguments had values that the analysis
// says they never have. Of each there are only these values. Where the analysis is complete,
// they are errors as those of Beyond.
func (r *Reach) BeyondArgs(t *Trace) []Observation {
	var beyond []Observation
	for _, o := range t.Observations {
		x, _ := r.Find(o.ID)
		var args []Arg
		for _, seen := range o.Args {
			i := slices.IndexFunc(x.Args, func(a Arg) bool { return a.Index == seen.Index })
			if i < 0 || x.Args[i].Any {
				continue
			}
			values := slices.DeleteFunc(slices.Clone(seen.Values), func(v uint64) bool { return slices.Contains(x.Args[i].Values, v) })
			if len(values) > 0 {
				args = append(args, Arg{Index: seen.Index, Values: values})
			}
		}
		if o.Args = args; args != nil {
			beyond = append(beyond, o)
		}
	}
	return beyond
}
