package rawtp

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// requestNR is the syscall by which a thread asks to become a launcher: it has no
// effect and no arguments of its own, and no known seccomp profile forbids it. The
// C calls it NR_GETPPID.
const requestNR = unix.SYS_GETPPID

// request is what a thread can ask for, enum request in C.
type request uintptr

const (
	requestLeave request = iota
	requestLaunch
	requestJoin
)

// Slot is one worker's place in the Recorder: the set of the syscalls of its
// current run. It belongs to one goroutine. After the Recorder's Close its sets
// are empty.
type Slot struct {
	r        *Recorder
	index    int
	gen      uint64
	since    uint64 // the first generation
	attached bool   // by Attach
	released bool
	kept     []trace.Observation // from Release on
	told     *told               // by Fresh; nil before
}

// Launcher makes the calling OS thread the launcher of a slot, numbered from 0:
// programs that processes forked by this thread execute are recorded in the slot,
// from their execve on; the thread's own calls, and those of its children before
// execve, are not. The goroutine must have called runtime.LockOSThread and
// must stay locked until Release.
func (r *Recorder) Launcher(slot int) (*Slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.final != nil:
		return nil, fmt.Errorf("mark launcher: %w", ErrClosed)
	case slot < 0 || slot >= len(r.slots):
		return nil, fmt.Errorf("mark launcher: slot %d of %d", slot, len(r.slots))
	case r.taken[slot]:
		return nil, fmt.Errorf("mark launcher: slot %d has one", slot)
	}
	shared := r.slots[slot]
	r.request(slot, requestLaunch)
	if atomic.LoadUint64(&shared.Launcher) == 0 {
		return nil, errors.New("mark launcher: the kernel refused the mark; the thread is a launcher already, or there is no memory")
	}
	r.taken[slot] = true
	s, err := r.own(slot)
	if err != nil {
		return nil, fmt.Errorf("mark launcher: %w", err)
	}
	return s, nil
}

// own makes a slot a new owner's, and begins its first run.
func (r *Recorder) own(slot int) (*Slot, error) {
	shared := r.slots[slot]
	s := &Slot{r: r, index: slot, gen: shared.Gen, since: shared.Gen + 1}
	atomic.StoreUint64(&shared.Since, s.since)
	clear(shared.All.Cell[:])
	if err := r.forget(slot); err != nil {
		return nil, err
	}
	s.begin(shared)
	return s, nil
}

// request makes the syscall that the programs on sys_enter look for.
func (r *Recorder) request(slot int, what request) {
	nr, args := r.requestCall(slot, what)
	unix.RawSyscall(nr, args[0], args[1], args[2])
}

func (r *Recorder) requestCall(slot int, what request) (nr uintptr, args [6]uintptr) {
	return requestNR, [6]uintptr{uintptr(r.cookie), uintptr(slot), uintptr(what)}
}

// Join is the syscall by which a thread that is not recorded asks to be, in the run
// that is under way, from the end of this call on; so are all that it starts later. It
// is for copies of a program that was executed earlier. A program that is given its
// arguments can join too, so it should not get hold of them.
func (s *Slot) Join() (nr uintptr, args [6]uintptr) {
	return s.r.requestCall(s.index, requestJoin)
}

// Leave is the syscall by which a recorded thread ends being recorded, before this call.
// What it starts afterwards is not recorded either.
func (s *Slot) Leave() (nr uintptr, args [6]uintptr) {
	return s.r.requestCall(s.index, requestLeave)
}

// What marks say, enum state in C.
const (
	stateArmed  = 3 // it is recorded
	stateServer = 4 // copies are made of it
)

