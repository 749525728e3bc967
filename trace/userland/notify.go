package userland

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// NotifyOptions says what a Notify records. The zero value records everything.
type NotifyOptions struct {
	// Known are syscalls that are not looked for, as after Settle.
	Known []sysno.ID

	// Judge, when not nil, answers for each call that is seen; a call that it
	// refuses is not executed. It is called from several goroutines.
	Judge func(id sysno.ID, args [6]uint64) Ruling

	Args  bool // also record typed enum and flag arguments
	Sites bool // and where calls are made from, which takes as long as several calls
}

// Ruling is what becomes of a call. The zero value lets it pass.
type Ruling struct {
	Errno unix.Errno // the call fails with it
	Kill  bool       // the process is killed; by SIGKILL, although a filter would use SIGSYS
}

// Notify records through seccomp user notification: the target starts under a
// filter that stops each call until the recorder has taken note and let it go on.
// It needs no rights.
//
// A stopped call costs some microseconds, hundreds of times what it costs
// otherwise. So a caller that makes many runs tells by Settle which syscalls it
// need not see any more; they pass the filters of later runs as fast as without
// one. A filter that is loaded cannot be changed: a single long run of a busy
// program is slow to its end, but for what NotifyOptions.Known names.
//
// What it changes about the target: a program executed without CAP_SYS_ADMIN has
// no_new_privs, so that setuid programs and file capabilities gain no rights. The
// target cannot get a notification listener of its own (EBUSY). /proc/PID/status
// shows the filter. Before Linux 5.19 a signal can interrupt a call while it is
// stopped, also one that is never interrupted otherwise.
//
// What it does not see: calls that a filter of the target's own refuses, which takes
// precedence; what the kernel executes without a call, as io_uring does. Processes
// that outlive their run go on being watched until Close; from then on each of
// their calls that is not known fails with ENOSYS. Needs Linux 5.9.
type Notify struct {
	judge func(sysno.ID, [6]uint64) Ruling
	quit  int // eventfd that ends all goroutines

	mu      sync.Mutex // is taken last
	known   map[sysno.ID]bool
	program []byte // for known; nil when that has changed
	seen    map[sysno.ID]bool
	lost    trace.Lost
	slots   map[int]bool
	closed  bool

	details details

	threads sync.WaitGroup
	left    sync.WaitGroup // of what outlived its run
}

// ErrClosed says that the recorder was closed.
var ErrClosed = errors.New("recorder is closed")

// OpenNotify opens the recorder. The error is a *NotifyError where the kernel or a
// container is known to refuse it. Each launcher takes four descriptors.
func OpenNotify(o NotifyOptions) (*Notify, error) {
	host, err := readNotifyHost()
	if err != nil {
		return nil, fmt.Errorf("open recorder: read the host's features: %w", err)
	}
	if e := host.check(); e != nil {
		return nil, e
	}
	n := &Notify{details: details{args: o.Args, sites: o.Sites}, judge: o.Judge, known: map[sysno.ID]bool{}, seen: map[sysno.ID]bool{}, slots: map[int]bool{}}
	n.Settle(o.Known...)
	if _, err := n.filter(); err != nil {
		return nil, fmt.Errorf("open recorder: %w", err)
	}
	if n.quit, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open recorder: make an eventfd: %w", err)
	}
	if err := n.try(); err != nil {
		return nil, errors.Join(fmt.Errorf("open recorder: %w", refusedListener(err)), n.Close())
	}
	return n, nil
}

// try makes a run that ends at its first call: nothing shows better whether a
// filter can be loaded and is answered.
func (n *Notify) try() error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		failed <- func() error {
			s, err := n.Launcher(0)
			if err != nil {
				return err
			}
			defer s.Release()
			spec := &spawn.Spec{}
			spec.Target.Exec("", nil, nil, nil)
			if err := s.Begin(spec); err != nil {
				return err
			}
			p, err := spawn.Start(spec)
			if err != nil {
				return err
			}
			_, err = p.Wait(spawn.Limits{})
			seen := s.Seen()
			if !errors.Is(err, unix.ENOENT) {
				return err
			}
			if exec, _ := sysno.Lookup(sysno.Native(), "execve"); !n.known[exec] && !slices.Contains(seen, exec) {
				return errors.New("the kernel notifies nobody of a call")
			}
			return nil
		}()
	}()
	err := <-failed
	clear(n.seen)
	n.details.forget()
	return err
}

