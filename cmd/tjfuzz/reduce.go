package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/synth"
)

type reduceOptions struct {
	runFlags
	policy string
	needs  string
	drop   []string
	out    string
	quiet  bool
	asJSON bool
}

func newReduce() *cobra.Command {
	var o reduceOptions
	c := &cobra.Command{
		Use:   "reduce [flags] -- PROGRAM [ARGS...]",
		Short: "Find the rules that no known scenario needs",
		Long: `Replay the scenarios of the state directory under the profile without some of its
rules, until it is known of each rule whether a scenario needs it. By --needs call,
one that makes a call that is refused without the rule; by --needs result, a witness
that then ends in another way or writes something else, so that a call which the
program does well without is not needed. That takes more replays, so only the
witnesses are looked at, the smallest scenario for each syscall.

The profile stays as it is. With -o another is written that lacks what is not
needed, but only of the tiers that --drop names: what a run showed is left out only
when you ask for it, and so is what no replay can show, such as what a runtime
needs. Tiers are those of the evidence in the state directory.`,
		Example: `  tjfuzz reduce -- jq .
  tjfuzz reduce --needs result -- ./server --config dev.conf

  # without what only crashed runs showed, as far as no scenario needs it
  tjfuzz reduce --drop error-path -o jq.small.json -- jq`,
		Args: targetArgs,
		RunE: func(c *cobra.Command, args []string) error { return runReduce(c.Context(), c, o, args) },
	}
	o.runFlags.add(c)
	f := c.Flags()
	f.SetInterspersed(false)
	addJobs(f, &o.jobs, "try this `number` of policies at a time")
	f.StringVar(&o.policy, "policy", "", "the `profile` to reduce (default PROGRAM.seccomp.json)")
	f.StringVar(&o.needs, "needs", "call", "what makes a rule needed: a `kind`, call or result")
	f.StringSliceVar(&o.drop, "drop", []string{"error-path", "reachable"}, "with -o: leave out what is not needed of these `tiers`")
	f.StringVarP(&o.out, "output", "o", "", "write the smaller policy to this `file`, - for standard output")
	f.BoolVar(&o.quiet, "quiet", false, "show errors and warnings only")
	f.BoolVar(&o.asJSON, "json", false, "write the result as JSON to standard output")
	return c
}

// check finds wrong flags.
func (o *reduceOptions) check() (enforce.Need, []synth.Tier, error) {
	needs := map[string]enforce.Need{"call": enforce.NeedCall, "result": enforce.NeedResult}
	need, ok := needs[o.needs]
	if !ok {
		return need, nil, fmt.Errorf("--needs %s is neither call nor result", o.needs)
	}
	if err := checkJobs(o.jobs); err != nil {
		return need, nil, err
	}
	if o.asJSON && o.out == "-" {
		return need, nil, errors.New("--json and -o - both want standard output")
	}
	var tiers []synth.Tier
	for _, word := range o.drop {
		tier, err := synth.ParseTier(word)
		if err != nil {
			return need, nil, fmt.Errorf("--drop: %w", err)
		}
		tiers = append(tiers, tier)
	}
	return need, tiers, nil
}

