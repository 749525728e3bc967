// Package synth decides which syscalls a program may make: a pure, deterministic
// function from evidence to a policy, and the reference semantics of that policy.
// It refuses to know files, formats, kernels and clocks. Its main hazard is a
// policy that does less than it says: a rule that another swallows, a verdict that
// depends on the order of rules. Validate refuses these.
package synth

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Action is what the kernel does with a call. The zero value is invalid.
type Action uint8

// The actions of seccomp, from the most to the least permissive.
const (
	ActionInvalid Action = iota
	Allow
	Log
	Notify
	Trace
	Errno
	Trap
	KillThread
	KillProcess
)

// Permits reports whether the kernel goes on to execute the call. A tracer or a
// supervisor may still refuse it.
func (a Action) Permits() bool { return a == Allow || a == Log || a == Notify }

// String is the action in lower case words.
func (a Action) String() string {
	names := [...]string{"invalid", "allow", "log", "notify", "trace", "errno", "trap", "kill thread", "kill process"}
	if int(a) < len(names) {
		return names[a]
	}
	return names[ActionInvalid]
}

// Verdict is an action with its errno. Errno is meaningful for Errno and Trace only.
type Verdict struct {
	Action Action
	Errno  uint16 // 1..4095 for Errno; the message for Trace
}

// String is the action, with the name of its errno: "errno EPERM".
func (v Verdict) String() string {
	switch {
	case v.Action == Trace:
		return fmt.Sprintf("trace %d", v.Errno)
	case v.Action != Errno:
		return v.Action.String()
	}
	if name := unix.ErrnoName(syscall.Errno(v.Errno)); name != "" {
		return "errno " + name
	}
	return fmt.Sprintf("errno %d", v.Errno)
}

// ParseVerdict reads what Verdict.String writes: "allow", "errno EPERM", "errno 38",
// "trace 1". It takes nothing else, not even another case.
func ParseVerdict(text string) (Verdict, error) {
	for a := Allow; a <= KillProcess; a++ {
		switch datum, takes := strings.CutPrefix(text, a.String()+" "); {
		case a == Errno && takes:
			if e, ok := sysno.Errno(datum); ok {
				return Verdict{Action: a, Errno: uint16(e)}, nil
			}
			n, err := strconv.ParseUint(datum, 10, 12)
			if err != nil || n == 0 {
				return Verdict{}, fmt.Errorf("%q is neither the name of an errno nor a number from 1 to 4095", datum)
			}
			return Verdict{Action: a, Errno: uint16(n)}, nil
		case a == Trace && takes:
			n, err := strconv.ParseUint(datum, 10, 16)
			if err != nil {
				return Verdict{}, fmt.Errorf("%q is not a number from 0 to 65535", datum)
			}
			return Verdict{Action: a, Errno: uint16(n)}, nil
		case text == a.String() && a != Errno && a != Trace:
			return Verdict{Action: a}, nil
		}
	}
	return Verdict{}, fmt.Errorf("unknown action %q; known are allow, log, notify, trace N, errno NAME, trap, kill thread and kill process", text)
}

// Tier says what kind of evidence a rule stands on. The zero value is invalid.
type Tier uint8

// The tiers, from the strongest evidence to the weakest.
const (
	TierInvalid Tier = iota
	Observed         // a run that ended normally made it
	ErrorPath        // seen only in runs that crashed, hung or had an injected fault
	Reachable        // static analysis says so, no run showed it
	Always           // the kernel, the C library or the vDSO may issue it in any program
	Runtime          // the container runtime needs it after it loads the filter
	Portable         // another C library or kernel needs it instead of one that was seen
	Tolerated        // completes a group, which makes the policy shorter to say
	Manual           // a person said so
)

// String is the tier as messages and flags spell it.
func (t Tier) String() string {
	names := [...]string{"invalid", "observed", "error-path", "reachable", "always", "runtime", "portable", "tolerated", "manual"}
	if int(t) < len(names) {
		return names[t]
	}
	return names[TierInvalid]
}

