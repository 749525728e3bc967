package synth

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// What can be wrong with a policy. A *Problem wraps exactly one of these.
var (
	ErrDefault       = errors.New("bad default action")
	ErrNothing       = errors.New("policy denies nothing")
	ErrAction        = errors.New("bad action")
	ErrTier          = errors.New("rule without a tier")
	ErrStrayErrno    = errors.New("errno on an action that returns none")
	ErrErrnoRange    = errors.New("errno out of range")
	ErrSameAsDefault = errors.New("rule repeats the default action")
	ErrConflict      = errors.New("different verdicts for one syscall")
	ErrSwallowed     = errors.New("condition has no effect")
	ErrOverlap       = errors.New("different verdicts for the same call")
	ErrCondition     = errors.New("bad condition")
	ErrMask          = errors.New("condition can never hold")
	ErrListener      = errors.New("notification has no listener")
	ErrNotifyWrite   = errors.New("write cannot be notified")
	ErrNumber        = errors.New("not a syscall number")
	ErrArch          = errors.New("architecture is not listed")
	ErrNoNative      = errors.New("native architecture is not listed")
	ErrNoExec        = errors.New("execve is not allowed")
)

// Problem is one thing that makes a policy do less, or other, than it says.
type Problem struct {
	Kind   error  // one of the errors above; errors.Is finds it
	Where  string // the group and the syscall, or the field of the policy
	Detail string // what is wrong there
	Mend   string // what to do about it
	Rules  []Rule // the rules involved: none, one, or two that contradict each other
}

func (e *Problem) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Where, e.Detail, e.Mend)
}

func (e *Problem) Unwrap() error { return e.Kind }

// Validate returns the first of the policy's Problems, or nil.
func (p *Policy) Validate() error {
	if problems := p.Problems(); len(problems) > 0 {
		return problems[0]
	}
	return nil
}

// Problems lists everything that is wrong with the policy, in the order of its
// parts. A policy without problems means the same to Decide, to libseccomp and to
// the container runtimes. What only the place of enforcement can know is not
// checked: whether somebody listens (see Listeners), and whether the machine is of
// a listed architecture (see RunsOn).
func (p *Policy) Problems() []*Problem {
	problems := p.fieldProblems()
	rules := p.Rules()
	many := make(map[sysno.ID]int, len(rules)) // of the rules of a call
	for _, r := range rules {
		many[r.ID]++
	}
	seen := map[sysno.ID][]Rule{} // of the calls with several
	for _, g := range p.Groups {
		for _, r := range g.Rules {
			mine := p.ruleProblems(r)
			for _, other := range seen[r.ID] {
				if e := contradiction(other, r); e != nil {
					mine = append(mine, e)
				}
			}
			if many[r.ID] > 1 {
				seen[r.ID] = append(seen[r.ID], r)
			}
			for _, e := range mine {
				e.Where = fmt.Sprintf("group %s, %v", g.Name, r.ID)
			}
			problems = append(problems, mine...)
		}
	}
	return append(problems, p.execProblems()...)
}

// RunsOn says whether the policy covers the machine's own ABI. libseccomp adds the
// native architecture to every filter and gives it the rules of the others, so a
// profile without it does not do what it says.
func (p *Policy) RunsOn(native sysno.Arch) error {
	if slices.Contains(p.Archs, native) {
		return nil
	}
	return &Problem{
		Kind: ErrNoNative, Where: "architectures",
		Detail: fmt.Sprintf("%v is not among %v", native, p.Archs),
		Mend:   "list it, or use the profile on a machine of its own architecture",
	}
}

