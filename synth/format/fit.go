package format

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// abilities are what a format can say.
type abilities struct {
	archs    int                                        // how many ABIs; 0 for any number
	flags    bool                                       // flags of seccomp(2)
	defaults func(synth.Verdict) (synth.Verdict, bool)  // for all that no rule names: the nearest that is no stricter
	mend     string                                     // which defaults it has, for people
	call     func(p *synth.Policy, r []synth.Rule) bool // all rules for one syscall, sorted
	whole    func(p *synth.Policy) error                // what else would be wrong; may be nil
	beyond   func(p *synth.Policy) []string             // what the file allows beyond its rules; may be nil
}

// LimitError says what of a policy a format has no words for.
type LimitError struct {
	Format string
	Where  string
	Detail string
	Mend   string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s: %s: %s; %s", e.Format, e.Where, e.Detail, e.Mend)
}

// Fit returns the policy that a file of this format says in the place of p, and
// what it decides otherwise than p, one line each, sorted; nothing where the format
// can say all of p. The policy that fits never permits less than p: conditions are
// dropped where they cannot be written, and an answer becomes the next milder one.
// What has no milder form, the default action above all, is a *LimitError. A format
// that is not of this package says everything.
func (f Format) Fit(p *synth.Policy) (*synth.Policy, []string, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	if f.can.call == nil {
		return p, nil, nil
	}
	refuse := func(where, mend, detail string, args ...any) error {
		return &LimitError{Format: f.Name, Where: where, Detail: fmt.Sprintf(detail, args...), Mend: mend}
	}
	if f.can.archs > 0 && len(p.Archs) > f.can.archs {
		return nil, nil, refuse("architectures", "convert a profile of one architecture, or choose oci",
			"it has rules for one only, and the profile lists %v", p.Archs)
	}
	fit := *p
	var ok bool
	if fit.Default, ok = f.can.defaults(p.Default); !ok {
		return nil, nil, refuse("default action", f.can.mend, "it cannot be %v", p.Default)
	}
	for _, r := range p.Rules() {
		if _, ok := r.ID.Name(); !ok {
			return nil, nil, refuse(r.ID.String(), "drop the rule", "it has no name")
		}
	}
	var other []string
	if fit.Default != p.Default {
		other = append(other, fmt.Sprintf("all that no rule names: %v becomes %v", p.Default, fit.Default))
	}
	if len(p.Flags) > 0 && !f.can.flags {
		other = append(other, "the flags "+strings.Join(p.Flags, ", ")+" are left out")
		fit.Flags = nil
	}
	byID := map[sysno.ID][]synth.Rule{}
	own := p.Rules()
	for _, r := range expand(p) {
		if r.Verdict.Action > p.Default.Action && !slices.ContainsFunc(own, func(o synth.Rule) bool { return o.Compare(&r) == 0 }) {
			return nil, nil, refuse(r.ID.String(), "convert a profile of one architecture",
				"a name stands for all architectures, and not all of them answer it %v", r.Verdict)
		}
		byID[r.ID] = append(byID[r.ID], r)
	}
	var rules []synth.Rule
	for _, id := range slices.SortedFunc(keys(byID), sysno.ID.Compare) {
		have := byID[id]
		slices.SortFunc(have, func(a, b synth.Rule) int { return a.Compare(&b) })
		have = slices.CompactFunc(have, func(a, b synth.Rule) bool { return a.Compare(&b) == 0 })
		kept, ok := f.nearest(&fit, have)
		if !ok {
			return nil, nil, refuse(id.String(), "choose an action that the kernel carries out by itself, or another format",
				"it cannot be %v", have[0].Verdict)
		}
		if !slices.EqualFunc(have, kept, func(a, b synth.Rule) bool { return a.Compare(&b) == 0 }) {
			other = append(other, fmt.Sprintf("%s becomes %s", told(p, id, have), told(&fit, id, kept)))
		}
		rules = append(rules, kept...)
	}
	fit.Groups = synth.Arrange(rules)
	if err := fit.Validate(); err != nil {
		return nil, nil, fmt.Errorf("%s cannot answer architectures differently: %w", f.Name, err)
	}
	if f.can.whole != nil {
		if err := f.can.whole(&fit); err != nil {
			return nil, nil, refuse("profile", "choose another format", "%v", err)
		}
	}
	for _, w := range Widenings(p) {
		other = append(other, w+", because a name stands for all architectures")
	}
	if f.can.beyond != nil {
		other = append(other, f.can.beyond(&fit)...)
	}
	slices.Sort(other)
	return &fit, slices.Compact(other), nil
}

