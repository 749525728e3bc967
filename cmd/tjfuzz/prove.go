package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// provings bounds how often a policy is generated again because a replay showed
// what no run had shown before.
const provings = 4

// prove generates the policy and replays every scenario under it. A call that is
// refused then and that no run had shown is one that the target makes now and
// then: it becomes evidence, and the policy is generated again. So it is where the
// arguments are new, of which nothing is known then. What else is refused disproves the policy, unless the user asked for it.
func prove(ctx context.Context, v voice, s *session, state *fuzz.State, t *trace.Trace, o synth.Options, n *renewal) (*synth.Policy, *verified, error) {
	for range provings {
		p, err := generate(t, o)
		if err != nil {
			return nil, nil, err
		}
		if p, err = n.keep(p, o); err != nil {
			return nil, nil, err
		}
		check, err := verify(ctx, s, state, p, nil, nil)
		if err != nil {
			return nil, nil, fmt.Errorf("prove the policy: %w", err)
		}
		if !check.Lost.Complete() && !o.AllowIncomplete {
			return nil, nil, &failure{err: errors.New("the proof is incomplete: the recorder lost processes"), code: exitIncomplete,
				hint: "learn again with fewer --jobs"}
		}
		fresh := false
		var refused []string
		for _, x := range check.Violations {
			i := slices.IndexFunc(t.Observations, func(o trace.Observation) bool { return o.ID == x.ID })
			switch {
			case i < 0:
				fresh = true
				v.say("the replay of a scenario made a new call: %s", x.Syscall)
				obs := trace.Observation{ID: x.ID, Runs: 1, Witness: trace.Witness{ID: x.Case, Command: x.Command + fuzz.Unconfirmed}}
				if x.Clean {
					obs.CleanRuns = 1
				}
				t.Observations = append(t.Observations, obs)
			case o.DenyErrorPath && t.Observations[i].CleanRuns == 0: // as asked
			case o.Args != synth.ArgsOff && len(t.Observations[i].Args) > 0:
				fresh = true
				v.say("the replay of a scenario called %s with arguments that no run had shown; they may be anything", x.Syscall)
				t.Observations[i].Args = nil
			default:
				refused = append(refused, x.Syscall)
			}
		}
		if fresh {
			t.Runs += uint64(check.Replays)
			t.CleanRuns += uint64(check.Clean)
			t.Observations = complete(t.Observations, nil)
			continue
		}
		if len(refused) > 0 {
			slices.Sort(refused)
			return nil, nil, &failure{err: fmt.Errorf("the policy refuses what the program was seen to call: %s; no profile was written",
				strings.Join(slices.Compact(refused), " ")), code: exitViolation, hint: "a call of a number without a name cannot be allowed; use --default errno"}
		}
		return p, check, nil
	}
	return nil, nil, hinted(errors.New("every replay shows calls that no run had shown"), "give it more time: --duration")
}
