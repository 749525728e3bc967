package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// worker makes runs with one executor.
type worker struct {
	c    *coordinator
	rng  *rand.Rand
	exec Executor
	plug plugin
}

func (w *worker) work(ctx context.Context, i int) (err error) {
	if w.exec, err = w.c.o.NewExecutor(i); err != nil {
		return fmt.Errorf("start executor %d: %w", i, err)
	}
	defer func() {
		if e := w.exec.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("close executor %d: %w", i, e))
		}
	}()
	if w.c.o.NewMutator != nil {
		if w.plug.m, err = w.c.o.NewMutator(i); err != nil {
			return fmt.Errorf("start mutator %d: %w", i, err)
		}
	}
	defer func() { err = errors.Join(err, w.plug.close()) }()
	for err == nil {
		if d, ok := w.c.unfinished(); ok {
			err = w.pursue(ctx, d)
			continue
		}
		w.c.exchange()
		j, ok := w.c.received()
		if !ok {
			w.c.find(ctx)
			j = w.c.choose(w.rng, &w.plug)
		}
		if w.plug.err != nil {
			return nil // close returns it
		}
		err = w.explore(ctx, &j)
	}
	if err == errStop && i == 0 {
		err = w.lastMinute(ctx)
	}
	if err == errStop {
		err = nil
	}
	return err
}

// explore makes a run and pursues what it discovers.
func (w *worker) explore(ctx context.Context, j *job) error {
	r, fresh, err := w.run(ctx, j)
	if err != nil || len(fresh) == 0 {
		return err
	}
	return w.pursue(ctx, discovery{j.s, fresh, r.TimedOut, shownBy(r, fresh)})
}

// run makes one run and books it. The error is errStop when no run may be made
// any more.
func (w *worker) run(ctx context.Context, j *job) (*Result, []sysno.ID, error) {
	if !w.c.claim(ctx, j.phase) {
		return nil, nil, errStop
	}
	r, err := w.exec.Run(ctx, &j.s)
	if err != nil && ctx.Err() == nil { // once more: what failed may be a full table or a busy file
		r, err = w.exec.Run(ctx, &j.s)
	}
	if ctx.Err() != nil && (err != nil || !r.Clean()) {
		w.c.interrupt() // how the target ended may be our own doing
		return nil, nil, errStop
	}
	if err != nil {
		return nil, nil, fmt.Errorf("run %s: %w", j.s.Command(j.s.ID()), err)
	}
	fresh, keep := w.c.report(j, r)
	if w.c.o.State != nil {
		for _, f := range keep {
			if err := w.c.o.State.Save(f, &j.s); err != nil {
				return nil, nil, err
			}
		}
		// From here on no kill takes the discovery away, even where it does not show again.
		if len(fresh) > 0 || slices.Contains(keep, Crashes) || slices.Contains(keep, Hangs) {
			if err := w.c.checkpoint(); err != nil {
				return nil, nil, err
			}
		}
	}
	return r, fresh, nil
}

func (c *coordinator) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop == StopNone {
		c.stop = StopInterrupted
	}
}

// discovery is a scenario with the syscalls that it was first to show.
type discovery struct {
	s    Scenario
	ids  []sysno.ID
	hung bool
	by   []int // as Result.Shown, of ids; nil where that is not known
}

// shownBy is by which acts a run has shown some of its syscalls.
func shownBy(r *Result, ids []sysno.ID) []int {
	if r.Shown == nil {
		return nil
	}
	by := make([]int, len(ids))
	for i, id := range ids {
		at, _ := slices.BinarySearchFunc(r.Seen, id, sysno.ID.Compare)
		by[i] = r.Shown[at]
	}
	return by
}

// pursue confirms and minimizes a discovery, and those made on the way.
func (w *worker) pursue(ctx context.Context, d discovery) error {
	for todo := []discovery{d}; len(todo) > 0; todo = todo[1:] {
		more, err := w.pursueOne(ctx, todo[0])
		if err != nil {
			return err
		}
		todo = append(todo, more...)
	}
	return nil
}

func (w *worker) pursueOne(ctx context.Context, d discovery) (more []discovery, err error) {
	replay := func(s *Scenario) []sysno.ID {
		var r *Result
		var fresh []sysno.ID
		if r, fresh, err = w.run(ctx, &job{s: *s, phase: PhaseReplay}); err != nil {
			return nil
		}
		if len(fresh) > 0 {
			more = append(more, discovery{*s, fresh, r.TimedOut, shownBy(r, fresh)})
		}
		return r.Seen
	}
	shown := make(map[sysno.ID]int)
	open := func(done int) bool { // is any syscall neither confirmed nor beyond it?
		return slices.ContainsFunc(d.ids, func(id sysno.ID) bool {
			return shown[id] < confirming && shown[id]+replays-done >= confirming
		})
	}
	for done := 0; done < replays && open(done) && err == nil; done++ {
		for _, id := range replay(&d.s) {
			shown[id]++
		}
	}
	budget := minimizeRuns
	if d.hung || len(d.s.Input) >= heavy {
		budget = costlyRuns
	}
	// The syscalls of one discovery mostly have one cause: what was run for one of
	// them is not run again for the next.
	memory := make(map[string][]sysno.ID)
	for i, id := range d.ids {
		confirmed := shown[id] >= confirming
		best := d.s
		if confirmed {
			shows := func(s *Scenario) bool {
				key := s.ID()
				seen, ok := memory[key]
				if !ok {
					if budget <= 0 || err != nil {
						return false
					}
					budget--
					if seen = replay(s); err != nil {
						return false
					}
					memory[key] = seen
				}
				_, found := slices.BinarySearchFunc(seen, id, sysno.ID.Compare)
				return found
			}
			if d.by != nil {
				best = shortened(d.s, d.by[i], shows)
			}
			best = minimize(best, min(w.c.o.Fixed, len(d.s.Argv)), tries, shows)
		}
		if w.c.o.State != nil {
			if e := w.c.o.State.Save(Witnesses, &best); e != nil {
				return more, e
			}
		}
		w.c.settle(id, best, confirmed, d.hung, err == nil, memory[best.ID()])
	}
	if err == nil {
		err = w.c.checkpoint()
	}
	return more, err
}
