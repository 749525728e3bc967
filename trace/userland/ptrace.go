package userland

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// PtraceOptions says what a Ptrace records beside the sets of syscalls.
type PtraceOptions struct {
	Returns bool // what came of the calls
	Args    bool // their typed enum and flag arguments
	Sites   bool // where they were called from

	// Refuses, when not nil, says what is refused by the filter that programs are
	// run under. It is called from several goroutines. Without it, a refused call
	// counts as seen: the program makes it.
	Refuses func(id sysno.ID, args [6]uint64) bool
}

// Ptrace is the recorder for where neither eBPF nor seccomp notification is
// permitted: it stops a program at each of its syscalls with ptrace(2). It records
// what trace/rawtp records, from the program's own execve on, and what the
// program's own filter refuses too, for a tracer is asked before the filter.
//
// It does not see calls into the vsyscall page, which the kernel emulates without a
// stop; nor what a process does that was created with CLONE_UNTRACED, which is
// counted as lost. A call that a filter answered with an error looks as if the kernel
// had answered it. A program that is traced cannot trace: its ptrace(2) fails, and
// what it executes gets no rights from a setuid file unless the tracer has
// CAP_SYS_PTRACE. The stops can show a restart_syscall where there would be none: a
// signal that the program ignores interrupts a traced sleep.
//
// Needs Linux 5.3. Methods may be called from any goroutine.
type Ptrace struct {
	opts  PtraceOptions
	tasks atomic.Uint64 // trace.Lost has the meaning of these
	odd   atomic.Uint64
	more  atomic.Uint64

	mu     sync.Mutex
	closed bool
	slots  map[int]*PtraceSlot
	past   map[sysno.ID]bool // what released slots have seen
}

// OpenPtrace makes a recorder. The error is a *PtraceError where a right or a feature
// of the kernel is missing.
func OpenPtrace(o PtraceOptions) (*Ptrace, error) {
	if err := PtracePreflight(); err != nil {
		return nil, err
	}
	return &Ptrace{opts: o, slots: map[int]*PtraceSlot{}, past: map[sysno.ID]bool{}}, nil
}

// Seen is every syscall of all runs, sorted. After Close it stays as it was then.
func (r *Ptrace) Seen() []sysno.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(r.past)
	for _, s := range r.slots {
		s.addTo(all)
	}
	return slices.SortedFunc(maps.Keys(all), sysno.ID.Compare)
}

// Lost is what the recorder knows that it missed since it was opened.
func (r *Ptrace) Lost() trace.Lost {
	return trace.Lost{Tasks: r.tasks.Load(), Beyond: r.odd.Load(), Details: r.more.Load()}
}

// Close lets go of all that is still traced. Processes go on as if nothing had
// been. A second Close does nothing.
func (r *Ptrace) Close() error {
	r.mu.Lock()
	r.closed = true
	slots := slices.Collect(maps.Values(r.slots))
	r.mu.Unlock()
	var errs []error
	for _, s := range slots {
		errs = append(errs, s.Release())
	}
	return errors.Join(errs...)
}

// PtraceSlot is one launcher's or one attachment's part of the record.
type PtraceSlot struct {
	r       *Ptrace
	index   int
	tracer  *tracer
	jobs    chan func() // carried out one after the other by the tracer's thread
	gone    chan struct{}
	over    chan struct{} // closed when the last thing to be followed has ended
	bell    *bell         // of an attachment
	release sync.Once

	mu        sync.Mutex // between the tracer and who asks
	run       uint64     // counted from 1
	sightings map[sysno.ID]*sighting
	odd       int // of sightings, those of numbers without a name
}

// Launcher makes a slot for the programs that one thread starts, numbered from 0.
// For each run its methods are called in the order Begin, Started, Seen.
func (r *Ptrace) Launcher(slot int) (*PtraceSlot, error) {
	s, err := r.newSlot(slot)
	if err != nil {
		return nil, fmt.Errorf("make launcher: %w", err)
	}
	return s, nil
}

func (r *Ptrace) newSlot(index int) (*PtraceSlot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, ErrClosed
	case r.slots[index] != nil:
		return nil, fmt.Errorf("slot %d is taken", index)
	}
	s := &PtraceSlot{
		r: r, index: index,
		jobs: make(chan func()), gone: make(chan struct{}),
		run: 1, sightings: map[sysno.ID]*sighting{},
	}
	s.tracer = &tracer{slot: s, tasks: map[int]*task{}}
	r.slots[index] = s
	chosen := make(chan struct{})
	go s.serve(chosen)
	<-chosen
	return s, nil
}

