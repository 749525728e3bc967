package rawtp

import (
	"maps"
	"slices"
	"sync/atomic"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Observations is what is known of each syscall that the slot's processes have
// made, or that a filter has refused them, since Launcher: in all runs together,
// late calls included. Runs, CleanRuns and Witness are empty: the Recorder does not
// know what runs are. The result is sorted. From Release on it is what it was then;
// without Release it is empty after the Recorder's Close.
func (s *Slot) Observations() []trace.Observation {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.released || s.r.final != nil {
		return s.kept
	}
	return s.observations()
}

func (s *Slot) observations() []trace.Observation {
	shared := s.r.slots[s.index]
	found := map[sysno.ID]*trace.Observation{}
	for _, kind := range append(sightings(), refusals()...) {
		ids := shared.All.ids(kind)
		if atomic.LoadUint64(&shared.Odd) >= s.since {
			ids = append(ids, s.r.oddIDs(uint32(s.index), []recorderKind{kind}, func(gen uint64) bool { return gen >= s.since })...)
		}
		for _, id := range ids {
			if found[id] == nil {
				found[id] = &trace.Observation{ID: id}
			}
			found[id].Phases |= phaseOf(kind)
			if slices.Contains(refusals(), kind) {
				found[id].Returns.Refused = true
			}
		}
	}
	describe := s.describer()
	var all []trace.Observation
	for _, id := range slices.SortedFunc(maps.Keys(found), sysno.ID.Compare) {
		describe(found[id])
		all = append(all, *found[id])
	}
	return all
}