// Settle says that the caller need not see some syscalls any more. Runs that begin
// from now on make them unnoticed. A number without a name is looked for all the
// same: there is no end to these.
func (n *Notify) Settle(ids ...sysno.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		if _, named := id.Name(); named && !n.known[id] {
			n.known[id] = true
			n.program = nil
		}
	}
}

// filter is the program for the next run.
func (n *Notify) filter() ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.program == nil {
		var err error
		if n.program, err = compile(slices.SortedFunc(maps.Keys(n.known), sysno.ID.Compare)); err != nil {
			return nil, err
		}
	}
	return n.program, nil
}

// Seen is every syscall that any run was seen to make since OpenNotify, sorted.
func (n *Notify) Seen() []sysno.ID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.SortedFunc(maps.Keys(n.seen), sysno.ID.Compare)
}

// Lost is what the recorder knows that it missed.
func (n *Notify) Lost() trace.Lost {
	n.mu.Lock()
	defer n.mu.Unlock()
	lost := n.lost
	lost.Details = n.details.count()
	return lost
}

// Observations is what is known of the syscalls that were seen, sorted, beyond
// which these are: what NotifyOptions asks for. A settled syscall may have been called
// from elsewhere too, and with other arguments. What came of a call is not known to
// who lets it pass.
func (n *Notify) Observations() []trace.Observation {
	out := n.details.observations()
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range out {
		if n.known[out[i].ID] {
			out[i].MoreSites = n.details.sites
			for j := range out[i].Args {
				out[i].Args[j].Values, out[i].Args[j].Any = nil, true
			}
		}
	}
	return out
}

// Linger waits until what outlived its run has ended, or ctx has.
func (n *Notify) Linger(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		n.left.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Close ends the recorder. The launchers must have been released, and their runs
// should have ended.
func (n *Notify) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	if err := ring(n.quit); err != nil {
		return fmt.Errorf("close recorder: %w", err)
	}
	n.threads.Wait()
	n.left.Wait()
	return unix.Close(n.quit)
}

// Launched watches the runs that one thread starts.
type Launched struct {
	n      *Notify
	slot   int
	socket [2]int // the children write to the second
	wake   int    // eventfd: the watch is to look at what has changed below
	ended  chan struct{}

	mu       sync.Mutex
	released bool
	listen   *listener // of the current run, nil before it has come and when all is over
	closing  []int     // for the watch to close: it may be polling them
	run      sightings
}

// sightings are what one run showed.
type sightings struct {
	seen, denied map[sysno.ID]bool

	// Whose caller was killed before it heard the answer, so that the call did not
	// take place. It would have, had nobody asked.
	unheard map[sysno.ID]bool
}

func newSightings() sightings {
	return sightings{seen: map[sysno.ID]bool{}, denied: map[sysno.ID]bool{}, unheard: map[sysno.ID]bool{}}
}

// Launcher begins to watch for one worker, numbered from 0.
func (n *Notify) Launcher(slot int) (*Launched, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
		return nil, fmt.Errorf("begin to watch: %w", ErrClosed)
	case n.slots[slot]:
		return nil, fmt.Errorf("begin to watch: slot %d is taken", slot)
	}
	s := &Launched{n: n, slot: slot, ended: make(chan struct{}), run: newSightings()}
	var err error
	if s.socket, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return nil, fmt.Errorf("begin to watch: %w", err)
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(s.socket[0])
		unix.Close(s.socket[1])
		return nil, fmt.Errorf("begin to watch: %w", err)
	}
	n.slots[slot] = true
	n.threads.Go(s.watch)
	return s, nil
}

// Begin makes the next run start under the filter.
func (s *Launched) Begin(spec *spawn.Spec) error {
	program, err := s.n.filter()
	if err != nil {
		return err
	}
	spec.Listener = &spawn.Listener{Program: program, Socket: s.socket[1]}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run = newSightings()
	return nil
}

// Started does nothing: the child says itself when it is ready.
func (s *Launched) Started(*spawn.Process) error { return nil }

