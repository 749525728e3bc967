package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce/audit"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
	"github.com/tjfuzz/tjfuzz/trace/userland"
)

// backend is a way to record, as --backend names it.
type backend string

const (
	backendAuto   backend = "auto"
	backendEBPF   backend = "ebpf"
	backendNotify backend = "notify"
	backendPtrace backend = "ptrace"
)

var backends = []backend{backendAuto, backendEBPF, backendNotify, backendPtrace}

func (b *backend) add(f *pflag.FlagSet) {
	*b = backendAuto
	f.Var(b, "backend", "how syscalls are recorded: ebpf, which sees all and costs little, notify, which needs no rights, ptrace, which is slow, or auto, the first of these that works")
}

// String, Set and Type make a backend the value of a flag.
func (b *backend) String() string { return string(*b) }

func (b *backend) Set(word string) error {
	if !slices.Contains(backends, backend(word)) {
		words := make([]string, len(backends))
		for i, b := range backends {
			words[i] = string(b)
		}
		return fmt.Errorf("known backends are %s", strings.Join(words, ", "))
	}
	*b = backend(word)
	return nil
}

func (b *backend) Type() string { return "backend" }

// recorder sees the syscalls of programs that are started. Each thread that starts
// some has a launcher, numbered from 0.
type recorder interface {
	launcher(slot int) (watcher, error)
	filter() []byte              // what programs have to load, for the policy that they run under
	settle(sysno.ID)             // need not be seen in further runs
	atLeast() bool               // what is settled is not seen, so that not all runs of it are counted
	needed() bool                // by processes that outlive their run: without it their calls fail
	linger(context.Context)      // until no process needs it
	Seen() []sysno.ID            // in all runs, in between and afterwards
	describe(*trace.Trace) error // adds what is known beyond that a syscall was made
	Lost() trace.Lost
	Close() error
}

// watcher sees the runs of one thread.
type watcher interface {
	launch.Watcher
	Denied() []sysno.ID // what the policy that the run was under refused
}

// recording says what a recorder is for.
type recording struct {
	slots  int
	policy *synth.Policy // programs are to run under it
	only   bool          // a program that comes from another than the one whose startup is told apart is not recorded
	notice bool          // what is new of a call beside its number is told, where that is cheap
	details
}

// how names what a backend records by, for messages.
func (b backend) how() string {
	switch b {
	case backendNotify:
		return "seccomp notification"
	case backendPtrace:
		return "ptrace"
	}
	return "eBPF"
}

// mend is what to do about a recording that is incomplete.
func (b backend) mend() string {
	if b == backendPtrace {
		return "choose another --backend: what outlives the program, or is created with CLONE_UNTRACED, cannot be followed by ptrace"
	}
	return "run it again; if it happens again, the machine is short of memory"
}

// lossy is the failure of replays of which the recorder did not see everything.
func (b backend) lossy() error {
	return &failure{err: errors.New("the recorder lost processes, so refused calls may be missing"), code: exitIncomplete, hint: b.mend()}
}

// try reports why a backend cannot record here.
func (b backend) try() error {
	switch b {
	case backendEBPF:
		return rawtp.Preflight()
	case backendPtrace:
		return userland.PtracePreflight()
	}
	n, err := userland.OpenNotify(userland.NotifyOptions{})
	if err != nil {
		return err
	}
	return n.Close()
}

// lack is what keeps a backend from recording, and what to do about it. It is not
// ok for an error that says neither.
func lack(err error) (missing, mend string, ok bool) {
	var ebpf *rawtp.PreflightError
	var notify *userland.NotifyError
	var ptrace *userland.PtraceError
	var records *audit.Error
	switch {
	case errors.As(err, &ebpf):
		return ebpf.Missing, ebpf.Mend, true
	case errors.As(err, &notify):
		return notify.Missing, notify.Mend, true
	case errors.As(err, &ptrace):
		return ptrace.Missing, ptrace.Mend, true
	case errors.As(err, &records):
		return records.Missing, records.Mend, true
	}
	return "", "", false
}

