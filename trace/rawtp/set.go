package rawtp

import (
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// cells is the length of an ABI's part of a set; numbers from it on are odd.
const cells = len(recorderSet{}.Cell[0]) / int(recorderAbiABIS)

// session is where the table of odd numbers keeps what any slot has seen.
const session = ^uint32(0)

// ids lists what the kernel has marked. It reads eight cells at a time: nearly
// all are empty, and this runs once a run.
func (s *recorderSet) ids(kind recorderKind) []sysno.ID {
	var ids []sysno.ID
	row := &s.Cell[kind]
	for at := 0; at < len(row); at += 8 {
		// The kernel aligns values of arrays, and the C struct the rows, to 8.
		if atomic.LoadUint64((*uint64)(unsafe.Pointer(&row[at]))) == 0 {
			continue
		}
		for i := at; i < at+8; i++ {
			if row[i] != 0 {
				ids = append(ids, sysno.ID{Arch: archOf(recorderAbi(i / cells)), NR: uint32(i % cells)})
			}
		}
	}
	return ids
}

// oddIDs lists the numbers outside the sets that a slot, or the session, has seen
// in a generation that want accepts. A table that cannot be read is counted as a
// loss, since its numbers are then missing.
func (r *Recorder) oddIDs(slot uint32, kind recorderKind, want func(gen uint64) bool) []sysno.ID {
	var (
		ids []sysno.ID
		key recorderOdd
		gen uint64
	)
	entries := r.coll.Maps["odds"].Iterate()
	for entries.Next(&key, &gen) {
		if key.Slot == slot && key.Kind == kind && want(gen) {
			ids = append(ids, sysno.ID{Arch: archOf(key.Abi), NR: key.Nr})
		}
	}
	if entries.Err() != nil {
		r.unread.Add(1)
	}
	return ids
}

func (r *Recorder) sessionSet(kind recorderKind) []sysno.ID {
	ids := append(r.session.Set.ids(kind), r.oddIDs(session, kind, func(uint64) bool { return true })...)
	slices.SortFunc(ids, sysno.ID.Compare)
	return ids
}

func (r *Recorder) countLost() trace.Lost {
	return trace.Lost{
		Tasks:  atomic.LoadUint64(&r.session.Unfollowed),
		Beyond: atomic.LoadUint64(&r.session.Beyond) + r.unread.Load(),
		Late:   atomic.LoadUint64(&r.session.Late),
	}
}

func (r *Recorder) countDropped() Dropped {
	return Dropped{
		Events:  atomic.LoadUint64(&r.session.EventsDropped),
		Denials: atomic.LoadUint64(&r.session.DenialsDropped),
	}
}
