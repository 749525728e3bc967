package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/container"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

type verifyOptions struct {
	runFlags
	extra   extraFlags
	junit   string
	policy  string
	against string
	quiet   bool
	asJSON  bool
}

func newVerify() *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:   "verify [flags] -- PROGRAM [ARGS...]",
		Short: "Replay what was learned, under the policy",
		Long: `Replay every scenario of the state directory under the profile, in the cage,
and report each call that the profile refuses and each rule that no replay
exercised. Scenarios that hung are left out, but for those that are witnesses. The
exit code is 5 when a call was refused.

With --against, witnesses are replayed in containers of a runtime, which sees the
files of this machine and loads the profile itself. What the runtime needs after
that is reported apart.

Coverage is the part of the calls that the policy allows and that some replay made, by
what the rules stand on.`,
		Example: `  tjfuzz verify -- jq .
  tjfuzz verify --policy edited.json --state .tjfuzz/jq -- jq

  # also on inputs and command lines of your own, for CI
  tjfuzz verify --inputs tests/data --commands tests/commands --junit verify.xml -- jq .

  # does the profile do in a container, too? as root
  tjfuzz verify --against runc -- jq .`,
		Args: targetArgs,
		RunE: func(c *cobra.Command, args []string) error { return runVerify(c.Context(), c, o, args) },
	}
	o.runFlags.add(c)
	o.extra.add(c.Flags())
	addJobs(c.Flags(), &o.jobs, "replay this `number` of scenarios at a time")
	c.Flags().StringVar(&o.junit, "junit", "", "also write the result of each scenario to this `file`, in JUnit's form")
	c.Flags().StringVar(&o.against, "against", "", "replay the witnesses in containers of this `runtime`: "+strings.Join(container.Engines(), ", "))
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
	Sides []enforce.Side
}

