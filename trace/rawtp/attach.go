package rawtp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Attachment says which running processes a slot records.
type Attachment struct {
	// PIDs are processes, in this process' pid namespace, with their threads and all
	// that descends from them at a moment between Attach's call and its return. A
	// daemon whose parent has exited before descends from them no more.
	PIDs []int

	// Cgroups are directories of mounted cgroup hierarchies, v1 or v2. What is in them
	// or below them is recorded with its descendants, whichever cgroup these go to. What
	// enters them later, or a cgroup that is made below them, is recorded from its next
	// execve on: a container runtime enters the cgroup before it executes the
	// container's program, and is not of the container until then.
	Cgroups []string
}

// ErrNothing says that there was nothing to attach to.
var ErrNothing = errors.New("nothing is left to record: all of it has ended, or is the recorder itself, or is recorded already")

// maxPasses bounds how often Attach goes over the tasks of the machine: two or three
// times are the rule.
const maxPasses = 100

// attachPrograms and attachMaps are loaded by the first Attach or Alive.
var (
	attachPrograms = []string{
		"note_birth", "note_exec", "note_exit", "look", "adopt", "adopt_details", "disown", "census", "join", "find_cgroup",
	}
	attachMaps = []string{"passes", "kinship", "wanted", "homes", "rooms", "vacant", "let"}
)

// process and kinship are what the programs note while the tree is looked for.
type (
	process = recorderProcess
	kinship = map[process]recorderKin
)

// attaching is what goes over the tasks of the machine.
type attaching struct {
	coll    *ebpf.Collection
	pass    *recorderPass
	mapped  []byte
	joining link.Link // nil while no cgroup is recorded
}

// Attach records processes that are running already, in a slot of their own. From its
// return on no syscall of theirs is missed. Calls in which threads are at that time
// are recorded where the kernel shows them: a thread that waits is known to, and one
// that runs tells at the end of its call, where Options.Denials or Options.Returns is
// set. All that it records is of the main phase.
//
// The calling process is never recorded, and a task that another slot records stays
// there; it is an error if one of the PIDs does, or if nothing is left to record. So it
// is for kernel threads, for process 1, and for what has ended.
//
// It needs Linux 5.17, and membarrier(2), which a kernel that runs with nohz_full
// lacks. The slot's Release ends the recording; it may be called by any thread.
func (r *Recorder) Attach(slot int, a Attachment) (_ *Slot, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.final != nil:
		return nil, fmt.Errorf("attach: %w", ErrClosed)
	case slot < 0 || slot >= len(r.slots):
		return nil, fmt.Errorf("attach: slot %d of %d", slot, len(r.slots))
	case r.taken[slot]:
		return nil, fmt.Errorf("attach: slot %d is taken", slot)
	case len(a.PIDs) == 0 && len(a.Cgroups) == 0:
		return nil, errors.New("attach: neither a process nor a cgroup is named")
	}
	for _, pid := range a.PIDs {
		if err := attachable(pid); err != nil {
			return nil, fmt.Errorf("attach: %w", err)
		}
	}
	if err := r.prepareAttach(); err != nil {
		return nil, fmt.Errorf("attach: load: %w", err)
	}
	s, err := r.own(slot)
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	s.attached = true
	if err := r.adopt(slot, a); err != nil {
		return nil, errors.Join(fmt.Errorf("attach: %w", err), r.disown(slot))
	}
	r.taken[slot] = true
	return s, nil
}

// attachable says what keeps a process from being attached to, as far as that shows
// without a look at the kernel's tasks.
func attachable(pid int) error {
	switch {
	case pid <= 0:
		return fmt.Errorf("%d is no process id", pid)
	case pid == os.Getpid():
		return fmt.Errorf("process %d is the recorder itself", pid)
	case pid == 1:
		return errors.New("process 1 is the parent of the whole system")
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return fmt.Errorf("there is no process %d", pid)
	// Since Linux 6.15 ENOENT says what EINVAL did.
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%d is a thread, not a process", pid)
	case err != nil:
		return fmt.Errorf("look for process %d: %w", pid, err)
	}
	return unix.Close(fd)
}

