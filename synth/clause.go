package synth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Clause is what several rules for one syscall say together: every argument that it
// chooses has one of the choice's values. People read and write clauses; a filter
// and a profile are made of the rules, one for each combination.
type Clause struct {
	ID      sysno.ID
	Verdict Verdict
	Args    []Choice // sorted by index, each index once; none means whatever the arguments are
	Tier    Tier
	Reason  string
}

// Choice says what one argument may be: whatever satisfies one of the conditions.
type Choice struct {
	Index uint8
	OneOf []Cond // all on Index, sorted
}

// MaxAlternatives is how many rules one clause may become. Each costs a filter some
// instructions in every call, and a profile an entry.
const MaxAlternatives = 128

// Rules is the clause as rules, sorted. It fails where there would be more than
// MaxAlternatives.
func (c Clause) Rules() ([]Rule, error) {
	alternatives := [][]Cond{nil}
	for _, choice := range c.Args {
		if len(choice.OneOf) == 0 {
			return nil, fmt.Errorf("%v: argument %d may be nothing at all; name a value, or leave the argument out", c.ID, choice.Index)
		}
		if n := len(alternatives) * len(choice.OneOf); n > MaxAlternatives {
			return nil, fmt.Errorf("%v: its conditions are %d combinations; at most %d are compiled; leave an argument out", c.ID, n, MaxAlternatives)
		}
		var next [][]Cond
		for _, so := range alternatives {
			for _, cond := range choice.OneOf {
				next = append(next, append(slices.Clone(so), cond))
			}
		}
		alternatives = next
	}
	rules := make([]Rule, len(alternatives))
	for i, conds := range alternatives {
		slices.SortFunc(conds, Cond.Compare)
		rules[i] = Rule{ID: c.ID, Verdict: c.Verdict, Args: conds, Tier: c.Tier, Reason: c.Reason}
	}
	slices.SortFunc(rules, func(a, b Rule) int { return a.Compare(&b) })
	return slices.CompactFunc(rules, func(a, b Rule) bool { return a.Compare(&b) == 0 }), nil
}

// Clauses unites the rules of a valid policy into clauses, sorted by syscall, tier
// and verdict. The rules of the clauses are the rules that were given, no more and
// no less. Rules that differ in tier or reason stay apart.
func Clauses(rules []Rule) []Clause {
	clauses := make([]Clause, len(rules))
	for i, r := range rules {
		c := Clause{ID: r.ID, Verdict: r.Verdict, Tier: r.Tier, Reason: r.Reason}
		for _, cond := range r.Args {
			c.Args = append(c.Args, Choice{Index: cond.Index, OneOf: []Cond{cond}})
		}
		slices.SortStableFunc(c.Args, func(a, b Choice) int { return cmp.Compare(a.Index, b.Index) })
		clauses[i] = c
	}
	for index := range uint8(6) {
		clauses = uniteOn(clauses, index)
	}
	return clauses
}

// uniteOn makes one clause of those that differ in the choice for one argument alone.
func uniteOn(clauses []Clause, index uint8) []Clause {
	sorted := slices.Clone(clauses)
	slices.SortStableFunc(sorted, func(a, b Clause) int {
		return cmp.Or(a.compareBut(b, index), slices.CompareFunc(a.on(index), b.on(index), Cond.Compare))
	})
	var out []Clause
	for _, c := range sorted {
		last := len(out) - 1
		if last < 0 || out[last].compareBut(c, index) != 0 {
			out = append(out, c)
			continue
		}
		have, more := out[last].on(index), c.on(index)
		switch {
		case slices.Equal(have, more):
		case len(have) == 0: // of a policy that is not valid: one swallows the other
			out = append(out, c)
		default:
			out[last].Args = slices.Clone(out[last].Args)
			for i := range out[last].Args {
				if choice := &out[last].Args[i]; choice.Index == index {
					choice.OneOf = slices.Concat(have, more)
					slices.SortFunc(choice.OneOf, Cond.Compare)
					choice.OneOf = slices.Compact(choice.OneOf)
				}
			}
		}
	}
	return out
}

// on is the choice for one argument, nil where there is none.
func (c Clause) on(index uint8) []Cond {
	for _, choice := range c.Args {
		if choice.Index == index {
			return choice.OneOf
		}
	}
	return nil
}

// compareBut orders clauses by everything but the choice for one argument.
func (c Clause) compareBut(o Clause, index uint8) int {
	others := func(c Clause) []Choice {
		return slices.DeleteFunc(slices.Clone(c.Args), func(x Choice) bool { return x.Index == index })
	}
	return cmp.Or(
		c.ID.Compare(o.ID),
		cmp.Compare(c.Tier, o.Tier),
		cmp.Compare(c.Verdict.Action, o.Verdict.Action),
		cmp.Compare(c.Verdict.Errno, o.Verdict.Errno),
		strings.Compare(c.Reason, o.Reason),
		slices.CompareFunc(others(c), others(o), Choice.compare),
	)
}

func (c Choice) compare(o Choice) int {
	return cmp.Or(cmp.Compare(c.Index, o.Index), slices.CompareFunc(c.OneOf, o.OneOf, Cond.Compare))
}

// String is the clause as one line, in the words of the syscall tables:
// "socket: allow if domain is AF_UNIX or AF_INET and type is SOCK_STREAM".
func (c Clause) String() string {
	s := fmt.Sprintf("%v: %v", c.ID, c.Verdict)
	for i, choice := range c.Args {
		word := " and "
		if i == 0 {
			word = " if "
		}
		s += word + choice.Words(c.ID)
	}
	return s
}

// Says is what clauses say of one syscall, one after the other, without its name.
func Says(clauses []Clause) string {
	parts := make([]string, len(clauses))
	for i, c := range clauses {
		parts[i] = strings.TrimPrefix(c.String(), c.ID.String()+": ")
	}
	return strings.Join(parts, "; ")
}

// Words is the choice in the words of the syscall's arguments.
func (c Choice) Words(id sysno.ID) string {
	var same, other []string
	name := ""
	for _, cond := range c.OneOf {
		p := PatternOf(id, cond)
		name = p.Arg
		if p.Is != "" && len(p.Forbid)+len(p.Require) == 0 && p.Only == nil {
			same = append(same, p.Is)
		} else {
			other = append(other, p.String())
		}
	}
	if len(same) > 0 {
		other = append([]string{name + " is " + strings.Join(same, " or ")}, other...)
	}
	return strings.Join(other, " or ")
}
