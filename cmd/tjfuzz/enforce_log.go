package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/audit"
	"github.com/tjfuzz/tjfuzz/enforce/denial"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/enforce/notify"
	"github.com/tjfuzz/tjfuzz/internal/symbol"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
	"github.com/tjfuzz/tjfuzz/trace/userland"
)

// logFlags say where refused calls are told of, and what follows from them.
type logFlags struct {
	file   string
	update string
	yes    bool
	source string
}

// The ways to see refused calls.
const (
	sourceAuto   = "auto"
	sourceEBPF   = "ebpf"
	sourceAudit  = "audit"
	sourceNotify = "notify"
	sourceNone   = "none"
)

func (l *logFlags) add(f *pflag.FlagSet) {
	f.StringVar(&l.file, "log-file", "", "also write refused and logged calls to this `file`, a line of JSON each")
	f.StringVar(&l.update, "update", "", "add what was refused to this `policy`, after confirmation; without --policy it is the policy to apply, too")
	f.BoolVar(&l.yes, "yes", false, "let --update change the policy without confirmation")
	f.StringVar(&l.source, "log-source", sourceAuto, "how refused calls are seen: ebpf, audit, notify, none, or auto, the first of these that works")
}

// policies are those to apply: that which is to be updated, where no other is named.
func (l *logFlags) policies(named []string) []string {
	if len(named) == 0 && l.update != "" && exists(l.update) {
		return []string{l.update}
	}
	return named
}

// account is what is known of the refused calls of one run, and who is told.
type account struct {
	v        voice
	flags    logFlags
	policies synth.Stack
	program  string

	mu     sync.Mutex
	report *denial.Report
	log    *os.File // nil without
	failed error    // of the log

	rec     *rawtp.Recorder // nil where eBPF does not show them
	ended   context.CancelFunc
	events  sync.WaitGroup
	symbols *symbol.Table        // nil until the first place is looked up
	callers map[[2]uint64]string // by the inode of the program and the address in it; empty where there is none to show

	delivered map[likeness]int // of the recorder's events
	answered  map[caller]int64 // calls that did not take place by what was answered, less those that the recorder knows one by one

	records *audit.Log  // nil where the kernel's audit system does not show them
	asks    bool        // notifications show them
	answer  answerFlags // who answers what the policy hands to user space
	serving sync.WaitGroup
	stop    context.CancelFunc // nil where nothing is served
}

// openAccount chooses how calls are seen. It says so when that is not the best way.
func openAccount(c *cobra.Command, v voice, flags logFlags, answer answerFlags, policies synth.Stack, program string) (*account, error) {
	a := &account{v: v, flags: flags, policies: policies, program: program, report: denial.NewReport(policies...), answer: answer, delivered: map[likeness]int{}, answered: map[caller]int64{}}
	if !slices.Contains([]string{sourceAuto, sourceEBPF, sourceAudit, sourceNotify, sourceNone}, flags.source) {
		return nil, usage(c, fmt.Errorf("--log-source: unknown source %q; known are auto, ebpf, audit, notify and none", flags.source))
	}
	if flags.update != "" && !exists(flags.update) && filepath.Ext(flags.update) != ".json" && !isDocument(flags.update) {
		return nil, usage(c, fmt.Errorf("--update %s: a policy ends in .yaml, .yml or .json", flags.update))
	}
	if flags.file != "" {
		var err error
		if a.log, err = os.OpenFile(flags.file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
			return nil, hinted(fmt.Errorf("open the log: %w", err), "choose another place with --log-file")
		}
	}
	if flags.source == sourceNone || v.quiet && flags.source == sourceAuto && flags.file == "" && flags.update == "" && !logs(policies) {
		a.report.From("nothing", "no refused call is seen")
		return a, nil // nobody would read it
	}
	if err := a.bySource(); err != nil {
		return nil, errors.Join(err, a.abandon())
	}
	return a, nil
}

// idle reports whether there will be nothing to see, to answer or to say once the program
// has begun: then nobody need stay beside it.
func (a *account) idle() bool {
	return a.v.quiet && !a.sees() && !a.answer.any() && a.log == nil && a.flags.update == ""
}

func logs(policies synth.Stack) bool {
	return slices.ContainsFunc(policies, func(p *synth.Policy) bool { return slices.Contains(p.Listeners(), synth.Log) })
}

