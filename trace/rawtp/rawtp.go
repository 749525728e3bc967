// Package rawtp records which syscalls a program makes, launched or running
// already, with eBPF programs on raw tracepoints. It decides which tasks belong to the program (a
// mark on the task itself, inherited through clone, armed by exec) and what of
// each call is kept; it refuses to know why the program was run, what a policy
// is, and what a call means, except which of its arguments are strings or choices.
// Its main hazard is a call that is missed in silence: a call is a byte set in a map,
// so nothing queues and nothing drops, and whatever has a bound has a counter of what
// did not fit.
//
// While a Recorder is open every task of the machine takes the kernel's slow
// syscall path, so keep it open no longer than needed.
//
// Least kernel: Linux 5.15 (bpf_task_pt_regs) with BTF; exact from 6.2 on, because
// before it a lookup in task storage can fail when another task's storage is being
// freed on the same CPU. Needed rights: CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN.
//
// Not seen: what a process does that outlives the Recorder. Operations of io_uring,
// which are no syscalls, are listed apart. Thread and process ids are those of the
// initial pid namespace.
package rawtp

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
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

// MaxSlots is the largest number of slots that one Recorder has: of launchers, of
// attachments and of rooms together.
const MaxSlots = 512

// defaultSlots are as many as most are content with: each takes some 32 KiB of the kernel's
// memory, and 150 KiB more where details are kept.
const defaultSlots = 64

// ErrClosed says that the Recorder was closed.
var ErrClosed = errors.New("recorder is closed")

// Options says what a Recorder records. The zero value records the sets of
// syscalls alone, for 64 launchers.
type Options struct {
	// Slots is the number of launchers that can be marked at one time, at most
	// MaxSlots; 0 stands for 64.
	Slots int

	// Denials also records the calls that a seccomp filter refused. It costs
	// every task of the machine a second tracepoint on each syscall.
	Denials bool

	// Watch says of which syscalls each call is told as a Watched event and counted in
	// Denials, which it needs: those that a policy logs. Of the numbers that no table
	// has, it is asked about one for all.
	Watch func(sysno.ID) bool

	// Places adds to the events of refused and watched calls where these were made. It
	// needs what Sites needs.
	Places bool

	// Events also delivers the first sighting of each syscall as an Event.
	Events bool

	// Returns, Args and Sites add to Observations what came of the calls, values of
	// those arguments that are a choice among named ones, and where the calls were
	// made. Of Sites those of one syscall that have the lower 12 bits of their address
	// in common are taken for one, and numbers that no table has room for have none.
	// They need Linux 5.17; where that is missing, see NoDetails, none is kept. Returns
	// costs every task of the machine a second tracepoint on each syscall, as Denials
	// does.
	Returns, Args, Sites bool

	// Crashes keeps where a signal ended a run's processes by their own fault, see Slot.Crash.
	// It needs what Sites needs.
	Crashes bool

	// Entry makes the Recorder tell the startup of this program from all else that
	// the recorded processes do. A process is in its startup from the execve of this
	// very file until its entry point, and any other is in the main phase; so are
	// threads that a library starts before. It needs Linux 5.17 and
	// perf_event_open(2); where that is missing, see NoPhases, nothing is told apart.
	// The program has a breakpoint at its entry point then, which it can see.
	Entry *Entry

	// OnlyEntry makes the processes that a launcher starts recorded only from where they, or
	// those that they come from, execute the program of Entry: a test suite starts many
	// others. Where phases cannot be told apart, Open fails.
	OnlyEntry bool
}

// bounds are the sizes of the kernel's tables. A test makes them small.
type bounds struct {
	events  uint32 // bytes of the ring buffer, a power of two and of pages
	odds    uint32 // entries, one a slot and one for the session for each number
	denials uint32 // entries, one for each (process, syscall, arguments)
	values  uint32 // entries, one for each (slot, syscall, argument, value)
	sites   uint32 // entries, one for each (slot, syscall, site)
	kin     uint32 // entries, one for each process of the machine while Attach looks at them

	fault  func(*ebpf.CollectionSpec) // makes the programs fail, nil outside tests
	noting func()                     // the moment of which Attach takes the tree, nil outside tests
}

func defaultBounds() bounds {
	return bounds{events: 1 << 20, odds: 4096, denials: 8192, values: 16384, sites: 8192, kin: 65536}
}

