package main

import (
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
	"github.com/tjfuzz/tjfuzz/fuzz/mine"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// learning is a session of learn: what it was asked for, and what it works with once it
// has begun.
type learning struct {
	learnOptions
	c    *cobra.Command
	v    voice
	args []string

	policy  synth.Options
	s       *session
	out     output
	encode  func(io.Writer, *synth.Policy) error
	target  trace.Target
	shown   []*trace.Trace // by workloads
	rec     recorder
	renewal *renewal // nil without --update
	state   *fuzz.State
	unlock  func() error
	shared  *fuzz.Share // nil without --sync
	inputs  inputs
	found   mine.Found
	initial []fuzz.Seed
	others  []fuzz.Scenario // of other sessions
	guide   *guide          // nil where runs are not aimed
	events  *events         // nil without --json
	left    time.Duration   // for runs, of --duration
}

// check refuses flags that do not go together, and fills in what they leave open.
func (l *learning) check() (err error) {
	if l.policy, err = l.policyFlags.options(); err != nil {
		return usage(l.c, err)
	}
	if err := checkJobs(l.jobs); err != nil {
		return usage(l.c, err)
	}
	for _, part := range l.only {
		if !slices.Contains(fuzz.Dimensions(), part) {
			return usage(l.c, fmt.Errorf("--only %s: there are %s", part, strings.Join(fuzz.Dimensions(), ", ")))
		}
	}
	if !l.c.Flags().Changed("seed") {
		l.seed = rand.Uint64N(1 << 32)
	}
	if l.update != "" {
		if l.output != "" {
			return usage(l.c, errors.New("--update writes to the profile that it names; leave out -o"))
		}
		l.output, l.resume = l.update, true
	}
	if l.shard != "" {
		if err := l.beShard(l.c, l.args[0]); err != nil {
			return err
		}
	} else if l.output == "" {
		l.output = defaultProfile(l.args[0])
	}
	if l.output == "-" && l.asJSON {
		return usage(l.c, errors.New("--json and -o - both write to standard output"))
	}
	if l.instance != "" && l.sync == "" {
		return usage(l.c, errors.New("--instance is of use with --sync only"))
	}
	return nil
}

func (l *learning) close() {
	if l.rec != nil {
		l.rec.Close()
	}
	if l.unlock != nil {
		_ = l.unlock()
	}
}

// begin opens all that the session works with, before any run is made. done says that
// nothing is left to do.
func (l *learning) begin(ctx context.Context) (done bool, err error) {
	if l.s, err = l.session(l.args); err != nil {
		return false, err
	}
	if l.output != "" {
		if l.out, err = outputTo(l.c, l.output); err != nil {
			return false, err
		}
		if l.encode, err = policyWriter(l.output); err != nil {
			return false, err
		}
	}
	pack, imported, skipped, err := l.readSeeds(ctx, filepath.Base(l.s.path))
	if err != nil {
		return false, err
	}
	if l.inputs, err = l.inputFlags.read(); err != nil {
		return false, err
	}
	if l.target, err = identify(l.s.path); err != nil {
		return false, err
	}
	if l.s.runs.backend, err = l.backend.choose(l.v); err != nil {
		return false, err
	}
	if done, err := l.s.admit(ctx, l.c, l.v, l.backend); done || err != nil {
		return done, err
	}
	for _, s := range skipped {
		l.v.warn("%s", s)
	}
	args := l.policy.Args != synth.ArgsOff
	if l.shown, err = l.s.workloads(ctx, l.v, l.target, l.learnOptions.workloads, args); err != nil {
		return false, err
	}
	what := recording{slots: l.jobs, notice: true, details: details{program: l.s.path, sites: true, args: args}}
	if l.rec, err = l.s.runs.backend.open(what); err != nil {
		return false, err
	}
	if err := ownState(l.s); err != nil {
		return false, err
	}
	if l.renewal, err = l.renewFlags.begin(l.c, l.s.runs.state, &l.policy); err != nil {
		return false, err
	}
	if l.state, l.unlock, err = openState(l.v, l.s.runs.state, l.resume); err != nil {
		return false, err
	}
	if l.shared, err = l.share(); err != nil {
		return false, err
	}
	if l.noCage {
		l.v.warn("no cage: the target runs in this very system and can change and destroy things")
	}
	return false, l.ask(ctx, pack, imported)
}

// ask finds out what the target understands, and says what it is learned with.
func (l *learning) ask(ctx context.Context, pack []corpora.Seed, imported []fuzz.Scenario) error {
	l.v.say("asking %s what it understands", l.args[0])
	begun := time.Now()
	if l.duration > 0 {
		l.s.asking = max(l.duration/2, leastAsking)
	}
	found, ranked, err := l.s.study(ctx, pack)
	if err != nil {
		return err
	}
	calls, err := l.s.callSeeds(ctx)
	if err != nil {
		return err
	}
	l.left = remaining(l.duration, time.Since(begun))
	ranked = append(ranked, calls...)
	found.Dictionary = append(found.Dictionary, l.inputs.dictionary...)
	if l.seeds == "" {
		ranked = slices.Concat(ranked, packedFor(&found.Table, ranked), []corpora.Seed{corpora.Large()})
	}
	for _, r := range ranked {
		l.initial = append(l.initial, fuzz.Seed{Name: r.Name, File: corpora.FileName(r.Format), Data: r.Data, Packed: corpora.IsPacked(r.Format)})
	}
	l.found, l.others = found, imported
	if len(imported) > 0 {
		l.v.say("trying %d scenarios of other sessions from %s", len(imported), l.seeds)
	}
	if len(l.s.doors) > 0 {
		l.v.say("%s is a service, at %s: talking to it", l.args[0], told(l.s.doors))
	}
	if l.s.complained != "" {
		l.v.say("%s, as it was called, ends with %s", l.args[0], l.s.complained)
		l.v.hint("if it lacks something, give it: tjfuzz learn -- %s ...", fuzz.Quote(l.args[0]))
	}
	if l.s.refused {
		l.v.say("%s takes none of the seeds", l.args[0])
		l.v.hint("%s", feeding)
	}
	if l.asJSON {
		l.events = newEvents(l.c.OutOrStdout())
		l.events.begin(l)
	}
	if len(l.s.guessed) > 0 {
		l.v.say("changing %s, too, a directive at a time; --config '' leaves it as it is", toldFiles(l.s.guessed))
	}
	l.v.say("learning %s: %d options, %d sub-commands, %d seeds, %d jobs, seed %d", l.args[0],
		len(found.Table.Options), len(found.Table.Commands), len(l.initial), l.jobs, l.seed)
	return nil
}

// packedFor are seeds that hold files, of formats that no seed has, where an option speaks of such.
func packedFor(t *mutate.Table, seeds []corpora.Seed) []corpora.Seed {
	if !slices.ContainsFunc(t.Options, func(o mutate.Option) bool { return o.Speaks(mutate.TopicPacked) }) {
		return nil
	}
	return slices.DeleteFunc(corpora.Packed(), func(p corpora.Seed) bool {
		return slices.ContainsFunc(seeds, func(s corpora.Seed) bool { return s.Format == p.Format })
	})
}

// leastAsking is for asking, however short a session is: without options there is little to vary.
const leastAsking = 5 * time.Second

// remaining is the time for runs when asking has taken some of it: at least half, and 0, which is no limit, only of 0.
func remaining(duration, asking time.Duration) time.Duration {
	return max(duration-asking, (duration+1)/2)
}

// fuzz makes the runs.
func (l *learning) fuzz(ctx context.Context) (*fuzz.Outcome, error) {
	watching, v := l.watched()
	l.s.code = new(coverage.Map)
	if l.directed {
		l.guide = &guide{path: l.s.path, files: map[string]string{}}
	}
	outcome, err := fuzz.Run(ctx, fuzz.Options{
		Bases: l.s.bases(), Imported: l.others, Seeds: l.initial,
		Table: l.found.Table, Dictionary: l.found.Dictionary, Aims: l.guide.aims(), EnvNames: l.found.EnvNames, Can: l.s.can, Talks: l.s.talks, Commands: l.s.verbTalks,
		Configs: l.s.confs, References: l.s.references(), Includable: l.s.includable(),
		Workers: l.jobs, Shard: l.part, Seed: l.seed, Execs: l.execs, Duration: l.left, Confidence: l.confidence,
		Only: l.only, Fixed: l.s.fixed, Progress: watching.show, Settled: l.rec.settle,
		State: l.state, Share: l.shared, Evidence: evidenceOf(l.target, l.s.runs.backend), Subject: l.subject(),
		Aside:      func() ([]sysno.ID, trace.Lost) { return l.rec.Seen(), l.rec.Lost() },
		NewMutator: l.inputs.mutators(ctx),
		NewExecutor: func(worker int) (fuzz.Executor, error) {
			e, _, err := l.s.executor(l.rec, worker)
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
	watching.end()
	if err != nil {
		return nil, runError(err, l.args[0])
	}
	if outcome.Unshared != nil {
		l.v.warn("not all was shared: %v", outcome.Unshared)
	}
	if outcome.Stop == fuzz.StopInterrupted {
		return nil, hinted(errors.New("interrupted; no profile was written"), "the same command goes on where this one stopped")
	}
	return outcome, nil
}

// subject is evidence on the target before any run.
func (l *learning) subject() *trace.Trace {
	return &trace.Trace{Target: l.target, Arch: sysno.Native(), Kernel: kernelRelease(), AtLeast: l.rec.atLeast()}
}

// evidence is what the runs and the workloads have shown. Then the recorder is closed.
func (l *learning) evidence(outcome *fuzz.Outcome) (*trace.Trace, error) {
	t := l.subject()
	t.Runs, t.CleanRuns = outcome.Stats.Runs, outcome.Stats.CleanRuns
	t.Observations, t.Lost = complete(outcome.Observations, l.rec.Seen()), l.rec.Lost().Plus(outcome.LostBefore)
	if err := l.rec.describe(t); err != nil {
		return nil, fmt.Errorf("describe what was recorded: %w", err)
	}
	forgetDetails(t, outcome.Before)
	if err := l.rec.Close(); err != nil {
		return nil, fmt.Errorf("close the recorder: %w", err)
	}
	return united(t, l.shown)
}

// conclude makes the policy of what was found, proves it, writes all, and tells.
func (l *learning) conclude(ctx context.Context, outcome *fuzz.Outcome) error {
	evidence, err := l.evidence(outcome)
	if err != nil {
		return err
	}
	if err := l.policyFlags.reach(ctx, l.v, evidence, &l.policy); err != nil {
		return err
	}
	reach := l.policy.Reach
	if reach == nil { // what is not known is not told of; it is no reason to fail
		reach, _ = reachOf(ctx, l.target.Path, reachOptions(evidence), true)
	}
	l.guide.explainShort(l.v, reach, evidence, l.s.code)
	if err := keepReach(l.state.Dir(), reach); err != nil {
		return err
	}
	policy, check, err := prove(ctx, l.v, l.s, l.state, evidence, l.policy, l.renewal)
	if err != nil {
		return err
	}
	changed := l.output != ""
	if l.renewal != nil {
		if changed, err = l.renewal.finish(l.v, policy, evidence); err != nil {
			return err
		}
	}
	if changed {
		if err := l.out.write(func(w io.Writer) error { return l.encode(w, policy) }); err != nil {
			return fmt.Errorf("write the profile: %w", err)
		}
	}
	r := learned{outcome, evidence, policy, check, l.output, l.state.Dir(), changed, reach, recommended(evidence, reach, outcome.Stats.Chance), l.s.doors, l.s.moved, l.s.inRun(), l.s.refused}
	if err := (output{path: filepath.Join(l.state.Dir(), summaryName)}).write(r.summary().encode); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	// The last of all: with evidence the session is finished, and the next one starts anew.
	err = output{path: filepath.Join(l.state.Dir(), evidenceName)}.write(func(w io.Writer) error { return trace.Encode(w, evidence) })
	if err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	if outcome.Called && !l.s.can.Peers {
		l.v.warn("the target called others over the network and nobody answered, for that takes root and eBPF: what it does with answers is not in the policy")
	}
	warnings(l.v, policy)
	spared(l.v, policy, l.policy)
	if l.events != nil {
		if err := l.events.result(r.summary()); err != nil {
			return err
		}
	} else {
		r.text(l.v, l.args[0])
	}
	if l.renewal != nil {
		return l.renewal.tell(l.v)
	}
	return nil
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
		if err := errors.Join(state.Clear(), os.RemoveAll(filepath.Join(dir, summaryName))); err != nil {
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