// ParseTier reads what Tier.String writes.
func ParseTier(text string) (Tier, error) {
	var known []string
	for t := Observed; t <= Manual; t++ {
		if t.String() == text {
			return t, nil
		}
		known = append(known, t.String())
	}
	return TierInvalid, fmt.Errorf("unknown tier %q; known are %s", text, strings.Join(known, ", "))
}

// Op compares an argument with a datum.
type Op uint8

// The operators of seccomp argument conditions.
const (
	OpInvalid Op = iota
	Equal
	NotEqual
	Less
	LessEqual
	Greater
	GreaterEqual
	MaskedEqual // arg & Mask == Value
)

// Cond is one condition on one argument. Conditions of a rule are ANDed.
type Cond struct {
	Index uint8 // 0..5
	Op    Op
	Value uint64
	Mask  uint64 // MaskedEqual only
}

// Matches reports whether an argument satisfies the condition. As in the kernel
// all 64 bits count, whatever the type of the parameter in C.
func (c Cond) Matches(arg uint64) bool {
	switch c.Op {
	case Equal:
		return arg == c.Value
	case NotEqual:
		return arg != c.Value
	case Less:
		return arg < c.Value
	case LessEqual:
		return arg <= c.Value
	case Greater:
		return arg > c.Value
	case GreaterEqual:
		return arg >= c.Value
	case MaskedEqual:
		return arg&c.Mask == c.Value
	}
	return false
}

// String is the condition as C would write it: "arg0 == 0x2", "arg2 & 0x4 == 0x0".
func (c Cond) String() string {
	ops := [...]string{"?", "==", "!=", "<", "<=", ">", ">="}
	if c.Op == MaskedEqual {
		return fmt.Sprintf("arg%d & %#x == %#x", c.Index, c.Mask, c.Value)
	}
	op := ops[OpInvalid]
	if int(c.Op) < len(ops) {
		op = ops[c.Op]
	}
	return fmt.Sprintf("arg%d %s %#x", c.Index, op, c.Value)
}

// Rule is one syscall with its conditions and the reason why it is there.
// Several rules for one syscall are alternatives: the first that matches decides.
// In a valid policy alternatives with different verdicts cannot match the same
// call, so their order has no effect.
type Rule struct {
	ID      sysno.ID
	Verdict Verdict
	Args    []Cond
	Tier    Tier
	Reason  string // one sentence fragment, lower case
}

// matches reports whether all conditions hold.
func (r *Rule) matches(args [6]uint64) bool {
	for _, c := range r.Args {
		if int(c.Index) >= len(args) || !c.Matches(args[c.Index]) {
			return false
		}
	}
	return true
}

// Compare orders rules by what they decide: ID, verdict, conditions. Rules that
// differ in tier or reason alone are equal.
func (r *Rule) Compare(o *Rule) int {
	return cmp.Or(
		r.ID.Compare(o.ID),
		cmp.Compare(r.Verdict.Action, o.Verdict.Action),
		cmp.Compare(r.Verdict.Errno, o.Verdict.Errno),
		slices.CompareFunc(r.Args, o.Args, Cond.Compare),
	)
}

// Compare orders conditions by index, operator, value and mask.
func (c Cond) Compare(o Cond) int {
	return cmp.Or(
		cmp.Compare(c.Index, o.Index),
		cmp.Compare(c.Op, o.Op),
		cmp.Compare(c.Value, o.Value),
		cmp.Compare(c.Mask, o.Mask),
	)
}

// String is the rule as one line: "openat: allow if arg2 & 0x40 == 0x0".
func (r *Rule) String() string {
	s := fmt.Sprintf("%v: %v", r.ID, r.Verdict)
	for i, c := range r.Args {
		word := " and "
		if i == 0 {
			word = " if "
		}
		s += word + c.String()
	}
	return s
}

// Group is a named set of rules with a reason. All rules of a group that is
// written as one OCI entry share verdict and conditions.
type Group struct {
	Name        string // "@file-read"
	Description string
	Rules       []Rule // sorted by ID
}

