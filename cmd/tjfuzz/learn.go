package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/campaign"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

type learnOptions struct {
	runFlags
	policyFlags
	inputFlags
	renewFlags
	output     string
	seeds      string
	duration   time.Duration
	execs      uint64
	seed       uint64
	confidence float64
	only       []string
	directed   bool
	resume     bool
	sync       string
	instance   string
	quiet      bool
	asJSON     bool
	workloads  []string // commands
	file       string   // a scenario file
	campaign   *campaign.Campaign
}

func newLearn() *cobra.Command {
	var o learnOptions
	c := &cobra.Command{
		Use:   "learn [flags] { -- PROGRAM [ARGS...] | -c FILE }",
		Short: "Fuzz a program under the recorder and write the policy it needs",
		Long: `Run a program on inputs that are mutated from seeds, in a cage, while every
syscall is recorded; generate the smallest policy that allows what was seen; prove
it by replay; write it. It stops by itself when more runs are unlikely to show
more.

In ARGS, @@ stands for the path of the input. Without it, the input is fed on
standard input, and, when there are no ARGS at all, as a file operand too. Options
of the program are found out from its help text and its file.

A program that listens on a socket is a service: it is talked to in a network of its
own, as its protocol has it and as it has not, sent signals, and told to end.

The profile goes to PROGRAM.seccomp.json, the evidence, a replayable scenario for
every syscall, to ` + stateRoot + `/PROGRAM.`,
		Example: `  # everything by itself
  tjfuzz learn -- ./target

  # a fixed command line with an input file, for one minute
  tjfuzz learn --duration 60s -o p.json -- jq . @@

  # the same bytes every time
  tjfuzz learn --seed 1 --execs 5000 --jobs 1 -- xmllint @@

  # in CI: exit with 4 if the program needs another policy now, and say why
  tjfuzz learn --update jq.seccomp.json --summary changes.md --duration 60s -- jq .

  # what its own tests show, too
  tjfuzz learn --workload 'make test' -- ./target

  # what a file says, as in CI; 'tjfuzz init' writes one
  tjfuzz learn -c tjfuzz.yaml

  # a service: nothing has to be said about it
  tjfuzz learn -- nginx -g 'daemon off;'

  # a profile for a container
  tjfuzz learn --runtime runc --default kill -- ./server --once`,
		Args: func(c *cobra.Command, args []string) error {
			if o.file != "" {
				return nil
			}
			return targetArgs(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if o.file != "" {
				var err error
				if o.campaign, args, err = readCampaign(c, o.file, args); err != nil {
					return err
				}
				o.output = cmp.Or(o.output, o.campaign.Output)
				o.state = cmp.Or(o.state, o.campaign.State)
			}
			return runLearn(c.Context(), c, o, args)
		},
	}
	o.runFlags.add(c)
	o.policyFlags.add(c)
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringVarP(&o.output, "output", "o", "", "write the profile to this `file`, - for standard output (default PROGRAM.seccomp.json)")
	f.StringVar(&o.seeds, "seeds", "", "use the seeds of this `source` instead of the built-in ones: a directory, a zip file, or what 'tjfuzz corpora pull' has loaded; it may be the output of afl-fuzz, libFuzzer, honggfuzz, go test -fuzz or tjfuzz")
	o.inputFlags.add(f)
	o.renewFlags.add(f)
	f.DurationVar(&o.duration, "duration", 5*time.Minute, "stop after this `time` at the latest; 0 for no limit")
	f.Uint64Var(&o.execs, "execs", 0, "stop after this `number` of runs; 0 for no limit")
	f.Uint64Var(&o.seed, "seed", 0, "the `number` that all randomness comes from (default: a random one, printed)")
	f.Float64Var(&o.confidence, "confidence", 0.0005, "stop when the `chance` that one more run shows a new syscall is below (95 %); 0 never")
	addJobs(f, &o.jobs, "this `number` of runs at a time")
	f.StringSliceVar(&o.only, "only", nil, "vary nothing but these `parts`, to measure what each is worth: "+strings.Join(fuzz.Dimensions(), ", "))
	f.BoolVar(&o.directed, "directed", true, "aim runs at what the code of the program can reach and no run has shown, as soon as it is analyzed beside the first runs")
	f.BoolVar(&o.resume, "resume", false, "go on from a finished session's scenarios instead of starting anew")
	f.StringVar(&o.sync, "sync", "", "share what is found with the other sessions on this program that use the same `directory`, on any machine")
	f.StringVar(&o.instance, "instance", "", "the `name` of this session in the directory of --sync (default: host and process)")
	f.BoolVar(&o.quiet, "quiet", false, "show errors and warnings only")
	f.BoolVar(&o.asJSON, "json", false, "write the result as JSON to standard output")
	f.StringArrayVar(&o.workloads, "workload", nil, "first run this shell `command`, such as a test suite, outside of the cage, and record the program wherever it starts it")
	f.StringVarP(&o.file, "file", "c", "", "learn what this scenario `file` says, see docs/scenario.md; flags and a PROGRAM win over it")
	return c
}

func runLearn(ctx context.Context, c *cobra.Command, o learnOptions, args []string) error {
	v := voiceOf(c, o.quiet)
	policyOptions, err := o.policyFlags.options()
	if err != nil {
		return usage(c, err)
	}
	if err := checkJobs(o.jobs); err != nil {
		return usage(c, err)
	}
	for _, part := range o.only {
		if !slices.Contains(fuzz.Dimensions(), part) {
			return usage(c, fmt.Errorf("--only %s: there are %s", part, strings.Join(fuzz.Dimensions(), ", ")))
		}
	}
	if !c.Flags().Changed("seed") {
		o.seed = rand.Uint64N(1 << 32)
	}
	if o.update != "" {
		if o.output != "" {
			return usage(c, errors.New("--update writes to the profile that it names; leave out -o"))
		}
		o.output, o.resume = o.update, true
	}
	if o.output == "" {
		o.output = defaultProfile(args[0])
	}
	if o.output == "-" && o.asJSON {
		return usage(c, errors.New("--json and -o - both write to standard output"))
	}
	if o.instance != "" && o.sync == "" {
		return usage(c, errors.New("--instance is of use with --sync only"))
	}
	s, err := o.session(args)
	if err != nil {
		return err
	}
	out, err := outputTo(c, o.output)
	if err != nil {
		return err
	}
	encode, err := policyWriter(o.output)
	if err != nil {
		return err
	}
	pack, imported, skipped, err := o.readSeeds(ctx, filepath.Base(s.path))
	if err != nil {
		return err
	}
	inputs, err := o.inputFlags.read()
	if err != nil {
		return err
	}
	target, err := identify(s.path)
	if err != nil {
		return err
	}
	if s.runs.backend, err = o.backend.choose(v); err != nil {
		return err
	}
	if done, err := s.admit(ctx, c, v, o.backend); done || err != nil {
		return err
	}
	for _, s := range skipped {
		v.warn("%s", s)
	}
	shown, err := s.workloads(ctx, v, target, o.workloads, policyOptions.Args != synth.ArgsOff)
	if err != nil {
		return err
	}
	rec, err := s.runs.backend.open(recording{slots: o.jobs, notice: true, details: details{program: s.path, sites: true, args: policyOptions.Args != synth.ArgsOff}})
	if err != nil {
		return err
	}
	defer rec.Close()
	if err := ownState(s); err != nil {
		return err
	}
	renewal, err := o.renewFlags.begin(c, s.runs.state, &policyOptions)
	if err != nil {
		return err
	}
	state, unlock, err := openState(v, s.runs.state, o.resume)
	if err != nil {
		return err
	}
	defer unlock()
	share, err := o.share()
	if err != nil {
		return err
	}
	if o.noCage {
		v.warn("no cage: the target runs in this very system and can change and destroy things")
	}
	v.say("asking %s what it understands", args[0])
	found, ranked, err := s.study(ctx, pack)
	if err != nil {
		return err
	}
	found.Dictionary = append(found.Dictionary, inputs.dictionary...)
	if o.seeds == "" {
		ranked = append(ranked, corpora.Large())
	}
	seeds := make([]fuzz.Seed, len(ranked))
	for i, r := range ranked {
		seeds[i] = fuzz.Seed{Name: r.Name, File: corpora.FileName(r.Format), Data: r.Data}
	}
	if len(imported) > 0 {
		v.say("trying %d scenarios of other sessions from %s", len(imported), o.seeds)
	}
	if len(s.doors) > 0 {
		v.say("%s is a service, at %s: talking to it", args[0], told(s.doors))
	}
	v.say("learning %s: %d options, %d sub-commands, %d seeds, %d jobs, seed %d", args[0],
		len(found.Table.Options), len(found.Table.Commands), len(seeds), o.jobs, o.seed)

	progress := newProgress(v)
	s.code = new(coverage.Map)
	var g *guide
	if o.directed {
		g = &guide{path: s.path, files: map[string]string{}}
	}
	outcome, err := fuzz.Run(ctx, fuzz.Options{
		Bases: s.bases(), Imported: imported, Seeds: seeds,
		Table: found.Table, Dictionary: found.Dictionary, Aims: g.aims(), EnvNames: found.EnvNames, Can: s.can, Talks: s.talks,
		Workers: o.jobs, Seed: o.seed, Execs: o.execs, Duration: o.duration, Confidence: o.confidence,
		Only: o.only, Fixed: s.fixed, Progress: progress.show, Settled: rec.settle,
		State: state, Share: share, Evidence: evidenceOf(target, s.runs.backend),
		Aside:      func() ([]sysno.ID, trace.Lost) { return rec.Seen(), rec.Lost() },
		NewMutator: inputs.mutators(ctx),
		NewExecutor: func(worker int) (fuzz.Executor, error) {
			e, _, err := s.executor(rec, worker)
			if err != nil {
				return nil, err
			}
			if worker == 0 {
				for _, w := range e.Warnings() {
					v.warn("%s", w)
				}
			}
			return e, nil
		},
	})
	progress.end()
	if err != nil {
		return runError(err, args[0])
	}
	if outcome.Unshared != nil {
		v.warn("not all was shared: %v", outcome.Unshared)
	}
	if outcome.Stop == fuzz.StopInterrupted {
		return hinted(errors.New("interrupted; no profile was written"), "the same command goes on where this one stopped")
	}
	evidence := &trace.Trace{
		Target: target, Arch: sysno.Native(), Kernel: kernelRelease(), AtLeast: rec.atLeast(),
		Runs: outcome.Stats.Runs, CleanRuns: outcome.Stats.CleanRuns,
		Observations: complete(outcome.Observations, rec.Seen()), Lost: rec.Lost().Plus(outcome.LostBefore),
	}
	if err := rec.describe(evidence); err != nil {
		return fmt.Errorf("describe what was recorded: %w", err)
	}
	forgetDetails(evidence, outcome.Before)
	if err := rec.Close(); err != nil {
		return fmt.Errorf("close the recorder: %w", err)
	}
	if evidence, err = united(evidence, shown); err != nil {
		return err
	}
	if err := o.policyFlags.reach(ctx, v, evidence, &policyOptions); err != nil {
		return err
	}
	reach := policyOptions.Reach
	if reach == nil { // what is not known is not told of; it is no reason to fail
		reach, _ = reachOf(ctx, target.Path, reachOptions(evidence), true)
	}
	g.explainShort(v, reach, evidence, s.code)
	if err := keepReach(state.Dir(), reach); err != nil {
		return err
	}
	policy, check, err := prove(ctx, v, s, state, evidence, policyOptions, renewal)
	if err != nil {
		return err
	}
	changed := true
	if renewal != nil {
		if changed, err = renewal.finish(v, policy, evidence); err != nil {
			return err
		}
	}
	if changed {
		if err := out.write(func(w io.Writer) error { return encode(w, policy) }); err != nil {
			return fmt.Errorf("write the profile: %w", err)
		}
	}
	r := learned{outcome, evidence, policy, check, o.output, state.Dir(), changed, reach, recommended(evidence, reach, outcome.Stats.Chance), s.doors}
	if err := (output{path: filepath.Join(state.Dir(), summaryName)}).write(r.summary().encode); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	// The last of all: with evidence the session is finished, and the next one starts anew.
	err = output{path: filepath.Join(state.Dir(), evidenceName)}.write(func(w io.Writer) error { return trace.Encode(w, evidence) })
	if err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	warnings(v, policy)
	spared(v, policy, policyOptions)
	if o.asJSON {
		if err := r.summary().encode(c.OutOrStdout()); err != nil {
			return err
		}
	} else {
		r.text(v, args[0])
	}
	if renewal != nil {
		return renewal.tell(v)
	}
	return nil
}

// readSeeds reads --seeds, or picks from the built-in pack by the target's name. What
// sessions have stored there is imported too, as more than its inputs.
func (o *learnOptions) readSeeds(ctx context.Context, program string) (seeds []corpora.Seed, imported []fuzz.Scenario, skipped []string, err error) {
	if o.seeds == "" {
		return corpora.For(program), nil, nil, nil
	}
	seeds, others, err := seedsOf(ctx, o.seeds)
	if err != nil && !errors.Is(err, corpora.ErrNoSeeds) {
		return nil, nil, nil, err
	}
	if st, e := os.Stat(o.seeds); e == nil && st.IsDir() {
		var bad []error
		if imported, bad, e = fuzz.Import(o.seeds); e != nil {
			return nil, nil, nil, hinted(e, "--seeds takes a directory of sample inputs")
		}
		for _, b := range bad {
			skipped = append(skipped, b.Error())
		}
	}
	if err != nil && len(imported) == 0 {
		return nil, nil, nil, hinted(err, "put sample inputs there, or leave --seeds out to use the built-in ones")
	}
	for _, s := range others {
		skipped = append(skipped, fmt.Sprintf("%s: %s; not a seed", s.Path, s.Why))
	}
	return seeds, imported, skipped, nil
}

// share opens the directory of --sync, nil without one.
func (o *learnOptions) share() (*fuzz.Share, error) {
	if o.sync == "" {
		return nil, nil
	}
	name := o.instance
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, hinted(err, "name this session with --instance")
		}
		name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	share, err := fuzz.OpenShare(o.sync, name)
	if err != nil {
		return nil, hinted(err, "--sync takes a directory that this user can write to, --instance a name without slashes")
	}
	return share, nil
}