func runReduce(ctx context.Context, c *cobra.Command, o reduceOptions, args []string) error {
	v := voiceOf(c, o.quiet)
	need, drop, err := o.check()
	if err != nil {
		return usage(c, err)
	}
	if o.timeout == 0 {
		o.timeout = time.Second // a refused call makes some programs wait for ever
	}
	s, err := newSession(args, o.runFlags)
	if err != nil {
		return err
	}
	t, err := loadEvidence(filepath.Join(s.runs.state, evidenceName))
	if err != nil {
		return err
	}
	path, p, err := loadPolicy(o.policy, args[0])
	if err != nil {
		return err
	}
	if p, err = withTiers(p, t); err != nil {
		return err
	}
	var out output
	if o.out != "" {
		if out, err = outputTo(c, o.out); err != nil {
			return err
		}
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
	r, err := reduce(ctx, s, state, p, need)
	if err != nil {
		return err
	}
	var gone []synth.Rule
	if o.out != "" {
		small, dropped := r.without(p, drop)
		gone = dropped
		write, err := policyWriter(o.out)
		if err != nil {
			return err
		}
		if err := out.write(func(w io.Writer) error { return write(w, small) }); err != nil {
			return err
		}
	}
	if o.asJSON {
		return r.json(c.OutOrStdout(), gone)
	}
	if o.out != "-" {
		r.text(c.OutOrStdout(), path)
	}
	if o.out != "" {
		v.say("left out of %s: %s", o.out, orNothing(ruleNames(gone)))
	}
	return nil
}

// reduced is a reduction with the scenarios that it names by number.
type reduced struct {
	*enforce.Reduction
	scenarios []kept
	need      enforce.Need
}

// reduce replays all that is stored under policies without some of the rules.
func reduce(ctx context.Context, s *session, state *fuzz.State, p *synth.Policy, need enforce.Need) (*reduced, error) {
	folders := everything
	if need == enforce.NeedResult {
		folders = []fuzz.Folder{fuzz.Witnesses}
	}
	stored, err := replayable(state, folders)
	if err != nil {
		return nil, err
	}
	stages, err := s.stages(p, s.runs.jobs, details{})
	if err != nil {
		return nil, err
	}
	defer stages.Close()
	whole, err := stages.under(p)
	if err != nil {
		return nil, err
	}
	scenarios := whole.able(stored)
	if err := whole.Close(); err != nil {
		return nil, err
	}
	r, err := enforce.Reduce(ctx, p, enforce.Reducing{
		Scenarios: len(scenarios), Jobs: s.runs.jobs, Need: need,
		Open: func(p *synth.Policy) (enforce.Stage, error) {
			r, err := stages.under(p)
			if err != nil {
				return nil, err
			}
			return stage{r, scenarios}, nil
		},
	})
	var unsteady *enforce.UnsteadyError
	switch {
	case errors.Is(err, enforce.ErrNothingToReplay):
		return nil, hinted(fmt.Errorf("%w in %s", err, state.Dir()), "'tjfuzz learn -- %s' makes some", s.args[0])
	case errors.Is(err, enforce.ErrRefusedBefore):
		return nil, hinted(err, "'tjfuzz verify' shows which, and where")
	case errors.As(err, &unsteady):
		return nil, hinted(fmt.Errorf("a scenario does not do the same in each replay: %s", scenarios[unsteady.Scenario].command),
			"run it again; with --needs call only calls are compared")
	case err != nil:
		return nil, err
	}
	if err := stages.Close(); err != nil {
		return nil, err
	}
	if stages.lossy.Load() {
		return nil, s.runs.backend.lossy()
	}
	return &reduced{r, scenarios, need}, nil
}

// stage replays the scenarios of a session by their numbers.
type stage struct {
	*replays
	scenarios []kept
}

func (s stage) Replay(ctx context.Context, i int) (enforce.Replayed, error) {
	return s.replay(ctx, &s.scenarios[i].Scenario)
}

// without is the policy without the rules of some tiers that are not needed.
func (r *reduced) without(p *synth.Policy, tiers []synth.Tier) (small *synth.Policy, gone []synth.Rule) {
	for _, u := range r.Unneeded {
		if slices.Contains(tiers, u.Rule.Tier) {
			gone = append(gone, u.Rule)
		}
	}
	var rules []synth.Rule
	for _, rule := range p.Rules() {
		if !slices.ContainsFunc(gone, func(g synth.Rule) bool { return g.Compare(&rule) == 0 }) {
			rules = append(rules, rule)
		}
	}
	out := *p
	out.Groups = synth.Arrange(rules)
	return &out, gone
}

// why says in words why a rule is not needed.
func (r *reduced) why(u enforce.Unneeded) string {
	if u.Replayed == 0 {
		return "no replay makes the call"
	}
	return fmt.Sprintf("called in %d of %d replays, all of which do the same without it", u.Replayed, len(r.scenarios))
}

func (r *reduced) text(w io.Writer, path string) {
	for _, u := range r.Unneeded {
		fmt.Fprintf(w, "not needed: %s [%v: %s]: %s\n", u.Rule.String(), u.Rule.Tier, u.Rule.Reason, r.why(u))
	}
	fmt.Fprintf(w, "%s: %d rules are needed by %d scenarios, %d are not; %d policies tried in %d replays\n",
		path, len(r.Needed), len(r.scenarios), len(r.Unneeded), r.Policies, r.Replays)
}

func (r *reduced) json(w io.Writer, gone []synth.Rule) error {
	type rule struct {
		Rule     string `json:"rule"`
		Tier     string `json:"tier"`
		Reason   string `json:"reason"`
		Scenario string `json:"scenario,omitempty"`
		Command  string `json:"command,omitempty"`
		Replayed int    `json:"replays_with_the_call,omitempty"`
		Dropped  bool   `json:"dropped,omitempty"`
	}
	result := struct {
		Needed    []rule `json:"needed"`
		Unneeded  []rule `json:"unneeded"`
		Scenarios int    `json:"scenarios"`
		Policies  int    `json:"policies"`
		Replays   int    `json:"replays"`
	}{Needed: []rule{}, Unneeded: []rule{}, Scenarios: len(r.scenarios), Policies: r.Policies, Replays: r.Replays}
	for _, n := range r.Needed {
		x := rule{Rule: n.Rule.String(), Tier: n.Rule.Tier.String(), Reason: n.Rule.Reason}
		if n.Scenario >= 0 {
			x.Scenario, x.Command = r.scenarios[n.Scenario].ID, r.scenarios[n.Scenario].command
		}
		result.Needed = append(result.Needed, x)
	}
	for _, u := range r.Unneeded {
		dropped := slices.ContainsFunc(gone, func(g synth.Rule) bool { return g.Compare(&u.Rule) == 0 })
		result.Unneeded = append(result.Unneeded, rule{Rule: u.Rule.String(), Tier: u.Rule.Tier.String(), Reason: u.Rule.Reason,
			Replayed: u.Replayed, Dropped: dropped})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(result)
}

func ruleNames(rules []synth.Rule) string {
	var names []string
	for _, r := range rules {
		names = append(names, r.ID.String())
	}
	return strings.Join(slices.Compact(names), " ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