// prepareAttach loads what nobody pays for who only launches.
func (r *Recorder) prepareAttach() (err error) {
	if r.attaching != nil {
		return nil
	}
	spec, err := loadRecorder()
	if err != nil {
		return err
	}
	shared := map[string]*ebpf.Map{}
	for name, m := range spec.Maps {
		if loaded := r.coll.Maps[name]; loaded != nil {
			m.MaxEntries = loaded.MaxEntries()
			shared[name] = loaded
		} else if !slices.Contains(attachMaps, name) {
			delete(spec.Maps, name)
		}
		m.Name = objectName(name)
	}
	for name, p := range spec.Programs {
		if !slices.Contains(attachPrograms, name) {
			delete(spec.Programs, name)
		}
		p.Name = objectName(name)
	}
	if r.want.detailed() {
		delete(spec.Programs, "adopt")
	} else {
		delete(spec.Programs, "adopt_details")
	}
	spec.Maps["kinship"].MaxEntries = r.bounds.kin
	for _, name := range []string{"rooms", "vacant", "let"} {
		spec.Maps[name].MaxEntries = uint32(len(r.slots))
	}
	a := &attaching{}
	if a.coll, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared}); err != nil {
		return err
	}
	size := os.Getpagesize()
	if a.mapped, err = unix.Mmap(a.coll.Maps["passes"].FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		a.coll.Close()
		return fmt.Errorf("mmap passes: %w", err)
	}
	a.pass = (*recorderPass)(unsafe.Pointer(&a.mapped[0]))
	r.attaching = a
	return nil
}

func (a *attaching) close() error {
	if a == nil {
		return nil
	}
	var errs []error
	if a.joining != nil {
		errs = append(errs, a.joining.Close())
	}
	errs = append(errs, unix.Munmap(a.mapped))
	a.coll.Close()
	return errors.Join(errs...)
}

// run goes over all tasks with a program, and starts the counters anew.
func (a *attaching) run(program string, slot int) error {
	a.pass.Slot = uint64(slot)
	for _, counter := range []*uint64{&a.pass.Marked, &a.pass.Unmarked, &a.pass.Alive, &a.pass.Waiting} {
		atomic.StoreUint64(counter, 0)
	}
	it, err := link.AttachIter(link.IterOptions{Program: a.coll.Programs[program]})
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer it.Close()
	tasks, err := it.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	defer tasks.Close()
	if _, err := io.Copy(io.Discard, tasks); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}

// adopt marks the processes of a slot. The caller undoes it when it fails.
func (r *Recorder) adopt(slot int, a Attachment) (err error) {
	atomic.StoreUint64(&r.session.Joins, 1)
	if err := r.enterHomes(slot, a.Cgroups); err != nil {
		return err
	}
	at := r.attaching
	for _, name := range []string{"kinship", "wanted"} {
		if err := forget(at.coll.Maps[name], func(process) bool { return true }); err != nil {
			return err
		}
	}
	atomic.StoreUint64(&at.pass.Unnoted, 0)
	notes, err := r.takeNotes("note_birth", "note_exec")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, notes()) }()
	if err := r.look(slot); err != nil {
		return err
	}
	kin, err := at.kin()
	if err != nil {
		return err
	}
	roots, own, err := findRoots(kin, a.PIDs)
	if err != nil {
		return err
	}
	program, total := "adopt", uint64(0)
	if r.want.detailed() {
		program = "adopt_details"
	}
	wanted := map[process]bool{}
	for range maxPasses {
		tree := closure(kin, roots, own)
		grown, err := at.want(wanted, tree)
		if err != nil {
			return err
		}
		stirs := atomic.LoadUint64(&at.pass.Stirs)
		if err := at.run(program, slot); err != nil {
			return err
		}
		marked, unmarked := atomic.LoadUint64(&at.pass.Marked), atomic.LoadUint64(&at.pass.Unmarked)
		total += marked
		// A fork that had looked for its parent's mark before the pass gave it one has
		// noted its child after this.
		if err := settle(); err != nil {
			return err
		}
		if kin, err = at.kin(); err != nil {
			return err
		}
		if grown || marked+unmarked > 0 || stirs != atomic.LoadUint64(&at.pass.Stirs) || len(closure(kin, roots, own)) != len(tree) {
			continue
		}
		if total == 0 {
			return ErrNothing
		}
		lost := atomic.LoadUint64(&at.pass.Unnoted)
		for p := range tree {
			lost += uint64(kin[p].Cut)
		}
		atomic.AddUint64(&r.session.Unfollowed, lost)
		return nil
	}
	return fmt.Errorf("the processes do not hold still: %d passes over them were not enough", maxPasses)
}