// ownState refuses a state directory that holds the evidence on another program.
func ownState(s *session) error {
	path := filepath.Join(s.runs.state, evidenceName)
	if !exists(path) {
		return nil
	}
	t, err := loadEvidence(path)
	if err != nil {
		return hinted(err, "remove the file, or choose another place with --state")
	}
	if real, err := filepath.EvalSymlinks(s.path); err == nil && real != t.Target.Path {
		return hinted(fmt.Errorf("%s holds what was learned of %s", s.runs.state, t.Target.Path), "name the state directory of %s with --state", s.path)
	}
	return nil
}

// evidenceOf names what runs are evidence of. Sessions go on with each other's numbers
// where it is the same.
func evidenceOf(t trace.Target, b backend) string {
	return fmt.Sprintf("%s %s %v on %s by %s", t.Path, t.SHA256, t.Libraries, kernelRelease(), b)
}

// openState opens the state directory. What an interrupted session left there is
// gone on from; a finished session has its evidence there, and starts anew.
func openState(v voice, dir string, resume bool) (_ *fuzz.State, unlock func() error, err error) {
	state, err := fuzz.OpenState(dir)
	if err != nil {
		return nil, nil, hinted(err, "choose another place with --state")
	}
	if unlock, err = state.Lock(); err != nil {
		return nil, nil, hinted(err, "choose another place with --state; sessions share what they find with --sync")
	}
	defer func() {
		if err != nil {
			_ = unlock()
		}
	}()
	if err := atomicfile.Writable(filepath.Join(dir, evidenceName)); err != nil {
		return nil, nil, hinted(fmt.Errorf("the evidence cannot be written: %w", err), "choose another place with --state")
	}
	finished := exists(filepath.Join(dir, evidenceName))
	if finished && !resume {
		if err := state.Clear(); err != nil {
			return nil, nil, err
		}
	}
	if finished {
		// From here on the session counts as unfinished.
		return state, unlock, os.Remove(filepath.Join(dir, evidenceName))
	}
	if left, err := state.List(fuzz.Queue); err != nil {
		return nil, nil, hinted(err, "remove the file, or the whole of %s", dir)
	} else if len(left) > 0 {
		v.say("going on from %d scenarios that an interrupted session left in %s", len(left), dir)
	}
	return state, unlock, nil
}

// complete adds what the recorder saw outside of every run, if anything.
func complete(obs []trace.Observation, seen []sysno.ID) []trace.Observation {
	for _, id := range seen {
		if !slices.ContainsFunc(obs, func(o trace.Observation) bool { return o.ID == id }) {
			obs = append(obs, trace.Observation{ID: id})
		}
	}
	slices.SortFunc(obs, func(a, b trace.Observation) int { return a.ID.Compare(b.ID) })
	return obs
}

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
