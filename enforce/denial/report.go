package denial

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// What became of a call.
const (
	denied    = "denied"    // the policy refused it
	logged    = "logged"    // the policy let it pass and wants it reported
	answered  = "answered"  // whom the policy asks refused it
	permitted = "permitted" // or let it pass
	foreign   = "foreign"   // a filter of the target's own refused it
	undecided = "undecided" // the policy looks at arguments, which are not known
)

// perCall is how many different calls of one syscall by one process are told of one by
// one. A loop over addresses would fill the screen.
const perCall = 16

// Entry is what is said of equal calls.
type Entry struct {
	Event
	What    string // denied, logged, answered, permitted, foreign or undecided
	Seq     int    // counted from 1 in the order of the report
	Verdict synth.Verdict
	Answer  string // of whom the policy asks, where it is known: "errno EPERM", "continue"
	By      string // what in the policy decided: "a rule of @file-read", "the default action"
}

// Line is the entry for people.
func (e Entry) Line() string {
	s := ""
	switch e.What {
	case foreign:
		s = fmt.Sprintf("refused by the target's own filter: %s [%s]", e.Call(), e.who())
	case answered, permitted:
		answer := e.Answer
		if answer == "" {
			answer = "refused"
		}
		s = fmt.Sprintf("answered %s: %s [%s] by %s", e.Call(), answer, e.who(), e.By)
	case undecided:
		s = fmt.Sprintf("refused or logged, with other arguments than those told of: %s [%s]", e.Call(), e.who())
	default:
		s = fmt.Sprintf("%s %s: %s [%s] by %s", e.What, e.Call(), e.Verdict, e.who(), e.By)
	}
	if e.Count > 1 {
		s += fmt.Sprintf(" ×%d", e.Count)
	}
	return s
}

// record is an Entry as a line of JSON; docs/denials.md describes it.
type record struct {
	Seq       int      `json:"seq"`
	Event     string   `json:"event"`
	Syscall   string   `json:"syscall"`
	ABI       string   `json:"abi"`
	NR        uint32   `json:"nr"`
	Call      string   `json:"call"`
	Arguments []string `json:"arguments,omitempty"` // as the registers were
	Action    string   `json:"action,omitempty"`
	Answer    string   `json:"answer,omitempty"`
	By        string   `json:"by,omitempty"`
	PID       int      `json:"pid"`
	TID       int      `json:"tid,omitempty"`
	Comm      string   `json:"comm"`
	Site      string   `json:"site,omitempty"`
	Caller    string   `json:"caller,omitempty"`
}

// JSON is the entry as one line of JSON, without the line's end and without the count,
// which WriteEnd tells.
func (e Entry) JSON() ([]byte, error) {
	r := record{Seq: e.Seq, Event: e.What, Answer: e.Answer, Syscall: e.ID.String(), ABI: e.ID.Arch.String(), NR: e.ID.NR, Call: e.Call(), By: e.By,
		PID: e.PID, TID: e.TID, Comm: strings.ToValidUTF8(e.Comm, "\uFFFD"), Site: e.Site, Caller: e.Caller}
	if used := len(e.ID.Args()); !e.Cut {
		if !e.ID.Described() {
			used = len(e.Args)
		}
		for _, v := range e.Args[:used] {
			r.Arguments = append(r.Arguments, fmt.Sprintf("%#x", v))
		}
	}
	if e.What != foreign && e.What != undecided {
		r.Action = e.Verdict.String()
	}
	return json.Marshal(r)
}

// key is what makes two calls the same for a reader.
type key struct {
	what, call, action string
	pid                int
}

// Report collects the calls of one run. It is not for several goroutines at a time.
// The zero value is not usable; see NewReport.
type Report struct {
	policies synth.Stack
	entries  map[key]*Entry
	order    []key
	shown    map[key]int // by syscall, without arguments
	lost     uint64
	source   string
	limits   string
}

// NewReport makes an empty report on a run under policies that hold at once.
func NewReport(policies ...*synth.Policy) *Report {
	return &Report{policies: policies, entries: map[key]*Entry{}, shown: map[key]int{}}
}

