// Package service decides where a program that runs can be talked to, when it has come to rest, and
// how the acts of a scenario are done to it: connections, messages, signals. It sees the program as the
// kernel does, in /proc and by its sockets, and knows neither how it was started nor who records it.
// Its main hazard is a program that never rests: each wait is bounded by the CPU time that the program
// takes meanwhile, and all of them by the end of the run, which others see to.
package service

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

// The bounds of one wait for rest: a program that takes more CPU time does something that it does for
// ever, and more time on the clock, something that no other message will end. Further waits of the same run have a tenth of
// that.
const (
	restless = 300 * time.Millisecond
	longest  = 3 * time.Second
)

// lingering is how long a service that was told to end, and rests, may take until it is killed: some
// look only now and then whether they were told.
const lingering = 400 * time.Millisecond

// maxCrowd bounds the connections that are open at once for no acts but the first, and so the descriptors of tjfuzz.
const maxCrowd = 128

// Conversation is what goes on with one service. It is had on a thread of its own, in the
// network namespace of the service.
type Conversation struct {
	done   chan struct{}
	report Report
	err    error
}

// Report is what came of a conversation.
type Report struct {
	Said    []fuzz.Exchange  // sorted by socket
	Found   []Found          // of a survey, sorted by socket
	Signals []syscall.Signal // that were sent
	Acts    int              // how many acts were begun
	Killed  bool             // all was killed by the conversation, as what was told to end did not
	Waited  bool             // the program waited at its terminal for something to be typed
	Keyed   bool             // for single keys
}

// Found is a socket at which a service was found.
type Found struct {
	Socket fuzz.Socket
	Banner []byte // what it says first
	Answer []byte // what it answers to a question, of HTTP at stream sockets and of DNS at others
}

// Begin begins to do acts to the service that is, or will be, among what descends from a process, the init of a
// pid namespace that others wait for. Where there are no acts and no terminal, it is found out where the service can be
// talked to. The service is told to end after that, and killed if it does not; a terminal is hung up before, and where
// there are no acts, when the program waits there, and never if it does not. Of a socket, "tcp" or
// "udp", of the same network, foreign reports that it is not the service's; nil: all are. While busy reports that somebody is about to
// answer the service, it does not rest; nil: nobody does. terminal is nil where the program has none.
// Each time that the program has come to rest, rested is told of it with the index of the act that it follows, -1 before the first.
func Begin(init int, acts []fuzz.Act, terminal *Terminal, foreign func(network string, at netip.AddrPort) bool, busy func() bool, rested func(act int)) (*Conversation, error) {
	pidfd, err := unix.PidfdOpen(init, 0)
	if err != nil {
		return nil, fmt.Errorf("open the init of a run: %w", err)
	}
	c := &Conversation{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		// The thread ends with the goroutine, for it is in another network namespace.
		runtime.LockOSThread()
		t := &talker{init: init, pidfd: pidfd, terminal: terminal, foreign: foreign, peers: busy, clients: make(map[uint8]*client), threads: make(map[int]*thread), tasks: make(map[int][]int), said: make(map[fuzz.Socket]*fuzz.Exchange)}
		defer t.close()
		c.err = t.converse(acts, rested)
		if errors.Is(c.err, errEnded) {
			c.err = nil
		}
		c.report = t.report()
	}()
	return c, nil
}

// End waits for the conversation's end, which comes with the end of the run at the latest.
func (c *Conversation) End() (Report, error) {
	<-c.done
	return c.report, c.err
}

// errEnded says that nothing of the run is left.
var errEnded = errors.New("the run has ended")

// overdue reports whether a wait for rest has taken too long, by what the service has used since and the clock.
func (t *talker) overdue(used, passed time.Duration) bool {
	share := time.Duration(1)
	if t.busy {
		share = 10
	}
	over := used > restless/share || passed > longest/share
	t.busy = t.busy || over
	return over
}

// talker is the state of a conversation.
type talker struct {
	init     int // the pid
	pidfd    int // of it
	foreign  func(network string, at netip.AddrPort) bool
	peers    func() bool // whether they are about to answer; nil where there are none, or they let it wait
	main     int         // the first process of the service, 0 until it is there
	clients  map[uint8]*client
	crowd    []*client
	departed []int // UDP sockets of clients that have left
	said     map[fuzz.Socket]*fuzz.Exchange
	signals  []syscall.Signal
	begun    int          // acts
	busy     bool         // it did not come to rest once
	told     map[int]bool // processes that were told to end
	killed   bool
	found    []Found
	diag     *diag
	threads  map[int]*thread // by tid, with the init's
	tasks    map[int][]int   // the threads of each process, as they were
	buf      []byte          // see about
	heard    []byte          // see client.listen

	terminal *Terminal // nil: none
	hungUp   bool
	resized  int  // how often
	waited   bool // at the terminal
	keyed    bool // for single keys
}

