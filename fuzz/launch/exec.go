// Package launch decides how a scenario becomes a running process and what came
// of it. It knows neither what to run next nor who records: a Watcher is told
// when a run begins and asked afterwards. Its main hazard is a process that
// outlives its run; when Run returns, nothing of the target is alive.
package launch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/clock"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/forced"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/network"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/service"
	"github.com/tjfuzz/tjfuzz/fuzz/peer"
	"github.com/tjfuzz/tjfuzz/internal/claim"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Watcher observes the runs of one worker.
type Watcher interface {
	Begin(*spawn.Spec) error      // a run is about to start; it may change how
	Started(*spawn.Process) error // it has started; with Spec.Hold, nothing of it has run
	Seen() []sysno.ID             // the syscalls of the run, which has ended; called whenever Started was
	Release() error               // there will be no further run
}

// Options describes an Exec executor.
type Options struct {
	Program string        // path of the file to execute, as seen from where it starts
	Env     []string      // the base environment, which a scenario changes
	Timeout time.Duration // CPU time for one run, or time without using any, default 2 s
	Grace   time.Duration // for what the target leaves in the background, default 100 ms
	Cage    *cage.Options // nil: the target runs in the host's own world
	Filter  []byte        // a cBPF program to load before execve, as struct sock_filter[]; sets no_new_privs

	// ForkServer makes copies of a process that has executed the program once, where
	// they do what the program does after execve. It has no effect with a Filter, where
	// the Watcher is no Rejoiner, and in a Cage without a Watcher or of an ordinary user.
	ForkServer bool

	// Pretend has calls that root may make but not in a Cage seem to succeed for services there, see [Exec.Pretended].
	// Recorders see them as attempted; one by seccomp notification sees nothing of them.
	Pretend bool

	Trees   bool // results tell what kinds of trees are left, as SignalTree
	Highest Rung // where copies begin at the latest

	// Coverage makes the results of copies tell of the code that was reached for the first
	// time, where they are recorded and the program permits it; nil asks for none.
	Coverage *coverage.Map

	// Calls finds what the program can be made to call, once for all executors of it; nil looks for this one alone.
	Calls *forced.Search

	// Watch is called on the thread that starts all targets; nil records nothing.
	Watch func() (Watcher, error)
}

// Exec is the executor that runs every scenario by execve. It is a
// [fuzz.Executor]; its methods may not be called concurrently.
type Exec struct {
	opts      Options
	jobs      chan func()
	done      chan struct{}
	cancel    int  // eventfd that ends the wait for a run
	cancelled bool // it has done so
	cage      *cage.Cage
	pretended []sysno.ID // see Pretended
	room      string     // where the directories of runs without a cage are made
	claim     *claim.Claim
	trees     map[[sha256.Size]byte]tree // what steps have left
	watch     Watcher                    // nil: nothing is recorded
	catcher   *network.Catcher           // nil: no scenario has had peers yet
	authority *peer.Authority            // whom the target trusts then
	copies    *servers                   // nil: all runs are by execve
	warn      []string
	can       fuzz.Abilities
	timeOfDay *clock.Shift    // nil: it is what it is
	breakable *forced.Program // nil: it can be made to call nothing
	output    []byte
	survey    *[]service.Found // where to put what a run finds out, see Survey; nil in other runs
	sought    []sysno.ID       // see Seek; nil in other runs
	shown     []sysno.ID       // by all runs so far, where Seek asks for it
}

// New starts an executor.
func New(o Options) (*Exec, error) {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Grace == 0 {
		o.Grace = 100 * time.Millisecond
	}
	cancel, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	e := &Exec{opts: o, jobs: make(chan func()), done: make(chan struct{}), cancel: cancel, trees: make(map[[sha256.Size]byte]tree)}
	dir := ""
	if o.Cage != nil {
		dir = o.Cage.Dir
	}
	e.can.User = canBeNobody(o.Program, dir)
	if e.timeOfDay, err = clock.Prepare(inDir(o.Program, dir)); err != nil && !errors.Is(err, clock.ErrFixed) {
		return nil, errors.Join(err, unix.Close(cancel))
	}
	if o.Pretend && o.Cage != nil && os.Geteuid() == 0 {
		e.pretended = pretended(inDir(o.Program, dir))
	}
	if o.Calls == nil {
		o.Calls = new(forced.Search)
	}
	if p, err := o.Calls.Find(inDir(o.Program, dir)); err == nil { // else it is none that is understood
		e.breakable = p
	}
	ready := make(chan error)
	go e.serve(ready)
	if err := <-ready; err != nil {
		<-e.done
		return nil, errors.Join(err, e.tidy())
	}
	return e, nil
}

