package synth

import "github.com/tjfuzz/tjfuzz/internal/sysno"

// Stack is policies that hold at once, in the order in which their filters were
// loaded.
type Stack []*Policy

// Decide is what the kernel does with a call under all the policies, and the policy
// that decided: the strictest verdict counts, and of equal actions that of the last
// policy (seccomp(2); seccomp_run_filters in kernel/seccomp.c).
func (s Stack) Decide(id sysno.ID, args [6]uint64) (Verdict, *Policy) {
	var (
		strictest Verdict
		by        *Policy
	)
	for _, p := range s {
		if v := p.Decide(id, args); by == nil || !v.Action.Below(strictest.Action) {
			strictest, by = v, p
		}
	}
	return strictest, by
}

// Below reports whether another action counts where two filters disagree.
func (a Action) Below(o Action) bool { return a.precedence() < o.precedence() }

// precedence orders actions as the kernel does where filters disagree. It is the order
// of the actions but for one thing: a supervisor is asked before a tracer.
func (a Action) precedence() int {
	switch a {
	case Notify:
		return int(Trace)
	case Trace:
		return int(Notify)
	}
	return int(a)
}