// Recorder is a set of loaded and attached programs with their maps. Its methods
// may be called from any goroutine. After Close, what it has seen, lost and dropped
// stays as it was then.
type Recorder struct {
	want       Options
	bounds     bounds
	noPhases   error
	noDetails  error
	cookie     uint64
	submission string // the name of the tracepoint of io_uring; empty where it shows none
	coll       *ebpf.Collection
	links      []link.Link
	reader     *ringbuf.Reader // nil where there are no events

	mu        sync.RWMutex // Close, which unmaps, excludes all else
	taken     map[int]bool
	mapped    [][]byte
	slots     []*recorderSlot
	details   []*recorderDetail // of each slot; nil where none are kept
	crashes   []*recorderCrash  // the same
	session   *recorderSession
	unread    atomic.Uint64 // failed reads of the table of odd numbers
	unlisted  atomic.Uint64 // failed reads of the tables of details
	attaching *attaching    // nil until it is needed
	final     *record       // nil until Close
	closeErr  error
}

// record is what remains of a closed Recorder.
type record struct {
	seen, denied []sysno.ID
	denials      []Event
	lost         trace.Lost
	dropped      Dropped
	operations   []trace.Operation
}

// Dropped counts details that did not fit. No syscall is missing from a set
// because of them.
type Dropped struct {
	Events  uint64 // events that the ring buffer had no room for
	Denials uint64 // refused or watched calls that the tables of Denials had no room for
}

// Open loads the programs and attaches them. The error is a *PreflightError where
// a right or a feature of the kernel is known to be missing.
func Open(o Options) (*Recorder, error) {
	return open(o, defaultBounds())
}