// Warnings says what protection the host does not offer.
func (e *Exec) Warnings() []string { return e.warn }

// Can says what of a scenario's world this executor can make.
func (e *Exec) Can() fuzz.Abilities { return e.can }

// Pretended are the calls that seem to succeed in a run of a scenario, and do nothing. There are none where nobody
// talks to the target, as to a service: such runs may be copies, which are made without a filter.
func (e *Exec) Pretended(s *fuzz.Scenario) []sysno.ID {
	if len(s.Acts) == 0 && e.survey == nil {
		return nil
	}
	return e.pretended
}

// Output is what the target wrote to standard output and standard error in the
// last run, cut at 1 MiB.
func (e *Exec) Output() []byte { return e.output }

// Copies is how many runs so far were copies, by where those began. It may not be
// called during a run.
func (e *Exec) Copies() map[Rung]int {
	made := map[Rung]int{}
	if e.copies != nil {
		for r, n := range e.copies.made {
			if n > 0 {
				made[Rung(r)] = n
			}
		}
	}
	return made
}

// Bare says why some copies are made without breakpoints although there is a Coverage, nil
// where none are. Copies of AFL's need none. It may not be called during a run.
func (e *Exec) Bare() error {
	if e.copies != nil {
		for _, c := range e.copies.classes {
			if c.bare != nil {
				return c.bare
			}
		}
	}
	return nil
}

