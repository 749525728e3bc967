package enforce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Stage replays scenarios under one policy, one after the other.
type Stage interface {
	Replay(ctx context.Context, scenario int) (Replayed, error)
	Close() error
}

// Need says what makes a rule needed.
type Need uint8

// The kinds of need.
const (
	NeedCall   Need = iota // without it, a call of a known scenario is refused
	NeedResult             // without it, a known scenario ends in another way or writes something else
)

// Reducing is what Reduce works with. Scenarios are numbered from 0.
type Reducing struct {
	Scenarios int
	Open      func(*synth.Policy) (Stage, error) // for up to Jobs goroutines at a time
	Jobs      int
	Need      Need
	Progress  func(policies int) // after each policy that was tried; called by several goroutines; may be nil
}

// Unneeded is a permitting rule that no replay needs.
type Unneeded struct {
	Rule     synth.Rule
	Replayed int // in how many replays under the whole policy its syscall was made
}

// Needed is a permitting rule, and the first scenario that was seen to fail without it.
type Needed struct {
	Rule     synth.Rule
	Scenario int // -1: no policy without the rule is valid
}

// Reduction is the result of Reduce.
type Reduction struct {
	Needed   []Needed   // in the order of the policy
	Unneeded []Unneeded // likewise; without all of them together every replay is as before
	Policies int        // that were tried
	Replays  int
}

// ErrRefusedBefore says that a policy refuses calls of known scenarios as it is, so
// what its rules are needed for cannot be told.
var ErrRefusedBefore = errors.New("the policy refuses calls of the scenarios")

// Reduce finds out which permitting rules of a policy the scenarios need, by
// replaying them under policies without some of the rules. A replay is repeated only
// where one of the rules that are missing is for a syscall that it made before, and
// in the end every scenario is replayed once more without all that is not needed.
//
// 1-minimal: each needed rule was left out of what the result keeps, and the named
// scenario failed then. What a scenario writes counts only where two runs under the
// whole policy wrote the same.
func Reduce(ctx context.Context, p *synth.Policy, o Reducing) (*Reduction, error) {
	if o.Scenarios == 0 {
		return nil, ErrNothingToReplay
	}
	r := &reducer{Reducing: o, policy: p, blame: map[int]int{}}
	for _, rule := range p.Rules() {
		if rule.Verdict.Action.Permits() {
			r.rules = append(r.rules, rule)
		}
	}
	if err := r.baseline(ctx); err != nil {
		return nil, err
	}
	// What is called least is tried first: parts that nothing exercises go at once.
	r.order = make([]int, len(r.rules))
	for i := range r.order {
		r.order[i] = i
	}
	slices.SortStableFunc(r.order, func(a, b int) int { return r.made[r.rules[b].ID] - r.made[r.rules[a].ID] })
	kept, err := synth.Reduce(ctx, len(r.order), o.Jobs, r.holds)
	if err != nil {
		return nil, err
	}
	return r.result(ctx, kept)
}

type reducer struct {
	Reducing
	policy *synth.Policy
	rules  []synth.Rule // the permitting ones
	order  []int        // of rules, what is tried first at the end
	base   []ending
	made   map[sysno.ID]int // replays of the whole policy in which the call was made

	mu       sync.Mutex
	blame    map[int]int // of a rule, the scenario that failed when it was last missing
	policies int
	replays  int
}

// ending is what one scenario does under the whole policy.
type ending struct {
	seen   []sysno.ID
	end    string
	output string // empty where two runs wrote different things
	stable bool   // two runs ended in the same way
}

// baseline replays everything under the whole policy, twice where ends are compared.
func (r *reducer) baseline(ctx context.Context) error {
	r.base = make([]ending, r.Scenarios)
	r.made = map[sysno.ID]int{}
	refused := make([][]sysno.ID, r.Scenarios)
	err := r.spread(ctx, r.policy, func(i int, stage Stage) error {
		first, err := stage.Replay(ctx, i)
		if err != nil {
			return err
		}
		refused[i] = first.refused(r.policy)
		if first.unseen() {
			return &UnsteadyError{Scenario: i}
		}
		e := ending{seen: first.Seen, end: first.End, output: first.Output, stable: true}
		if r.Need == NeedResult {
			second, err := stage.Replay(ctx, i)
			if err != nil {
				return err
			}
			e.seen = append(slices.Clone(e.seen), second.Seen...)
			e.stable = first.End == second.End
			if first.Output != second.Output {
				e.output = ""
			}
		}
		slices.SortFunc(e.seen, sysno.ID.Compare)
		e.seen = slices.Compact(e.seen)
		r.base[i] = e
		return nil
	})
	if err != nil {
		return err
	}
	for i, ids := range refused {
		if len(ids) > 0 {
			return fmt.Errorf("%w: %v, first in scenario %d", ErrRefusedBefore, ids[0], i)
		}
		for _, id := range r.base[i].seen {
			r.made[id]++
		}
	}
	return nil
}

