// Package rawtp records which syscalls a launched program makes, with eBPF
// programs on raw tracepoints. It decides which tasks belong to the program (a
// mark on the task itself, inherited through clone and armed by exec) and what of
// each call is kept; it refuses to know why the program was run, what a policy
// is, and what a call means, except which of its arguments are strings. Its main
// hazard is a call that is missed in silence: a call is a byte set in a map, so
// nothing queues and nothing drops, and whatever has a bound has a counter of what
// did not fit.
//
// While a Recorder is open every task of the machine takes the kernel's slow
// syscall path, so keep it open no longer than needed.
//
// Least kernel: Linux 5.12 (task storage in tracing programs) with BTF, or 5.15
// where Options.Denials is set; exact from 6.2 on, because before it a lookup in
// task storage can fail when another task's storage is being freed on the same
// CPU. Needed rights: CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN.
//
// Not seen: operations of io_uring, which are no syscalls; what a process does
// that outlives the Recorder. Thread and process ids are those of the initial pid
// namespace.
package rawtp

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// MaxSlots is the largest number of launchers that one Recorder serves.
const MaxSlots = 64

// ErrClosed says that the Recorder was closed.
var ErrClosed = errors.New("recorder is closed")

// Options says what a Recorder records. The zero value records the sets of
// syscalls alone, for MaxSlots launchers.
type Options struct {
	// Slots is the number of launchers that can be marked at one time, at most
	// MaxSlots; 0 stands for MaxSlots.
	Slots int

	// Denials also records the calls that a seccomp filter refused. It costs
	// every task of the machine a second tracepoint on each syscall.
	Denials bool

	// Events also delivers the first sighting of each syscall as an Event.
	Events bool

	// Entry makes the Recorder tell the startup of this program from all else that
	// the recorded processes do. A process is in its startup from the execve of this
	// very file until its entry point, and any other is in the main phase; so are
	// threads that a library starts before. It needs Linux 5.17 and
	// perf_event_open(2); where that is missing, see NoPhases, nothing is told apart.
	// The program has a breakpoint at its entry point then, which it can see.
	Entry *Entry
}

// bounds are the sizes of the kernel's tables. A test makes them small.
type bounds struct {
	events  uint32 // bytes of the ring buffer, a power of two and of pages
	odds    uint32 // entries, one a slot and one for the session for each number
	denials uint32 // entries, one for each (process, syscall, arguments)
}

// Recorder is a set of loaded and attached programs with their maps. Its methods
// may be called from any goroutine. After Close, what it has seen, lost and dropped
// stays as it was then.
type Recorder struct {
	denials  bool
	noPhases error
	cookie   uint64
	coll     *ebpf.Collection
	links    []link.Link
	reader   *ringbuf.Reader // nil where there are no events

	mu       sync.RWMutex // Close, which unmaps, excludes all else
	taken    map[int]bool
	mapped   [][]byte
	slots    []*recorderSlot
	session  *recorderSession
	unread   atomic.Uint64 // failed reads of the table of odd numbers
	final    *record       // nil until Close
	closeErr error
}

// record is what remains of a closed Recorder.
type record struct {
	seen, denied []sysno.ID
	denials      []Event
	lost         trace.Lost
	dropped      Dropped
}

// Dropped counts details that did not fit. No syscall is missing from a set
// because of them.
type Dropped struct {
	Events  uint64 // events that the ring buffer had no room for
	Denials uint64 // refused calls that the table of Denials had no room for
}

// Open loads the programs and attaches them. The error is a *PreflightError where
// a right or a feature of the kernel is known to be missing.
func Open(o Options) (*Recorder, error) {
	return open(o, bounds{events: 1 << 20, odds: 4096, denials: 8192})
}

func open(o Options, b bounds) (_ *Recorder, err error) {
	if o.Slots == 0 {
		o.Slots = MaxSlots
	}
	if o.Slots < 0 || o.Slots > MaxSlots {
		return nil, fmt.Errorf("open recorder: %d slots: want 1 to %d", o.Slots, MaxSlots)
	}
	if err := Preflight(); err != nil {
		return nil, err
	}
	var cookie [8]byte
	if _, err := rand.Read(cookie[:]); err != nil {
		return nil, fmt.Errorf("open recorder: %w", err)
	}
	r := &Recorder{
		denials:  o.Denials,
		noPhases: canPhase(o.Entry),
		cookie:   binary.NativeEndian.Uint64(cookie[:]),
		taken:    map[int]bool{},
	}
	defer func() {
		if err != nil {
			r.dismantle()
		}
	}()
	if err := r.load(o, b); err != nil {
		return nil, fmt.Errorf("load recorder: %w", err)
	}
	if err := r.share(o.Slots); err != nil {
		return nil, fmt.Errorf("map the recorder's tables: %w", err)
	}
	r.session.Cookie = r.cookie
	if o.Events {
		r.session.FirstSightings = 1
	}
	if o.Events || o.Denials {
		if r.reader, err = ringbuf.NewReader(r.coll.Maps["events"]); err != nil {
			return nil, fmt.Errorf("open the recorder's events: %w", err)
		}
	}
	if r.noPhases == nil {
		r.noPhases = r.watchEntry(o.Entry)
	}
	if err := r.attach(); err != nil {
		return nil, fmt.Errorf("attach recorder: %w", err)
	}
	return r, nil
}

