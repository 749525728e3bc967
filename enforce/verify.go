package enforce

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
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
	Tiers       []Coverage   // the same by tier, sorted; those that the policy has
	Results     []Result     // of each case, in their order
}

// Coverage is how much of a tier was shown to be needed.
type Coverage struct {
	Tier             synth.Tier
	Exercised, Calls int // permitted calls
}

// Percent is the part of the calls that was made.
func (c Coverage) Percent() float64 { return 100 * float64(c.Exercised) / float64(c.Calls) }

// Result is what became of a case.
type Result struct {
	ID, Command string
	Violations  []Violation
	End         string // how it ended
}

// ErrNothingToReplay says that there is no scenario, so nothing would be proved.
var ErrNothingToReplay = errors.New("no scenario to replay")

// Verify replays every case and compares what was refused with the policy. A
// target that dies of SIGSYS without a refusal being seen is an error: then
// nobody knows what was refused. As many cases as jobs are replayed at a time.
func Verify(ctx context.Context, p *synth.Policy, cases []Case, jobs int, progress func(done int)) (*Verification, error) {
	if len(cases) == 0 {
		return nil, ErrNothingToReplay
	}
	v := &Verification{}
	seen := map[sysno.ID]bool{}
	replayed, err := replayAll(ctx, cases, jobs, progress)
	if err != nil {
		return nil, err
	}
	for i, c := range cases {
		r := replayed[i]
		v.Replays++
		if r.Clean {
			v.Clean++
		}
		for _, id := range r.Seen {
			seen[id] = true
		}
		for _, id := range r.Failed {
			if slices.Contains(r.Denied, id) && permitted(p, id) {
				seen[id] = true // it was made, and refused by the scenario
			}
		}
		result := Result{ID: c.ID, Command: c.Command, End: r.End}
		for _, id := range r.refused(p) {
			result.Violations = append(result.Violations, Violation{c.ID, c.Command, id, id.String(), r.Signal == sigsys, r.Clean})
		}
		v.Violations = append(v.Violations, result.Violations...)
		v.Results = append(v.Results, result)
		if r.unseen() {
			return nil, &UnseenError{Case: c.ID, Command: c.Command}
		}
	}
	counted := map[sysno.ID]bool{} // alternatives of one call count once
	tiers := map[synth.Tier]*Coverage{}
	for _, r := range p.Rules() {
		if !r.Verdict.Action.Permits() || counted[r.ID] {
			continue
		}
		counted[r.ID] = true
		if tiers[r.Tier] == nil {
			tiers[r.Tier] = &Coverage{Tier: r.Tier}
		}
		tiers[r.Tier].Calls++
		if seen[r.ID] {
			v.Exercised++
			tiers[r.Tier].Exercised++
		} else {
			v.Unexercised = append(v.Unexercised, r)
		}
	}
	for _, t := range slices.Sorted(maps.Keys(tiers)) {
		v.Tiers = append(v.Tiers, *tiers[t])
	}
	slices.SortStableFunc(v.Unexercised, func(a, b synth.Rule) int { return a.ID.Compare(b.ID) })
	return v, nil
}

// replayAll replays the cases, several at a time, and returns what they showed in their
// order. The first error ends it.
func replayAll(ctx context.Context, cases []Case, jobs int, progress func(done int)) ([]Replayed, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	replayed := make([]Replayed, len(cases))
	var (
		mu         sync.Mutex
		next, done int
		failed     error
		workers    sync.WaitGroup
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		i := next
		next++
		return i, i < len(cases) && failed == nil
	}
	for range max(1, min(jobs, len(cases))) {
		workers.Go(func() {
			for {
				i, more := take()
				if !more {
					return
				}
				r, err := cases[i].Replay(ctx)
				mu.Lock()
				if replayed[i] = r; err != nil && failed == nil {
					failed = err
					cancel()
				}
				done++
				if progress != nil && failed == nil {
					progress(done)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return replayed, failed
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
