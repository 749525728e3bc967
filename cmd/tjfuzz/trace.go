package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/early"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

type traceOptions struct {
	output  string
	quiet   bool
	json    bool
	backend backend
	details
	running runningFlags
}

func newTrace() *cobra.Command {
	var o traceOptions
	c := &cobra.Command{
		Use:   "trace [flags] { -- PROGRAM [ARGS...] | --pid N | --cgroup PATH | --unit NAME | --container NAME }",
		Short: "Record the syscalls of a program that it runs once, or of what runs already",
		Long: `Run a program once, in the world as it is, with your terminal and your files,
and record every syscall of the program and of all that it starts. The result is
evidence, from which 'tjfuzz generate' makes a profile. It goes on until what the
program has left in the background has ended, too, or an interrupt comes. The exit
code is the program's own, or 3 if the recording is incomplete.

Or record what runs already, until it has ended, until --duration is over, or until
an interrupt: then too the evidence is written. A process is recorded with all that
descends from it, a cgroup, unit or container with all that runs in it now or is
executed in it later. tjfuzz itself is never recorded. Several recordings go on at
once; -o is then a directory. A recording counts as one run, and as one that ended
well: what served before and after it did not crash. It has none of what the program
does when it starts: unite it with a recording of that (see 'tjfuzz merge').`,
		Example: `  # what does this invocation call?
  tjfuzz trace -- ls -l

  # evidence of a session, then a profile
  tjfuzz trace -o session.json -- ./server --config dev.conf
  tjfuzz generate -o server.seccomp.json session.json

  # ten minutes of a service, and of two processes at once
  tjfuzz trace --unit nginx --duration 10m -o nginx.json
  tjfuzz trace --pid 1203 --pid 1377 -o evidence/

  # a container, until ^C
  tjfuzz trace --container web -o web.json`,
		Args: func(c *cobra.Command, args []string) error { return o.running.check(c, o, args) },
		RunE: func(c *cobra.Command, args []string) error {
			if o.running.any() {
				return runRunning(c, o)
			}
			return runTrace(c, o, args)
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVarP(&o.output, "output", "o", "", "write the evidence to this `file`, - for standard output, or a directory for several recordings (default: list the syscalls on standard error)")
	o.backend.add(c.Flags())
	o.details.add(c.Flags())
	o.running.add(c)
	c.Flags().BoolVar(&o.json, "json", false, "list the syscalls of what runs as JSON")
	c.Flags().BoolVar(&o.quiet, "quiet", false, "show errors only")
	return c
}

func runTrace(c *cobra.Command, o traceOptions, args []string) error {
	v := voiceOf(c, o.quiet)
	path, err := resolve(args[0])
	if err != nil {
		return err
	}
	var out output
	if o.output != "" {
		if out, err = outputTo(c, o.output); err != nil {
			return err
		}
	}
	target, err := identify(path)
	if err != nil {
		return err
	}
	o.details.program = path
	if o.backend, err = o.backend.choose(v); err != nil {
		return err
	}
	rec, err := o.backend.open(recording{slots: 1, details: o.details})
	if err != nil {
		return err
	}
	defer rec.Close()
	cmd := early.AsIs(args, path)
	cmd.Adopt = true
	cmd.Watch = func() (enforce.Watcher, error) {
		return rec.launcher(0)
	}
	if !rec.needed() {
		cmd.Linger = func() {
			v.say("the program left processes behind; recording until they end or an interrupt comes")
		}
	}
	status, err := enforce.Run(c.Context(), cmd)
	if err != nil {
		return runError(err, args[0])
	}
	if status.Left {
		if rec.needed() {
			v.say("the program left processes behind, which cannot do without the recorder; recording until they end")
			rec.linger(c.Context())
			status.Seen = rec.Seen()
		} else {
			v.warn("the program left processes behind; what they do from now on is not recorded")
		}
	}
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = fuzz.Quote(a)
	}
	t := &trace.Trace{Target: target, Arch: sysno.Native(), Kernel: kernelRelease(), Runs: 1, Lost: rec.Lost()}
	if !status.Signaled() {
		t.CleanRuns = 1
	}
	if status.Left && o.backend == backendPtrace {
		t.Lost.Tasks++ // at least: nobody has chosen to end the recording here
	}
	for _, id := range status.Seen {
		t.Observations = append(t.Observations, trace.Observation{
			ID: id, Runs: 1, CleanRuns: t.CleanRuns,
			Witness: trace.Witness{Command: strings.Join(words, " ")},
		})
	}
	if err := rec.describe(t); err != nil {
		return fmt.Errorf("describe what was recorded: %w", err)
	}
	if o.output != "" {
		if err := out.write(func(w io.Writer) error { return trace.Encode(w, t) }); err != nil {
			return fmt.Errorf("write the evidence: %w", err)
		}
	} else {
		v.say("%d syscalls: %s", len(status.Seen), names(status.Seen))
	}
	if !t.Lost.Complete() {
		return &failure{err: errors.New("the recording is incomplete"), code: exitIncomplete,
			hint: o.backend.mend()}
	}
	return ended(status.WaitStatus)
}

// names lists syscalls for people.
func names(ids []sysno.ID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = id.String()
	}
	return strings.Join(words, " ")
}