// Policy is the thing in memory; the file is a profile, the compiled form a filter.
type Policy struct {
	Default  Verdict
	Archs    []sysno.Arch // sorted; never empty
	Groups   []Group
	Flags    []string // seccomp(2) flags in OCI spelling, sorted, normally empty
	Listener string   // path of the socket that receives notifications, for Notify rules

	// ListenerMetadata is handed to the listener with every notification descriptor.
	ListenerMetadata string

	// Unnamed are the syscalls that the target was seen to make and that no table
	// names. No rule allows them: a profile can name no number, and kernels up to
	// the tables' version answer them with ENOSYS. Sorted.
	Unnamed []sysno.ID
}

// Rules yields the policy's rules in order of group.
func (p *Policy) Rules() []Rule {
	size := 0
	for _, g := range p.Groups {
		size += len(g.Rules)
	}
	rules := make([]Rule, 0, size)
	for _, g := range p.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

// ForeignABI is the verdict for a call through an ABI that the policy does not
// list. It is libseccomp's default for a bad architecture (seccomp_attr_set(3),
// SCMP_FLTATR_ACT_BADARCH), which runc and crun leave in place.
func (p *Policy) ForeignABI() Verdict { return Verdict{Action: KillThread} }

// Decide is the reference semantics of a policy: what the kernel does with the
// call. Compiled filters are checked against it.
func (p *Policy) Decide(id sysno.ID, args [6]uint64) Verdict {
	if !slices.Contains(p.Archs, id.Arch) {
		return p.ForeignABI()
	}
	if _, r := p.RuleFor(id, args); r != nil {
		return r.Verdict
	}
	return p.Default
}

// RuleFor is the rule that decides on a call, and its group; nil where none does.
func (p *Policy) RuleFor(id sysno.ID, args [6]uint64) (group string, rule *Rule) {
	for i := range p.Groups {
		rules := p.Groups[i].Rules
		for j := range rules {
			if rules[j].ID == id && rules[j].matches(args) {
				return p.Groups[i].Name, &rules[j]
			}
		}
	}
	return "", nil
}

// Listeners lists the actions of the policy that do nothing unless somebody
// listens: Log the kernel's log, Notify a supervisor, Trace a tracer. Whether
// somebody does is known only where the policy is enforced.
func (p *Policy) Listeners() []Action {
	var found []Action
	note := func(a Action) {
		if (a == Log || a == Notify || a == Trace) && !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	note(p.Default.Action)
	for _, r := range p.Rules() {
		note(r.Verdict.Action)
	}
	slices.Sort(found)
	return found
}

// Arrange distributes rules over the functional groups by exact cover: each rule
// comes into the group of its syscall, and a group holds nothing else. Groups and
// rules come out sorted; of rules that decide the same, the one with the strongest
// tier stays. Numbers without a name form the group @unnamed.
func Arrange(rules []Rule) []Group {
	sorted := slices.Clone(rules)
	for i := range sorted {
		sorted[i].Args = slices.Clone(sorted[i].Args)
		slices.SortFunc(sorted[i].Args, Cond.Compare)
	}
	slices.SortFunc(sorted, func(a, b Rule) int {
		return cmp.Or(a.Compare(&b), cmp.Compare(a.Tier, b.Tier), strings.Compare(a.Reason, b.Reason))
	})
	sorted = slices.CompactFunc(sorted, func(a, b Rule) bool { return a.Compare(&b) == 0 })

	owners := make(map[string]int, len(sorted))
	for _, r := range sorted {
		name, _ := r.ID.Name()
		owners[name] = noOwner
	}
	findOwners(owners)
	byOwner := map[int]*Group{}
	for _, r := range sorted {
		name, _ := r.ID.Name()
		g := byOwner[owners[name]]
		if g == nil {
			g = &Group{Name: "@unnamed", Description: "numbers that no table names"}
			if i := owners[name]; i != noOwner {
				g.Name, g.Description = functionalTable[i].name, functionalTable[i].description
			}
			byOwner[owners[name]] = g
		}
		g.Rules = append(g.Rules, r)
	}
	groups := make([]Group, 0, len(byOwner))
	for _, g := range byOwner {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return groups
}
