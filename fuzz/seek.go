package fuzz

import (
	"context"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// To confirm and to minimize a discovery takes dozens of runs. Where one of them takes as long as hundreds of
// others, as each that comes to its time limit, that was half of the time of a session. But mostly a run shows early what
// it is made for. So it is ended when it has, and what else it has shown by then is disregarded, for chance decides that.
// What has much to read is no such case: its runs end by themselves, and then nothing about them is chance.

// execute makes the run of a job.
func (w *worker) execute(ctx context.Context, j *job) (*Result, error) {
	if len(j.sought) > 0 {
		return w.exec.(Seeker).Seek(ctx, &j.s, j.sought)
	}
	return w.exec.Run(ctx, &j.s)
}

func (w *worker) seeks() bool {
	s, ok := w.exec.(Seeker)
	return ok && s.Seeks()
}

// disregard leaves of a run that may have been ended when it had shown what was sought only that, and what is new to
// everybody. It needs c.mu.
func (c *coordinator) disregard(j *job, r *Result) {
	if !r.showed(j.sought) {
		return
	}
	r.Seen = slices.DeleteFunc(slices.Clone(r.Seen), func(id sysno.ID) bool { return !shows(j.sought, id) && c.books[id] != nil })
}

// sightings are what the replays of one scenario have shown.
type sightings struct {
	whole int              // those that were not ended early
	plain bool             // one of them was a run like any other
	hung  bool             // that was ended by the time limit
	part  map[sysno.ID]int // those that may have been ended early, by what they were to show, and did
	shown map[sysno.ID]int
	seen  []sysno.ID // in the last one, and since then in those that were ended; sorted
}

// runs is how many replays tell whether the scenario shows a syscall.
func (k *sightings) runs(id sysno.ID) int { return k.whole + k.part[id] }

// note counts a replay that was to show so much, or was a run like any other. One that did not show all of it has gone on
// to its end.
func (k *sightings) note(r *Result, sought []sysno.ID) {
	for _, id := range r.Seen {
		k.shown[id]++
	}
	if !r.showed(sought) {
		k.whole, k.seen = k.whole+1, r.Seen
		if !r.Sought {
			k.plain, k.hung = true, r.TimedOut
		}
		return
	}
	for _, id := range sought {
		k.part[id]++
	}
	k.seen = append(slices.Clone(k.seen), r.Seen...)
	slices.SortFunc(k.seen, sysno.ID.Compare)
	k.seen = slices.Compact(k.seen)
}

// showed reports whether the run has shown all that it was made for, so that it may have been ended early.
func (r *Result) showed(sought []sysno.ID) bool {
	return r.Sought && !slices.ContainsFunc(sought, func(id sysno.ID) bool { return !shows(r.Seen, id) })
}

// shows reports whether a syscall is among those of a run.
func shows(seen []sysno.ID, id sysno.ID) bool {
	_, found := slices.BinarySearchFunc(seen, id, sysno.ID.Compare)
	return found
}