// choose makes auto the first backend that works here, and says so when it is not
// the best one.
func (b backend) choose(v voice) (backend, error) {
	if b != backendAuto {
		return b, nil
	}
	var why, mends []string
	for _, b := range backends[1:] {
		err := b.try()
		missing, mend, known := lack(err)
		switch {
		case err == nil && len(why) > 0:
			v.say("recording by %s, not by %s", b.how(), strings.Join(why, "; nor by "))
			return b, nil
		case err == nil:
			return b, nil
		case !known:
			return "", fmt.Errorf("record by %s: %w", b.how(), err)
		}
		why = append(why, b.how()+": "+missing)
		mends = append(mends, mend)
	}
	return "", hinted(fmt.Errorf("cannot record by %s", strings.Join(why, "; nor by ")), "%s", strings.Join(mends, "\n"))
}

// open opens the recorder of a chosen backend.
func (b backend) open(what recording) (recorder, error) {
	var code []byte
	if what.policy != nil {
		var err error
		if code, err = compile(what.policy); err != nil {
			return nil, err
		}
	}
	var rec recorder
	var err error
	switch b {
	case backendNotify:
		if what.results {
			return nil, hinted(errors.New("--results cannot be had from seccomp notification, which does not see how calls end"), "leave it out, or choose another --backend")
		}
		rec, err = openNotify(what)
	case backendPtrace:
		rec, err = openPtrace(what, code)
	default:
		rec, err = openEBPF(what, code)
	}
	if missing, mend, known := lack(err); known {
		if b == backendEBPF {
			mend += "\n--backend notify needs no rights"
		}
		return nil, hinted(fmt.Errorf("cannot record: %s", missing), "%s", mend)
	}
	if err != nil {
		return nil, fmt.Errorf("open the recorder: %w", err)
	}
	return rec, nil
}

// byEBPF records with eBPF programs, which see what a filter refuses.
type byEBPF struct {
	*rawtp.Recorder
	recording
	code []byte

	mu    sync.Mutex
	slots []*rawtp.Slot
}

func openEBPF(what recording, code []byte) (recorder, error) {
	rec, err := rawtp.Open(rawtp.Options{
		Slots: what.slots, Denials: true,
		Returns: what.results || what.notice, Args: what.args || what.notice, Sites: what.sites, Crashes: what.notice, Entry: what.entry(), OnlyEntry: what.only,
	})
	if err != nil {
		return nil, err
	}
	return &byEBPF{Recorder: rec, recording: what, code: code}, nil
}

func (r *byEBPF) launcher(slot int) (watcher, error) {
	s, err := r.Launcher(slot)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.slots = append(r.slots, s)
	r.mu.Unlock()
	switch {
	case r.code != nil:
		return ofSlot{s}, nil
	case r.notice:
		return noticing{attempts{ofSlot{s}}}, nil
	}
	return attempts{ofSlot{s}}, nil
}

func (*byEBPF) settle(sysno.ID)        {}
func (*byEBPF) atLeast() bool          { return false }
func (*byEBPF) needed() bool           { return false }
func (*byEBPF) linger(context.Context) {}
func (r *byEBPF) filter() []byte       { return r.code }

func (r *byEBPF) describe(t *trace.Trace) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var launchers [][]trace.Observation
	for _, s := range r.slots {
		observed := s.Observations()
		for i := range observed {
			if o := &observed[i]; !r.results { // they were kept to be noticed, not as evidence
				o.Returns.Success, o.Returns.Errnos = false, nil
			}
		}
		launchers = append(launchers, observed)
	}
	t.Operations = r.Operations()
	return addDetails(t, launchers)
}

// ofSlot tells a slot of the runs of its thread. The slot knows the program by the
// thread that starts it, and so changes nothing about how it starts.
type ofSlot struct{ *rawtp.Slot }

func (w ofSlot) Begin(*spawn.Spec) error {
	w.Slot.Begin()
	return nil
}

func (w ofSlot) Started(*spawn.Process) error { return nil }

func (w ofSlot) SoFar() []sysno.ID { return w.Seen() }

