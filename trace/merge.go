package trace

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Reasons why two traces are no evidence about the same thing.
var (
	ErrOtherTarget = errors.New("the traces are of different programs")
	ErrOtherArch   = errors.New("the traces are of different architectures")
	ErrOverflow    = errors.New("the sum does not fit 64 bits")
)

// Merge unites the evidence of two recordings of one program: runs, counts and
// losses add up, and of two witnesses the smaller stays. Neither argument changes.
// The order of merging has no effect on the result. Programs are the same when
// their SHA-256 is, or, where neither has one, their path. Where the recordings
// differ otherwise the result names both: Kernel becomes a sorted list separated by
// ", ", libraries are united, and of two paths the first in the alphabet stays.
func Merge(a, b *Trace) (*Trace, error) {
	if err := errors.Join(a.Validate(), b.Validate()); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	if a.Arch != b.Arch {
		return nil, fmt.Errorf("merge: %w: %v and %v", ErrOtherArch, a.Arch, b.Arch)
	}
	if a.Target.SHA256 != b.Target.SHA256 || a.Target.SHA256 == "" && a.Target.Path != b.Target.Path {
		return nil, fmt.Errorf("merge: %w: %q and %q", ErrOtherTarget, a.Target.Path, b.Target.Path)
	}
	var s sum
	m := &Trace{
		Target: Target{
			Path:      min(a.Target.Path, b.Target.Path),
			SHA256:    a.Target.SHA256,
			BuildID:   max(a.Target.BuildID, b.Target.BuildID), // the same, or one was not read
			Libraries: slices.Concat(a.Target.Libraries, b.Target.Libraries),
		},
		Arch:      a.Arch,
		Kernel:    mergeKernels(a.Kernel, b.Kernel),
		Runs:      s.of(a.Runs, b.Runs),
		CleanRuns: s.of(a.CleanRuns, b.CleanRuns),
		Lost: Lost{
			Tasks:  s.of(a.Lost.Tasks, b.Lost.Tasks),
			Beyond: s.of(a.Lost.Beyond, b.Lost.Beyond),
			Late:   s.of(a.Lost.Late, b.Lost.Late),
		},
		Observations: slices.Clone(a.Observations),
	}
	at := make(map[sysno.ID]int, len(m.Observations))
	for i, o := range m.Observations {
		at[o.ID] = i
	}
	for _, o := range b.Observations {
		i, found := at[o.ID]
		if !found {
			m.Observations = append(m.Observations, o)
			continue
		}
		into := &m.Observations[i]
		into.Runs = s.of(into.Runs, o.Runs)
		into.CleanRuns = s.of(into.CleanRuns, o.CleanRuns)
		if o.Witness.Compare(into.Witness) < 0 {
			into.Witness = o.Witness
		}
	}
	if s.overflow {
		return nil, fmt.Errorf("merge: %w", ErrOverflow)
	}
	return m.sorted(), nil
}

// Compare orders witnesses from the best to the worst: one that can be replayed
// before one that cannot, then the shorter command, then by the alphabet.
func (w Witness) Compare(o Witness) int {
	return cmp.Or(
		worse(w.ID == "", o.ID == ""),
		worse(w.Command == "", o.Command == ""),
		cmp.Compare(len(w.Command), len(o.Command)),
		cmp.Compare(w.Command, o.Command),
		cmp.Compare(w.ID, o.ID),
	)
}

// worse orders false before true.
func worse(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func mergeKernels(a, b string) string {
	releases := strings.Split(a+", "+b, ", ")
	slices.Sort(releases)
	releases = slices.DeleteFunc(slices.Compact(releases), func(s string) bool { return s == "" })
	return strings.Join(releases, ", ")
}

// sum adds and remembers whether a result did not fit.
type sum struct{ overflow bool }

func (s *sum) of(a, b uint64) uint64 {
	total, carry := bits.Add64(a, b, 0)
	s.overflow = s.overflow || carry != 0
	return total
}
