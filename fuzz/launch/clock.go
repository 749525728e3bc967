package launch

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/clock"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// setTimes gives the scenario's files their times. input is the name of the input's, empty where there
// is none that is to get one.
func setTimes(p place, s *fuzz.Scenario, input string) error {
	files := s.Files
	if input != "" {
		files = append(files[:len(files):len(files)], fuzz.File{Name: input, Kind: s.World.Input})
	}
	made := time.Now().Truncate(time.Second)
	for i, f := range files {
		t, ok := s.World.Times.Of(i, len(files), made)
		if !ok || f.Kind == fuzz.FileMissing {
			continue
		}
		at, err := p.File(f.Name)
		if err != nil {
			return err
		}
		both := []unix.Timespec{{Sec: t.Unix()}, {Sec: t.Unix()}}
		if err := unix.UtimesNanoAt(at.Dir, at.Path, both, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set the times of %s: %w", f.Name, err)
		}
		if f.Kind == fuzz.FileSymlink {
			if err := unix.UtimesNanoAt(at.Dir, at.Path+targetSuffix, both, 0); err != nil {
				return fmt.Errorf("set the times of %s: %w", f.Name, err)
			}
		}
	}
	return nil
}

// shift makes the program see the scenario's clock: what counts from the start of the machine at
// once, and the time of day by what is to be begun when the child is there and held.
func (e *Exec) shift(spec *spawn.Spec, c fuzz.Clock) (begin func(*spawn.Process) (tracer, error), err error) {
	if up, ok := c.Uptime(); ok {
		if err := clock.Uptime(&spec.World, int64(up/time.Second)); err != nil {
			return nil, err
		}
	}
	t, ok := c.TimeOfDay()
	if !ok {
		return nil, nil
	}
	if e.timeOfDay == nil || spec.Hold { // by a recorder that traces
		return nil, clock.ErrFixed
	}
	spec.Hold = true
	return func(p *spawn.Process) (tracer, error) {
		start, err := e.timeOfDay.Begin(p.Pid, t.Unix())
		if err != nil {
			p.Kill()
			return nil, err
		}
		return start, p.Resume()
	}, nil
}

// lookAtClocks finds out which clocks a program can see here.
func (e *Exec) lookAtClocks() (err error) {
	if e.can.Uptime, err = e.starts(&fuzz.World{Clock: fuzz.ClockBooted}); err != nil {
		return err
	}
	if e.timeOfDay != nil {
		e.can.TimeOfDay, err = e.starts(&fuzz.World{Clock: fuzz.ClockFar})
	}
	return err
}

// starts reports whether a process, which has nothing to do, can be started in a world that takes a tracer
// or a namespace.
func (e *Exec) starts(w *fuzz.World) (bool, error) {
	st, err := e.stage(&fuzz.Scenario{Argv: []string{e.opts.Program}, Stdin: fuzz.StdinNull}, nil, nil)
	if err != nil {
		return false, err
	}
	defer st.close()
	spec := st.place.Spec()
	spec.Target = spawn.Script{}
	spec.Target.Call("end", unix.SYS_EXIT_GROUP, 0)
	begin, err := e.trace(spec, w)
	if err != nil {
		return false, nil
	}
	p, err := spawn.Start(spec)
	if err != nil {
		return false, err
	}
	var start tracer
	if begin != nil {
		start, err = begin(p)
	}
	_, failed := p.Wait(spawn.Limits{})
	if start != nil && err == nil {
		err = start.Wait()
	}
	return err == nil && failed == nil, nil
}