func runVerify(ctx context.Context, c *cobra.Command, o verifyOptions, args []string) error {
	v := voiceOf(c, o.quiet)
	if err := checkJobs(o.jobs); err != nil {
		return usage(c, err)
	}
	if o.timeout == 0 {
		o.timeout = 10 * time.Second // only what hung when it was learned takes as long
	}
	if o.against != "" {
		return verifyAgainst(ctx, c, v, o, args)
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
	more, err := o.extra.scenarios(s)
	if err != nil {
		return err
	}
	if t, err := loadEvidence(filepath.Join(s.runs.state, evidenceName)); err == nil {
		if p, err = withTiers(p, t); err != nil {
			return err
		}
	}
	check, err := verify(ctx, s, state, p, more, nil)
	if err != nil {
		return err
	}
	if o.junit != "" {
		out, err := outputTo(c, o.junit)
		if err != nil {
			return err
		}
		if err := out.write(func(w io.Writer) error { return writeJUnit(w, path, check.Results) }); err != nil {
			return err
		}
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
		return s.runs.backend.lossy()
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
	if err != nil {
		return nil, err
	}
	said, err := loadSummary(filepath.Join(s.runs.state, summaryName))
	if err != nil || s.cage == nil {
		return state, err
	}
	if said == nil { // the session did not end by itself
		if err := s.guess(s.args[s.fixed:]); err != nil || len(s.guessed) > 0 {
			return state, err
		}
		return state, s.adoptAgain(state)
	}
	if said.RunDirs != nil {
		s.cage.Run = said.RunDirs
	}
	if said.StartsIn != "" {
		err = s.startIn(said.StartsIn)
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

// verify replays all scenarios of the state directory, and some more, under the policy.
func verify(ctx context.Context, s *session, state *fuzz.State, p *synth.Policy, more []kept, progress func(int)) (*verified, error) {
	stored, err := replayable(state, everything)
	if err != nil {
		return nil, err
	}
	stored = append(stored, more...)
	jobs := max(1, min(s.runs.jobs, len(stored)))
	stages, err := s.stages(p, jobs, details{args: slices.ContainsFunc(p.Rules(), func(r synth.Rule) bool { return len(r.Args) > 0 })})
	if err != nil {
		return nil, err
	}
	defer stages.Close()
	free := make(chan *replays, jobs)
	var opened []*replays
	shut := func() error {
		var errs []error
		for _, r := range opened {
			errs = append(errs, r.Close())
		}
		opened = nil
		return errors.Join(errs...)
	}
	defer shut()
	for range jobs {
		r, err := stages.under(p)
		if err != nil {
			return nil, err
		}
		opened = append(opened, r)
		free <- r
	}
	all := len(stored)
	stored = opened[0].able(stored)
	cases := make([]enforce.Case, len(stored))
	for i, st := range stored {
		cases[i] = enforce.Case{
			ID:      st.ID,
			Command: st.command,
			Replay: func(ctx context.Context) (enforce.Replayed, error) {
				r := <-free
				defer func() { free <- r }()
				return r.replay(ctx, &st.Scenario)
			},
		}
	}
	result, err := enforce.Verify(ctx, p, cases, jobs, progress)
	if errors.Is(err, enforce.ErrNothingToReplay) {
		return nil, hinted(fmt.Errorf("%w in %s", err, state.Dir()), "'tjfuzz learn -- %s' makes some", s.args[0])
	}
	if err != nil {
		return nil, err
	}
	var lost trace.Lost
	for _, r := range opened {
		lost = r.rec.Lost() // of a shared recorder the same for all
		if !lost.Complete() {
			break
		}
	}
	sides, err := stages.sides(p)
	if err != nil {
		return nil, err
	}
	return &verified{result, lost, all - len(stored), sides}, shut()
}

// sides are the conditions of the policy with what replays have shown of them, nil where
// the backend does not tell.
func (st *stages) sides(p *synth.Policy) ([]enforce.Side, error) {
	if st.shared == nil {
		return nil, nil
	}
	seen := &trace.Trace{Arch: sysno.Native(), Target: trace.Target{Path: st.s.path}}
	for _, r := range p.Rules() {
		if i := slices.IndexFunc(seen.Observations, func(o trace.Observation) bool { return o.ID == r.ID }); i < 0 && len(r.Args) > 0 {
			seen.Observations = append(seen.Observations, trace.Observation{ID: r.ID})
		}
	}
	if len(seen.Observations) == 0 {
		return nil, nil
	}
	slices.SortFunc(seen.Observations, func(a, b trace.Observation) int { return a.ID.Compare(b.ID) })
	if err := st.shared.describe(seen); err != nil {
		return nil, err
	}
	return enforce.Sides(p, func(id sysno.ID, index uint8) ([]uint64, bool) {
		for _, o := range seen.Observations {
			for _, a := range o.Args {
				if o.ID == id && a.Index == int(index) {
					return a.Values, !a.Any
				}
			}
		}
		return nil, slices.Contains(id.Choices(), int(index))
	}), nil
}

func (r *verified) text(v voice, c *cobra.Command, path string) {
	out := c.OutOrStdout()
	writeViolations(out, r.Verification)
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
	if len(r.Sides) > 0 {
		both := 0
		var one []string
		for _, s := range r.Sides {
			switch {
			case s.Met && s.Unmet:
				both++
			case s.Met:
				one = append(one, fmt.Sprintf("%v: %v", s.ID, synth.PatternOf(s.ID, s.Cond)))
			}
		}
		fmt.Fprintf(out, "conditions: %d of %d were met by some calls and not by others\n", both, len(r.Sides))
		if len(one) > 0 {
			v.say("met by every call: %s", strings.Join(one, "; "))
		}
	}
	for _, t := range r.Tiers {
		fmt.Fprintf(out, "coverage of %v: %d of %d calls, %.1f %%\n", t.Tier, t.Exercised, t.Calls, t.Percent())
	}
	fmt.Fprintf(out, "%s: %d scenarios replayed, %d violations, %d rules exercised, %d not\n",
		path, r.Replays, len(r.Violations), r.Exercised, len(r.Unexercised))
}

// writeViolations says of each syscall that was refused in how many scenarios.
func writeViolations(w io.Writer, r *enforce.Verification) {
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
		fmt.Fprintf(w, "violation: %s is refused in %d of %d scenarios, first in: %s\n", x.Syscall, n, r.Replays, x.Command)
	}
}

func (r *verified) json(c *cobra.Command) error {
	type coverage struct {
		Tier      string  `json:"tier"`
		Exercised int     `json:"exercised"`
		Calls     int     `json:"calls"`
		Percent   float64 `json:"percent"`
	}
	result := struct {
		Replays     int                 `json:"replays"`
		Violations  []enforce.Violation `json:"violations"`
		Exercised   int                 `json:"rules_exercised"`
		Unexercised []string            `json:"rules_unexercised"`
		Coverage    []coverage          `json:"coverage"`
		Complete    bool                `json:"complete"`
		Other       int                 `json:"not_replayed"`
	}{r.Replays, append([]enforce.Violation{}, r.Violations...), r.Exercised, []string{}, []coverage{}, r.Lost.Complete(), r.Other}
	for _, t := range r.Tiers {
		result.Coverage = append(result.Coverage, coverage{t.Tier.String(), t.Exercised, t.Calls, t.Percent()})
	}
	for _, rule := range r.Unexercised {
		result.Unexercised = append(result.Unexercised, rule.ID.String())
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(result)
}
