package enforce

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Replayed is what one replay under the filter showed.
type Replayed struct {
	Seen   []sysno.ID // calls that the filter let pass
	Denied []sysno.ID // calls that a filter refused
	Failed []sysno.ID // calls that the scenario itself makes fail, by a filter of its own
	Signal int        // what ended the target, 0 for an exit
	Clean  bool       // it ended by itself, by exit

	End    string // how it ended, as far as two runs can be compared by it: exit code, signal, time limit
	Output string // a digest of what it wrote
}

// Case is one scenario to replay.
type Case struct {
	ID      string
	Command string // for people
	Replay  func(context.Context) (Replayed, error)
}

// Violation is a call of a known scenario that the policy refuses.
type Violation struct {
	Case    string   `json:"case"`
	Command string   `json:"command"`
	ID      sysno.ID `json:"-"`
	Syscall string   `json:"syscall"`
	Killed  bool     `json:"killed"` // the target died of it
	Clean   bool     `json:"clean"`  // the target ended by itself all the same
}

// Verification is the result of Verify.
type Verification struct {
	Replays     int
	Clean       int // replays that ended by exit
	Violations  []Violation
	Exercised   int          // permitted calls that at least one replay made
	Unexercised []synth.Rule // a permitting rule for each call that none did, sorted
}

// ErrNothingToReplay says that there is no scenario, so nothing would be proved.
var ErrNothingToReplay = errors.New("no scenario to replay")

// Verify replays every case and compares what was refused with the policy. A
// target that dies of SIGSYS without a refusal being seen is an error: then
// nobody knows what was refused.
func Verify(ctx context.Context, p *synth.Policy, cases []Case, progress func(done int)) (*Verification, error) {
	if len(cases) == 0 {
		return nil, ErrNothingToReplay
	}
	v := &Verification{}
	seen := map[sysno.ID]bool{}
	for i, c := range cases {
		r, err := c.Replay(ctx)
		if err != nil {
			return nil, err
		}
		v.Replays++
		if r.Clean {
			v.Clean++
		}
		for _, id := range r.Seen {
			seen[id] = true
		}
		for _, id := range r.refused(p) {
			v.Violations = append(v.Violations, Violation{c.ID, c.Command, id, id.String(), r.Signal == sigsys, r.Clean})
		}
		if r.unseen() {
			return nil, &UnseenError{Case: c.ID, Command: c.Command}
		}
		if progress != nil {
			progress(i + 1)
		}
	}
	counted := map[sysno.ID]bool{} // alternatives of one call count once
	for _, r := range p.Rules() {
		switch {
		case !r.Verdict.Action.Permits() || counted[r.ID]:
		case seen[r.ID]:
			v.Exercised++
			counted[r.ID] = true
		default:
			v.Unexercised = append(v.Unexercised, r)
			counted[r.ID] = true
		}
	}
	slices.SortStableFunc(v.Unexercised, func(a, b synth.Rule) int { return a.ID.Compare(b.ID) })
	return v, nil
}

const sigsys = 31

// refused are the calls that the policy refused.
func (r *Replayed) refused(p *synth.Policy) []sysno.ID {
	var ids []sysno.ID
	for _, id := range r.Denied {
		if meant(p, id) || r.Signal != sigsys && slices.Contains(r.Failed, id) && permitted(p, id) {
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// unseen reports whether the target died of a filter and nobody saw of what.
func (r *Replayed) unseen() bool { return r.Signal == sigsys && len(r.Denied) == 0 }

// UnseenError says that a target died of a filter and nobody saw which call it was.
type UnseenError struct{ Case, Command string }

func (e *UnseenError) Error() string {
	return "replay " + e.Case + " died of SIGSYS and the refused call was not seen: " + e.Command
}

// permitted reports whether the policy permits some calls of a syscall. Where the
// scenario makes it fail, who refused a call cannot be told.
func permitted(p *synth.Policy, id sysno.ID) bool {
	return slices.ContainsFunc(p.Rules(), func(r synth.Rule) bool { return r.ID == id && r.Verdict.Action.Permits() })
}

// meant reports whether the refusal of a syscall is no violation: the policy
// permits it without conditions, so it was a filter of the target's own, or
// answers ENOSYS on purpose, so that the C library falls back to an older call.
func meant(p *synth.Policy, id sysno.ID) bool {
	return slices.ContainsFunc(p.Rules(), func(r synth.Rule) bool {
		return r.ID == id && len(r.Args) == 0 && (r.Verdict.Action.Permits() ||
			r.Verdict == synth.Verdict{Action: synth.Errno, Errno: uint16(syscall.ENOSYS)})
	})
}
