package enforce

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Denial is a call that was refused, or that the policy wants reported.
type Denial struct {
	ID    sysno.ID
	Args  [6]uint64
	Texts []Text // those that are known
	PID   int
	TID   int
	Comm  string
	Count uint64 // how often this process made this very call, at least 1
}

// Text is the string that an argument points to.
type Text struct {
	Arg   int // index in Args
	Bytes string
	Cut   bool // the string is longer
}

// String is the text in quotes, escaped so that a terminal shows it harmlessly,
// with dots behind it where it is cut.
func (t Text) String() string {
	s := strconv.Quote(t.Bytes)
	if t.Cut {
		s += "..."
	}
	return s
}

// call writes the call with the strings in place of their addresses. Arguments of
// one address have one string.
func (d Denial) call() string {
	return sysno.FormatCallFunc(d.ID, d.Args, func(a sysno.Arg, v uint64) (string, bool) {
		if a.Kind != sysno.KindPath && a.Kind != sysno.KindString {
			return "", false
		}
		for _, t := range d.Texts {
			if d.Args[t.Arg]&a.Mask() == v {
				return t.String(), true
			}
		}
		return "", false
	})
}

// Report collects the denials of one run and puts them into words. The zero
// value is not usable; see NewReport.
type Report struct {
	policies synth.Stack
	counts   map[sysno.ID]uint64
	own      map[sysno.ID]uint64
}

// NewReport makes an empty report on a run under policies that hold at once.
func NewReport(policies ...*synth.Policy) *Report {
	return &Report{policies: policies, counts: map[sysno.ID]uint64{}, own: map[sysno.ID]uint64{}}
}

// Add takes a denial into account and returns the line that tells of it. A call
// that the policy permits was refused by a filter of the target's own: that is
// no violation, and the line says so.
func (r *Report) Add(d Denial) string {
	verdict, by := r.policies.Decide(d.ID, d.Args)
	if verdict.Action == synth.Allow {
		r.own[d.ID] += d.Count
		return fmt.Sprintf("refused by the target's own filter: %s [%s]", d.call(), who(d))
	}
	verb := "denied"
	if verdict.Action.Permits() {
		verb = "logged"
	} else {
		r.counts[d.ID] += d.Count
	}
	return fmt.Sprintf("%s %s: %s [%s] by %s", verb, d.call(), verdict, who(d), Cause(by, d.ID, d.Args))
}

// who names the thread. Its name is the target's choice, so it is escaped too.
func who(d Denial) string {
	comm := strconv.Quote(d.Comm)
	s := fmt.Sprintf("%s, pid %d", comm[1:len(comm)-1], d.PID)
	if d.TID != d.PID {
		s += fmt.Sprintf(", thread %d", d.TID)
	}
	return s
}

// Cause names what in the policy decides on a call.
func Cause(p *synth.Policy, id sysno.ID, args [6]uint64) string {
	if !slices.Contains(p.Archs, id.Arch) {
		return "the architectures: " + id.Arch.String() + " is not among them"
	}
	switch group, rule := p.RuleFor(id, args); {
	case rule != nil && len(rule.Args) == 0:
		return "a rule of " + group
	case rule != nil:
		return "the conditions of " + id.String() + " in " + group
	}
	for _, g := range p.Groups {
		if slices.ContainsFunc(g.Rules, func(r synth.Rule) bool { return r.ID == id }) {
			return "the conditions of " + id.String() + " in " + g.Name
		}
	}
	return "the default action"
}

// Denied lists the refused syscalls, sorted, with how often each was refused.
func (r *Report) Denied() ([]sysno.ID, map[sysno.ID]uint64) {
	ids := make([]sysno.ID, 0, len(r.counts))
	for id := range r.counts {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, sysno.ID.Compare)
	return ids, r.counts
}

// Summary is one line on all that was refused, empty when nothing was.
func (r *Report) Summary() string {
	ids, counts := r.Denied()
	if len(ids) == 0 {
		return ""
	}
	var calls uint64
	words := make([]string, len(ids))
	for i, id := range ids {
		calls += counts[id]
		words[i] = fmt.Sprintf("%s ×%d", id, counts[id])
	}
	plural := "s"
	if calls == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d call%s refused: %s", calls, plural, strings.Join(words, ", "))
}