func (p *Policy) fieldProblems() []*Problem {
	var problems []*Problem
	report := func(kind error, where, mend, format string, args ...any) {
		problems = append(problems, &Problem{Kind: kind, Where: where, Detail: fmt.Sprintf(format, args...), Mend: mend})
	}
	switch d := p.Default; {
	case d.Action == Notify:
		report(ErrDefault, "default action", "notify about single syscalls and deny the rest",
			"a supervisor cannot be asked about every syscall, its own included")
	case d.Action == ActionInvalid || d.Action > KillProcess:
		report(ErrDefault, "default action", "choose one, such as errno EPERM", "there is none")
	default:
		if e := errnoProblem(d); e != nil {
			report(e.Kind, "default action", e.Mend, "%s", e.Detail)
		}
	}
	rules := p.Rules()
	if p.Default.Action == Allow && len(rules) == 0 {
		report(ErrNothing, "default action", "choose another default action, or write rules", "it allows everything, and there are no rules")
	}
	if len(p.Archs) == 0 {
		report(ErrNoNative, "architectures", "list the native one", "there are none")
	} else if !slices.ContainsFunc(p.Archs, primary) {
		report(ErrNoNative, "architectures", "list x86_64 too; libseccomp would add it unasked",
			"%v are secondary ABIs of another architecture", p.Archs)
	}
	for i, a := range p.Archs {
		if i > 0 && p.Archs[i-1] >= a {
			report(ErrArch, "architectures", "list each once, sorted", "%v are not in order", p.Archs)
			break
		}
	}
	for _, r := range rules {
		if r.Verdict.Action == Notify && p.Listener == "" {
			report(ErrListener, "listener", "name the listener's socket, or choose another action",
				"%v asks a listener, and there is none", r.ID)
			problems[len(problems)-1].Rules = []Rule{r}
			break
		}
	}
	return problems
}

// primary reports whether processes of the ABI can be a machine's own, rather than
// its guests: the filter of an x86_64 machine always covers x86_64.
func primary(a sysno.Arch) bool {
	return a == sysno.AMD64 || a == sysno.ARM64 || a == sysno.I386 && sysno.Native() == sysno.I386
}

func (p *Policy) ruleProblems(r Rule) []*Problem {
	var problems []*Problem
	report := func(kind error, mend, format string, args ...any) {
		problems = append(problems, &Problem{
			Kind: kind, Detail: fmt.Sprintf(format, args...), Mend: mend, Rules: []Rule{r},
		})
	}
	if !slices.Contains(p.Archs, r.ID.Arch) {
		report(ErrArch, "list it, or drop the rule", "the policy does not list %v", r.ID.Arch)
	}
	// Bit 30 marks x32, bit 31 libseccomp's pseudo numbers.
	if r.ID.NR >= 1<<30 {
		mend := "write the kernel's number"
		if r.ID.Arch == sysno.AMD64 && r.ID.NR < 1<<31 {
			mend = fmt.Sprintf("write number %d of x32", r.ID.NR&^(1<<30))
		}
		report(ErrNumber, mend, "%d is a raw x32 or a pseudo number", r.ID.NR)
	}
	if r.Tier == TierInvalid || r.Tier > Manual {
		report(ErrTier, "say what the rule stands on", "the rule has no tier")
	}
	switch {
	case r.Verdict.Action == ActionInvalid || r.Verdict.Action > KillProcess:
		report(ErrAction, "choose one, such as allow", "the rule has no action")
	case r.Verdict == p.Default:
		report(ErrSameAsDefault, "drop the rule", "%v is what the default action does", r.Verdict)
	default:
		if e := errnoProblem(r.Verdict); e != nil {
			report(e.Kind, e.Mend, "%s", e.Detail)
		}
	}
	if name, _ := r.ID.Name(); r.Verdict.Action == Notify && name == "write" {
		report(ErrNotifyWrite, "choose another action",
			"runtimes use write to hand over the listener's descriptor and would wait for themselves")
	}
	if len(r.Args) > 6 {
		report(ErrCondition, "compare each argument once", "%d conditions, but a syscall has 6 arguments", len(r.Args))
	}
	var compared [6]bool
	for _, c := range r.Args {
		switch {
		case c.Index > 5:
			report(ErrCondition, "count arguments from 0 to 5", "there is no argument %d", c.Index)
			continue
		case c.Op == OpInvalid || c.Op > MaskedEqual:
			report(ErrCondition, "choose one, such as ==", "the condition on argument %d has no operator", c.Index)
		case c.Op == MaskedEqual && c.Value&^c.Mask != 0:
			report(ErrMask, "clear these bits in the value or set them in the mask",
				"%v: the value has bits outside the mask", c)
		case c.Op != MaskedEqual && c.Mask != 0:
			report(ErrCondition, "use the masked comparison or drop the mask", "%v has a mask", c)
		}
		if compared[c.Index] {
			report(ErrCondition, "write one rule for each, or one condition that says both",
				"two conditions on argument %d; libseccomp takes one, and OCI runtimes would read them as alternatives", c.Index)
		}
		compared[c.Index] = true
	}
	return problems
}

