package denial

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Suggestion is a change of a policy that would allow calls of one syscall.
type Suggestion struct {
	Rules []synth.Rule // of a person, sorted
	Risks []synth.Risk // why the syscall needs trust
	Cause string       // what the policy says now
}

// Line is the suggestion for people.
func (s Suggestion) Line() string {
	words := ""
	for _, c := range synth.Clauses(s.Rules) {
		if words != "" {
			words += "; "
		}
		words += c.String()
	}
	for _, r := range s.Risks {
		if r.Grave {
			words += " (risky: " + r.What + ")"
		}
	}
	return words
}

// Suggest lists the rules by which a policy would permit what was refused, or what was
// logged and it refuses: sorted by syscall. What the policy answers with ENOSYS on
// purpose, so that programs fall back to another call, is left alone, and so are calls
// through an ABI that it does not list.
//
// Where the policy permits a syscall with some arguments, what is added are the values
// that those arguments had, and not the rest.
func (r *Report) Suggest(p *synth.Policy) []Suggestion {
	byID := map[sysno.ID]*Suggestion{}
	var ids []sysno.ID
	for _, e := range r.Entries() {
		if e.What != denied && e.What != logged && e.What != undecided || !slices.Contains(p.Archs, e.ID.Arch) {
			continue
		}
		name, named := e.ID.Name()
		if !named {
			continue // no profile can name it
		}
		verdict := p.Decide(e.ID, e.Args)
		about := rulesOf(p, e.ID)
		if verdict.Action.Permits() && !e.Cut || meant(about) {
			continue
		}
		s := byID[e.ID]
		if s == nil {
			s = &Suggestion{Cause: Cause(p, e.ID, e.Args)}
			s.Risks = synth.RisksOf(name)
			byID[e.ID] = s
			ids = append(ids, e.ID)
		}
		rule := synth.Rule{ID: e.ID, Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual, Reason: "refused " + e.Call() + " of " + e.Comm}
		if !e.Cut {
			rule.Args = like(about, e)
		}
		s.Rules = append(s.Rules, rule)
	}
	slices.SortFunc(ids, sysno.ID.Compare)
	var all []Suggestion
	for _, id := range ids {
		s := byID[id]
		if i := slices.IndexFunc(s.Rules, func(r synth.Rule) bool { return len(r.Args) == 0 }); i >= 0 {
			s.Rules = s.Rules[i : i+1] // it says what the others say
		}
		slices.SortStableFunc(s.Rules, func(a, b synth.Rule) int { return a.Compare(&b) })
		s.Rules = slices.CompactFunc(s.Rules, func(a, b synth.Rule) bool { return a.Compare(&b) == 0 })
		for i := range s.Rules { // so that they are one clause
			s.Rules[i].Reason = s.Rules[0].Reason
		}
		if len(s.Rules) > synth.MaxAlternatives {
			s.Rules = []synth.Rule{{ID: id, Verdict: s.Rules[0].Verdict, Tier: synth.Manual, Reason: s.Rules[0].Reason}}
		}
		all = append(all, *s)
	}
	return all
}

func rulesOf(p *synth.Policy, id sysno.ID) []synth.Rule {
	return slices.DeleteFunc(p.Rules(), func(r synth.Rule) bool { return r.ID != id })
}

// meant reports whether the refusal is there so that the C library falls back.
func meant(rules []synth.Rule) bool {
	return slices.ContainsFunc(rules, func(r synth.Rule) bool {
		return len(r.Args) == 0 && r.Verdict == synth.Verdict{Action: synth.Errno, Errno: uint16(syscall.ENOSYS)}
	})
}

// like makes conditions for a call of those arguments that the rules look at: each is
// equal to what it was, in the bits that one of the rules compares, or that the kernel
// reads.
func like(rules []synth.Rule, e Entry) []synth.Cond {
	var conds []synth.Cond
	args := e.ID.Args()
	for index := range uint8(len(e.Args)) {
		var mask uint64
		for _, r := range rules {
			if !r.Verdict.Action.Permits() && len(r.Args) > 0 {
				return nil // it refuses some arguments: what is left cannot be told by values
			}
			for _, c := range r.Args {
				if c.Index != index {
					continue
				}
				if c.Op == synth.MaskedEqual {
					mask |= c.Mask
				} else {
					mask = ^uint64(0)
				}
			}
		}
		if mask == 0 {
			continue
		}
		if int(index) < len(args) {
			mask &= args[index].Mask()
		}
		conds = append(conds, synth.Cond{Index: index, Op: synth.MaskedEqual, Mask: mask, Value: e.Args[index] & mask})
	}
	return conds
}

// Apply is the policy with the suggestions in force. A rule that is suggested takes the
// place of those that refuse the same call, and where all is allowed by default there is
// none in that place.
func Apply(p *synth.Policy, suggestions []Suggestion) (*synth.Policy, error) {
	rules := p.Rules()
	for _, s := range suggestions {
		whole := len(s.Rules[0].Args) == 0
		rules = slices.DeleteFunc(rules, func(r synth.Rule) bool {
			return r.ID == s.Rules[0].ID && (whole || !r.Verdict.Action.Permits() && len(r.Args) == 0)
		})
		if p.Default.Action != synth.Allow { // which needs no rule
			rules = append(rules, s.Rules...)
		}
	}
	out := *p
	out.Groups = synth.Arrange(rules)
	if err := out.Validate(); err != nil {
		return nil, fmt.Errorf("apply what is suggested: %w", err)
	}
	return &out, nil
}
