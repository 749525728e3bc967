package userland

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// follows are the options that make the kernel seize what a traced task creates, and
// tell syscalls from SIGTRAP.
const follows = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
	unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC

// syscallStop is the signal that PTRACE_O_TRACESYSGOOD makes of a syscall's SIGTRAP.
const syscallStop = unix.SIGTRAP | 0x80

// maxOdd bounds the numbers without a name that are kept, and maxPlaces the call
// sites that are looked up for one task.
const (
	maxOdd    = 4096
	maxPlaces = 4096
)

// restarts is the first of the kernel's codes for a call that a signal cut short and
// that is made again or becomes EINTR (include/linux/errno.h). Programs see none.
const restarts = 512

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	nr     uint64    // at the exit the result
	args   [6]uint64 // at the exit, whether that is an error
}

// request makes a ptrace(2) call that does not block. What an argument points to must not lie
// on the stack, which moves when it grows.
//
//go:uintptrescapes
func request(what, tid int, addr, data uintptr) error {
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(what), uintptr(tid), addr, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// seize makes the calling thread the tracer of a task, which goes on meanwhile. It
// blocks while the task's process executes a program.
func seize(tid int, options uintptr) error {
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, follows|options, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

func callOf(tid int) (info syscallInfo, err error) {
	err = request(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)))
	return info, err
}

// tracer follows the tasks that its thread has seized. Its methods run on that thread.
type tracer struct {
	slot    *PtraceSlot
	tasks   map[int]*task
	armed   bool // something in the run has been
	leaving bool // whatever stops is let go
	changes []change
	sites   locator
}

// task is a thread that is traced.
type task struct {
	armed bool // its calls are recorded

	call    sysno.ID // that it is in, or has just returned from
	nr      int64    // the same as it stood in the register
	dubious bool     // call has returned what may be the number of a call that a filter refused

	untraced bool // call may create a task that nobody is told of
	places   map[place]bool
}

// place is where a task called from.
type place struct {
	id sysno.ID
	ip uint64
}

// follow waits for and resumes all that is traced until nothing is left, and returns
// how the main process ended. When that has, the rest is let go. With armed, what
// is traced is recorded at once, otherwise from its next execve on.
func (t *tracer) follow(main int, armed bool) unix.WaitStatus {
	t.armed, t.leaving = armed, false
	if !armed {
		t.task(main) // while nothing is armed: an init makes its child and stays as it is
	}
	end := unix.WaitStatus(unix.SIGKILL) // unless it is known better: never a pass
	for t.wait() {
		for _, e := range t.changes {
			switch {
			case e.status.Stopped():
				t.stopped(e.tid, e.status)
			case e.tid == main:
				end = e.status
				t.ended(e.tid)
				t.leave()
			default:
				t.ended(e.tid)
			}
		}
	}
	t.slot.mu.Lock()
	defer t.slot.mu.Unlock()
	clear(t.tasks)
	return end
}

// change is what wait(2) tells of a task.
type change struct {
	tid    int
	status unix.WaitStatus
}

// wait waits for something to happen and collects all that has, before anything is
// resumed: the kernel tells of the first that has stopped in the order of their
// age, and while older tasks are back at once the younger ones would wait for
// ever. False says that nothing is left.
func (t *tracer) wait() bool {
	t.changes = t.changes[:0]
	for options := unix.WALL | unix.WNOTHREAD; ; {
		var ws unix.WaitStatus
		switch tid, err := unix.Wait4(-1, &ws, options, nil); {
		case err == unix.EINTR:
		case err != nil || tid == 0: // ECHILD, or no more for now
			return len(t.changes) > 0
		default:
			// What has stopped and changes all the same was killed, or another
			// thread has taken over its number by an exec.
			t.changes = slices.DeleteFunc(t.changes, func(c change) bool { return c.tid == tid && c.status.Stopped() })
			t.changes = append(t.changes, change{tid, ws})
			options |= unix.WNOHANG
		}
	}
}

