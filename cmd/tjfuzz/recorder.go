package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// openRecorder opens the recorder, without which nothing can be recorded.
func openRecorder(o rawtp.Options) (*rawtp.Recorder, error) {
	rec, err := rawtp.Open(o)
	var pre *rawtp.PreflightError
	if errors.As(err, &pre) {
		return nil, hinted(fmt.Errorf("cannot record: %s", pre.Missing), "%s", pre.Mend)
	}
	if err != nil {
		return nil, fmt.Errorf("open the recorder: %w", err)
	}
	return rec, nil
}

// watcher tells a slot of the runs of its thread. The slot knows the program by the
// thread that starts it, and so changes nothing about how it starts.
type watcher struct{ *rawtp.Slot }

func (w watcher) Begin(*spawn.Spec) error {
	w.Slot.Begin()
	return nil
}

func (w watcher) Started(*spawn.Process) error { return nil }

// attempts is a watcher whose set also has the calls that a filter of the target's
// own refused: the target makes them, so the policy must let them get that far.
type attempts struct{ watcher }

func (a attempts) Seen() []sysno.ID {
	ids := append(a.watcher.Seen(), a.Denied()...)
	slices.SortFunc(ids, sysno.ID.Compare)
	return slices.Compact(ids)
}