// look has every process noted that is there, and those that exit meanwhile as what
// they were before.
func (r *Recorder) look(slot int) (err error) {
	end, err := r.takeNotes("note_exit")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if r.bounds.noting != nil {
		r.bounds.noting()
	}
	return r.attaching.run("look", slot)
}

// takeNotes starts programs that note births, execs or exits, and returns what ends
// them.
func (r *Recorder) takeNotes(names ...string) (end func() error, err error) {
	var links []link.Link
	end = func() error {
		var errs []error
		for _, l := range links {
			errs = append(errs, l.Close())
		}
		return errors.Join(errs...)
	}
	for _, name := range names {
		var l link.Link
		program := r.attaching.coll.Programs[name]
		switch name {
		case "note_birth":
			l, err = link.AttachTracing(link.TracingOptions{Program: program})
		case "note_exec":
			l, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sched_process_exec", Program: program})
		case "note_exit":
			l, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sched_process_exit", Program: program})
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), end())
		}
		links = append(links, l)
	}
	return end, nil
}

// settle waits until every program that runs in the kernel now has ended.
func settle() error {
	const global = 1 // MEMBARRIER_CMD_GLOBAL: waits for a grace period of RCU
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		return fmt.Errorf("wait for what is under way: membarrier: %w", errno)
	}
	return nil
}

// kin reads what is noted of processes.
func (a *attaching) kin() (kinship, error) {
	var (
		cursor ebpf.MapBatchCursor
		keys   [1024]process
		values [1024]recorderKin
	)
	all := kinship{}
	for {
		n, err := a.coll.Maps["kinship"].BatchLookup(&cursor, keys[:], values[:], nil)
		for i := range n {
			all[keys[i]] = values[i]
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what is noted of processes: %w", err)
		}
	}
}

// want adds processes to those that a pass marks, and reports whether there were any
// to add.
func (a *attaching) want(have, tree map[process]bool) (grown bool, err error) {
	for p := range tree {
		if have[p] {
			continue
		}
		if err := a.coll.Maps["wanted"].Put(p, uint8(1)); err != nil {
			return false, fmt.Errorf("tell the kernel about a process: %w", err)
		}
		have[p], grown = true, true
	}
	return grown, nil
}

// findRoots finds the processes of the given ids, and this one.
func findRoots(kin kinship, pids []int) (roots map[process]bool, own process, err error) {
	byPID := map[uint32]process{}
	for p, k := range kin {
		byPID[k.Pid] = p
	}
	roots = map[process]bool{}
	for _, pid := range pids {
		p, ok := byPID[uint32(pid)]
		k := kin[p]
		switch {
		case !ok:
			return nil, own, fmt.Errorf("there is no process %d any more", pid)
		case k.Kernel != 0:
			return nil, own, fmt.Errorf("process %d is a thread of the kernel, which makes no syscalls", pid)
		case k.Ended != 0:
			return nil, own, fmt.Errorf("process %d has ended, its parent has not waited for it yet", pid)
		case k.Recorded != 0:
			return nil, own, fmt.Errorf("process %d is recorded already, in slot %d", pid, k.Recorded-1)
		}
		roots[p] = true
	}
	return roots, byPID[uint32(os.Getpid())], nil
}

// closure is the roots and whoever descends from them, but for what does so through
// own only.
func closure(kin kinship, roots map[process]bool, own process) map[process]bool {
	tree := map[process]bool{}
	outside := map[process]bool{own: true}
	for p := range kin {
		var path []process
		at := p
		for !roots[at] && !tree[at] && !outside[at] {
			path = append(path, at)
			k, ok := kin[at]
			if !ok || k.Parent == at { // the kernel's first task is its own parent
				break
			}
			at = k.Parent
		}
		into := outside
		if roots[at] || tree[at] {
			into = tree
		}
		for _, p := range path {
			into[p] = true
		}
	}
	for p := range roots {
		tree[p] = true
	}
	return tree
}

