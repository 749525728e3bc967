package synth

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// States of the evidence in which no policy is generated.
var (
	ErrEmpty      = errors.New("the evidence is empty")
	ErrIncomplete = errors.New("the evidence is incomplete")
	ErrNoExecSeen = errors.New("the evidence has no execve")
)

// Options are the choices that evidence cannot make. The zero value is the usual
// choice.
type Options struct {
	Default         Verdict // for all that no rule allows; zero is errno EPERM
	DenyErrorPath   bool    // do not allow what only runs that crashed, hung or had a fault showed
	Runtime         string  // a container runtime that loads the filter, one of Runtimes; empty for none
	NoNewPrivs      bool    // the container runs with no_new_privs, so the runtime needs less
	Args            ArgMode // what the values of arguments that were seen mean for those that were not
	Portable        bool    // allow what other C libraries and kernels need for the same
	Tolerate        int     // how many harmless calls may come in where they make whole groups
	AllowIncomplete bool    // generate although the recorder missed something

	// Reach is what the program can reach by its code, and Unobserved what happens to that
	// of it which no run showed; the zero Verdict is Default's. What cannot be reached
	// is then killed, if the analysis is complete and no rule refuses values of arguments that
	// can be reached: to these happens what Default says.
	Reach      *trace.Reach
	Unobserved Verdict
	Listener   string // the socket of a supervisor, if Unobserved notifies one
}

// ErrReach says that an analysis is of another program than the evidence.
var ErrReach = errors.New("the analysis is of another program")

// Generate turns evidence into the smallest policy that allows what the evidence
// shows, and what any program may need without showing it. It is deterministic:
// the order of observations has no effect. It fails with ErrEmpty, ErrIncomplete or
// ErrNoExecSeen where the evidence cannot carry a policy.
func Generate(t *trace.Trace, o Options) (*Policy, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if err := sufficient(t, o); err != nil {
		return nil, err
	}
	p := &Policy{Default: o.Default}
	if p.Default == (Verdict{}) {
		p.Default = Verdict{Action: Errno, Errno: uint16(syscall.EPERM)}
	}
	if p.Default.Action == Allow {
		return nil, fmt.Errorf("%w: a policy that allows by default has nothing to generate; choose an action that denies or logs", ErrDefault)
	}

	rules := map[sysno.ID]Rule{}
	add := func(id sysno.ID, v Verdict, tier Tier, reason string) {
		if _, decided := rules[id]; !decided {
			rules[id] = Rule{ID: id, Verdict: v, Tier: tier, Reason: reason}
		}
	}
	allow := Verdict{Action: Allow}
	for _, obs := range t.Observations {
		tier, reason := judge(t, obs)
		switch _, named := obs.ID.Name(); {
		case !named:
			p.Unnamed = append(p.Unnamed, obs.ID)
		case tier == Observed || !o.DenyErrorPath:
			add(obs.ID, allow, tier, reason)
		}
	}
	slices.SortFunc(p.Unnamed, sysno.ID.Compare)

	p.Archs = archsOf(t.Arch, rules)
	for _, arch := range p.Archs {
		for _, need := range alwaysNeeded() {
			if id, ok := sysno.Lookup(arch, need.name); ok {
				add(id, allow, Always, need.reason)
			}
		}
	}
	names, err := RuntimeNeeds(o.Runtime, o.NoNewPrivs)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		id, ok := sysno.Lookup(t.Arch, name)
		if !ok {
			continue // the baseline was measured on x86_64; younger ABIs lack some calls
		}
		add(id, allow, Runtime, o.Runtime+" needs it between loading the filter and executing the program")
	}
	if rule, ok := clone3Fallback(p, rules); ok {
		for _, arch := range p.Archs {
			if id, ok := sysno.Lookup(arch, "clone3"); ok {
				add(id, rule.Verdict, rule.Tier, rule.Reason)
			}
		}
	}

	bound := o.Args != ArgsOff && bindClone3(p, rules)
	all, err := withArguments(t, o.Args, p.Archs, rules, names, bound)
	if err != nil {
		return nil, err
	}
	if o.Portable {
		if all, err = portable(all, p.Archs); err != nil {
			return nil, err
		}
	}
	if o.Tolerate > 0 {
		all = tolerated(all, p.Archs, o.Tolerate)
	}
	if o.Reach != nil {
		if err := sameProgram(t, o.Reach); err != nil {
			return nil, err
		}
		more, err := unobserved(t, p, o, all)
		if err != nil {
			return nil, err
		}
		p.Listener = o.Listener
		if o.Reach.Complete() && !narrowed(o.Reach, all) {
			p.Default = Verdict{Action: KillProcess}
		}
		for _, r := range more {
			if r.Verdict != p.Default {
				all = append(all, r)
			}
		}
	}
	p.Groups = Arrange(all)
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("generated policy: %w", err)
	}
	return p, nil
}