// Serve makes a process that the slot records, the leader of its thread group, one that
// makes copies of itself for the runs to come: nothing that it does is recorded any more,
// and each process that it starts from now on is, in the run that is under way then, from the
// end of its first close of a descriptor on. It is for programs that were built to make copies,
// and that know of no Join.
func (s *Slot) Serve(pid, descriptor int) error {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.r.final != nil {
		return fmt.Errorf("record the copies of a process: %w", ErrClosed)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("record the copies of process %d: %w", pid, err)
	}
	defer unix.Close(pidfd)
	marks, key := s.r.coll.Maps["marks"], int32(pidfd)
	var is recorderMark
	if err := marks.Lookup(key, &is); err != nil {
		return fmt.Errorf("record the copies of process %d, which is not recorded: %w", pid, err)
	}
	if int(is.Slot) != s.index || is.State != stateArmed { // as the launcher is not
		return fmt.Errorf("record the copies of process %d: slot %d does not record it", pid, s.index)
	}
	is = recorderMark{Slot: is.Slot, State: stateServer, Nr: uint32(descriptor)}
	if err := marks.Put(key, &is); err != nil {
		return fmt.Errorf("record the copies of process %d: %w", pid, err)
	}
	return nil
}

// Begin starts a new run with an empty set. What processes of earlier runs still
// do goes to the Recorder's set alone, and counts as late. It makes no syscall.
func (s *Slot) Begin() {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.r.final == nil {
		s.begin(s.r.slots[s.index])
	}
}

// Doubt, called right after Begin, puts the run in doubt: unless Keep is called, Seen and
// Denied tell of it until the next Begin, and nothing else of the slot or its Recorder
// does. None of its calls is an Event. The details of a call that other runs make too are kept with theirs.
func (s *Slot) Doubt() {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.r.final == nil {
		atomic.StoreUint64(&s.r.slots[s.index].Doubt, s.gen)
	}
}

// Keep makes the current run, which is in doubt and whose processes have been waited
// for, count as any other.
func (s *Slot) Keep() error {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.r.final != nil {
		return fmt.Errorf("keep a run: %w", ErrClosed)
	}
	shared := s.r.slots[s.index]
	run := &shared.Half[s.gen&1]
	shared.All.add(run)
	s.r.session.Set.add(run)
	if atomic.LoadUint64(&shared.Odd) != s.gen {
		return nil
	}
	if err := s.r.keepOdds(uint32(s.index), s.gen); err != nil {
		return fmt.Errorf("keep a run: %w", err)
	}
	return nil
}

// begin publishes the generation last: its half of the slot is empty before any
// task can carry it.
func (s *Slot) begin(shared *recorderSlot) {
	s.gen++
	shared.Half[s.gen&1] = recorderSet{}
	atomic.StoreUint64(&shared.Gen, s.gen)
}

// Seen is every syscall that the processes of the current run have made, sorted;
// those that a seccomp filter refused are not among them. It is complete once
// these processes have been waited for.
func (s *Slot) Seen() []sysno.ID { return s.set(sightings()...) }

// Denied is every syscall that a seccomp filter refused the processes of the
// current run, sorted. It needs Options.Denials or Options.Returns.
func (s *Slot) Denied() []sysno.ID { return s.set(refusals()...) }

func (s *Slot) set(kinds ...recorderKind) []sysno.ID {
	s.r.mu.RLock()
	defer s.r.mu.RUnlock()
	if s.r.final != nil {
		return nil
	}
	shared := s.r.slots[s.index]
	ids := shared.Half[s.gen&1].ids(kinds...)
	if atomic.LoadUint64(&shared.Odd) == s.gen {
		for _, slot := range []uint32{uint32(s.index), uint32(s.index) | doubted} {
			ids = append(ids, s.r.oddIDs(slot, kinds, func(gen uint64) bool { return gen == s.gen })...)
		}
		slices.SortFunc(ids, sysno.ID.Compare)
		ids = slices.Compact(ids)
	}
	return ids
}

// Release takes the mark off the calling thread, which must be the one that
// called Launcher, and frees the slot for another. Of a slot that Attach returned it
// ends the recording, for any caller. A second Release does nothing.
func (s *Slot) Release() error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.released || s.r.final != nil {
		return nil
	}
	if s.attached {
		if err := s.r.disown(s.index); err != nil {
			return err
		}
	} else {
		s.r.request(s.index, requestLeave)
		if atomic.LoadUint64(&s.r.slots[s.index].Launcher) != 0 {
			return fmt.Errorf("release launcher: the calling thread is not that of slot %d", s.index)
		}
	}
	s.kept = s.observations()
	s.released = true
	delete(s.r.taken, s.index)
	return nil
}
