package rawtp

import (
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Sighting is a detail of a call: an errno that it returned, or a value of one of its
// arguments.
type Sighting struct {
	ID    sysno.ID
	Errno uint16 // 0: it is an argument's value
	Arg   int
	Value uint64
}

func (a Sighting) compare(b Sighting) int {
	return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.Errno, b.Errno), cmp.Compare(a.Arg, b.Arg), cmp.Compare(a.Value, b.Value))
}

// told is what Fresh has returned before.
type told struct {
	results [len(recorderDetail{}.Results)][len(recorderDetail{}.Results[0])]uint64
	counts  [len(recorderDetail{}.Values)][len(recorderDetail{}.Values[0])]uint32
	values  map[recorderValue]bool
}

// Fresh lists which errnos the calls of these syscalls have returned, and which values
// their arguments had, that it has not listed before: sorted, and as far as Options
// asks for Returns and Args. Where nothing is fresh, which it nearly always is, it costs
// a look at some words for each syscall. What it cannot read it does not list: it is no
// evidence, see Observations.
func (s *Slot) Fresh(of []sysno.ID) []Sighting {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.r.final != nil || s.r.details == nil {
		return nil
	}
	if s.told == nil {
		s.told = &told{values: make(map[recorderValue]bool)}
	}
	d := s.r.details[s.index]
	var fresh []Sighting
	more := false // values
	for _, id := range of {
		call, ok := callOf(id)
		if !ok {
			continue
		}
		for w := range d.Results[call] {
			now := atomic.LoadUint64(&d.Results[call][w])
			for left := now &^ s.told.results[call][w]; left != 0; left &= left - 1 {
				if errno := uint16(w*64 + bits.TrailingZeros64(left)); errno > 0 { // 0 is success
					fresh = append(fresh, Sighting{ID: id, Errno: errno})
				}
			}
			s.told.results[call][w] = now
		}
		for arg := range d.Values[call] {
			if now := atomic.LoadUint32(&d.Values[call][arg]); now != s.told.counts[call][arg] {
				s.told.counts[call][arg] = now
				more = true
			}
		}
	}
	if more {
		fresh = append(fresh, s.freshValues()...)
	}
	slices.SortFunc(fresh, Sighting.compare)
	return fresh
}

func (s *Slot) freshValues() (fresh []Sighting) {
	var (
		key recorderValue
		one uint8
	)
	entries := s.r.coll.Maps["values"].Iterate()
	for entries.Next(&key, &one) {
		if int(key.Slot) != s.index || s.told.values[key] {
			continue
		}
		s.told.values[key] = true
		call := int(key.Call)
		id := sysno.ID{Arch: archOf(recorderAbi(call / cells)), NR: uint32(call % cells)}
		fresh = append(fresh, Sighting{ID: id, Arg: int(key.Arg), Value: key.Value})
	}
	return fresh
}