// load does not raise RLIMIT_MEMLOCK: since Linux 5.11 BPF memory is charged to
// the cgroup instead.
func (r *Recorder) load(o Options, b bounds) error {
	spec, err := loadRecorder()
	if err != nil {
		return err
	}
	spec.Maps["slots"].MaxEntries = uint32(o.Slots)
	spec.Maps["odds"].MaxEntries = b.odds
	spec.Maps["denials"].MaxEntries = b.denials
	spec.Maps["events"].MaxEntries = b.events
	spec.Maps["string_args"].Contents = []ebpf.MapKV{{Key: uint32(0), Value: stringArgs()}}
	if !o.Denials {
		delete(spec.Programs, "sys_exit")
		delete(spec.Programs, "sched_process_exit")
		delete(spec.Maps, "denials")
	}
	if r.noPhases != nil {
		for _, name := range []string{"sched_process_exec_phases", "entry_file", "entry_point"} {
			delete(spec.Programs, name)
		}
	}
	if !o.Denials && !o.Events {
		spec.Maps["events"].MaxEntries = uint32(os.Getpagesize())
	}
	r.coll, err = ebpf.NewCollection(spec)
	return err
}

// share maps the tables that user space reads and writes without a syscall. The
// Go types are generated from the C ones.
func (r *Recorder) share(slots int) error {
	size := int(unsafe.Sizeof(recorderSlot{}))
	mem, err := r.mmap("slots", slots*size)
	if err != nil {
		return err
	}
	for i := range slots {
		r.slots = append(r.slots, (*recorderSlot)(unsafe.Pointer(&mem[i*size])))
	}
	mem, err = r.mmap("sessions", int(unsafe.Sizeof(recorderSession{})))
	if err != nil {
		return err
	}
	r.session = (*recorderSession)(unsafe.Pointer(&mem[0]))
	return nil
}

func (r *Recorder) mmap(name string, size int) ([]byte, error) {
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	mem, err := unix.Mmap(r.coll.Maps[name].FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap %s: %w", name, err)
	}
	r.mapped = append(r.mapped, mem)
	return mem, nil
}

// attach puts sys_enter last: it is the one that lets a thread become a launcher,
// and by then everything that follows a launcher's child is in place.
func (r *Recorder) attach() error {
	l, err := link.AttachTracing(link.TracingOptions{Program: r.coll.Programs["task_newtask"]})
	if err != nil {
		return fmt.Errorf("task_newtask: %w", err)
	}
	r.links = append(r.links, l)
	for _, point := range []string{"sched_process_exec", "sched_process_exit", "emulate_vsyscall", "sys_exit", "sys_enter"} {
		program := r.coll.Programs[point]
		if point == "sched_process_exec" && r.noPhases == nil {
			program = r.coll.Programs["sched_process_exec_phases"]
		}
		if program == nil { // not of this architecture, or not asked for
			continue
		}
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: point, Program: program})
		if point == "emulate_vsyscall" && errors.Is(err, os.ErrNotExist) {
			continue // a kernel without a vsyscall page
		}
		if err != nil {
			return fmt.Errorf("%s: %w", point, err)
		}
		r.links = append(r.links, l)
	}
	return nil
}

// Close detaches the programs, keeps what was recorded, and frees everything that
// the kernel holds. Runs that should be in the record have to have ended. A second
// Close does nothing and returns the same.
func (r *Recorder) Close() error {
	// Events returns, so that it cannot hold the lock back.
	if r.reader != nil {
		r.reader.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.final != nil {
		return r.closeErr
	}
	detached := r.detach()
	denials, unread := r.denialTable()
	r.final = &record{
		seen:    r.sessionSet(r.sightings()...),
		denied:  r.sessionSet(recorderKindDENIED),
		denials: denials,
		lost:    r.countLost(),
		dropped: r.countDropped(),
	}
	if err := errors.Join(detached, unread, r.dismantle()); err != nil {
		r.closeErr = fmt.Errorf("close recorder: %w", err)
	}
	return r.closeErr
}

func (r *Recorder) detach() error {
	var errs []error
	for _, l := range slices.Backward(r.links) {
		errs = append(errs, l.Close())
	}
	r.links = nil
	return errors.Join(errs...)
}

func (r *Recorder) dismantle() error {
	errs := []error{r.detach()}
	if r.reader != nil {
		errs = append(errs, r.reader.Close())
	}
	for _, mem := range r.mapped {
		errs = append(errs, unix.Munmap(mem))
	}
	r.mapped, r.slots, r.session = nil, nil, nil
	if r.coll != nil {
		r.coll.Close()
	}
	return errors.Join(errs...)
}

// Seen is every syscall that any recorded process has made since Open, sorted:
// late ones too, refused ones not.
func (r *Recorder) Seen() []sysno.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return slices.Clone(r.final.seen)
	}
	return r.sessionSet(r.sightings()...)
}

// Denied is every syscall that a seccomp filter has refused any recorded process
// since Open, sorted. It needs Options.Denials.
func (r *Recorder) Denied() []sysno.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return slices.Clone(r.final.denied)
	}
	return r.sessionSet(recorderKindDENIED)
}

// Lost is what the Recorder knows that it missed since Open.
func (r *Recorder) Lost() trace.Lost {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return r.final.lost
	}
	return r.countLost()
}

// Dropped counts the details that did not fit since Open.
func (r *Recorder) Dropped() Dropped {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return r.final.dropped
	}
	return r.countDropped()
}
