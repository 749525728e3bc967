package synth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Override is the policy in which rules win over all that was said before: where one
// matches a call, it decides, and elsewhere the policy does as it did. Of two that
// match the same call, the later one wins. The rules come into a group of the given
// name. It fails, with a *Problem, where no conditions can say that. The result need
// not be valid.
func (p *Policy) Override(group string, rules []Rule) (*Policy, error) {
	out := *p
	out.Groups = slices.Clone(p.Groups)
	var own []Rule
	for _, w := range rules {
		said := false
		for i := range out.Groups {
			kept, has, err := elsewhere(out.Groups[i].Rules, w)
			if err != nil {
				return nil, err
			}
			out.Groups[i].Rules = kept
			said = said || has
		}
		kept, has, err := elsewhere(own, w)
		if err != nil {
			return nil, err
		}
		if own = kept; w.Verdict != p.Default && !said && !has {
			own = append(own, w)
		}
	}
	slices.SortStableFunc(own, func(a, b Rule) int { return a.Compare(&b) })
	out.replace(group, own)
	return &out, nil
}

// replace adds rules to a group, and drops the groups that are empty.
func (p *Policy) replace(group string, own []Rule) {
	i := slices.IndexFunc(p.Groups, func(g Group) bool { return g.Name == group })
	if i < 0 {
		i = len(p.Groups)
		p.Groups = append(p.Groups, Group{Name: group})
	}
	p.Groups[i].Rules = append(slices.Clone(p.Groups[i].Rules), own...)
	slices.SortStableFunc(p.Groups[i].Rules, func(a, b Rule) int { return a.Compare(&b) })
	p.Groups = slices.DeleteFunc(p.Groups, func(g Group) bool { return len(g.Rules) == 0 })
	slices.SortFunc(p.Groups, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
}

// Withdraw is the policy without the rules for a syscall that have a verdict, and how
// many these were: the default decides in their place.
func (p *Policy) Withdraw(id sysno.ID, v Verdict) (*Policy, int) {
	out, n := *p, 0
	out.Groups = slices.Clone(p.Groups)
	for i := range out.Groups {
		had := len(out.Groups[i].Rules)
		out.Groups[i].Rules = slices.DeleteFunc(slices.Clone(out.Groups[i].Rules), func(r Rule) bool { return r.ID == id && r.Verdict == v })
		n += had - len(out.Groups[i].Rules)
	}
	out.Groups = slices.DeleteFunc(out.Groups, func(g Group) bool { return len(g.Rules) == 0 })
	return &out, n
}

// WithDefault is the policy with another default verdict. A rule that says the same
// is not needed any more.
func (p *Policy) WithDefault(v Verdict) *Policy {
	out := *p
	out.Default, out.Groups = v, slices.Clone(p.Groups)
	for i := range out.Groups {
		out.Groups[i].Rules = slices.DeleteFunc(slices.Clone(out.Groups[i].Rules), func(r Rule) bool { return r.Verdict == v })
	}
	out.Groups = slices.DeleteFunc(out.Groups, func(g Group) bool { return len(g.Rules) == 0 })
	return &out
}

// elsewhere is the rules where another one does not match. It leaves those that agree
// with it, and reports whether one of them says all that it says.
func elsewhere(rules []Rule, w Rule) (kept []Rule, said bool, err error) {
	for _, r := range rules {
		switch {
		case r.ID != w.ID || !meet(r.Args, w.Args):
			kept = append(kept, r)
		case r.Verdict == w.Verdict && implies(w.Args, r.Args):
			said = true
			kept = append(kept, r)
		case implies(r.Args, w.Args):
		case r.Verdict == w.Verdict:
			kept = append(kept, r)
		default:
			pieces, err := subtract(r, w)
			if err != nil {
				return nil, false, err
			}
			kept = append(kept, pieces...)
		}
	}
	return kept, said, nil
}

// subtract is a rule as several, none of which matches what another one does: the first
// condition of that one is not met, or it is met and the second is not, and so on.
func subtract(r, w Rule) ([]Rule, error) {
	var pieces []Rule
	for i, c := range w.Args {
		for _, not := range negations(c) {
			conds := append(slices.Clone(w.Args[:i]), not)
			if !meet(r.Args, conds) {
				continue
			}
			args, ok := conjunction(r.Args, conds)
			if !ok {
				return nil, inexpressible(r, w)
			}
			piece := r
			piece.Args = args
			pieces = append(pieces, piece)
		}
	}
	if len(pieces) > MaxAlternatives {
		return nil, &Problem{
			Kind: ErrOverlap, Where: r.ID.String(), Detail: fmt.Sprintf("%q where %q does not match takes %d rules; at most %d are compiled", r.String(), w.String(), len(pieces), MaxAlternatives),
			Mend: "write a rule for the call whatever its arguments are", Rules: []Rule{r, w},
		}
	}
	return pieces, nil
}

// negations are conditions of which one holds, and no two together, where another one
// does not hold.
func negations(c Cond) []Cond {
	opposite := [...]Op{Equal: NotEqual, NotEqual: Equal, Less: GreaterEqual, LessEqual: Greater, Greater: LessEqual, GreaterEqual: Less}
	if c.Op != MaskedEqual {
		return []Cond{{Index: c.Index, Op: opposite[c.Op], Value: c.Value}}
	}
	var list []Cond
	seen := uint64(0)
	for left := c.Mask; left != 0; left &= left - 1 {
		bit := left & -left
		seen |= bit
		list = append(list, Cond{Index: c.Index, Op: MaskedEqual, Mask: seen, Value: (c.Value ^ bit) & seen})
	}
	return list
}