// nearest is the least that the format can say and that permits all that the rules
// for one syscall permit. It is false where there is no such thing.
func (f Format) nearest(p *synth.Policy, rules []synth.Rule) ([]synth.Rule, bool) {
	rules = slices.DeleteFunc(slices.Clone(rules), func(r synth.Rule) bool { return r.Verdict == p.Default })
	if len(rules) == 0 || f.can.call(p, rules) {
		return rules, true
	}
	// Other answers under the same conditions.
	milder := make([]synth.Rule, 0, len(rules))
	mildest := p.Default
	for _, r := range rules {
		v, ok := f.milder(p, r)
		if !ok {
			return nil, false
		}
		r.Verdict = v
		if v != p.Default {
			milder = append(milder, r)
		}
		if v.Action < mildest.Action {
			mildest = v
		}
	}
	if len(milder) == 0 || f.can.call(p, milder) {
		return milder, true
	}
	// One answer without conditions.
	if mildest == p.Default {
		return nil, true
	}
	r := milder[0]
	r.Args, r.Verdict = nil, mildest
	return []synth.Rule{r}, true
}

// milder is the strictest answer that the format has for a syscall without
// conditions and that is no stricter than the rule's. Another errno is as strict,
// but for ENOSYS: programs take it as the sign to do without the call.
func (f Format) milder(p *synth.Policy, r synth.Rule) (synth.Verdict, bool) {
	enosys := synth.Verdict{Action: synth.Errno, Errno: uint16(syscall.ENOSYS)}
	answers := []synth.Verdict{r.Verdict}
	if r.Verdict.Action != synth.Notify && r.Verdict.Action != synth.Trace { // there another process decides
		answers = append(answers, p.Default, synth.Verdict{Action: synth.Errno, Errno: uint16(syscall.EPERM)},
			synth.Verdict{Action: synth.Log}, synth.Verdict{Action: synth.Allow})
		slices.SortStableFunc(answers[1:], func(a, b synth.Verdict) int { return int(b.Action) - int(a.Action) })
	}
	for i, v := range answers {
		if i > 0 && (v.Action > r.Verdict.Action || r.Verdict == enosys && v.Action == synth.Errno) {
			continue
		}
		bare := r
		bare.Args, bare.Verdict = nil, v
		if v == p.Default || f.can.call(p, []synth.Rule{bare}) {
			return v, true
		}
	}
	return synth.Verdict{}, false
}

// told puts the rules for one syscall into words.
func told(p *synth.Policy, id sysno.ID, rules []synth.Rule) string {
	if len(rules) == 0 {
		return p.Default.String()
	}
	var words []string
	for _, c := range synth.Clauses(rules) {
		words = append(words, strings.TrimPrefix(c.String(), id.String()+": "))
	}
	text := strings.Join(words, ", or ")
	return fmt.Sprintf("%v: %s", id, text)
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// unconditional is what formats without argument conditions can say of one syscall.
func unconditional(says func(p *synth.Policy, v synth.Verdict) bool) func(*synth.Policy, []synth.Rule) bool {
	return func(p *synth.Policy, rules []synth.Rule) bool {
		return len(rules) == 1 && len(rules[0].Args) == 0 && says(p, rules[0].Verdict)
	}
}

func anyDefault(v synth.Verdict) (synth.Verdict, bool) { return v, true }

// oneOf makes of a test of default actions what abilities want.
func oneOf(says func(synth.Verdict) bool) func(synth.Verdict) (synth.Verdict, bool) {
	return func(v synth.Verdict) (synth.Verdict, bool) { return v, says(v) }
}

// ociCan is what container runtimes' profiles can say. A range on one argument they
// cannot, but two conditions on one argument are no valid rule.
func ociCan() abilities {
	return abilities{
		flags: true, defaults: anyDefault,
		call: func(*synth.Policy, []synth.Rule) bool { return true },
	}
}