// withArguments is the rules with conditions on arguments where the evidence has
// values. A profile names a call for all architectures at once, whose constants differ:
// no conditions for a call that two of them have. Nor for one that the runtime makes.
// bound says that clone stands in for clone3, whose flags nobody has seen.
func withArguments(t *trace.Trace, mode ArgMode, archs []sysno.Arch, rules map[sysno.ID]Rule, runtime []string, bound bool) ([]Rule, error) {
	needed := map[string]bool{"clone": bound}
	for _, n := range alwaysNeeded() {
		needed[n.name] = true
	}
	known := make(map[sysno.ID]trace.Observation, len(t.Observations))
	for _, obs := range t.Observations {
		known[obs.ID] = obs
	}
	all := make([]Rule, 0, len(rules))
	for id, r := range rules {
		name, _ := id.Name()
		if r.Verdict.Action != Allow || inOther(id, archs) || slices.Contains(runtime, name) {
			all = append(all, r)
			continue
		}
		obs, seen := known[id]
		if !seen {
			obs = unseen(id)
		}
		c := Clause{ID: id, Verdict: r.Verdict, Tier: r.Tier, Reason: r.Reason, Args: generalize(obs, mode, needed[name])}
		alternatives, err := c.Rules()
		if err != nil {
			return nil, err
		}
		all = append(all, alternatives...)
	}
	return all, nil
}

// bindClone3 makes programs that call clone3 fall back to clone, whose flags a filter can
// check: where arguments matter, a free clone3 would be a way round the conditions of
// clone. It reports whether there was such a rule.
func bindClone3(p *Policy, rules map[sysno.ID]Rule) bool {
	v := Verdict{Action: Errno, Errno: uint16(syscall.ENOSYS)}
	bound := false
	for _, arch := range p.Archs {
		clone3, ok3 := sysno.Lookup(arch, "clone3")
		clone, ok := sysno.Lookup(arch, "clone")
		r, seen := rules[clone3]
		if !ok || !ok3 || !seen || r.Verdict.Action != Allow || p.Default.Action.Permits() {
			continue
		}
		bound = true
		if c, decided := rules[clone]; !decided || c.Tier > r.Tier {
			rules[clone] = Rule{ID: clone, Verdict: r.Verdict, Tier: r.Tier, Reason: "in the place of clone3, which was " + r.Reason}
		}
		delete(rules, clone3)
		if v != p.Default {
			rules[clone3] = Rule{ID: clone3, Verdict: v, Tier: Always,
				Reason: "answered ENOSYS, so that C libraries fall back to clone, whose flags can be checked"}
		}
	}
	return bound
}

// sameProgram refuses an analysis of another file than that which was run.
func sameProgram(t *trace.Trace, r *trace.Reach) error {
	a, b := t.Target, r.Target
	if t.Arch != r.Arch || a.SHA256 != "" && b.SHA256 != "" && a.SHA256 != b.SHA256 || (a.SHA256 == "" || b.SHA256 == "") && a.Path != b.Path {
		return fmt.Errorf("%w: of %s, and the evidence is on %s; or one of them has changed since", ErrReach, b.Path, a.Path)
	}
	return nil
}