// serve owns the thread that traces. Only the thread that has seized a process may
// ask about it, and by waiting for what is its own alone it takes no child from the
// threads that launch.
func (s *PtraceSlot) serve(chosen chan<- struct{}) {
	runtime.LockOSThread()
	if !childless() {
		// As long as this thread is taken, another goroutine has another.
		other := make(chan struct{})
		go s.serve(other)
		<-other
		close(chosen)
		runtime.UnlockOSThread()
		return
	}
	close(chosen)
	for job := range s.jobs {
		job()
	}
	close(s.gone) // the thread is never unlocked, so that it ends with the goroutine
}

// childless reports whether the calling thread has no children and will get none.
// Any goroutine may have started a process on it; and what the kernel gives a new
// parent, when a thread or a process ends, becomes the main thread's.
func childless() bool {
	if unix.Gettid() == unix.Getpid() {
		return false
	}
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL|unix.WNOTHREAD, nil)
		if err != unix.EINTR {
			return err == unix.ECHILD
		}
	}
}

// do has the tracer's thread carry out a job.
func (s *PtraceSlot) do(job func() error) error {
	done := make(chan error)
	s.jobs <- func() { done <- job() }
	return <-done
}

// Begin starts a new run with an empty set. The child is going to be held, because
// it can be traced only once it is there.
func (s *PtraceSlot) Begin(spec *spawn.Spec) error {
	spec.Hold = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run++
	return nil
}

// Started follows the child from now on, and lets it go. In the place of the
// thread that started it, the tracer waits for it.
func (s *PtraceSlot) Started(p *spawn.Process) error {
	// A target that nobody records any more is not to go on.
	err := s.do(func() error { return seize(p.Pid, unix.PTRACE_O_EXITKILL) })
	if err != nil {
		return fmt.Errorf("trace the child: %w", err)
	}
	ended, err := p.Delegate()
	if err != nil {
		return err
	}
	over := make(chan struct{})
	s.over = over
	s.jobs <- func() {
		status := s.tracer.follow(p.Pid, false)
		close(over)
		ended(status)
	}
	return p.Resume()
}

// Seen is every syscall of the current run, sorted. For a launched program it waits
// until all that descends from it has ended; what a program outside a pid namespace
// leaves behind is let go when the program ends.
func (s *PtraceSlot) Seen() []sysno.ID {
	return s.ofRun(func(d *sighting) uint64 { return d.run })
}

// Denied is every syscall of the current run that Options.Refuses, sorted. It waits
// as Seen does.
func (s *PtraceSlot) Denied() []sysno.ID {
	return s.ofRun(func(d *sighting) uint64 { return d.denied })
}

func (s *PtraceSlot) ofRun(last func(*sighting) uint64) []sysno.ID {
	if s.bell == nil && s.over != nil {
		<-s.over
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []sysno.ID
	for id, d := range s.sightings {
		if last(d) == s.run {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, sysno.ID.Compare)
	return ids
}

// addTo adds what was seen in any run.
func (s *PtraceSlot) addTo(set map[sysno.ID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range s.sightings {
		if d.run > 0 {
			set[id] = true
		}
	}
}

// Observations is everything that the slot's processes did in all runs, sorted, as
// far as the options have it recorded. The counts of runs are 0.
func (s *PtraceSlot) Observations() []trace.Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []trace.Observation
	for id, d := range s.sightings {
		if d.run > 0 {
			all = append(all, d.observation(id))
		}
	}
	slices.SortFunc(all, func(a, b trace.Observation) int { return a.ID.Compare(b.ID) })
	return all
}

// Release ends the slot. What is still traced goes on, untraced. A second Release
// does nothing.
func (s *PtraceSlot) Release() error {
	var err error
	s.release.Do(func() {
		if s.bell != nil {
			err = s.bell.ring()
		}
		close(s.jobs)
		<-s.gone
		s.r.mu.Lock()
		defer s.r.mu.Unlock()
		s.addTo(s.r.past)
		delete(s.r.slots, s.index)
	})
	return err
}
