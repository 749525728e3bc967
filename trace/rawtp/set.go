package rawtp

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// cells is the length of an ABI's part of a set; numbers from it on are odd.
const cells = len(recorderSet{}.Cell[0]) / int(recorderAbiABIS)

// session is where the table of odd numbers keeps what any slot has seen, and doubted is
// added to the number of a slot for what it has seen in a run in doubt.
const (
	session = ^uint32(0)
	doubted = 1 << 31
)

// ids lists what the kernel has marked as any of the kinds, sorted. It reads eight
// cells at a time: nearly all are empty, and this runs once a run.
func (s *recorderSet) ids(kinds ...recorderKind) []sysno.ID {
	var ids []sysno.ID
	for at := 0; at < len(s.Cell[0]); at += 8 {
		var marked uint64
		for _, kind := range kinds {
			// The kernel aligns values of arrays, and the C struct the rows, to 8.
			marked |= atomic.LoadUint64((*uint64)(unsafe.Pointer(&s.Cell[kind][at])))
		}
		if marked == 0 {
			continue
		}
		var cell [8]byte
		binary.NativeEndian.PutUint64(cell[:], marked)
		for i := range cell {
			if cell[i] != 0 {
				ids = append(ids, sysno.ID{Arch: archOf(recorderAbi((at + i) / cells)), NR: uint32((at + i) % cells)})
			}
		}
	}
	return ids
}

// add marks what another set has marked. The kernel may set marks meanwhile.
func (s *recorderSet) add(o *recorderSet) {
	for kind := range o.Cell {
		for at := 0; at < len(o.Cell[kind]); at += 8 {
			if marked := *(*uint64)(unsafe.Pointer(&o.Cell[kind][at])); marked != 0 {
				atomic.OrUint64((*uint64)(unsafe.Pointer(&s.Cell[kind][at])), marked)
			}
		}
	}
}

// keepOdds makes the numbers outside the sets that a slot has seen in doubt, in a
// generation, count as any other.
func (r *Recorder) keepOdds(slot uint32, of uint64) error {
	var (
		key  recorderOdd
		gen  uint64
		keep []recorderOdd
	)
	odds := r.coll.Maps["odds"]
	entries := odds.Iterate()
	for entries.Next(&key, &gen) {
		if key.Slot == slot|doubted && gen == of {
			keep = append(keep, key)
		}
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("read the table of numbers: %w", err)
	}
	for _, key := range keep {
		for _, key.Slot = range []uint32{slot, session} {
			if err := odds.Put(&key, of); err != nil {
				return fmt.Errorf("add to the table of numbers: %w", err)
			}
		}
	}
	return nil
}

// oddIDs lists the numbers outside the sets that a slot, or the session, has seen
// as any of the kinds in a generation that want accepts. A number of several kinds
// is there several times. A table that cannot be read is counted as a loss, since
// its numbers are then missing.
func (r *Recorder) oddIDs(slot uint32, kinds []recorderKind, want func(gen uint64) bool) []sysno.ID {
	var (
		ids []sysno.ID
		key recorderOdd
		gen uint64
	)
	entries := r.coll.Maps["odds"].Iterate()
	for entries.Next(&key, &gen) {
		if key.Slot == slot && slices.Contains(kinds, key.Kind) && want(gen) {
			ids = append(ids, sysno.ID{Arch: archOf(key.Abi), NR: key.Nr})
		}
	}
	if entries.Err() != nil {
		r.unread.Add(1)
	}
	return ids
}

func (r *Recorder) sessionSet(kinds ...recorderKind) []sysno.ID {
	ids := append(r.session.Set.ids(kinds...), r.oddIDs(session, kinds, func(uint64) bool { return true })...)
	slices.SortFunc(ids, sysno.ID.Compare)
	return slices.Compact(ids)
}

func (r *Recorder) countLost() trace.Lost {
	return trace.Lost{
		Tasks:  atomic.LoadUint64(&r.session.Unfollowed),
		Beyond: atomic.LoadUint64(&r.session.Beyond) + r.unread.Load(),
		Late:   atomic.LoadUint64(&r.session.Late),

		Details: atomic.LoadUint64(&r.session.DetailsLost) + r.unlisted.Load(),
	}
}

func (r *Recorder) countDropped() Dropped {
	return Dropped{
		Events:  atomic.LoadUint64(&r.session.EventsDropped),
		Denials: atomic.LoadUint64(&r.session.DenialsDropped),
	}
}
