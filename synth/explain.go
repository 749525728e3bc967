package synth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Explanation says what a policy does with a syscall, and why.
type Explanation struct {
	ID      sysno.ID
	Group   GroupDef // its functional group; the zero GroupDef for a number without a name
	Rules   []Rule   // the policy's rules for it, none when the default action decides
	Clauses []Clause // the same in words
	Default Verdict  // what happens when no rule decides
	Listed  bool     // whether the policy lists the syscall's ABI

	Evidence  bool              // whether a trace was at hand; the rest is empty without one
	TotalRuns uint64            // recorded runs
	Seen      bool              // whether the target was seen to make the call
	Observed  trace.Observation // how often, and the witness to replay; empty unless Seen
	Near      []Nearby          // of a call that was not seen: what was seen that is most like it
}

// Nearby is a call that was seen in the place of another.
type Nearby struct {
	Observed trace.Observation
	Relation string // to the other: "does the same", "is in the same group"
}

// Explain says what p does with the syscall, and why. t is the evidence behind p,
// or nil when it is not at hand.
func Explain(p *Policy, t *trace.Trace, id sysno.ID) Explanation {
	e := Explanation{ID: id, Default: p.Default, Listed: slices.Contains(p.Archs, id.Arch)}
	if !e.Listed {
		e.Default = p.ForeignABI()
	}
	e.Group, _ = FunctionalGroup(id)
	for _, r := range p.Rules() {
		if r.ID == id {
			e.Rules = append(e.Rules, r)
		}
	}
	e.Clauses = Clauses(e.Rules)
	if t == nil {
		return e
	}
	e.Evidence, e.TotalRuns = true, t.Runs
	for _, o := range t.Observations {
		if o.ID == id {
			e.Seen, e.Observed = true, o
		}
	}
	if !e.Seen {
		e.Near = near(t, id, e.Group)
	}
	return e
}

// near finds, of the calls that were seen, those that do the same as another; or else
// those of its group.
func near(t *trace.Trace, id sysno.ID, group GroupDef) []Nearby {
	name, _ := id.Name()
	var same, related []Nearby
	for _, o := range t.Observations {
		other, named := o.ID.Name()
		if !named || o.ID.Arch != id.Arch {
			continue
		}
		for _, class := range equivalents() {
			if class[0] != "execve" && slices.Contains(class, name) && slices.Contains(class, other) {
				same = append(same, Nearby{o, "does the same"})
				break
			}
		}
		if slices.Contains(group.Members, other) {
			related = append(related, Nearby{o, "is in the same group"})
		}
	}
	byID := func(a, b Nearby) int { return a.Observed.ID.Compare(b.Observed.ID) }
	slices.SortFunc(same, byID)
	slices.SortFunc(related, byID)
	if len(same) > 0 {
		return same
	}
	return related
}

// String is the explanation as lines of text, without a line feed at the end.
func (e Explanation) String() string {
	var lines []string
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, c := range e.Clauses {
		line("%s", c.String())
		line("  tier:    %v", c.Tier)
		line("  reason:  %s", c.Reason)
	}
	switch {
	case len(e.Rules) == 0 && !e.Listed:
		line("%v: %v, because the policy does not list %v", e.ID, e.Default, e.ID.Arch)
	case len(e.Rules) == 0:
		line("%v: %v, the default action, because no rule names it", e.ID, e.Default)
	case len(e.Rules[0].Args) > 0:
		line("%v: otherwise %v, the default action", e.ID, e.Default)
	}
	if e.Group.Name != "" {
		line("  group:   %s (%s)", e.Group.Name, e.Group.Description)
	}
	switch {
	case !e.Evidence:
		line("  seen:    no evidence at hand")
	case !e.Seen:
		line("  seen:    in none of %d runs", e.TotalRuns)
		for _, n := range e.Near {
			line("  near:    %v %s and was seen in %d", n.Observed.ID, n.Relation, n.Observed.Runs)
		}
	default:
		line("  seen:    in %d of %d runs, %d of them ended normally", e.Observed.Runs, e.TotalRuns, e.Observed.CleanRuns)
		for _, values := range e.Values() {
			line("  values:  %s", values)
		}
		for _, site := range e.Sites() {
			line("  from:    %s", site)
		}
		if w := e.Observed.Witness; w.Command != "" {
			line("  witness: %s", w.Command)
		}
	}
	return strings.Join(lines, "\n")
}

// Values says for each recorded argument which values it had: "flags: O_RDONLY, O_RDWR".
func (e Explanation) Values() []string {
	var lines []string
	for _, a := range e.Observed.Args {
		lines = append(lines, valuesSeen(e.ID, a))
	}
	return lines
}

// Sites says where the call was made, each with its file.
func (e Explanation) Sites() []string {
	var lines []string
	for _, s := range e.Observed.Sites {
		lines = append(lines, siteWords(s))
	}
	return lines
}

// valuesSeen are the values of an argument in words.
func valuesSeen(id sysno.ID, a trace.Arg) string {
	arg := argumentAt(id, uint8(a.Index))
	if a.Any {
		return arg.Name + " had more values than are kept"
	}
	var words []string
	for _, v := range a.Values {
		words = append(words, arg.Format(v))
	}
	return arg.Name + ": " + strings.Join(words, ", ")
}

// siteWords is where a call came from: the function, if it is known.
func siteWords(s trace.Site) string {
	module := cmp.Or(s.Module, "memory without a file")
	if s.Symbol != "" {
		return fmt.Sprintf("%s (%s)", s.Symbol, module)
	}
	return fmt.Sprintf("%s+%#x", module, s.Offset)
}

// GroupSize says how much of a functional group a policy allows.
type GroupSize struct {
	Name        string
	Description string
	Allowed     int // syscalls that a rule permits, perhaps under conditions
	Total       int // syscalls of the group that the policy's ABIs have
}

// Sizes measures the policy in every functional group that its ABIs have, sorted by
// name. A syscall that several ABIs have counts once.
func (p *Policy) Sizes() []GroupSize {
	permitted := map[string]bool{}
	for _, r := range p.Rules() {
		if name, ok := r.ID.Name(); ok && r.Verdict.Action.Permits() {
			permitted[name] = true
		}
	}
	var sizes []GroupSize
	for _, g := range Groups() {
		if g.Kind != Functional {
			continue
		}
		size := GroupSize{Name: g.Name, Description: g.Description}
		for _, name := range g.Members {
			has := func(a sysno.Arch) bool { _, ok := sysno.Lookup(a, name); return ok }
			if slices.ContainsFunc(p.Archs, has) {
				size.Total++
			}
			if permitted[name] {
				size.Allowed++
			}
		}
		if size.Total > 0 {
			sizes = append(sizes, size)
		}
	}
	return sizes
}
