package fuzz

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
)

// fail books a crash or a timeout. Two crashes are of one kind when they are by the same
// signal in the same place, and two timeouts when the target waited in the same place. Where that is
// not known, as of a target that did not wait, the options and sub-commands that mutation added stand for it.
func (c *coordinator) fail(kinds map[string]*Failure, f Folder, j *job, r *Result, keep []Folder) []Folder {
	words := slices.DeleteFunc(c.corpus.added(&j.s), func(w string) bool {
		return !strings.HasPrefix(w, "-") && !slices.Contains(c.o.Table.Commands, w)
	})
	kind := Failure{ID: j.s.ID(), Scenario: j.s, Place: r.Place, Words: words, Count: 1}
	if f == Crashes {
		kind.Signal = r.Signal
	}
	key := fmt.Sprintf("%d %q", kind.Signal, words)
	if kind.Place != (Place{}) {
		key = kind.what()
	}
	if len(j.s.World.Faults) > 0 {
		key += " with faults"
	}
	if k := kinds[key]; k != nil {
		k.Count++
		return keep
	}
	if len(kinds) >= maxFailures {
		return keep
	}
	if f == Crashes {
		c.stats.LastCrash = c.elapsed()
	} else {
		c.stats.LastHang = c.elapsed()
	}
	kinds[key] = &kind
	return append(keep, f)
}

// How tells of a failure what makes it a kind of its own. What only happened where calls were made to fail is another kind
// than the same without, which is the worse bug; it is told with the calls that failed when it was first seen.
func (f *Failure) How() string {
	how := f.what()
	if faults := f.Scenario.World.Faults; len(faults) > 0 {
		var failing []string
		for _, fault := range faults {
			failing = append(failing, fault.note())
		}
		how += ", with " + strings.Join(failing, ", ")
	}
	return how
}

func (f *Failure) what() string {
	how := "no end in time"
	if f.Place != (Place{}) {
		how = "waits for ever"
	}
	if f.Signal != 0 {
		how = syscall.Signal(f.Signal).String()
	}
	switch p := f.Place; {
	case p == (Place{}) && len(f.Words) > 0:
		return how + " with " + strings.Join(f.Words, " ")
	case p == (Place{}):
		return how
	case p.Caller != 0:
		how += fmt.Sprintf(" at %s+%#x, in a call from %#x of the program's code", cmp.Or(p.Module, "?"), p.Offset, p.Caller)
	default:
		how += fmt.Sprintf(" at %s+%#x", cmp.Or(p.Module, "?"), p.Offset)
	}
	return how
}

func failures(kinds map[string]*Failure) []Failure {
	var out []Failure
	for _, key := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, *kinds[key])
	}
	slices.SortStableFunc(out, func(a, b Failure) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// notesName is that of AFL's, which readers of such folders skip.
const notesName = "README.txt"

// note writes for people how each kind of failure is repeated.
func (s *State) note(f Folder, all []Failure) error {
	path := filepath.Join(s.dir, string(f), notesName)
	if len(all) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write notes on %s: %w", f, err)
		}
		return nil
	}
	var out strings.Builder
	out.WriteString("A scenario for each kind of failure that was seen. The commands repeat them without tjfuzz,\n" +
		"so without its cage, in the directory where it was started.\n")
	for i := range all {
		k := &all[i]
		runs := "one run"
		if k.Count != 1 {
			runs = fmt.Sprintf("%d runs", k.Count)
		}
		fmt.Fprintf(&out, "\n%s: %s (%s)\n  %s\n", k.ID, k.How(), runs, k.Scenario.Command(s.Prefix(f, k.ID)))
	}
	if err := atomicfile.Write(path, []byte(out.String())); err != nil {
		return fmt.Errorf("write notes on %s: %w", f, err)
	}
	return nil
}