// unseen is what is known of the arguments of a call that no run made: no value of any.
func unseen(id sysno.ID) trace.Observation {
	obs := trace.Observation{ID: id}
	for _, index := range id.Choices() {
		obs.Args = append(obs.Args, trace.Arg{Index: index})
	}
	return obs
}

func sufficient(t *trace.Trace, o Options) error {
	if len(t.Observations) == 0 || t.Runs == 0 {
		return fmt.Errorf("%w: %d runs, %d syscalls", ErrEmpty, t.Runs, len(t.Observations))
	}
	if !t.Lost.Complete() && !o.AllowIncomplete {
		return fmt.Errorf("%w: %d tasks could not be followed, %d unknown numbers did not fit", ErrIncomplete, t.Lost.Tasks, t.Lost.Beyond)
	}
	exec, _ := sysno.Lookup(t.Arch, "execve")
	if !slices.ContainsFunc(t.Observations, func(obs trace.Observation) bool { return obs.ID == exec }) {
		return fmt.Errorf("%w: every run begins with one, so none was recorded from its begin on", ErrNoExecSeen)
	}
	return nil
}

// judge says what an observation is worth.
func judge(t *trace.Trace, obs trace.Observation) (Tier, string) {
	switch {
	case obs.CleanRuns > 0:
		return Observed, fmt.Sprintf("seen in %d of %d runs", obs.Runs, t.Runs)
	case obs.Runs > 0:
		return ErrorPath, fmt.Sprintf("seen in %d of %d runs, all of which crashed, hung or had a fault injected", obs.Runs, t.Runs)
	}
	return ErrorPath, "seen only in a process that outlived its run"
}

// archsOf lists the machine's ABI and every other that a rule uses. Others stay
// out: an ABI that is not listed cannot be used at all.
func archsOf(native sysno.Arch, rules map[sysno.ID]Rule) []sysno.Arch {
	archs := []sysno.Arch{native}
	for id := range rules {
		archs = append(archs, id.Arch)
	}
	slices.Sort(archs)
	return slices.Compact(archs)
}

// need is a syscall that programs make without showing it in every run.
type need struct{ name, reason string }

// alwaysNeeded lists what any program may issue although no run showed it. The
// vDSO's functions are those of vdso(7) for x86 and arm64; getrandom is missing
// because its first use in a process is always a real call.
func alwaysNeeded() []need {
	const (
		handler  = "returns from signal handlers, which may run at any time"
		resumed  = "the kernel makes the program resume a call that a signal interrupted"
		ends     = "ends the program"
		launch   = "the filter is in place before the program is executed"
		contend  = "C libraries and language runtimes abort when a lock is contended and they may not wait for it"
		fallback = "the vDSO falls back to it where the clock source cannot be read in user space"
	)
	return []need{
		{"execve", launch},
		{"rt_sigreturn", handler},
		{"sigreturn", handler},
		{"restart_syscall", resumed},
		{"exit", ends},
		{"exit_group", ends},
		{"futex", contend},
		{"futex_time64", contend},
		{"clock_gettime", fallback},
		{"clock_gettime64", fallback},
		{"clock_getres", fallback},
		{"clock_getres_time64", fallback},
		{"gettimeofday", fallback},
		{"time", fallback},
		{"getcpu", "the vDSO falls back to it where the processor number cannot be read in user space"},
	}
}

// clone3Fallback is the rule for clone3 where nothing allows it. C libraries fall
// back to clone on ENOSYS alone; and clone3 cannot be allowed in part, because its
// flags lie behind a pointer. OCI profiles name a syscall for all ABIs at once, so
// the rule stands for all of them or for none.
func clone3Fallback(p *Policy, rules map[sysno.ID]Rule) (Rule, bool) {
	v := Verdict{Action: Errno, Errno: uint16(syscall.ENOSYS)}
	if p.Default == v || p.Default.Action.Permits() {
		return Rule{}, false
	}
	for id := range rules {
		if name, _ := id.Name(); name == "clone3" {
			return Rule{}, false
		}
	}
	return Rule{Verdict: v, Tier: Always, Reason: "answered ENOSYS, so that C libraries fall back to clone"}, true
}