// enterHomes tells the programs which cgroups a slot records.
func (r *Recorder) enterHomes(slot int, dirs []string) error {
	at := r.attaching
	for _, dir := range dirs {
		serial, err := at.serial(dir)
		if err != nil {
			return fmt.Errorf("cgroup %s: %w", dir, err)
		}
		switch err := at.coll.Maps["homes"].Update(serial, uint32(slot), ebpf.UpdateNoExist); {
		case errors.Is(err, ebpf.ErrKeyExist):
			var other uint32
			if err := at.coll.Maps["homes"].Lookup(serial, &other); err != nil || int(other) != slot {
				return errors.Join(fmt.Errorf("cgroup %s is recorded already, in slot %d", dir, other), err)
			}
		case err != nil:
			return fmt.Errorf("cgroup %s: %w", dir, err)
		}
	}
	if len(dirs) == 0 {
		return nil
	}
	return r.joinHomes()
}

// joinHomes has what is executed in a recorded cgroup recorded from then on.
func (r *Recorder) joinHomes() error {
	at := r.attaching
	if at.joining != nil {
		return nil
	}
	l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sched_process_exec", Program: at.coll.Programs["join"]})
	if err != nil {
		return fmt.Errorf("sched_process_exec: %w", err)
	}
	at.joining = l
	return nil
}

// serial is a number that the cgroup of a directory shares with no other.
func (a *attaching) serial(dir string) (uint64, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if fs.Type != unix.CGROUP_SUPER_MAGIC && fs.Type != unix.CGROUP2_SUPER_MAGIC || !info.IsDir() {
		return 0, errors.New("is no directory of a cgroup file system")
	}
	a.pass.Cgroup = 0
	if _, err := a.coll.Programs["find_cgroup"].Run(&ebpf.RunOptions{Context: []uint64{uint64(f.Fd())}}); err != nil {
		return 0, fmt.Errorf("find the cgroup behind a descriptor: %w", err)
	}
	if serial := atomic.LoadUint64(&a.pass.Cgroup); serial != 0 {
		return serial, nil
	}
	return 0, errors.New("is the whole system")
}

// disown takes the marks of a slot away.
func (r *Recorder) disown(slot int) error {
	at := r.attaching
	if err := forgetValues(at.coll.Maps["homes"], uint32(slot)); err != nil {
		return err
	}
	// What forks meanwhile hands its mark on.
	for range maxPasses {
		if err := at.run("disown", slot); err != nil {
			return fmt.Errorf("release slot %d: %w", slot, err)
		}
		if atomic.LoadUint64(&at.pass.Marked) == 0 {
			return nil
		}
	}
	return fmt.Errorf("release slot %d: its processes do not hold still", slot)
}

// forgetValues deletes the entries of a value.
func forgetValues(m *ebpf.Map, value uint32) error {
	var (
		key   uint64
		have  uint32
		stale []uint64
	)
	entries := m.Iterate()
	for entries.Next(&key, &have) {
		if have == value {
			stale = append(stale, key)
		}
	}
	for _, key := range stale {
		if err := m.Delete(key); err != nil {
			return fmt.Errorf("empty the table %s: %w", m, err)
		}
	}
	return entries.Err()
}

// Alive counts the threads that are recorded in the slot and have not ended.
func (s *Slot) Alive() (int, error) {
	alive, _, err := s.census()
	return alive, err
}

// Waiting counts the threads in the slot's cgroups that have entered them after Attach
// and have executed no program since: what they do is not recorded.
func (s *Slot) Waiting() (int, error) {
	_, waiting, err := s.census()
	return waiting, err
}

func (s *Slot) census() (alive, waiting int, err error) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	switch {
	case s.r.final != nil:
		return 0, 0, fmt.Errorf("count threads: %w", ErrClosed)
	case s.released:
		return 0, 0, nil
	}
	if err := s.r.prepareAttach(); err != nil {
		return 0, 0, fmt.Errorf("count threads: load: %w", err)
	}
	if err := s.r.attaching.run("census", s.index); err != nil {
		return 0, 0, fmt.Errorf("count threads: %w", err)
	}
	pass := s.r.attaching.pass
	return int(atomic.LoadUint64(&pass.Alive)), int(atomic.LoadUint64(&pass.Waiting)), nil
}
