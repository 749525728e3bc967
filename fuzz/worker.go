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
	r, err := w.execute(ctx, j)
	if err != nil && ctx.Err() == nil { // once more: what failed may be a full table or a busy file
		r, err = w.execute(ctx, j)
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
	// The syscalls of one discovery mostly have one cause: what was run for one of
	// them is not run again for the next.
	known := make(map[string]*sightings)
	seeks := d.hung && w.seeks()
	replay := func(s *Scenario, sought ...sysno.ID) {
		if !seeks {
			sought = nil
		}
		var r *Result
		var fresh []sysno.ID
		if r, fresh, err = w.run(ctx, &job{s: *s, phase: PhaseReplay, sought: sought}); err != nil {
			return
		}
		if len(fresh) > 0 {
			more = append(more, discovery{*s, fresh, r.TimedOut || r.Sought, shownBy(r, fresh)})
		}
		k := known[s.ID()]
		if k == nil {
			k = &sightings{part: make(map[sysno.ID]int), shown: make(map[sysno.ID]int)}
			known[s.ID()] = k
		}
		k.note(r, sought)
	}
	confirm := func(s *Scenario, ids ...sysno.ID) bool {
		for err == nil {
			shown, left := 0, replays
			if k := known[s.ID()]; k != nil {
				shown, left = k.shown[ids[0]], replays-k.runs(ids[0])
			}
			if shown >= confirming || shown+left < confirming {
				return shown >= confirming
			}
			replay(s, ids...)
		}
		return false
	}
	budget := minimizeRuns
	if d.hung || len(d.s.Input) >= heavy {
		budget = costlyRuns
	}
	does := func(id sysno.ID) func(*Scenario) bool {
		return func(s *Scenario) bool {
			if k := known[s.ID()]; k == nil || k.runs(id) == 0 {
				if budget <= 0 || err != nil {
					return false
				}
				budget--
				if replay(s, id); err != nil {
					return false
				}
			}
			return shows(known[s.ID()].seen, id)
		}
	}
	best, confirmed := make([]Scenario, len(d.ids)), make([]bool, len(d.ids))
	for i, id := range d.ids {
		best[i] = d.s
		short := false
		if d.by != nil {
			best[i], short = shortened(d.s, d.by[i], does(id))
		}
		if short {
			confirmed[i] = confirm(&best[i], id)
		}
		if !confirmed[i] {
			best[i] = d.s
			confirmed[i] = confirm(&d.s, d.ids[i:]...)
		}
	}
	for i, id := range d.ids {
		if confirmed[i] {
			best[i] = minimize(best[i], min(w.c.o.Fixed, len(d.s.Argv)), tries, does(id))
		}
		// A policy is proved with witnesses: so all that they show is evidence, and how they end.
		if k := known[best[i].ID()]; seeks && err == nil && (k == nil || !k.plain) {
			replay(&best[i])
		}
		if w.c.o.State != nil {
			if e := w.c.o.State.Save(Witnesses, &best[i]); e != nil {
				return more, e
			}
		}
		hung := d.hung
		var seen []sysno.ID
		if k := known[best[i].ID()]; k != nil {
			seen = k.seen
			if seeks && k.plain {
				hung = k.hung
			}
		}
		w.c.settle(id, best[i], confirmed[i], hung, err == nil, seen)
	}
	if err == nil {
		err = w.c.checkpoint()
	}
	return more, err
}