func (a *account) bySource() error {
	var why []string // the better ones cannot be had
	if a.flags.source == sourceAuto || a.flags.source == sourceEBPF {
		err := a.openEBPF()
		missing, mend, known := lack(err)
		switch {
		case err == nil:
			a.report.From("eBPF", "")
			return nil
		case !known:
			return err
		case a.flags.source == sourceEBPF:
			return hinted(fmt.Errorf("refused calls cannot be seen by eBPF: %s", missing), "%s", mend)
		}
		why = append(why, "not by eBPF: "+missing)
	}
	if a.flags.source == sourceAuto || a.flags.source == sourceAudit {
		records, err := audit.Open(a.leaves(), a.recorded)
		missing, mend, known := lack(err)
		switch {
		case err == nil:
			a.records = records
			a.seenBy("audit records", "neither arguments, threads nor places are shown, and each call that is seen takes some microseconds", why)
			return nil
		case !known:
			return fmt.Errorf("read audit records: %w", err)
		case a.flags.source == sourceAudit:
			return hinted(fmt.Errorf("refused calls cannot be seen by audit records: %s", missing), "%s", mend)
		}
		why = append(why, "nor by audit records: "+missing)
	}
	err := userland.NotifyPreflight()
	missing, mend, known := lack(err)
	switch {
	case err == nil && (a.answer.socket == "" || a.flags.source == sourceNotify):
		a.asks = true
		a.seenBy("seccomp notification", "what ends by a trap or ends a single thread is not seen, and each call that is seen takes some microseconds", why)
		return nil
	case err != nil && !known:
		return err
	case a.flags.source == sourceNotify:
		return hinted(fmt.Errorf("refused calls cannot be seen by seccomp notification: %s", missing), "%s", mend)
	}
	a.report.From("nothing", "no refused call is seen")
	a.v.say("refused calls are not shown: %s", strings.Join(append(why, missing), "; "))
	if mend != "" {
		a.v.hint("%s", mend)
	}
	return nil
}

// seenBy notes what sees refused calls, and tells of its limits where it is not the best.
func (a *account) seenBy(source, limits string, why []string) {
	a.report.From(source, limits)
	if len(why) > 0 {
		a.v.say("refused calls are seen by %s, %s; %s", source, strings.Join(why, "; "), limits)
	}
}

// leaves are the actions of the policies that leave an audit record, as the sysctl
// kernel.seccomp.actions_logged spells them.
func (a *account) leaves() []string {
	var words []string
	add := func(action synth.Action) {
		if action != synth.Allow && action != synth.Notify && action != synth.Trace {
			words = append(words, strings.ReplaceAll(action.String(), " ", "_"))
		}
	}
	for _, p := range a.policies {
		add(p.Default.Action)
		add(p.ForeignABI().Action)
		for _, r := range p.Rules() {
			add(r.Verdict.Action)
		}
	}
	return words
}

// recorded takes an audit record into account. Of a call that the policy hands to user
// space it does not tell what was answered; who answers does.
func (a *account) recorded(r audit.Record) {
	took := filter.ParseReturn(r.Return).Action
	if took == synth.Notify || took == synth.Trace || !r.ID.Valid() {
		return
	}
	a.note(denial.Event{ID: r.ID, Cut: true, Took: took, PID: r.PID, Comm: r.Comm, Count: 1, Passed: took == synth.Log})
}

// sees reports whether refused and logged calls are seen at all.
func (a *account) sees() bool { return a.rec != nil || a.records != nil || a.asks }

func (a *account) openEBPF() error {
	o := rawtp.Options{Slots: 1, Denials: true, Places: true}
	if logs(a.policies) {
		o.Watch = a.mayLog
	}
	rec, err := rawtp.Open(o)
	if err != nil {
		return err
	}
	a.rec = rec
	ctx, cancel := context.WithCancel(context.Background())
	a.ended = cancel
	a.events.Go(func() {
		if err := rec.Events(ctx, func(e rawtp.Event) {
			a.delivered[likenessOf(e)]++
			a.note(a.seen(e))
		}); err != nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.failed = errors.Join(a.failed, err)
		}
	})
	return nil
}

// mayLog reports whether the policies log some calls of a syscall.
func (a *account) mayLog(id sysno.ID) bool {
	return slices.ContainsFunc(a.policies, func(p *synth.Policy) bool {
		if !slices.Contains(p.Archs, id.Arch) {
			return p.ForeignABI().Action == synth.Log
		}
		always := false
		for _, r := range p.Rules() {
			if r.ID != id {
				continue
			}
			if r.Verdict.Action == synth.Log {
				return true
			}
			always = always || len(r.Args) == 0
		}
		return !always && p.Default.Action == synth.Log
	})
}

// seen is an event of the recorder.
func (a *account) seen(e rawtp.Event) denial.Event {
	d := denial.Event{ID: e.ID, Args: e.Args, Cut: e.Cut, PID: e.PID, TID: e.TID, Comm: e.Comm, Count: e.Count, Passed: e.Kind == rawtp.Watched, Site: a.place(e.Site)}
	if d.Site != "" {
		d.Caller = a.caller(e)
	}
	for _, t := range e.Texts {
		d.Texts = append(d.Texts, denial.Text{Arg: t.Arg, Bytes: t.Bytes, Cut: t.Cut})
	}
	return d
}

// note takes an event into account, and tells of it if it is a new one.
func (a *account) note(e denial.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v, _, known := a.report.Decide(e); known && !e.Passed && a.answer.asked(v) {
		a.answered[caller{e.PID, e.ID}] -= int64(e.Count)
		return // who answers tells of it, and why
	}
	a.tell(a.report.Add(e))
}