// Seen is every syscall that the run has made and that was not known when it
// began, sorted. The process that was started must have been waited for.
func (s *Launched) Seen() []sysno.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over := s.serve(); !over {
		s.leave()
	}
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	for id := range s.run.seen {
		s.n.seen[id] = true
	}
	return slices.SortedFunc(maps.Keys(s.run.seen), sysno.ID.Compare)
}

// Denied is every syscall of the run that NotifyOptions.Judge has refused, sorted.
func (s *Launched) Denied() []sysno.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.run.denied), sysno.ID.Compare)
}

// Release ends the watch. A second Release does nothing.
func (s *Launched) Release() error {
	s.mu.Lock()
	released := s.released
	s.released = true
	s.mu.Unlock()
	if released {
		return nil
	}
	if err := ring(s.wake); err != nil {
		return fmt.Errorf("end the watch: %w", err)
	}
	<-s.ended
	if s.listen != nil { // nobody has waited for the run
		s.closing = append(s.closing, s.listen.fd)
	}
	for _, fd := range s.closing {
		unix.Close(fd)
	}
	err := errors.Join(unix.Close(s.wake), unix.Close(s.socket[0]), unix.Close(s.socket[1]))
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	delete(s.n.slots, s.slot)
	return err
}

// watch answers until Release. The launching thread may answer too, in Seen: so
// each does what there is to do under the lock, and the watch waits without it.
func (s *Launched) watch() {
	defer close(s.ended)
	for {
		s.mu.Lock()
		for _, fd := range s.closing {
			unix.Close(fd)
		}
		s.closing = nil
		// Either the listener or the socket: the next one comes when this one is done with.
		l, fds := s.listen, []unix.PollFd{{Fd: int32(s.wake), Events: unix.POLLIN}, {Fd: int32(s.socket[0]), Events: unix.POLLIN}}
		if l != nil {
			fds[1].Fd = int32(l.fd)
		}
		released := s.released
		s.mu.Unlock()
		if released {
			return
		}
		await(fds, -1)
		if fds[0].Revents != 0 {
			var word [8]byte
			_, _ = unix.Read(s.wake, word[:])
		}
		s.mu.Lock()
		switch {
		case s.listen != l || fds[1].Revents == 0: // Seen was faster
		case l == nil:
			s.accept()
		case fds[1].Revents&unix.POLLIN != 0:
			l.answerOne(s.n, &s.run)
		default: // POLLHUP: nobody is left who could call
			s.retire()
		}
		s.mu.Unlock()
	}
}

// serve takes over the listener if it has come, answers all that waits, and
// reports whether the run is over: nobody is left who could call. The caller holds mu.
func (s *Launched) serve() (over bool) {
	for {
		if s.listen == nil && !s.accept() {
			return true
		}
		if !s.listen.answerAll(s.n, &s.run) {
			return false
		}
		s.retire()
	}
}

// accept takes over the listener if it has come.
func (s *Launched) accept() bool {
	fd, err := receive(s.socket[0])
	if err != nil {
		if err != unix.EAGAIN {
			s.n.missed()
		}
		return false
	}
	s.listen = &listener{fd: fd}
	return true
}

func (s *Launched) retire() {
	s.closing = append(s.closing, s.listen.fd)
	s.listen = nil
}

// leave hands the listener to a goroutine of its own, which watches what outlived
// the run. The caller holds mu.
func (s *Launched) leave() {
	l := s.listen
	s.retire()
	fd, err := unix.FcntlInt(uintptr(l.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		s.n.missed() // what is left will see its calls fail
	}
	if err := errors.Join(err, ring(s.wake)); err != nil {
		return
	}
	l.fd = fd
	s.n.left.Go(func() {
		defer unix.Close(l.fd)
		for {
			fds := []unix.PollFd{{Fd: int32(s.n.quit), Events: unix.POLLIN}, {Fd: int32(l.fd), Events: unix.POLLIN}}
			await(fds, -1)
			late := newSightings()
			over := l.answerAll(s.n, &late)
			s.n.mu.Lock()
			s.n.lost.Late += uint64(l.answered)
			l.answered = 0
			for id := range late.seen {
				s.n.seen[id] = true
			}
			s.n.mu.Unlock()
			if over || fds[0].Revents != 0 {
				return
			}
		}
	})
}

// ring makes an eventfd readable.
func ring(fd int) error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := unix.Write(fd, one[:])
	return err
}