// errnoProblem checks the errno of a verdict with a valid action. The caller knows
// where it stands.
func errnoProblem(v Verdict) *Problem {
	switch {
	case v.Action == Errno && v.Errno == 0:
		return &Problem{
			Kind: ErrErrnoRange, Detail: "errno 0 makes the denied call look like a success",
			Mend: "choose 1 to 4095, such as EPERM",
		}
	case v.Action == Errno && v.Errno > 4095:
		return &Problem{
			Kind: ErrErrnoRange, Detail: fmt.Sprintf("errno %d; the kernel cuts off what is above 4095", v.Errno),
			Mend: "choose 1 to 4095",
		}
	case v.Action != Errno && v.Action != Trace && v.Errno != 0:
		return &Problem{
			Kind: ErrStrayErrno, Detail: fmt.Sprintf("action %v with errno %d", v.Action, v.Errno),
			Mend: "drop the errno, or choose the action errno",
		}
	}
	return nil
}

// contradiction compares two rules for one syscall.
func contradiction(a, b Rule) *Problem {
	problem := func(kind error, detail, mend string) *Problem {
		return &Problem{Kind: kind, Detail: detail, Mend: mend, Rules: []Rule{a, b}}
	}
	unconditionalA, unconditionalB := len(a.Args) == 0, len(b.Args) == 0
	switch {
	case unconditionalA && unconditionalB && a.Verdict != b.Verdict:
		return problem(ErrConflict, fmt.Sprintf("both %v and %v", a.Verdict, b.Verdict), "keep one")
	case unconditionalA != unconditionalB:
		return problem(ErrSwallowed,
			"a rule without conditions swallows the one with conditions", "keep one, or give both conditions")
	case a.Verdict != b.Verdict && !Disjoint(a.Args, b.Args):
		return problem(ErrOverlap, fmt.Sprintf("%q and %q can match the same call", a.String(), b.String()),
			"make their conditions exclude each other")
	}
	return nil
}

// execProblems finds a policy under which no program starts: the filter is loaded
// before the execve of the target.
func (p *Policy) execProblems() []*Problem {
	var problems []*Problem
	for _, arch := range p.Archs {
		id, ok := sysno.Lookup(arch, "execve")
		if !ok || !primary(arch) {
			continue
		}
		permits, decided := false, false
		for _, r := range p.Rules() {
			if r.ID == id {
				permits = permits || r.Verdict.Action.Permits()
				decided = decided || len(r.Args) == 0
			}
		}
		if !permits && (decided || !p.Default.Action.Permits()) {
			problems = append(problems, &Problem{
				Kind: ErrNoExec, Where: fmt.Sprintf("%v execve", arch),
				Detail: "it is not allowed, but the filter is loaded before the program is executed",
				Mend:   "allow execve",
			})
		}
	}
	return problems
}

// Disjoint reports whether two lists of conditions provably cannot hold for the
// same call. It is conservative: false means only that no proof was found.
func Disjoint(a, b []Cond) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Index == y.Index && exclude(x, y) {
				return true
			}
		}
	}
	return false
}

// exclude proves that no value satisfies both conditions.
func exclude(x, y Cond) bool {
	if x.Op == Equal {
		return !y.Matches(x.Value)
	}
	if y.Op == Equal {
		return !x.Matches(y.Value)
	}
	if x.Op == MaskedEqual && y.Op == MaskedEqual {
		return (x.Value^y.Value)&x.Mask&y.Mask != 0
	}
	lowX, highX, okX := interval(x)
	lowY, highY, okY := interval(y)
	return okX && okY && max(lowX, lowY) > min(highX, highY)
}

// interval is the range of values that an ordering condition admits, bounds
// included. It is false for other operators and for conditions that admit nothing.
func interval(c Cond) (low, high uint64, ok bool) {
	switch {
	case c.Op == Less && c.Value > 0:
		return 0, c.Value - 1, true
	case c.Op == LessEqual:
		return 0, c.Value, true
	case c.Op == Greater && c.Value < math.MaxUint64:
		return c.Value + 1, math.MaxUint64, true
	case c.Op == GreaterEqual:
		return c.Value, math.MaxUint64, true
	}
	return 0, 0, false
}
