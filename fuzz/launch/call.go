package launch

import (
	"fmt"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/forced"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// tracer does something to a program that has just been executed. A process has one.
type tracer interface {
	Wait() error // until it is done, or will never be
}

// called reports, after Wait, whether the program has been made to call a function.
func called(t tracer) bool {
	start, ok := t.(*forced.Start)
	return ok && start.Made()
}

// trace is what is to be begun when the child is there and held, nil for nothing: for the time of day or for a call.
func (e *Exec) trace(spec *spawn.Spec, w *fuzz.World) (begin func(*spawn.Process) (tracer, error), err error) {
	if w.Call == (fuzz.Call{}) {
		return e.shift(spec, w.Clock)
	}
	if _, err := e.shift(spec, w.Clock); err != nil {
		return nil, err
	}
	if e.breakable == nil || spec.Hold { // by a recorder that traces
		return nil, fmt.Errorf("the program cannot be made to call %s here", w.Call.Function)
	}
	at := forced.InPlaceOfMain
	if w.Call.At == fuzz.OccasionWrite {
		at = forced.AfterWriting
	}
	spec.Hold = true
	return func(p *spawn.Process) (tracer, error) {
		start, err := e.breakable.Begin(p.Pid, w.Call.Function, at)
		if err != nil {
			p.Kill()
			return nil, err
		}
		return start, p.Resume()
	}, nil
}

// lookAtCalls finds out which functions the program can be made to call here.
func (e *Exec) lookAtCalls() error {
	if e.breakable == nil || len(e.breakable.Functions) == 0 {
		return nil
	}
	var names []string
	for _, f := range e.breakable.Functions {
		names = append(names, f.Name)
	}
	ok, err := e.starts(&fuzz.World{Call: fuzz.Call{Function: names[0], At: fuzz.OccasionMain}})
	if ok {
		e.can.Calls = names
	}
	return err
}