// await is poll(2).
func await(fds []unix.PollFd, timeout int) {
	for {
		_, err := unix.Poll(fds, timeout)
		switch err {
		case nil:
			return
		case unix.EINTR, unix.EAGAIN, unix.ENOMEM:
		default:
			panic(fmt.Sprintf("poll: %v", err)) // our own mistake, and the target would wait for ever
		}
	}
}

func (n *Notify) missed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost.Tasks++
}

func (n *Notify) beyond() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost.Beyond++
}

// receive takes a descriptor from a message, or returns EAGAIN when there is none.
func receive(socket int) (int, error) {
	var payload [1]byte
	control := make([]byte, unix.CmsgSpace(4))
	for {
		_, n, _, _, err := unix.Recvmsg(socket, payload[:], control, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, err
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil || len(messages) != 1 {
			return -1, unix.EBADMSG
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			return -1, unix.EBADMSG
		}
		return fds[0], nil
	}
}

// listener answers the notifications of one run.
type listener struct {
	fd       int
	answered int
	// The kernel says how large these are (SECCOMP_GET_NOTIF_SIZES) by refusing
	// an ioctl whose number has another size in it.
	call   notification
	answer response
}

// notification is struct seccomp_notif of linux/seccomp.h.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32 // struct seccomp_data from here on
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// answerAll answers every notification that waits, and reports whether nobody is
// left who could make one.
func (l *listener) answerAll(n *Notify, to *sightings) (over bool) {
	for {
		fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		await(fds, 0)
		if fds[0].Revents&unix.POLLIN == 0 {
			return fds[0].Revents&unix.POLLHUP != 0
		}
		l.answerOne(n, to)
	}
}

func (l *listener) answerOne(n *Notify, to *sightings) {
	if l.answered == 0 {
		// Since Linux 6.6 the two sides can share a CPU, which makes an answer twice
		// as fast; older kernels refuse.
		_ = unix.IoctlSetInt(l.fd, unix.SECCOMP_IOCTL_NOTIF_SET_FLAGS, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	}
	l.call = notification{}
	if err := l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&l.call)); err != nil {
		// ENOENT: the caller was killed meanwhile and made no call.
		if err != unix.ENOENT && err != unix.EINTR {
			n.missed()
		}
		return
	}
	l.answered++
	id, ok := l.call.syscall()
	if !ok {
		n.beyond()
	}
	var ruling Ruling
	if ok && n.judge != nil {
		ruling = n.judge(id, l.call.args)
	}
	l.answer = response{id: l.call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	switch {
	case ruling.Kill:
		to.denied[id] = true
		// A process that this pid namespace does not show has the number 0, by which
		// kill(2) would mean the process group of this very process.
		if l.call.pid != 0 {
			_ = unix.Kill(int(l.call.pid), unix.SIGKILL)
		}
		l.answer = response{id: l.call.id, error: -int32(unix.ENOSYS)} // for none to see
	case ruling.Errno != 0:
		to.denied[id] = true
		l.answer = response{id: l.call.id, error: -int32(ruling.Errno)}
	case ok:
		to.seen[id] = true
	}
	if ok {
		n.details.add(id, &l.call, l.answered == 1)
	}
	switch err := l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&l.answer)); err {
	case nil:
	case unix.ENOENT:
		to.unheard[id] = true
	default:
		n.missed()
	}
}

// syscall is what was called. It fails for an ABI that has no table.
func (c *notification) syscall() (sysno.ID, bool) {
	id := sysno.FromRaw(c.arch, uint32(c.nr))
	if id.Arch == sysno.X32 && c.nr < 0 { // the kernel asks the bit of positive numbers only
		id = sysno.ID{Arch: sysno.AMD64, NR: uint32(c.nr)}
	}
	return id, id.Valid()
}

func (l *listener) ioctl(request uintptr, arg unsafe.Pointer) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), request, uintptr(arg))
	if e != 0 {
		return e
	}
	return nil
}
