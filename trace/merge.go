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
	ErrNoTarget    = errors.New("nothing says that the traces are of one program")
	ErrOtherArch   = errors.New("the traces are of different architectures")
	ErrOverflow    = errors.New("the sum does not fit 64 bits")
)

// Merge unites the evidence of any number of recordings of one program: runs,
// counts and losses add up, and of the witnesses the smallest stays. No argument
// changes. The order of merging has no effect on the result, nor has it how the
// recordings are taken together. Programs are the same when their SHA-256 is, or,
// where none has one, their path. Where the recordings differ otherwise the result
// names all: Kernel becomes a sorted list separated by ", ", libraries are united,
// and of several paths the first in the alphabet stays.
//
// Phases, returns and the values of an argument are united where each recording
// that saw the syscall has them. What one of them did not record is not known of
// all, so the result does not have it either: to know a part of the values would
// look like knowing them. A recording that did not see the syscall takes nothing
// away. Call sites promise less, for MoreSites says that there are others.
func Merge(traces ...*Trace) (*Trace, error) {
	if len(traces) == 0 {
		return nil, errors.New("merge: no traces")
	}
	for _, t := range traces {
		if err := t.Validate(); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
	}
	m := traces[0].sorted()
	for _, t := range traces[1:] {
		var err error
		if m, err = unite(m, t); err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
	}
	return m, nil
}

// unite merges two valid traces into one that shares no list with them.
func unite(a, b *Trace) (*Trace, error) {
	if a.Arch != b.Arch {
		return nil, fmt.Errorf("%w: %v and %v", ErrOtherArch, a.Arch, b.Arch)
	}
	if a.Target.SHA256 != b.Target.SHA256 || a.Target.SHA256 == "" && a.Target.Path != b.Target.Path {
		return nil, fmt.Errorf("%w: %q and %q", ErrOtherTarget, a.Target.Path, b.Target.Path)
	}
	if a.Target.SHA256 == "" && a.Target.Path == "" {
		return nil, ErrNoTarget
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
		AtLeast:   a.AtLeast || b.AtLeast,
		Lost: Lost{
			Tasks:   s.of(a.Lost.Tasks, b.Lost.Tasks),
			Beyond:  s.of(a.Lost.Beyond, b.Lost.Beyond),
			Late:    s.of(a.Lost.Late, b.Lost.Late),
			Details: s.of(a.Lost.Details, b.Lost.Details),
		},
		Operations:   mergeOperations(a.Operations, b.Operations),
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
		m.Observations[i] = mergeObservations(m.Observations[i], o, &s)
	}
	if s.overflow {
		return nil, ErrOverflow
	}
	return m.sorted(), nil
}

// mergeObservations unites what two recordings know of the same syscall.
func mergeObservations(a, b Observation, s *sum) Observation {
	m := Observation{
		ID:        a.ID,
		Runs:      s.of(a.Runs, b.Runs),
		CleanRuns: s.of(a.CleanRuns, b.CleanRuns),
		Args:      mergeArgs(a.Args, b.Args),
		Witness:   a.Witness,
	}
	if a.Phases != PhaseUnknown && b.Phases != PhaseUnknown {
		m.Phases = a.Phases | b.Phases
	}
	if a.Returns.known() && b.Returns.known() {
		m.Returns.Success = a.Returns.Success || b.Returns.Success
		m.Returns.Errnos = union(a.Returns.Errnos, b.Returns.Errnos)
	}
	m.Returns.Refused = a.Returns.Refused || b.Returns.Refused
	m.Sites, m.MoreSites = mergeSites(a, b)
	if b.Witness.Compare(a.Witness) < 0 {
		m.Witness = b.Witness
	}
	return m
}

// mergeArgs keeps the arguments that both know.
func mergeArgs(a, b []Arg) []Arg {
	var m []Arg
	for _, x := range a {
		i := slices.IndexFunc(b, func(y Arg) bool { return y.Index == x.Index })
		if i < 0 {
			continue
		}
		arg := Arg{Index: x.Index, Any: x.Any || b[i].Any}
		if !arg.Any {
			arg.Values = union(x.Values, b[i].Values)
		}
		if len(arg.Values) > MaxValues {
			arg.Values, arg.Any = nil, true
		}
		m = append(m, arg)
	}
	return m
}

// mergeSites keeps the first sites in their order. A side without a site did not
// record any, or could not tell: the call came from somewhere.
func mergeSites(a, b Observation) (sites []Site, more bool) {
	more = a.MoreSites || b.MoreSites || (len(a.Sites) == 0) != (len(b.Sites) == 0)
	sites = slices.Concat(a.Sites, b.Sites)
	sites = SortSites(sites)
	if len(sites) > MaxSites {
		sites, more = sites[:MaxSites], true
	}
	return sites, more
}

// SortSites puts sites in their order, each once. It reuses the slice. Of one site under
// two symbols the last stays, which is not the unknown one.
func SortSites(sites []Site) []Site {
	slices.SortFunc(sites, func(x, y Site) int { return cmp.Or(x.Compare(y), cmp.Compare(y.Symbol, x.Symbol)) })
	return slices.CompactFunc(sites, func(x, y Site) bool { return x.Compare(y) == 0 })
}

// mergeOperations unites by code. A name that one table does not have yet stays.
func mergeOperations(a, b []Operation) []Operation {
	m := slices.Concat(a, b)
	slices.SortFunc(m, func(x, y Operation) int { return cmp.Or(cmp.Compare(x.Code, y.Code), cmp.Compare(y.Name, x.Name)) })
	return slices.CompactFunc(m, func(x, y Operation) bool { return x.Code == y.Code })
}

// union is the sorted set of the elements of both.
func union[T cmp.Ordered](a, b []T) []T {
	m := slices.Concat(a, b)
	slices.Sort(m)
	return slices.Compact(m)
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
