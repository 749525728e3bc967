package synth

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// unobserved are the rules for what the program can reach and no rule is about. Where
// the default stays, what is denied needs none.
func unobserved(t *trace.Trace, p *Policy, o Options, rules []Rule) ([]Rule, error) {
	v := o.Unobserved
	if v == (Verdict{}) {
		v = p.Default
	}
	decided := map[sysno.ID]bool{}
	for _, r := range rules {
		decided[r.ID] = true
	}
	var more []Rule
	for _, obs := range t.Observations { // what was seen and is not allowed is refused as ever
		if _, named := obs.ID.Name(); !named || decided[obs.ID] {
			continue
		}
		decided[obs.ID] = true
		if tier, reason := judge(t, obs); o.Reach.Complete() && slices.Contains(p.Archs, obs.ID.Arch) {
			more = append(more, Rule{ID: obs.ID, Verdict: p.Default, Tier: tier, Reason: reason})
		}
	}
	if v == p.Default && !o.Reach.Complete() {
		return nil, nil
	}
	for _, x := range o.Reach.Reached {
		if _, named := x.ID.Name(); !named || decided[x.ID] || !slices.Contains(p.Archs, x.ID.Arch) {
			continue
		}
		c := Clause{ID: x.ID, Verdict: v, Tier: Reachable, Reason: reachedBy(x)}
		if o.Reach.Complete() && v.Action.Permits() && !inOther(x.ID, p.Archs) {
			c.Args = generalize(trace.Observation{ID: x.ID, Args: x.Args}, o.Args, false)
		}
		alternatives, err := c.Rules()
		if err != nil {
			return nil, err
		}
		more = append(more, alternatives...)
	}
	return more, nil
}

// inOther reports whether other architectures have the call, too.
func inOther(id sysno.ID, archs []sysno.Arch) bool {
	name, _ := id.Name()
	return slices.ContainsFunc(archs, func(a sysno.Arch) bool { _, ok := sysno.Lookup(a, name); return a != id.Arch && ok })
}

// narrowed reports whether rules refuse values of arguments that the program can reach. Then
// what no rule allows is not only what it cannot reach.
func narrowed(r *trace.Reach, rules []Rule) bool {
	of := map[sysno.ID][]Rule{}
	for _, rule := range rules {
		if len(rule.Args) > 0 && rule.Verdict.Action.Permits() {
			of[rule.ID] = append(of[rule.ID], rule)
		}
	}
	for id, allowed := range of {
		x, ok := r.Find(id)
		if ok && !covers(allowed, x.Args) {
			return true
		}
	}
	return false
}

// covers reports whether rules for one call match all values that its arguments may have.
func covers(rules []Rule, args []trace.Arg) bool {
	combinations := [][6]uint64{{}}
	for i := range uint8(6) {
		looked := slices.ContainsFunc(rules, func(r Rule) bool {
			return slices.ContainsFunc(r.Args, func(c Cond) bool { return c.Index == i })
		})
		if !looked {
			continue
		}
		at := slices.IndexFunc(args, func(a trace.Arg) bool { return a.Index == int(i) })
		if at < 0 || args[at].Any || len(combinations)*len(args[at].Values) > MaxAlternatives {
			return false
		}
		var next [][6]uint64
		for _, c := range combinations {
			for _, v := range args[at].Values {
				c[i] = v
				next = append(next, c)
			}
		}
		combinations = next
	}
	return !slices.ContainsFunc(combinations, func(c [6]uint64) bool {
		return !slices.ContainsFunc(rules, func(r Rule) bool { return r.matches(c) })
	})
}

// reachedBy is the reason of a rule for what no run showed.
func reachedBy(x trace.Reached) string {
	const reason = "the program can reach it, and no run showed it"
	for i := len(x.Path) - 1; i >= 0; i-- {
		if s := x.Path[i]; s.Function != "" {
			return reason + ": through " + s.Function
		}
	}
	return reason
}

// MarkReachable gives those rules of a policy the tier Reachable that no evidence is behind
// and whose calls the program can reach. A profile does not say of which tier a rule is.
func MarkReachable(p *Policy, r *trace.Reach) {
	for _, g := range p.Groups {
		for i := range g.Rules {
			rule := &g.Rules[i]
			if x, ok := r.Find(rule.ID); ok && rule.Tier == Manual {
				rule.Tier, rule.Reason = Reachable, reachedBy(x)
			}
		}
	}
}
