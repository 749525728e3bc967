package enforce

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Side tells of a condition of a permitting rule whether replays made calls that meet it
// and calls that do not. One that is met by all is not known to refuse anything, and one
// that none meets is not known to be needed.
type Side struct {
	ID         sysno.ID
	Cond       synth.Cond
	Met, Unmet bool
}

// Sides lists the conditions of a policy, each once, sorted. values are those that an
// argument of a syscall had in all calls, refused ones included; known is false where they
// are not known, and the condition is left out.
func Sides(p *synth.Policy, values func(id sysno.ID, index uint8) (all []uint64, known bool)) []Side {
	var sides []Side
	for _, r := range p.Rules() {
		if !r.Verdict.Action.Permits() {
			continue
		}
		for _, c := range r.Args {
			all, known := values(r.ID, c.Index)
			if !known || slices.ContainsFunc(sides, func(s Side) bool { return s.ID == r.ID && s.Cond == c }) {
				continue
			}
			side := Side{ID: r.ID, Cond: c}
			for _, v := range all {
				if c.Matches(v) {
					side.Met = true
				} else {
					side.Unmet = true
				}
			}
			sides = append(sides, side)
		}
	}
	slices.SortFunc(sides, func(a, b Side) int {
		if c := a.ID.Compare(b.ID); c != 0 {
			return c
		}
		return a.Cond.Compare(b.Cond)
	})
	return sides
}