// enter takes the thread into the network namespace of the run.
func (t *talker) enter() error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", t.init), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ESRCH {
		return errEnded
	}
	if err == nil {
		err = errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
	}
	if err != nil {
		return fmt.Errorf("enter the network of a run: %w", err)
	}
	t.diag, err = openDiag()
	return err
}

func (t *talker) converse(acts []fuzz.Act, rested func(act int)) error {
	if t.terminal != nil && !slices.ContainsFunc(acts, func(a fuzz.Act) bool { return a.To != "" }) {
		return t.sit(acts, rested)
	}
	if err := t.enter(); err != nil {
		return err
	}
	if err := t.ready(); err != nil {
		return err
	}
	rested(-1)
	if len(acts) == 0 {
		if err := t.survey(); err != nil {
			return err
		}
	}
	for i := range acts {
		t.begun = i + 1
		if err := t.act(&acts[i]); err != nil {
			return err
		}
		if err := t.settle(); err != nil {
			return err
		}
		rested(i)
	}
	return t.stop()
}

// sit does acts to a program that has a terminal and is not talked to elsewhere, and leaves the terminal.
func (t *talker) sit(acts []fuzz.Act, rested func(act int)) error {
	if err := t.attend(len(acts) == 0); err != nil {
		return err
	}
	rested(-1)
	for i := range acts {
		t.begun = i + 1
		if err := t.act(&acts[i]); err != nil {
			return err
		}
		if err := t.attend(false); err != nil {
			return err
		}
		rested(i)
	}
	if !t.hungUp {
		if err := t.hangUp(); err != nil {
			return err
		}
	}
	return t.stop()
}

// ready waits until the service rests and has a socket that can be talked to. Where it never
// gets one, the end of the run ends that.
func (t *talker) ready() error {
	quiet := 0
	for {
		if err := t.settle(); err != nil {
			return err
		}
		sockets, err := t.sockets()
		if err != nil || len(sockets) > 0 {
			return err
		}
		// What a program leaves behind before it ends is a service, or will never be one.
		const patience = 20
		if t.main != 0 && !slices.Contains(t.tops(), t.main) {
			if quiet++; quiet > patience {
				return nil
			}
		}
		if _, err := t.poll(10 * time.Millisecond); err != nil {
			return err
		}
	}
}

// act does one act. What cannot be done, as there is no such socket or nobody listens any more, is left
// out: what the service does decides that.
func (t *talker) act(a *fuzz.Act) error {
	switch a.Do {
	case fuzz.DeedSignal:
		return t.signal(a.Signal)
	case fuzz.DeedPause:
		return t.pause()
	case fuzz.DeedType, fuzz.DeedResize, fuzz.DeedHangUp:
		return t.atTerminal(a)
	case fuzz.DeedRotate:
		return t.rotate()
	case fuzz.DeedCrowd:
		for range min(max(1, a.Times), maxCrowd-len(t.crowd)) {
			p, err := t.connect(a.To)
			if err != nil {
				return err
			}
			if p == nil {
				break // the others would not be let in either
			}
			t.crowd = append(t.crowd, p)
			if err := t.send(p, a.Data, 1, false); err != nil {
				return err
			}
		}
		return nil
	}
	p := t.clients[a.Client]
	switch a.Do {
	case fuzz.DeedFinish:
		if p != nil {
			p.finish()
		}
		return nil
	case fuzz.DeedLeave, fuzz.DeedReset:
		if p != nil {
			p.close(a.Do == fuzz.DeedReset)
			delete(t.clients, a.Client)
		}
		return nil
	}
	if p != nil && (p.over || p.to != a.To) {
		p.close(false)
		p = nil
	}
	if p == nil {
		var err error
		if p, err = t.connect(a.To); err != nil {
			return err
		}
		if p == nil {
			delete(t.clients, a.Client)
			return nil
		}
		t.clients[a.Client] = p
		if err := t.settle(); err != nil { // it may speak first
			return err
		}
	}
	p.deaf = a.Do == fuzz.DeedShout
	if a.Do == fuzz.DeedDrip {
		const single = 24
		n := min(single, len(a.Data))
		for i := range n {
			if err := errors.Join(t.send(p, a.Data[i:i+1], 1, true), t.settle()); err != nil {
				return err
			}
		}
		return t.send(p, a.Data[n:], max(1, a.Times), true)
	}
	return t.send(p, a.Data, max(1, a.Times), a.Do == fuzz.DeedSend)
}

