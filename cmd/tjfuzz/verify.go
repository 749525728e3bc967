package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

type verifyOptions struct {
	runFlags
	policy string
	quiet  bool
	asJSON bool
}

func newVerify() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [flags] -- PROGRAM [ARGS...]",
		Short: "Replay what was learned, under the policy",
		Long: `Replay every scenario of the state directory under the profile, in the cage,
and report each call that the profile refuses and each rule that no replay
exercised. Scenarios that hung are left out, but for those that are witnesses. The
exit code is 5 when a call was refused.`,
		Example: `  tjfuzz verify -- jq .
  tjfuzz verify --policy edited.json --state .tjfuzz/jq -- jq`,
		Args: targetArgs,
		RunE: func(c *cobra.Command, args []string) error { return runVerify(c.Context(), c, o, args) },
	}
	o.runFlags.add(c)
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&o.policy, "policy", "", "the OCI `profile`, or policy in YAML, to verify (default PROGRAM.seccomp.json)")
	c.Flags().BoolVar(&o.quiet, "quiet", false, "show errors only")
	c.Flags().BoolVar(&o.asJSON, "json", false, "write the result as JSON to standard output")
	return c
}

// verified is a verification with what the recorder lost meanwhile.
type verified struct {
	*enforce.Verification
	Lost  trace.Lost
	Other int // scenarios of which this host or backend cannot make the world
}

func runVerify(ctx context.Context, c *cobra.Command, o verifyOptions, args []string) error {
	v := voiceOf(c, o.quiet)
	if o.timeout == 0 {
		o.timeout = 10 * time.Second // only what hung when it was learned takes as long
	}
	s, err := newSession(args, o.runFlags)
	if err != nil {
		return err
	}
	path, p, err := loadPolicy(o.policy, args[0])
	if err != nil {
		return err
	}
	state, err := storedScenarios(s, args[0])
	if err != nil {
		return err
	}
	if s.runs.backend, err = o.backend.choose(v); err != nil {
		return err
	}
	if done, err := s.admit(ctx, c, v, o.backend); done || err != nil {
		return err
	}
	check, err := verify(ctx, s, state, p, nil)
	if err != nil {
		return err
	}
	if o.asJSON {
		if err := check.json(c); err != nil {
			return err
		}
	} else {
		check.text(v, c, path)
	}
	switch {
	case len(check.Violations) > 0:
		return exitStatus(exitViolation)
	case !check.Lost.Complete():
		return &failure{err: errors.New("the recorder lost processes, so refused calls may be missing"), code: exitIncomplete,
			hint: "run it again; if it happens again, the machine is short of memory"}
	}
	return nil
}

// storedScenarios are what learn has kept for replays.
func storedScenarios(s *session, program string) (*fuzz.State, error) {
	if err := ownState(s); err != nil {
		return nil, err
	}
	state, err := fuzz.LoadState(s.runs.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted(fmt.Errorf("there are no scenarios in %s", s.runs.state), "'tjfuzz learn -- %s' makes them; --state names another place", program)
	}
	return state, err
}

// everything is where the scenarios are that are replayed. Those that hung are left out,
// for each would cost its whole time limit; where one is a witness it is replayed as such.
var everything = []fuzz.Folder{fuzz.Witnesses, fuzz.Queue, fuzz.Crashes}

// replayable is every scenario that is stored in some folders, once.
func replayable(state *fuzz.State, folders []fuzz.Folder) ([]kept, error) {
	var all []kept
	seen := map[string]bool{}
	for _, folder := range folders {
		stored, err := state.List(folder)
		if err != nil {
			return nil, err
		}
		for _, st := range stored {
			if !seen[st.ID] {
				seen[st.ID] = true
				all = append(all, kept{st, st.Scenario.Command(state.Prefix(folder, st.ID))})
			}
		}
	}
	return all, nil
}

// kept is a stored scenario with its command line for people.
type kept struct {
	fuzz.Stored
	command string
}

// verify replays all scenarios of the state directory under the policy.
func verify(ctx context.Context, s *session, state *fuzz.State, p *synth.Policy, progress func(int)) (*verified, error) {
	stored, err := replayable(state, everything)
	if err != nil {
		return nil, err
	}
	replays, err := s.under(p)
	if err != nil {
		return nil, err
	}
	defer replays.Close()
	all := len(stored)
	stored = replays.able(stored)
	cases := make([]enforce.Case, len(stored))
	for i, st := range stored {
		cases[i] = enforce.Case{
			ID:      st.ID,
			Command: st.command,
			Replay:  func(ctx context.Context) (enforce.Replayed, error) { return replays.replay(ctx, &st.Scenario) },
		}
	}
	result, err := enforce.Verify(ctx, p, cases, progress)
	if errors.Is(err, enforce.ErrNothingToReplay) {
		return nil, hinted(fmt.Errorf("%w in %s", err, state.Dir()), "'tjfuzz learn -- %s' makes some", s.args[0])
	}
	if err != nil {
		return nil, err
	}
	return &verified{result, replays.rec.Lost(), all - len(stored)}, nil
}

func (r *verified) text(v voice, c *cobra.Command, path string) {
	out := c.OutOrStdout()
	for i, x := range r.Violations {
		same := func(o enforce.Violation) bool { return o.ID == x.ID }
		if slices.ContainsFunc(r.Violations[:i], same) {
			continue
		}
		n := 0
		for _, o := range r.Violations[i:] {
			if same(o) {
				n++
			}
		}
		fmt.Fprintf(out, "violation: %s is refused in %d of %d scenarios, first in: %s\n", x.Syscall, n, r.Replays, x.Command)
	}
	if r.Other > 0 {
		v.warn("%d scenarios were not replayed: they need a right or another --backend to make calls fail, be another user, or have a terminal", r.Other)
	}
	if len(r.Unexercised) > 0 {
		ids := make([]sysno.ID, len(r.Unexercised))
		for i, rule := range r.Unexercised {
			ids[i] = rule.ID
		}
		v.say("allowed, but called in no replay: %s", names(ids))
	}
	fmt.Fprintf(out, "%s: %d scenarios replayed, %d violations, %d rules exercised, %d not\n",
		path, r.Replays, len(r.Violations), r.Exercised, len(r.Unexercised))
}

func (r *verified) json(c *cobra.Command) error {
	result := struct {
		Replays     int                 `json:"replays"`
		Violations  []enforce.Violation `json:"violations"`
		Exercised   int                 `json:"rules_exercised"`
		Unexercised []string            `json:"rules_unexercised"`
		Complete    bool                `json:"complete"`
		Other       int                 `json:"not_replayed"`
	}{r.Replays, append([]enforce.Violation{}, r.Violations...), r.Exercised, []string{}, r.Lost.Complete(), r.Other}
	for _, rule := range r.Unexercised {
		result.Unexercised = append(result.Unexercised, rule.ID.String())
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(result)
}