// tell is called with the lock.
func (a *account) tell(entry *denial.Entry, news denial.News) {
	if news == denial.Show {
		a.v.say("%s", entry.Line())
	}
	if a.log == nil || news == denial.Nothing {
		return
	}
	line, err := entry.JSON()
	if err == nil {
		_, err = a.log.Write(append(line, '\n'))
	}
	a.failed = errors.Join(a.failed, err)
}

// prepare makes the command one whose calls are seen.
func (a *account) prepare(cmd *enforce.Command) error {
	if a.rec != nil {
		cmd.Watch = func() (enforce.Watcher, error) {
			slot, err := a.rec.Launcher(0)
			if err != nil {
				return nil, err
			}
			return ofSlot{slot}, nil
		}
	}
	cmd.Logged = a.records != nil
	if !a.asks && !a.answer.any() {
		return nil
	}
	code, err := filter.Parse(cmd.Filter)
	if err != nil {
		return err
	}
	if a.asks {
		code = filter.Ask(code)
	}
	if a.answer.stands {
		code = filter.Untraced(code)
	}
	cmd.Filter = code.Bytes()
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	cmd.Adopt = true
	cmd.Linger = func() {
		a.v.say("the program has ended; what it has left behind goes on, and so does tjfuzz, which answers its calls")
	}
	decide, err := a.decider()
	if err != nil {
		return err
	}
	cmd.Notified = func(fd int) {
		a.serving.Go(func() {
			defer closeFD(fd)
			if a.answer.socket != "" {
				a.fail(a.answer.hand(fd, cmd))
				return
			}
			_, err := notify.Serve(ctx, fd, decide, decide.noted)
			a.fail(err)
		})
	}
	return nil
}

func (a *account) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = errors.Join(a.failed, err)
}

// abandon gives up before the program has run.
func (a *account) abandon() error {
	if a.stop != nil {
		a.stop()
		a.serving.Wait()
	}
	if a.rec != nil {
		a.ended()
		a.events.Wait()
	}
	var err error
	if a.rec != nil {
		err = a.rec.Close()
	}
	if a.records != nil {
		_, err = a.records.Close()
	}
	if a.log != nil {
		err = errors.Join(err, a.log.Close())
	}
	return err
}

// close tells of all that was refused once the program has ended.
func (a *account) close(c *cobra.Command, program, ended string) error {
	if a.stop != nil {
		a.stop()
		a.serving.Wait()
	}
	if a.rec != nil {
		a.ended()
		a.events.Wait()
		all, err := a.rec.Denials()
		a.failed = errors.Join(a.failed, err)
		a.settle(all)
		a.failed = errors.Join(a.failed, a.rec.Close())
		a.report.Lose(a.rec.Dropped().Denials + a.rec.Lost().Tasks)
	}
	if a.records != nil {
		lost, err := a.records.Close()
		a.failed = errors.Join(a.failed, err)
		a.report.Lose(lost)
	}
	if s := a.report.Summary(); s != "" {
		a.v.say("%s; %s", s, ended)
	}
	if n := a.report.Lost(); n > 0 {
		a.v.warn("%d calls or processes were not followed: there may be refused calls that are not shown", n)
	}
	if a.log != nil {
		a.failed = errors.Join(a.failed, a.report.WriteEnd(a.log, ended), a.log.Close())
	}
	if a.failed != nil {
		a.v.warn("not all refused calls were told of: %v", a.failed)
	}
	return a.suggest(c, program)
}

// likeness is what makes two events the same.
type likeness struct {
	kind rawtp.Kind
	id   sysno.ID
	pid  int
	args [6]uint64
}

func likenessOf(e rawtp.Event) likeness { return likeness{e.Kind, e.ID, e.PID, e.Args} }

// caller is a process that makes calls of one syscall.
type caller struct {
	pid int
	id  sysno.ID
}

// settle takes the counts from the recorder's table. An event tells of the first of many
// equal calls, and of none where the buffer was full.
func (a *account) settle(all []rawtp.Event) {
	// The calls that are not known one by one come last: what was answered and is not known otherwise is among them.
	slices.SortStableFunc(all, func(x, y rawtp.Event) int {
		switch {
		case x.Cut == y.Cut:
			return 0
		case y.Cut:
			return -1
		}
		return 1
	})
	for _, e := range all {
		if k := likenessOf(e); a.delivered[k] > 0 && !e.Cut {
			a.delivered[k]--
			e.Count--
		}
		if k := (caller{e.PID, e.ID}); a.answered[k] > 0 && e.Cut && e.Kind == rawtp.Denied {
			told := min(e.Count, uint64(a.answered[k]))
			a.answered[k] -= int64(told)
			e.Count -= told
		}
		if e.Count > 0 {
			a.note(a.seen(e))
		}
	}
}