// Run runs one scenario.
func (e *Exec) Run(ctx context.Context, s *fuzz.Scenario) (*fuzz.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.cancelled {
		var word [8]byte
		_, _ = unix.Read(e.cancel, word[:]) // of an earlier context
		e.cancelled = false
	}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_, _ = unix.Write(e.cancel, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	var r *fuzz.Result
	var err error
	switch {
	case e.sought != nil:
		e.onThread(func() { r, err = e.run(s, doubtful{e.watch.(Rejoiner)}, nil) })
	case e.copies != nil:
		if r, err = e.copies.run(ctx, s); r != nil {
			r.Words, e.copies.words = e.copies.words, nil
		}
	default:
		e.onThread(func() { r, err = e.run(s, e.watch, nil) })
	}
	signal(r, e.watch)
	if r != nil && e.sought == nil && e.Seeks() {
		e.shown = union(e.shown, r.Seen)
	}
	if !stop() {
		<-told
		e.cancelled = true
		return nil, ctx.Err()
	}
	return r, err
}

// Survey runs a scenario, and finds out where the program can be talked to while it runs, if it is a
// service, and what it says there. It needs a cage. Nothing is found of a program that ends by itself.
func (e *Exec) Survey(ctx context.Context, s *fuzz.Scenario) (found []service.Found, r *fuzz.Result, err error) {
	if e.cage == nil {
		return nil, nil, errors.New("survey a service: it has a network of its own in a cage only")
	}
	e.survey = &found
	defer func() { e.survey = nil }()
	r, err = e.Run(ctx, s)
	return found, r, err
}

// Seek is Run, for who wants to know only whether a scenario shows certain syscalls, see [fuzz.Seeker].
// It needs a recorder of which Seeks says that it can.
func (e *Exec) Seek(ctx context.Context, s *fuzz.Scenario, sought []sysno.ID) (*fuzz.Result, error) {
	if !e.Seeks() {
		return nil, errors.New("seek syscalls: the recorder cannot forget a run, or tell of one that has not ended")
	}
	e.sought = sought
	defer func() { e.sought = nil }()
	r, err := e.Run(ctx, s)
	if err != nil || within(r.Seen, e.shown) {
		return r, err
	}
	if err := e.watch.(Rejoiner).Keep(); err != nil {
		return nil, err
	}
	e.shown = union(e.shown, r.Seen)
	return r, nil
}

// Seeks reports whether the watcher tells of a run before its end, and forgets one that was ended there.
func (e *Exec) Seeks() bool {
	_, tells := e.watch.(Teller)
	_, forgets := e.watch.(Rejoiner)
	return tells && forgets
}

// onThread calls a function on the thread on which the targets are started. To wait for
// another thread takes as long as a tenth of a copy of a small program: so copies, which
// that thread does not start, are waited for where they are asked for.
func (e *Exec) onThread(f func()) {
	done := make(chan struct{})
	e.jobs <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Close ends the executor.
func (e *Exec) Close() error {
	close(e.jobs)
	<-e.done
	return e.tidy()
}

func (e *Exec) tidy() error {
	err := unix.Close(e.cancel)
	if e.room != "" {
		err = errors.Join(err, os.RemoveAll(e.room), e.claim.Release())
	}
	if e.cage != nil {
		err = errors.Join(err, e.cage.Remove())
	}
	return err
}

// serve owns the thread on which the targets are started: the recorder marks
// that thread, and a cgroup may hold it.
func (e *Exec) serve(ready chan<- error) {
	defer close(e.done)
	// The thread is never unlocked, so that it ends with the goroutine and no
	// other goroutine inherits its mark.
	runtime.LockOSThread()
	err := func() (err error) {
		if e.opts.Cage != nil {
			if e.cage, err = cage.New(*e.opts.Cage); err != nil {
				return err
			}
			e.warn = e.cage.Warnings()
		} else if e.room, e.claim, err = newRoom(); err != nil {
			return err
		}
		if e.room != "" && e.can.User { // whose files are below it
			if err := os.Chmod(e.room, 0o711); err != nil {
				return err
			}
		}
		e.can.Terminal, e.can.Faults, e.can.Peers, e.can.Talk = canHaveTerminals(), canFault(), e.canInvite(), e.cage != nil
		if err := errors.Join(e.lookAtClocks(), e.lookAtCalls()); err != nil {
			return err
		}
		if e.opts.Watch != nil {
			e.watch, err = e.opts.Watch()
		}
		if err == nil && e.opts.ForkServer {
			e.copies = newServers(e, e.watch)
		}
		return err
	}()
	ready <- err
	if err == nil {
		for f := range e.jobs {
			f()
		}
		if e.copies != nil {
			e.copies.close()
		}
	}
	if e.watch != nil {
		_ = e.watch.Release()
	}
	if e.catcher != nil {
		_ = e.catcher.Close()
	}
	if e.cage != nil {
		_ = e.cage.Leave()
	}
}

// run runs a scenario by execve, or as a copy that a server makes.
func (e *Exec) run(s *fuzz.Scenario, watch Watcher, from *server) (*fuzz.Result, error) {
	var st *stage
	var err error
	switch {
	case from == nil:
		st, err = e.stage(s, nil, nil)
	case from.dir != nil && !from.dir.clean:
		st, err = e.rehouse(from, s)
	default:
		st, err = e.restage(from, s)
	}
	if err != nil {
		return nil, err
	}
	defer st.close()
	st.sought = e.sought
	r, err := e.perform(s, st, watch, from, e.opts.Filter)
	if err == nil && e.opts.Trees && !st.lasts {
		err = tellTree(r, st.place, st.shape)
	}
	return r, err
}

// perform makes the run for which all is prepared.
func (e *Exec) perform(s *fuzz.Scenario, st *stage, watch Watcher, from *server, filter []byte) (*fuzz.Result, error) {
	var spec *spawn.Spec
	if from != nil {
		spec = from.spec(st)
	} else {
		spec = st.place.Spec()
		st.streams.install(&spec.Target)
		if filter != nil || st.faults != nil {
			spec.Target.NoNewPrivs()
		}
		if st.bell != nil {
			st.bell.hang(&spec.Target, s.World.Interruption.Signal)
		}
		become(&spec.Target, &s.World)
		if st.faults != nil {
			spec.Target.Filter(st.faults)
		}
		spec.Target.Exec(e.opts.Program, st.argv, st.env, filter)
	}

	if watch != nil {
		if err := watch.Begin(spec); err != nil {
			return nil, err
		}
	}
	var begin func(*spawn.Process) (tracer, error)
	if from == nil {
		var err error
		if begin, err = e.trace(spec, &s.World); err != nil {
			return nil, err
		}
	}
	counted := e.cage != nil && e.cage.CPUTime() != nil
	began := time.Now()
	p, err := spawn.Start(spec)
	if err != nil {
		return nil, err
	}
	var traced tracer
	var unwatched error
	if begin != nil {
		traced, unwatched = begin(p)
	}
	if watch != nil {
		if err := watch.Started(p); err != nil {
			unwatched = errors.Join(unwatched, err)
			p.Kill()
		}
	}
	var talk *service.Conversation
	var order *course
	terminal := st.streams.forTalks()
	if from == nil && e.cage != nil && (len(s.Acts) > 0 || e.survey != nil || terminal != nil) {
		var foreign func(network string, at netip.AddrPort) bool
		var busy func() bool
		if st.peers != nil {
			foreign, busy = st.peers.host.Owns, st.peers.host.Busy
		}
		order = newCourse(watch)
		if talk, err = service.Begin(p.Pid, s.Acts, terminal, foreign, busy, order.rested); err != nil {
			unwatched = errors.Join(unwatched, err)
			p.Kill()
		}
	}
	limits := spawn.Limits{Timeout: e.opts.Timeout, Grace: e.opts.Grace, Cancel: e.cancel, FromStart: true}
	limits.Used = p.CPUTime
	if from != nil {
		limits.Used = from.used(p)
	}
	if counted {
		limits.Used, limits.FromStart = e.cage.CPUTime(), false
	}
	switch i := s.World.Interruption; {
	case st.bell != nil:
		limits.Nudge = st.bell.ring
	case i.Moment == fuzz.MomentLimit:
		limits.Nudge = func() { typeSignal(st.streams.master, i.Signal) }
	}
	if st.sought != nil {
		limits.Enough = func() bool { return within(st.sought, e.watch.(Teller).SoFar()) }
	}
	if len(s.Acts) > 0 || e.survey != nil {
		// A service is told to end. What has no end of its own has the time of its acts, and what it leaves behind too.
		limits.Timeout += time.Duration(len(s.Acts)) * actTime
		limits.Grace = limits.Timeout
	}
	end, err := p.Wait(limits)
	said, talked := service.Report{}, error(nil)
	if talk != nil {
		said, talked = talk.End()
	}
	if traced != nil {
		unwatched = errors.Join(unwatched, traced.Wait())
	}
	r := &fuzz.Result{Sought: st.sought != nil, TimedOut: end.TimedOut, Left: end.Left, Faulted: len(s.World.Faults) > 0 || called(traced), Duration: time.Since(began)}
	if watch != nil {
		r.Seen = watch.Seen()
	}
	if from != nil {
		from.seen.judge(r.Seen)
	}
	if err := errors.Join(unwatched, err, talked); err != nil {
		return nil, err
	}
	r.Said, r.Waited, r.Keyed, r.Acts = said.Said, said.Waited, said.Keyed, said.Acts
	r.Shown = order.of(r.Seen, r.Acts, len(s.Acts))
	if e.survey != nil {
		*e.survey = said.Found
	}
	switch {
	case end.Enough:
	case end.Killed && said.Killed, end.Signaled() && slices.Contains(said.Signals, end.Signal()):
		r.Stopped = true
		r.TimedOut, r.Left = false, false
	case end.TimedOut:
		r.Place = placeOf(watch, int(unix.SIGKILL)) // by which we ended it
	case end.Killed:
		r.Signal = int(unix.SIGKILL)
	case end.Signaled():
		r.Signal = int(end.Signal())
		r.Place = placeOf(watch, r.Signal)
	default:
		r.ExitCode = end.ExitStatus()
	}
	if st.peers != nil {
		r.Asked = st.peers.Talks()
	} else if e.cage != nil && !st.lasts && watch != nil && slices.ContainsFunc(r.Seen, calling) {
		if r.Called, err = e.cage.Called(len(s.Acts) == 0 && e.survey == nil); err != nil {
			return nil, err
		}
	}
	if e.cage != nil && !st.lasts && (watch == nil || slices.ContainsFunc(r.Seen, Leaves)) {
		e.cage.Used()
	}
	if from != nil && from.seen.silent && st.streams.kept != nil {
		e.output = nil
	} else {
		e.output = st.streams.finish()
	}
	return r, nil
}

// actTime is what an act adds to the time that a run may take.
const actTime = 100 * time.Millisecond

// Leaves reports whether a run that makes this call can leave something in its
// network or ipc namespace: without such a call there is no object to leave. A
// Watcher must always tell of it.
func Leaves(id sysno.ID) bool {
	switch name, _ := id.Name(); name {
	case "socket", "socketcall", "io_uring_setup", "shmget", "semget", "msgget", "ipc", "mq_open", "":
		return true
	}
	return false
}

// Environ applies a scenario's changes to the base environment.
func Environ(base, changes []string) []string {
	env := slices.Clone(base)
	for _, c := range changes {
		key, _, set := strings.Cut(c, "=")
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
		if set {
			env = append(env, c)
		}
	}
	return env
}
