package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/corpora"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/campaign"
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
	shard      string // as given
	part       fuzz.Shard
	quiet      bool
	asJSON     bool
	workloads  []string // commands
	configs    []string // paths of configurations
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

  # the same bytes every time, if the program does the same every time
  tjfuzz learn --seed 1 --execs 5000 --jobs 1 -- xmllint @@

  # in CI: exit with 4 if the program needs another policy now, and say why
  tjfuzz learn --update jq.seccomp.json --summary changes.md --duration 60s -- jq .

  # what its own tests show, too
  tjfuzz learn --workload 'make test' -- ./target

  # on one of four machines; see 'tjfuzz merge --help' for what is done then
  tjfuzz learn --shard 1/4 -- ./target

  # what a file says, as in CI; 'tjfuzz init' writes one
  tjfuzz learn -c tjfuzz.yaml

  # a service: nothing has to be said about it
  tjfuzz learn -- nginx -g 'daemon off;'

  # a service by what its configuration can say
  tjfuzz learn --config /etc/redis/redis.conf -- redis-server /etc/redis/redis.conf

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
				if o.update == "" {
					o.output = cmp.Or(o.output, o.campaign.Output)
				}
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
	f.Uint64Var(&o.seed, "seed", 0, "the `number` that all randomness comes from (default: a random one, printed); sessions with the same differ where the program itself does, as by its threads' timing")
	f.Float64Var(&o.confidence, "confidence", 0.0005, "stop when the `chance` that one more run shows a new syscall is below (95 %); 0 never")
	addJobs(f, &o.jobs, "this `number` of runs at a time")
	f.StringSliceVar(&o.only, "only", nil, "vary nothing but these `parts`, to measure what each is worth: "+strings.Join(fuzz.Dimensions(), ", "))
	f.BoolVar(&o.directed, "directed", true, "aim runs at what the code of the program can reach and no run has shown, as soon as it is analyzed beside the first runs")
	f.BoolVar(&o.resume, "resume", false, "go on from a finished session's scenarios instead of starting anew")
	f.StringVar(&o.sync, "sync", "", "share what is found with the other sessions on this program that use the same `directory`, on any machine")
	f.StringVar(&o.instance, "instance", "", "the `name` of this session in the directory of --sync (default: host and process)")
	f.StringVar(&o.shard, "shard", "", "make the `part` I of N of the planned runs, as I/N, and draws of its own; I counts from 0 or from 1. Then 'tjfuzz merge --state' unites the parts")
	f.BoolVar(&o.quiet, "quiet", false, "show errors and warnings only")
	f.BoolVar(&o.asJSON, "json", false, "write what happens and, at last, the result as JSON to standard output, an object a line; see docs/formats.md")
	f.StringArrayVar(&o.configs, "config", nil, "change this configuration `file`, too, a directive at a time, where the program finds it; '' for none (default: what looks like one on the command line, or else what a service's own file names in a directory in /etc)")
	f.StringArrayVar(&o.workloads, "workload", nil, "first run this shell `command`, such as a test suite, outside of the cage, and record the program wherever it starts it")
	f.StringVarP(&o.file, "file", "c", "", "learn what this scenario `file` says, see docs/scenario.md; flags and a PROGRAM win over it")
	return c
}

func runLearn(ctx context.Context, c *cobra.Command, o learnOptions, args []string) error {
	l := &learning{learnOptions: o, c: c, v: voiceOf(c, o.quiet), args: args}
	if err := l.check(); err != nil {
		return err
	}
	defer l.close()
	if done, err := l.begin(ctx); done || err != nil {
		return err
	}
	outcome, err := l.fuzz(ctx)
	if err != nil {
		return err
	}
	return l.conclude(ctx, outcome)
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
