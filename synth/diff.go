package synth

import (
	"cmp"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// ChangeKind says how a policy treats a syscall otherwise than another.
type ChangeKind uint8

// The kinds, from what an attacker would like most.
const (
	ChangeInvalid ChangeKind = iota
	Added                    // permitted, and was not at all
	Widened                  // permitted with arguments that it was not permitted with
	Changed                  // permitted with other arguments, neither more nor less; or another verdict for the same ones
	Narrowed                 // refused with arguments that it was permitted with
	Removed                  // refused, and was permitted
)

// String is the kind as a word.
func (k ChangeKind) String() string {
	names := [...]string{"invalid", "added", "widened", "changed", "narrowed", "removed"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[ChangeInvalid]
}

// Wider reports whether something is permitted that was not.
func (k ChangeKind) Wider() bool { return k == Added || k == Widened || k == Changed }

// Change is what became of one syscall.
type Change struct {
	ID   sysno.ID
	Kind ChangeKind
	Tier Tier     // the strongest of the rules that are, or were, behind it
	Was  []Clause // what the old policy says of it, nothing where its default decides
	Is   []Clause
}

// Difference is what two policies decide otherwise.
type Difference struct {
	DefaultWas, DefaultIs    Verdict
	ArchsAdded, ArchsRemoved []sysno.Arch
	FlagsWere, FlagsAre      []string
	ListenerWas, ListenerIs  string
	Changes                  []Change // sorted by tier, kind and syscall
}

// Empty reports whether the policies decide every call in the same way.
func (d *Difference) Empty() bool {
	return d.DefaultWas == d.DefaultIs && len(d.ArchsAdded)+len(d.ArchsRemoved)+len(d.Changes) == 0 &&
		slices.Equal(d.FlagsWere, d.FlagsAre) && d.ListenerWas == d.ListenerIs
}

// Wider reports whether the new policy permits any call that the old one does not.
func (d *Difference) Wider() bool {
	return d.DefaultIs.Action.Permits() && !d.DefaultWas.Action.Permits() || len(d.ArchsAdded) > 0 ||
		slices.ContainsFunc(d.Changes, func(c Change) bool { return c.Kind.Wider() })
}

// Diff compares what two valid policies decide, not how they are written: rules in
// another order, split or united, or for calls that another rule covers make no
// difference. A syscall of which no policy has a rule is not listed, though the default
// may be another.
func Diff(was, is *Policy) *Difference {
	d := &Difference{
		DefaultWas: was.Default, DefaultIs: is.Default,
		ArchsAdded: without(is.Archs, was.Archs), ArchsRemoved: without(was.Archs, is.Archs),
		FlagsWere: was.Flags, FlagsAre: is.Flags, ListenerWas: was.Listener, ListenerIs: is.Listener,
	}
	old, now := rulesByID(was), rulesByID(is)
	ids := map[sysno.ID]bool{}
	for id := range old {
		ids[id] = true
	}
	for id := range now {
		ids[id] = true
	}
	for id := range ids {
		if kind := compareCall(was, is, id, old[id], now[id]); kind != ChangeInvalid {
			c := Change{ID: id, Kind: kind, Was: Clauses(old[id]), Is: Clauses(now[id])}
			for _, r := range slices.Concat(now[id], old[id]) {
				if c.Tier == TierInvalid || r.Tier < c.Tier {
					c.Tier = r.Tier
				}
			}
			d.Changes = append(d.Changes, c)
		}
	}
	slices.SortFunc(d.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Kind, b.Kind), a.ID.Compare(b.ID))
	})
	return d
}

func rulesByID(p *Policy) map[sysno.ID][]Rule {
	rules := map[sysno.ID][]Rule{}
	for _, r := range p.Rules() {
		rules[r.ID] = append(rules[r.ID], r)
	}
	return rules
}

func without[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(x T) bool { return slices.Contains(b, x) })
}

// compareCall finds what became of one syscall; ChangeInvalid for nothing.
func compareCall(was, is *Policy, id sysno.ID, old, now []Rule) ChangeKind {
	// What is permitted is what the rules permit or, where the default permits, what
	// they do not refuse.
	before, notBefore := was.decided(id)
	after, notAfter := is.decided(id)
	free, freeBefore := is.permitsRest(id), was.permitsRest(id)
	more, knownMore := exceeds(after, notAfter, free, before, notBefore, freeBefore)
	less, knownLess := exceeds(before, notBefore, freeBefore, after, notAfter, free)
	none := func(permitted, refused [][]Cond, rest bool) bool {
		if len(permitted) > 0 || !rest {
			return len(permitted) == 0
		}
		all, known := covered(nil, refused)
		return all && known
	}
	switch {
	case !knownMore || !knownLess:
		return Changed
	case more && none(before, notBefore, freeBefore):
		return Added
	case less && none(after, notAfter, free):
		return Removed
	case more && less:
		return Changed
	case more:
		return Widened
	case less:
		return Narrowed
	case !sameVerdicts(was, is, old, now):
		return Changed
	}
	return ChangeInvalid
}

// permitsRest reports whether what no rule matches is permitted.
func (p *Policy) permitsRest(id sysno.ID) bool {
	return p.Default.Action.Permits() && slices.Contains(p.Archs, id.Arch)
}

// exceeds reports whether a permits what b does not. Each is what its rules permit and,
// if the rest is permitted, all that its rules do not refuse.
func exceeds(a, notA [][]Cond, restA bool, b, notB [][]Cond, restB bool) (yes, known bool) {
	switch {
	case !restA && !restB: // a's rules must be within b's
		inside, known := allCovered(a, b)
		return !inside, known
	case restA && restB: // what b refuses must be refused by a
		inside, known := allCovered(notB, notA)
		return !inside, known
	case restB: // a's rules must not meet what b refuses
		for _, x := range a {
			if slices.ContainsFunc(notB, func(y []Cond) bool { return meet(x, y) }) {
				return true, true
			}
		}
		return false, true
	}
	// What a does not refuse must be permitted by b: the two together are everything.
	all, known := covered(nil, slices.Concat(notA, b))
	return !all, known
}

// sameVerdicts compares, of two policies that permit the same calls of a syscall, with
// which verdicts they do and refuse.
func sameVerdicts(was, is *Policy, old, now []Rule) bool {
	covers := func(a []Rule, defaultA Verdict, b []Rule, defaultB Verdict) bool {
		for _, r := range a {
			if r.Verdict == defaultB {
				continue
			}
			var same [][]Cond
			for _, o := range b {
				if o.Verdict == r.Verdict {
					same = append(same, o.Args)
				}
			}
			if inside, known := covered(r.Args, same); !inside || !known {
				return false
			}
		}
		return true
	}
	return covers(old, was.Default, now, is.Default) && covers(now, is.Default, old, was.Default)
}
