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
