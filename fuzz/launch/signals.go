package launch

import (
	"cmp"
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Signaler is a Watcher that knows more of syscalls than that they were made.
type Signaler interface {
	Watcher
	Signals(of []sysno.ID) []fuzz.Signal // what was not there when it was asked before
}

// Crasher is a Watcher that knows where the program of the run was when a signal ended it
// by its own fault; the zero Place where it does not.
type Crasher interface {
	Watcher
	Crash(signal int) fuzz.Place
}

// placeOf is where a run was that ended by a signal.
func placeOf(watch Watcher, signal int) fuzz.Place {
	if c, ok := watch.(Crasher); ok {
		return c.Crash(signal)
	}
	return fuzz.Place{}
}

// signal adds to a result what a watcher knows beside the syscalls. It is asked once for
// all processes that a scenario took: what an execution showed that a copy was compared
// with belongs to the scenario too.
func signal(r *fuzz.Result, watch Watcher) {
	s, ok := watch.(Signaler)
	if !ok || r == nil {
		return
	}
	r.Signals = append(r.Signals, s.Signals(r.Seen)...)
	slices.SortFunc(r.Signals, func(a, b fuzz.Signal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	r.Signals = slices.Compact(r.Signals)
}