// task finds a task. A new one inherits. It need not be asked from whom, which nobody
// could tell when its creator was killed: in a run that is armed every task that is
// created descends from an armed one, for an init makes its only child before.
func (t *tracer) task(tid int) *task {
	k := t.tasks[tid]
	if k == nil {
		k = &task{armed: t.armed}
		t.slot.mu.Lock()
		t.tasks[tid] = k
		t.slot.mu.Unlock()
	}
	return k
}

func (t *tracer) ended(tid int) {
	t.slot.mu.Lock()
	defer t.slot.mu.Unlock()
	delete(t.tasks, tid)
}

// leave lets all that is traced go, as soon as each stops.
func (t *tracer) leave() {
	t.leaving = true
	for tid := range t.tasks {
		_ = request(unix.PTRACE_INTERRUPT, tid, 0, 0) // ESRCH: it is ending
	}
}

// stopped takes note of why a task has stopped and resumes it.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) {
	k := t.task(tid)
	signal, event := unix.Signal(ws>>8&0xff), int(ws)>>16
	var deliver unix.Signal
	switch {
	case signal == syscallStop:
		k = t.syscall(tid, k)
	case event == unix.PTRACE_EVENT_EXEC:
		k = t.executed(tid, k)
	case event == unix.PTRACE_EVENT_STOP && signal != unix.SIGTRAP && !t.leaving:
		// The process has been stopped, and stays so until somebody continues it.
		_ = request(unix.PTRACE_LISTEN, tid, 0, 0)
		return
	case event == 0:
		deliver = signal
		t.settle(k, signal == unix.SIGSYS && bySeccomp(tid))
	}
	how := unix.PTRACE_CONT
	switch {
	case t.leaving:
		how = unix.PTRACE_DETACH
	case k.armed:
		how = unix.PTRACE_SYSCALL
	}
	// ESRCH: it was killed meanwhile, and its end is reported next.
	if request(how, tid, 0, uintptr(deliver)) == nil && t.leaving {
		t.ended(tid)
	}
}

// executed arms the task, and records the exec in the launcher's stead as
// trace/rawtp does: as the native execve, whatever it was. A thread that was not
// the leader has taken over the leader's number.
func (t *tracer) executed(tid int, k *task) *task {
	var former uint
	if err := request(unix.PTRACE_GETEVENTMSG, tid, 0, uintptr(unsafe.Pointer(&former))); err == nil && int(former) != tid {
		if thread := t.tasks[int(former)]; thread != nil {
			t.slot.mu.Lock()
			t.tasks[tid], k = thread, thread
			delete(t.tasks, int(former))
			t.slot.mu.Unlock()
		}
	}
	k.places = nil
	if !k.armed {
		k.armed, t.armed = true, true
		k.call, _ = sysno.Lookup(sysno.Native(), "execve")
		k.nr = int64(k.call.NR)
		t.slot.see(k.call)
	}
	return k
}

// syscall returns the task that is there now.
func (t *tracer) syscall(tid int, k *task) *task {
	info, err := callOf(tid)
	if err != nil {
		return k // ESRCH: it was killed, and the call was not made
	}
	switch info.op {
	case unix.PTRACE_SYSCALL_INFO_NONE:
		// Another thread has taken over its number since, and has stopped for that.
		return t.executed(tid, k)
	case unix.PTRACE_SYSCALL_INFO_ENTRY:
		t.settle(k, false)
		t.entered(tid, k, info)
	case unix.PTRACE_SYSCALL_INFO_EXIT:
		t.returned(k, int64(info.nr), uint8(info.args[0]) != 0)
	}
	return k
}

func (t *tracer) entered(tid int, k *task, info syscallInfo) {
	k.call, k.nr = sysno.FromRaw(info.arch, uint32(info.nr)), int64(info.nr)
	if k.call == (sysno.ID{}) {
		// The kernel has an ABI that has no table here.
		t.slot.r.tasks.Add(1)
		return
	}
	args := info.args
	if k.call.Arch == sysno.I386 {
		for i := range args {
			args[i] &= 1<<32 - 1
		}
	}
	k.untraced = untraced(tid, k.call, args)
	o := t.slot.r.opts
	if o.Refuses != nil && o.Refuses(k.call, args) {
		t.slot.note(k.call, func(d *sighting) { d.denied = t.slot.run })
		return
	}
	if !t.slot.see(k.call) {
		return
	}
	if o.Args {
		t.slot.details(k.call, func(d *sighting) bool { return d.call(k.call, args) })
	}
	if o.Sites {
		t.locate(tid, k, info.ip)
	}
}