func open(o Options, b bounds) (_ *Recorder, err error) {
	if o.Slots == 0 {
		o.Slots = defaultSlots
	}
	if o.Slots < 0 || o.Slots > MaxSlots {
		return nil, fmt.Errorf("open recorder: %d slots: want 1 to %d", o.Slots, MaxSlots)
	}
	if err := Preflight(); err != nil {
		return nil, err
	}
	var noDetails error
	if o.detailed() || o.Crashes {
		if noDetails = canFindFiles(); noDetails != nil {
			o.Returns, o.Args, o.Sites, o.Places, o.Crashes = false, false, false, false, false
		}
	}
	var cookie [8]byte
	if _, err := rand.Read(cookie[:]); err != nil {
		return nil, fmt.Errorf("open recorder: %w", err)
	}
	r := &Recorder{
		want:      o,
		bounds:    b,
		noPhases:  canPhase(o.Entry),
		noDetails: noDetails,
		cookie:    binary.NativeEndian.Uint64(cookie[:]),
		taken:     map[int]bool{},
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
	for _, flag := range []struct {
		set  bool
		word *uint64
	}{
		{o.Events, &r.session.FirstSightings},
		{o.Denials, &r.session.Denials},
		{o.Returns, &r.session.Returns},
		{o.Args, &r.session.Args},
		{o.Sites, &r.session.Sites},
		{o.Places, &r.session.Places},
		{o.Watch != nil, &r.session.Watches},
	} {
		if flag.set {
			*flag.word = 1
		}
	}
	if o.Events || o.Denials {
		if r.reader, err = ringbuf.NewReader(r.coll.Maps["events"]); err != nil {
			return nil, fmt.Errorf("open the recorder's events: %w", err)
		}
	}
	if r.noPhases == nil {
		r.noPhases = r.watchEntry(o.Entry)
	}
	if o.OnlyEntry {
		if r.noPhases != nil {
			return nil, fmt.Errorf("tell the program from others: %w", r.noPhases)
		}
		r.session.Only = 1
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
	spec.Maps["details"].MaxEntries = uint32(o.Slots)
	spec.Maps["odds"].MaxEntries = b.odds
	spec.Maps["denials"].MaxEntries = 1
	spec.Maps["events"].MaxEntries = b.events
	spec.Maps["values"].MaxEntries = 1
	spec.Maps["sites"].MaxEntries = 1
	spec.Maps["more_denials"].MaxEntries = 1
	if o.Denials {
		spec.Maps["denials"].MaxEntries = b.denials
		spec.Maps["more_denials"].MaxEntries = b.denials
	}
	if o.Args {
		spec.Maps["values"].MaxEntries = b.values
	}
	if o.Sites {
		spec.Maps["sites"].MaxEntries = b.sites
	}
	spec.Maps["call_shapes"].Contents = []ebpf.MapKV{{Key: uint32(0), Value: shapes(o.Watch)}}
	spec.Maps["choice_args"].Contents = []ebpf.MapKV{{Key: uint32(0), Value: choiceArgs()}}
	if !o.refusals() {
		delete(spec.Programs, "sys_exit")
		delete(spec.Programs, "sys_exit_details")
		delete(spec.Programs, "sched_process_exit")
	}
	for _, point := range []string{"sys_enter", "sys_exit", "emulate_vsyscall"} {
		if o.detailed() {
			delete(spec.Programs, point)
		} else {
			delete(spec.Programs, point+"_details")
		}
	}
	if !o.detailed() {
		for _, name := range []string{"details", "values", "sites", "choice_args"} {
			delete(spec.Maps, name)
		}
	}
	if o.Crashes {
		spec.Maps["crashes"].MaxEntries = uint32(o.Slots)
	} else {
		delete(spec.Programs, "signal_deliver")
		delete(spec.Maps, "crashes")
	}
	if !o.Crashes && !o.detailed() {
		delete(spec.Maps, "stacks")
	}
	for _, name := range attachPrograms {
		delete(spec.Programs, name)
	}
	for _, name := range attachMaps {
		delete(spec.Maps, name)
	}
	if r.submission = submission(); r.submission == "" {
		delete(spec.Programs, "io_uring_submit")
	}
	if r.noPhases != nil {
		for _, name := range []string{"sched_process_exec_phases", "entry_file", "entry_point"} {
			delete(spec.Programs, name)
		}
	}
	if !o.Denials && !o.Events {
		spec.Maps["events"].MaxEntries = uint32(os.Getpagesize())
	}
	for name, p := range spec.Programs {
		p.Name = objectName(name)
	}
	for name, m := range spec.Maps {
		m.Name = objectName(name)
	}
	if b.fault != nil {
		b.fault(spec)
	}
	r.coll, err = ebpf.NewCollection(spec)
	return err
}

// objectName is that by which an administrator knows an object of the kernel. Where
// all of the kernel's 15 bytes are used, tools show the name of the C function.
func objectName(name string) string {
	name = "tjf_" + name
	return name[:min(len(name), 14)]
}

// detailed reports whether the programs keep more of a call than its number.
func (o Options) detailed() bool { return o.Returns || o.Args || o.Sites || o.Places }

// refusals reports whether the programs see the ends of calls.
func (o Options) refusals() bool { return o.Denials || o.Returns }

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
	if r.want.Crashes {
		size = int(unsafe.Sizeof(recorderCrash{}))
		if mem, err = r.mmap("crashes", slots*size); err != nil {
			return err
		}
		for i := range slots {
			r.crashes = append(r.crashes, (*recorderCrash)(unsafe.Pointer(&mem[i*size])))
		}
	}
	if !r.want.detailed() {
		return nil
	}
	size = int(unsafe.Sizeof(recorderDetail{}))
	if mem, err = r.mmap("details", slots*size); err != nil {
		return err
	}
	for i := range slots {
		r.details = append(r.details, (*recorderDetail)(unsafe.Pointer(&mem[i*size])))
	}
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
	for _, name := range []string{
		"sched_process_exec", "sched_process_exec_phases", "sched_process_exit", "io_uring_submit", "signal_deliver",
		"emulate_vsyscall", "emulate_vsyscall_details", "sys_exit", "sys_exit_details", "sys_enter", "sys_enter_details",
	} {
		program := r.coll.Programs[name]
		if program == nil { // not of this architecture, or not asked for
			continue
		}
		if name == "sched_process_exec" && r.noPhases == nil || name == "sched_process_exec_phases" && r.noPhases != nil {
			continue
		}
		point := strings.TrimSuffix(strings.TrimSuffix(name, "_details"), "_phases")
		if name == "io_uring_submit" {
			point = r.submission
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
		seen:    r.sessionSet(sightings()...),
		denied:  r.sessionSet(refusals()...),
		denials: denials,
		lost:    r.countLost(),
		dropped: r.countDropped(),

		operations: r.operationSet(),
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
	r.mapped, r.slots, r.details, r.crashes, r.session = nil, nil, nil, nil, nil
	errs = append(errs, r.attaching.close())
	r.attaching = nil
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
	return r.sessionSet(sightings()...)
}

// Denied is every syscall that a seccomp filter has refused any recorded process
// since Open, sorted. It needs Options.Denials or Options.Returns.
func (r *Recorder) Denied() []sysno.ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return slices.Clone(r.final.denied)
	}
	return r.sessionSet(refusals()...)
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

// Operations lists the io_uring operations that recorded processes have submitted
// since Open, sorted. It needs a kernel from Linux 5.19 on, else it is empty.
func (r *Recorder) Operations() []trace.Operation {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return slices.Clone(r.final.operations)
	}
	return r.operationSet()
}

// NoDetails says why the Recorder keeps none of the Returns, Args and Sites that were
// asked for, nil when it does.
func (r *Recorder) NoDetails() error { return r.noDetails }

// Dropped counts the details that did not fit since Open.
func (r *Recorder) Dropped() Dropped {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.final != nil {
		return r.final.dropped
	}
	return r.countDropped()
}