// attempts is a watcher whose set also has the calls that a filter of the target's
// own refused: the target makes them, so the policy must let them get that far.
type attempts struct{ ofSlot }

func (a attempts) Seen() []sysno.ID {
	ids := append(a.ofSlot.Seen(), a.Denied()...)
	slices.SortFunc(ids, sysno.ID.Compare)
	return slices.Compact(ids)
}

func (a attempts) SoFar() []sysno.ID { return a.Seen() }

// byNotify records by seccomp user notification.
type byNotify struct {
	*userland.Notify
	recording
}

// openNotify opens the recorder that needs no rights. A policy is not loaded beside
// its filter, which would not see the refused calls, but answered for call by call.
func openNotify(what recording) (recorder, error) {
	o := userland.NotifyOptions{Args: what.args, Sites: what.sites}
	if p := what.policy; p != nil {
		o.Judge = func(id sysno.ID, args [6]uint64) userland.Ruling {
			switch verdict := p.Decide(id, args); {
			case verdict.Action.Permits():
				return userland.Ruling{}
			case verdict.Action == synth.Errno:
				return userland.Ruling{Errno: unix.Errno(verdict.Errno)}
			}
			return userland.Ruling{Kill: true}
		}
	}
	n, err := userland.OpenNotify(o)
	if err != nil {
		return nil, err
	}
	return byNotify{n, what}, nil
}

func (r byNotify) launcher(slot int) (watcher, error) {
	l, err := r.Launcher(slot)
	if err != nil || r.policy == nil {
		return l, err
	}
	return exercising{l, r}, nil
}

// settle keeps what the cage wants to know of each run. Where arguments are asked for,
// every call may show another value.
func (r byNotify) settle(id sysno.ID) {
	if r.atLeast() && !launch.Leaves(id) {
		r.Settle(id)
	}
}

func (r byNotify) atLeast() bool { return !r.args }

func (r byNotify) describe(t *trace.Trace) error {
	return addDetails(t, [][]trace.Observation{r.Observations()})
}

func (r byNotify) linger(ctx context.Context) { r.Linger(ctx) }
func (byNotify) needed() bool                 { return true }
func (byNotify) filter() []byte               { return nil }

// exercising is a watcher of replays under a policy: a rule without conditions
// needs no second proof.
type exercising struct {
	*userland.Launched
	r byNotify
}

func (w exercising) Seen() []sysno.ID {
	seen := w.Launched.Seen()
	for _, rule := range w.r.policy.Rules() {
		if _, found := slices.BinarySearchFunc(seen, rule.ID, sysno.ID.Compare); found && len(rule.Args) == 0 && rule.Verdict.Action.Permits() {
			w.r.settle(rule.ID)
		}
	}
	return seen
}

// byPtrace records by stopping programs at each call. It sees a call before the
// filter does, and so asks the policy what the filter is going to say.
type byPtrace struct {
	*userland.Ptrace
	code []byte

	mu    sync.Mutex
	slots []*userland.PtraceSlot
}

func openPtrace(what recording, code []byte) (recorder, error) {
	o := userland.PtraceOptions{Returns: what.results, Args: what.args, Sites: what.sites}
	if p := what.policy; p != nil {
		o.Refuses = func(id sysno.ID, args [6]uint64) bool { return !p.Decide(id, args).Action.Permits() }
	}
	rec, err := userland.OpenPtrace(o)
	if err != nil {
		return nil, err
	}
	return &byPtrace{Ptrace: rec, code: code}, nil
}

func (r *byPtrace) launcher(slot int) (watcher, error) {
	s, err := r.Launcher(slot)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots = append(r.slots, s)
	return s, nil
}

func (*byPtrace) settle(sysno.ID)        {}
func (*byPtrace) atLeast() bool          { return false }
func (*byPtrace) needed() bool           { return false }
func (*byPtrace) linger(context.Context) {}
func (r *byPtrace) filter() []byte       { return r.code }

func (r *byPtrace) describe(t *trace.Trace) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var launchers [][]trace.Observation
	for _, s := range r.slots {
		launchers = append(launchers, s.Observations())
	}
	return addDetails(t, launchers)
}