// stop tells the service to end, and sees to it.
func (t *talker) stop() error {
	for _, p := range t.all() {
		p.close(false)
	}
	clear(t.clients)
	t.crowd = nil
	if err := t.settle(); err != nil {
		return err
	}
	t.told = make(map[int]bool)
	began := time.Now()
	for rested := time.Duration(0); rested < lingering && time.Since(began) < longest; {
		fresh := false
		for _, pid := range t.first() {
			if !t.told[pid] {
				t.told[pid], fresh = true, true
				t.kill(pid, unix.SIGTERM)
			}
		}
		if fresh {
			rested = 0
		}
		if err := t.settle(); err != nil {
			return err
		}
		const step = 20 * time.Millisecond
		if _, err := t.poll(step); err != nil {
			return err
		}
		rested += step
	}
	t.killed = true
	_ = unix.PidfdSendSignal(t.pidfd, unix.SIGKILL, nil, 0)
	return nil
}

// first are the processes that signals are for: the first one of the service, or, when that has
// ended, what it has left to the init. Where the first is a script that waits for the service, it is the service that
// people send signals to, by the number in its pid file.
func (t *talker) first() []int {
	tops := t.tops()
	if !slices.Contains(tops, t.main) {
		return tops
	}
	const deepest = 8
	pid := t.main
	for range deepest {
		if hasSocket(pid) {
			return []int{pid}
		}
		children := t.children(pid, pid)
		if len(children) != 1 {
			break
		}
		pid = children[0]
	}
	return []int{t.main}
}

// hasSocket reports whether a process has a socket open.
func hasSocket(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	return slices.ContainsFunc(numbers(dir), func(fd int) bool {
		to, err := os.Readlink(fmt.Sprintf("%s/%d", dir, fd))
		return err == nil && strings.HasPrefix(to, "socket:")
	})
}

func (t *talker) signal(sig syscall.Signal) error {
	for _, pid := range t.first() {
		t.kill(pid, sig)
	}
	return nil
}

// pause stops the program, and continues it when that is seen.
func (t *talker) pause() error {
	pids := t.first()
	for _, pid := range pids {
		t.kill(pid, unix.SIGSTOP)
	}
	err := t.settle()
	for _, pid := range pids {
		t.kill(pid, unix.SIGCONT)
	}
	return err
}

// kill sends a signal to one of the first processes. The number may have become that of another process
// since it was read, so the process is held before it is asked whether it is one.
func (t *talker) kill(pid int, sig syscall.Signal) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd)
	if (slices.Contains(t.tops(), pid) || slices.Contains(t.first(), pid)) && unix.PidfdSendSignal(fd, sig, nil, 0) == nil {
		t.sent(sig)
	}
}

// sent notes a signal that the program may end by.
func (t *talker) sent(sig syscall.Signal) {
	if !slices.Contains(t.signals, sig) {
		t.signals = append(t.signals, sig)
	}
}

func (t *talker) all() []*client {
	all := slices.Clone(t.crowd)
	for _, p := range t.clients {
		all = append(all, p)
	}
	return all
}

func (t *talker) report() Report {
	r := Report{Found: t.found, Signals: t.signals, Acts: t.begun, Killed: t.killed, Waited: t.waited, Keyed: t.keyed}
	for _, x := range t.said {
		r.Said = append(r.Said, *x)
	}
	slices.SortFunc(r.Said, func(a, b fuzz.Exchange) int { return strings.Compare(string(a.Socket), string(b.Socket)) })
	return r
}

func (t *talker) close() {
	for _, p := range t.all() {
		p.close(false)
	}
	for _, fd := range t.departed {
		unix.Close(fd)
	}
	for _, th := range t.threads {
		th.close()
	}
	if t.diag != nil {
		t.diag.close()
	}
	unix.Close(t.pidfd)
}

// poll waits until a client has something to say, the run has ended, or the time is up.
func (t *talker) poll(d time.Duration) (readable bool, err error) {
	fds := []unix.PollFd{{Fd: int32(t.pidfd), Events: unix.POLLIN}}
	for _, p := range t.all() {
		if !p.over && !p.deaf {
			fds = append(fds, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN})
		}
	}
	wait := unix.NsecToTimespec(int64(d))
	n, err := unix.Ppoll(fds, &wait, nil)
	if err != nil && err != unix.EINTR {
		return false, fmt.Errorf("wait for a service: %w", err)
	}
	if n > 0 && fds[0].Revents != 0 {
		return false, errEnded
	}
	return n > 0, nil
}