// From says who sees the calls, and what of them is not seen that way.
func (r *Report) From(source, limits string) { r.source, r.limits = source, limits }

// News says what there is to tell of an entry at once.
type News uint8

// What there is to tell.
const (
	Nothing News = iota // it was told of before, or is not noted at all
	Record              // it is new
	Show                // it is new, and there were not too many like it
)

// Add takes a call into account. One that was let pass without the policy's logging it
// is not noted at all.
//
// A call that the policy permits and that was refused all the same met a filter of the
// target's own: that is no violation.
func (r *Report) Add(e Event) (*Entry, News) {
	n := Entry{Event: e}
	var by *synth.Policy
	var known bool
	n.Verdict, by, known = r.Decide(e)
	switch {
	case !known:
		n.What = undecided
	case e.Took != synth.ActionInvalid && e.Took != n.Verdict.Action:
		n.What = foreign
	case e.Passed && n.Verdict.Action != synth.Log:
		return nil, Nothing
	case e.Passed:
		n.What = logged
	case n.Verdict.Action == synth.Allow || n.Verdict.Action == synth.Log:
		n.What = foreign
	case n.Verdict.Action == synth.Notify || n.Verdict.Action == synth.Trace:
		n.What = answered
	default:
		n.What = denied
	}
	if n.What != foreign && n.What != undecided {
		n.By = Cause(by, e.ID, e.Args)
	}
	return r.add(n)
}

// Decide is what the policies say of a call, and which of them decides. It is not known where
// that depends on arguments that are not.
func (r *Report) Decide(e Event) (v synth.Verdict, by *synth.Policy, known bool) {
	known = !e.Cut || !r.depends(e.ID)
	if !known && e.Took != synth.ActionInvalid {
		return r.took(e)
	}
	v, by = r.policies.Decide(e.ID, e.Args)
	return v, by, known
}

// Answered takes a call into account that the policy hands to user space by this verdict,
// with what was said there and by whom; refused says that it did not take place.
func (r *Report) Answered(e Event, v synth.Verdict, refused bool, answer, by string) (*Entry, News) {
	n := Entry{Event: e, What: permitted, Verdict: v, Answer: answer, By: by}
	if refused {
		n.What = answered
	}
	return r.add(n)
}

func (r *Report) add(n Entry) (*Entry, News) {
	k := key{n.What, n.Call(), n.Verdict.String() + n.Answer, n.PID}
	if known := r.entries[k]; known != nil {
		known.Count += n.Count
		return known, Nothing
	}
	r.entries[k] = &n
	r.order = append(r.order, k)
	n.Seq = len(r.order)
	general := key{n.What, n.ID.String(), "", n.PID}
	r.shown[general]++
	if r.shown[general] > perCall {
		return &n, Record
	}
	return &n, Show
}

// took finds the verdict by which the kernel did what it says, where the policies look at
// arguments that are not known. It is not known if several have this action.
func (r *Report) took(e Event) (v synth.Verdict, by *synth.Policy, known bool) {
	for _, p := range r.policies {
		verdicts := []synth.Verdict{p.Default}
		for _, rule := range p.Rules() {
			if rule.ID == e.ID {
				verdicts = append(verdicts, rule.Verdict)
			}
		}
		for _, one := range verdicts {
			if one.Action != e.Took {
				continue
			}
			if by != nil && one != v {
				return v, by, false
			}
			v, by = one, p
		}
	}
	if by == nil { // it was a filter of the target's own
		v, by = r.policies.Decide(e.ID, e.Args)
	}
	return v, by, true
}

// depends reports whether what the policies say of a syscall depends on its arguments.
func (r *Report) depends(id sysno.ID) bool {
	return slices.ContainsFunc(r.policies, func(p *synth.Policy) bool {
		return slices.ContainsFunc(p.Rules(), func(rule synth.Rule) bool { return rule.ID == id && len(rule.Args) > 0 })
	})
}