// locate keeps the call site, which is looked up but once.
func (t *tracer) locate(tid int, k *task, ip uint64) {
	p := place{k.call, ip}
	if k.places[p] {
		return
	}
	if k.places == nil {
		k.places = map[place]bool{}
	}
	if len(k.places) == maxPlaces {
		t.slot.details(k.call, func(d *sighting) bool { d.more = true; return true })
		return
	}
	k.places[p] = true
	site := t.sites.at(tid, ip)
	t.slot.details(k.call, func(d *sighting) bool { return d.site(site) })
}

func (t *tracer) returned(k *task, result int64, failed bool) {
	if k.untraced && !failed && result > 0 {
		t.slot.r.tasks.Add(1)
	}
	k.untraced = false
	if !t.slot.r.opts.Returns || k.call == (sysno.ID{}) {
		return
	}
	switch {
	case !failed && result == k.nr:
		k.dubious = true
	case !failed:
		t.slot.details(k.call, func(d *sighting) bool { d.success = true; return false })
	case -result < restarts:
		t.slot.details(k.call, func(d *sighting) bool { d.errnos[uint16(-result)] = true; return false })
	}
}

// settle decides what a call has returned whose result was its number. A filter that
// answers with SIGSYS leaves the registers as they were, and the signal is what
// the task stops at next.
func (t *tracer) settle(k *task, refused bool) {
	if !k.dubious {
		return
	}
	k.dubious = false
	t.slot.details(k.call, func(d *sighting) bool {
		d.refused = d.refused || refused
		d.success = d.success || !refused
		return false
	})
}

// bySeccomp reports whether the signal that a task has stopped for was sent by a
// filter: si_code of sigaction(2) is SYS_SECCOMP.
func bySeccomp(tid int) bool {
	const sysSeccomp = 1
	var info unix.Siginfo
	err := request(unix.PTRACE_GETSIGINFO, tid, 0, uintptr(unsafe.Pointer(&info)))
	return err == nil && info.Code == sysSeccomp
}

// untraced reports whether a call asks for a task that no tracer is told of.
func untraced(tid int, id sysno.ID, args [6]uint64) bool {
	name, _ := id.Name()
	var flags uint64
	switch name {
	case "clone":
		flags = args[0]
	case "clone3":
		var word [8]byte // flags come first in struct clone_args
		local := []unix.Iovec{{Base: &word[0], Len: uint64(len(word))}}
		remote := []unix.RemoteIovec{{Base: uintptr(args[0]), Len: len(word)}}
		if n, err := unix.ProcessVMReadv(tid, local, remote, 0); err != nil || n != len(word) {
			return false // the kernel cannot read it either
		}
		flags = binary.NativeEndian.Uint64(word[:])
	}
	return flags&unix.CLONE_UNTRACED != 0
}

// see records a call in the current run, and reports whether there was room.
func (s *PtraceSlot) see(id sysno.ID) bool {
	return s.note(id, func(d *sighting) { d.run = s.run })
}

// note makes a note of a call, which need not be known yet, and reports whether there
// was room.
func (s *PtraceSlot) note(id sysno.ID, add func(*sighting)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.sightings[id]
	if d == nil {
		if _, named := id.Name(); !named {
			if s.odd == maxOdd {
				s.r.odd.Add(1)
				return false
			}
			s.odd++
		}
		d = newSighting()
		s.sightings[id] = d
	}
	add(d)
	return true
}

// details adds to what is known of a syscall that has been seen. A true result
// counts as a lost detail.
func (s *PtraceSlot) details(id sysno.ID, add func(*sighting) (lost bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.sightings[id]; d != nil && add(d) {
		s.r.more.Add(1)
	}
}
