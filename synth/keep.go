package synth

import "fmt"

// Keep is the policy with what people have added to an earlier one: was permits it, or
// decides it otherwise, and generated, which the evidence behind was makes, does not. Without
// generated nobody knows what people added, and all that was permits and p does not is
// kept. It comes with the syscalls of which it has kept rules. What people took out of a
// policy that evidence shows is not kept out.
func Keep(p, was, generated *Policy) (*Policy, []Change, error) {
	base := generated
	if base == nil {
		base = p
	}
	var kept []Change
	var own []Rule
	rules := rulesByID(was)
	for _, ch := range Diff(base, was).Changes {
		if !ch.Kind.Wider() {
			continue
		}
		kept = append(kept, ch)
		for _, r := range rules[ch.ID] {
			r.Tier, r.Reason = Manual, keptReason
			own = append(own, r)
		}
	}
	if len(own) == 0 {
		return p, nil, nil
	}
	out, err := p.Override(keptGroup, own)
	if err != nil {
		return nil, nil, fmt.Errorf("keep what was added by hand: %w", err)
	}
	out.Groups = Arrange(out.Rules())
	if err := out.Validate(); err != nil {
		return nil, nil, fmt.Errorf("keep what was added by hand: %w", err)
	}
	return out, kept, nil
}

const (
	keptGroup  = "kept"
	keptReason = "in the policy before, and not by its evidence"
)