// Cause names what in the policy decides on a call.
func Cause(p *synth.Policy, id sysno.ID, args [6]uint64) string {
	if !slices.Contains(p.Archs, id.Arch) {
		return "the architectures: " + id.Arch.String() + " is not among them"
	}
	for _, g := range p.Groups {
		for _, rule := range g.Rules {
			if rule.ID != id {
				continue
			}
			if p.Decide(id, args) == rule.Verdict && len(rule.Args) == 0 {
				return "a rule of " + g.Name
			}
			return "the conditions of " + rule.ID.String() + " in " + g.Name
		}
	}
	return "the default action"
}

// Lose counts calls of which it is known only that they are missing here.
func (r *Report) Lose(n uint64) { r.lost += n }

// Lost is how many calls are known to be missing.
func (r *Report) Lost() uint64 { return r.lost }

// Complete reports whether nothing is known to be missing.
func (r *Report) Complete() bool { return r.lost == 0 }

// Entries are the calls in the order in which they were first made.
func (r *Report) Entries() []Entry {
	all := make([]Entry, len(r.order))
	for i, k := range r.order {
		all[i] = *r.entries[k]
	}
	return all
}

// Counts is how often each syscall met a fate: "denied", "logged", "answered",
// "foreign" or "undecided".
func (r *Report) Counts(what string) map[sysno.ID]uint64 {
	counts := map[sysno.ID]uint64{}
	for _, e := range r.entries {
		if e.What == what {
			counts[e.ID] += e.Count
		}
	}
	return counts
}

// Denied is how often the policy refused each syscall.
func (r *Report) Denied() map[sysno.ID]uint64 { return r.Counts(denied) }

// Logged is how often the policy logged each syscall.
func (r *Report) Logged() map[sysno.ID]uint64 { return r.Counts(logged) }

// Summary is one line on all that was refused or logged, empty when nothing was.
func (r *Report) Summary() string {
	var parts []string
	for _, what := range []struct{ what, verb string }{{denied, "refused"}, {logged, "logged"}, {answered, "refused by whom the policy asks"}, {undecided, "refused or logged"}} {
		counts := r.Counts(what.what)
		if len(counts) == 0 {
			continue
		}
		var calls uint64
		var words []string
		for _, id := range slices.SortedFunc(maps.Keys(counts), sysno.ID.Compare) {
			calls += counts[id]
			words = append(words, fmt.Sprintf("%s ×%d", id, counts[id]))
		}
		plural := "s"
		if calls == 1 {
			plural = ""
		}
		parts = append(parts, fmt.Sprintf("%d call%s %s: %s", calls, plural, what.verb, strings.Join(words, ", ")))
	}
	return strings.Join(parts, "; ")
}

// WriteEnd writes how often each entry came that came more than once, and last the sum
// of all: one line of JSON each. ended says how the program ended.
func (r *Report) WriteEnd(w io.Writer, ended string) error {
	type repeated struct {
		Event string `json:"event"`
		Of    int    `json:"of"`
		Count uint64 `json:"count"`
	}
	type sum struct {
		Event    string            `json:"event"`
		Denied   map[string]uint64 `json:"denied"`
		Logged   map[string]uint64 `json:"logged"`
		Answered map[string]uint64 `json:"answered"`
		Lost     uint64            `json:"lost"`
		Complete bool              `json:"complete"`
		Source   string            `json:"source"`
		Limits   string            `json:"limits,omitempty"`
		Ended    string            `json:"ended"`
	}
	named := func(counts map[sysno.ID]uint64) map[string]uint64 {
		m := map[string]uint64{}
		for id, n := range counts {
			m[id.String()] = n
		}
		return m
	}
	e := json.NewEncoder(w)
	for _, entry := range r.Entries() {
		if entry.Count > 1 {
			if err := e.Encode(repeated{"repeated", entry.Seq, entry.Count}); err != nil {
				return err
			}
		}
	}
	return e.Encode(sum{"summary", named(r.Denied()), named(r.Logged()), named(r.Counts(answered)), r.lost, r.Complete(), r.source, r.limits, ended})
}