// spread calls do for each scenario, with one of as many stages as there are jobs.
func (r *reducer) spread(ctx context.Context, p *synth.Policy, do func(i int, stage Stage) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(max(r.Jobs, 1), r.Scenarios) {
		workers.Go(func() {
			stage, err := r.Open(p)
			if err != nil {
				cancel(err)
				return
			}
			defer stage.Close()
			for i := range next {
				if err := do(i, stage); err != nil {
					cancel(err)
					return
				}
				r.count(0, 1)
			}
		})
	}
	for i := range r.Scenarios {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

func (r *reducer) count(policies, replays int) {
	r.mu.Lock()
	r.policies += policies
	r.replays += replays
	n := r.policies
	r.mu.Unlock()
	if policies > 0 && r.Progress != nil {
		r.Progress(n)
	}
}

// without is the policy that lacks the permitting rules that are missing.
func (r *reducer) without(missing []int) *synth.Policy {
	p := *r.policy
	p.Groups = slices.Clone(p.Groups)
	for i := range p.Groups {
		p.Groups[i].Rules = slices.DeleteFunc(slices.Clone(p.Groups[i].Rules), func(rule synth.Rule) bool {
			return slices.ContainsFunc(missing, func(m int) bool { return r.rules[m].Compare(&rule) == 0 })
		})
	}
	return &p
}

// missingFrom are the rules that are not among those kept, which are places in order.
func (r *reducer) missingFrom(kept []int) []int {
	var missing []int
	for place, rule := range r.order {
		if _, found := slices.BinarySearch(kept, place); !found {
			missing = append(missing, rule)
		}
	}
	return missing
}

// holds reports whether every scenario does under the kept rules what it did under all.
func (r *reducer) holds(ctx context.Context, kept []int) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	missing := r.missingFrom(kept)
	p := r.without(missing)
	defer r.count(1, 0)
	if p.Validate() != nil {
		r.accuse(missing, -1)
		return false, nil
	}
	var touched []int // scenarios that may notice
	for i, b := range r.base {
		if slices.ContainsFunc(missing, func(m int) bool {
			_, made := slices.BinarySearchFunc(b.seen, r.rules[m].ID, sysno.ID.Compare)
			return made
		}) {
			touched = append(touched, i)
		}
	}
	if len(touched) == 0 {
		return true, nil
	}
	stage, err := r.Open(p)
	if err != nil {
		return false, err
	}
	defer stage.Close()
	for _, i := range touched {
		fails, err := r.fails(ctx, stage, p, i)
		if err != nil {
			return false, err
		}
		if fails {
			r.accuse(missing, i)
			return false, nil
		}
	}
	return true, nil
}

// fails replays one scenario and compares.
func (r *reducer) fails(ctx context.Context, stage Stage, p *synth.Policy, i int) (bool, error) {
	got, err := stage.Replay(ctx, i)
	if err != nil {
		return false, err
	}
	r.count(0, 1)
	if r.Need == NeedCall || got.Signal == sigsys {
		return len(got.refused(p)) > 0 || got.unseen(), nil
	}
	return r.differs(i, got), nil
}

// differs compares a replay with those under the whole policy, as far as these agreed.
func (r *reducer) differs(i int, got Replayed) bool {
	b := r.base[i]
	return b.stable && got.End != b.end || b.output != "" && got.Output != b.output
}

// accuse notes what failed without the rules. What is needed is left out once more, one
// after the other, when all that is not is gone; so the last time says most.
func (r *reducer) accuse(missing []int, scenario int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range missing {
		r.blame[m] = scenario
	}
}

// result puts the rules in the policy's order, after everything was replayed under
// what is left.
func (r *reducer) result(ctx context.Context, kept []int) (*Reduction, error) {
	missing, err := r.confirm(ctx, r.missingFrom(kept))
	if err != nil {
		return nil, err
	}
	out := &Reduction{Policies: r.policies, Replays: r.replays}
	for i, rule := range r.rules {
		if slices.Contains(missing, i) {
			out.Unneeded = append(out.Unneeded, Unneeded{rule, r.made[rule.ID]})
		} else {
			out.Needed = append(out.Needed, Needed{rule, r.blame[i]})
		}
	}
	return out, nil
}

// confirm replays everything without the rules that are missing. Some calls are not
// made in every run of a scenario; a rule for one that is refused now is needed after
// all, and what may be missing is returned.
func (r *reducer) confirm(ctx context.Context, missing []int) ([]int, error) {
	for len(missing) > 0 {
		p := r.without(missing)
		refused := make([][]sysno.ID, r.Scenarios)
		err := r.spread(ctx, p, func(i int, stage Stage) error {
			got, err := stage.Replay(ctx, i)
			if err != nil {
				return err
			}
			if r.Need == NeedCall || got.Signal == sigsys {
				refused[i] = got.refused(p)
				return nil
			}
			if !r.differs(i, got) {
				return nil
			}
			// Once is chance: the same scenario under the same policy.
			if got, err = stage.Replay(ctx, i); err == nil && r.differs(i, got) {
				err = &UnsteadyError{Scenario: i}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		before := len(missing)
		missing = slices.DeleteFunc(missing, func(m int) bool {
			i := slices.IndexFunc(refused, func(ids []sysno.ID) bool { return slices.Contains(ids, r.rules[m].ID) })
			if i >= 0 {
				r.blame[m] = i
			}
			return i >= 0
		})
		if len(missing) == before {
			if i := slices.IndexFunc(refused, func(ids []sysno.ID) bool { return len(ids) > 0 }); i >= 0 {
				return nil, &UnsteadyError{Scenario: i}
			}
			break
		}
	}
	return missing, nil
}

// UnsteadyError says that a scenario does not do the same each time, so that what
// it needs cannot be told.
type UnsteadyError struct{ Scenario int }

func (e *UnsteadyError) Error() string {
	return fmt.Sprintf("scenario %d does not do the same in each replay", e.Scenario)
}
