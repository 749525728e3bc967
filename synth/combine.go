package synth

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Union is the policy that does with every call the more permissive of what the two
// do. It fails, with a *Problem, where no policy can say that.
func Union(a, b *Policy) (*Policy, error) { return combine(a, b, union{}) }

// Intersection is the policy that does with every call the stricter of what the two do.
// It fails, with a *Problem, where no policy can say that.
func Intersection(a, b *Policy) (*Policy, error) { return combine(a, b, intersection{}) }

// combination is what Union and Intersection do differently.
type combination interface {
	archs(a, b []sysno.Arch) []sysno.Arch
	verdict(a, b Verdict) Verdict
	// rules combines those for one syscall. def is what both do with the rest.
	rules(a, b []Rule, def Verdict) ([]Rule, error)
}

func combine(a, b *Policy, how combination) (*Policy, error) {
	if a.Default != b.Default {
		return nil, &Problem{
			Kind: ErrConflict, Where: "default action", Detail: fmt.Sprintf("%v in one policy and %v in the other", a.Default, b.Default),
			Mend: "make them the same: what is right for the calls that only one policy names depends on it",
		}
	}
	p := &Policy{Default: a.Default, Archs: how.archs(a.Archs, b.Archs)}
	if len(p.Archs) == 0 {
		return nil, &Problem{Kind: ErrArch, Where: "architectures", Detail: fmt.Sprintf("%v and %v have none in common", a.Archs, b.Archs), Mend: "combine policies of one machine"}
	}
	p.Flags = slices.Concat(a.Flags, b.Flags)
	slices.Sort(p.Flags)
	p.Flags = slices.Compact(p.Flags)
	for _, f := range []struct {
		what     string
		a, b     string
		combined *string
	}{{"listener", a.Listener, b.Listener, &p.Listener}, {"listener metadata", a.ListenerMetadata, b.ListenerMetadata, &p.ListenerMetadata}} {
		if f.a != f.b && f.a != "" && f.b != "" {
			return nil, &Problem{Kind: ErrListener, Where: f.what, Detail: fmt.Sprintf("%q and %q", f.a, f.b), Mend: "a filter has one"}
		}
		*f.combined = cmp.Or(f.a, f.b)
	}
	p.Unnamed = slices.Concat(a.Unnamed, b.Unnamed)
	slices.SortFunc(p.Unnamed, sysno.ID.Compare)
	p.Unnamed = slices.Compact(p.Unnamed)

	rulesA, rulesB := rulesByID(a), rulesByID(b)
	var all []Rule
	for _, arch := range p.Archs {
		ids := map[sysno.ID]bool{}
		for _, rules := range []map[sysno.ID][]Rule{rulesA, rulesB} {
			for id := range rules {
				ids[id] = ids[id] || id.Arch == arch
			}
		}
		for id, listed := range ids {
			if !listed {
				continue
			}
			if !slices.Contains(a.Archs, arch) || !slices.Contains(b.Archs, arch) {
				all = append(all, slices.Concat(rulesA[id], rulesB[id])...) // one of them knows the ABI
				continue
			}
			rules, err := how.rules(rulesA[id], rulesB[id], p.Default)
			if err != nil {
				return nil, err
			}
			all = append(all, rules...)
		}
	}
	p.Groups = Arrange(absorb(all))
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return p, nil
}

// stricter orders verdicts by what they leave a program.
func stricter(a, b Verdict) bool { return a.Action > b.Action }

type union struct{}

func (union) archs(a, b []sysno.Arch) []sysno.Arch {
	archs := slices.Concat(a, b)
	slices.Sort(archs)
	return slices.Compact(archs)
}

func (union) verdict(a, b Verdict) Verdict {
	if stricter(a, b) {
		return b
	}
	return a
}

func (u union) rules(a, b []Rule, def Verdict) ([]Rule, error) {
	return combineRules(a, b, def, u, func(v Verdict) bool { return stricter(def, v) })
}

type intersection struct{}

func (intersection) archs(a, b []sysno.Arch) []sysno.Arch {
	return slices.DeleteFunc(slices.Clone(a), func(x sysno.Arch) bool { return !slices.Contains(b, x) })
}

func (intersection) verdict(a, b Verdict) Verdict {
	if stricter(b, a) {
		return b
	}
	return a
}

func (i intersection) rules(a, b []Rule, def Verdict) ([]Rule, error) {
	return combineRules(a, b, def, i, func(v Verdict) bool { return stricter(v, def) })
}

// combineRules combines the rules for one syscall. A rule that wins over the default
// wins wherever the other policy has no rule; where both have one, the combination
// decides; a rule that loses against the default loses there too.
func combineRules(a, b []Rule, def Verdict, how combination, wins func(Verdict) bool) ([]Rule, error) {
	var out []Rule
	add := func(r Rule) {
		if r.Verdict != def {
			out = append(out, r)
		}
	}
	for _, side := range [][2][]Rule{{a, b}, {b, a}} {
		for _, r := range side[0] {
			if !wins(r.Verdict) {
				continue
			}
			for _, o := range side[1] {
				if v := how.verdict(r.Verdict, o.Verdict); v != r.Verdict && meet(r.Args, o.Args) && !implies(r.Args, o.Args) {
					return nil, inexpressible(r, o)
				}
			}
			beaten := slices.ContainsFunc(side[1], func(o Rule) bool {
				return how.verdict(r.Verdict, o.Verdict) != r.Verdict && implies(r.Args, o.Args)
			})
			if !beaten {
				add(r)
			}
		}
	}
	for _, x := range a {
		for _, y := range b {
			if wins(x.Verdict) || wins(y.Verdict) {
				continue // stands already, as a whole
			}
			if !meet(x.Args, y.Args) {
				continue
			}
			args, ok := conjunction(x.Args, y.Args)
			if !ok {
				return nil, inexpressible(x, y)
			}
			both := x
			both.Args, both.Verdict = args, how.verdict(x.Verdict, y.Verdict)
			both.Tier = max(x.Tier, y.Tier)
			if x.Reason != y.Reason {
				both.Reason = x.Reason + "; " + y.Reason
			}
			add(both)
		}
	}
	return out, nil
}

func inexpressible(a, b Rule) error {
	return &Problem{
		Kind: ErrOverlap, Where: a.ID.String(),
		Detail: fmt.Sprintf("no rule says %q and %q at once", a.String(), b.String()),
		Mend:   "change one of the policies for this call", Rules: []Rule{a, b},
	}
}

// conjunction is conditions that hold where both lists do; false where one argument
// would need two conditions.
func conjunction(a, b []Cond) ([]Cond, bool) {
	var out []Cond
	for index := range uint8(registers) {
		list := slices.Concat(on(a, index), on(b, index))
		if len(list) == 0 {
			continue
		}
		c := list[0]
		for _, next := range list[1:] {
			var ok bool
			if c, ok = both(c, next); !ok {
				return nil, false
			}
		}
		if c.Op != MaskedEqual || c.Mask != 0 {
			out = append(out, c)
		}
	}
	return out, true
}

// both is one condition for two on the same argument.
func both(x, y Cond) (Cond, bool) {
	switch {
	case implies([]Cond{x}, []Cond{y}):
		return x, true
	case implies([]Cond{y}, []Cond{x}):
		return y, true
	case x.Op == MaskedEqual && y.Op == MaskedEqual:
		return Cond{Index: x.Index, Op: MaskedEqual, Mask: x.Mask | y.Mask, Value: x.Value | y.Value}, true
	}
	return x, false
}
