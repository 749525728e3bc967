package forkserver

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// A new process has no page of a file that is mapped privately and was never written to: fork(2)
// leaves them to be found when they are used. At each such fault the kernel maps the pages around
// too, and all of them are unmapped at the end. For a program with some libraries that is a
// third of what a copy costs. Where the server has pages of its own in a mapping, its copies get all that
// it has there, which costs less for each, but more if most are never used.
//
// So two rehearsals find out which pages a copy uses, and these become the server's own, with
// the content that they have. The first tells where to look closer. The kernel
// does not map what is beyond the mapping, so for the second each page there is one: every other gets an
// advice that its neighbours have not. What a copy writes to, and which functions it has found, both tell: see
// [Server.pin] and [binding].

// Rehearsals is how many copies, one after the other, are to be rehearsals.
const Rehearsals = 2

// Rehearsal is a copy of which it is looked at what it uses.
type Rehearsal struct {
	s      *Server
	target int // the copy
	found
	ended <-chan error
}

// found is what is seen of a copy at its end. The addresses of pages are sorted.
type found struct {
	used    []uint64  // pages of files
	written []uint64  // pages that are no other process's
	bound   []binding // since the server was as it is
}

const mostCuts = 16 << 10 // half of what would make as many mappings as a process may have (vm.max_map_count)

// Rehearse makes the next copy a rehearsal, which shows nothing that others do not show, but takes longer.
// The pages of some files are left as they are: those that are written to between copies.
// Needs Linux 5.4, and rights over the server as CAP_SYS_PTRACE and CAP_SYS_ADMIN give them.
func (s *Server) Rehearse(written ...*os.File) (*Rehearsal, error) {
	r := &Rehearsal{s: s}
	var calls []call
	if s.first == nil {
		if _, err := elsewhere(func() (struct{}, error) { return struct{}{}, s.survey(written) }); err != nil {
			return nil, err
		}
		for _, a := range s.files {
			calls = append(calls, advise(a.start, a.end, unix.MADV_DONTNEED))
		}
	} else {
		for _, p := range s.first.used[:min(len(s.first.used), mostCuts)] {
			if p/pageBytes%2 == 1 {
				calls = append(calls, advise(p, p+pageBytes, unix.MADV_RANDOM))
			}
		}
	}
	if err := s.makeCalls(calls); err != nil {
		return nil, err
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACEEXIT
	var err error
	if r.ended, err = spawn.Follow(s.Pid(), options, r.serve); err != nil {
		return nil, errors.Join(fmt.Errorf("trace a rehearsal: %w", err), s.mend())
	}
	return r, nil
}

// Wait is called when the copy has ended. Later copies profit from it.
func (r *Rehearsal) Wait() error {
	err := <-r.ended
	if r.s.ended {
		return err
	}
	first := r.s.first
	if first == nil {
		r.s.first = &r.found
		return err
	}
	if err = errors.Join(err, r.s.mend()); err != nil {
		return err
	}
	_, err = elsewhere(func() (struct{}, error) {
		return struct{}{}, errors.Join(r.s.own(r.used), r.s.bind(r.bound))
	})
	if err != nil {
		return err
	}
	return r.s.pin(slices.DeleteFunc(r.written, func(p uint64) bool {
		_, both := slices.BinarySearch(first.written, p)
		return !both
	}))
}

// mend makes one mapping of each that was cut.
func (s *Server) mend() error {
	calls := make([]call, len(s.files))
	for i, a := range s.files {
		calls[i] = advise(a.start, a.end, unix.MADV_NORMAL)
	}
	return s.makeCalls(calls)
}

// serve lets the server, the copy or a thread of that go on.
func (r *Rehearsal) serve(tid int, ws unix.WaitStatus) (done bool, err error) {
	if !ws.Stopped() {
		return false, nil
	}
	maker, sig := tid == r.s.Pid(), ws.StopSignal()
	if !maker && r.target == 0 {
		r.target = tid
	}
	switch ws >> 16 {
	case 0:
		return false, spawn.Ptrace(unix.PTRACE_CONT, tid, 0, uintptr(sig))
	case unix.PTRACE_EVENT_STOP:
		if sig != unix.SIGTRAP { // the signal has stopped it, and another one will continue it
			return false, spawn.Ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_CLONE:
		if maker {
			return false, spawn.Ptrace(unix.PTRACE_DETACH, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_EXEC: // it has none of these pages any more
		return false, spawn.Ptrace(unix.PTRACE_DETACH, tid, 0, 0)
	case unix.PTRACE_EVENT_EXIT:
		if tid == r.target {
			// A copy that is being killed can end meanwhile. Then it was no good rehearsal.
			r.found, _ = r.s.lookAt(tid)
		}
	}
	return false, spawn.Ptrace(unix.PTRACE_CONT, tid, 0, 0)
}

// call lies in the shared pages as the stub reads it.
type call struct {
	nr     uint64
	args   [6]uint64
	result int64
}

func advise(start, end uint64, advice int) call {
	return call{nr: unix.SYS_MADVISE, args: [6]uint64{start, end - start, uint64(advice)}}
}

// call makes the server make a system call, and returns what that returns.
func (s *Server) call(nr uint64, args ...uint64) (result int64, err error) {
	calls := []call{{nr: nr}}
	copy(calls[0].args[:], args)
	err = s.makeCalls(calls)
	return calls[0].result, err
}

// makeCalls makes the server make system calls itself, and notes what they return.
func (s *Server) makeCalls(calls []call) error {
	s.ordered, s.image = nil, nil // which lies where the calls are put
	room := unsafe.Slice((*call)(unsafe.Pointer(&s.memory[sharedScript])), (sharedData-sharedScript)/int(unsafe.Sizeof(call{})))
	for len(calls) > 0 {
		n := copy(room, calls)
		*s.header() = header{own: uint64(n)}
		if err := s.ask(); err != nil {
			return err
		}
		var done [1]byte
		var got int
		err := again(func() (err error) {
			got, err = unix.Read(s.control, done[:])
			return err
		})
		if err == nil && got == 0 {
			err = errors.New("it has ended")
		}
		if err != nil {
			return fmt.Errorf("wait for the fork server: %w", err)
		}
		copy(calls[:n], room)
		calls = calls[n:]
	}
	return nil
}
