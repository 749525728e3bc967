package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

type enforceOptions struct {
	policies []string
	words    wordFlags
	show     showFlags
	launch   launchFlags
	quiet    bool
}

func newEnforce() *cobra.Command {
	var o enforceOptions
	c := &cobra.Command{
		Use:   "enforce [flags] -- PROGRAM [ARGS...]",
		Short: "Run a program under a policy and show what the policy refuses",
		Long: `Run a program under a policy. Every call that the policy refuses is shown with
its arguments, the process and what in the policy decided. The exit code is the
program's own.

No syscall is made between the load of the filter and the program's execve, so
the policy needs nothing but what the program itself needs. Showing refused
calls needs the rights to load eBPF programs; without them the policy is applied
all the same.

Flags such as --allow and --errno say what happens to single calls; they win over
the policy, and of two flags the later one. Several policies hold at once: of what
they say of a call, the strictest counts.`,
		Example: `  # under PROGRAM.seccomp.json in this directory, as learn wrote it
  tjfuzz enforce -- jq . data.json

  # under any OCI profile, or a policy that people wrote
  tjfuzz enforce --policy docker-default.json -- ./server
  tjfuzz enforce --policy server.yaml -- ./server

  # what if? network calls fail, but for sockets within the machine, and ptrace kills
  tjfuzz enforce --errno '@network-io,!socket' --errno 'EACCES:socket{domain: AF_INET}' --kill ptrace -- ./server

  # no profile at all, two calls that fail
  tjfuzz enforce --policy none --default allow --errno ENOSYS:clone3,io_uring_setup -- ./server

  # what the rules come to; the filter; what becomes of a call
  tjfuzz enforce --allow ptrace --print -- jq >jq.yaml
  tjfuzz enforce --dump -- jq
  tjfuzz enforce --simulate 'openat(AT_FDCWD, ..., O_WRONLY|O_CREAT)' -- jq`,
		Args: func(c *cobra.Command, args []string) error {
			if err := o.show.check(); err != nil {
				return usage(c, err)
			}
			if len(args) == 0 && o.show.any() && len(o.policies) > 0 {
				return nil
			}
			return targetArgs(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error { return runEnforce(c, o, args) },
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringArrayVar(&o.policies, "policy", nil, "the OCI `profile`, or policy in YAML, to apply; may be repeated; none for no file (default PROGRAM.seccomp.json)")
	o.words.add(c.Flags())
	o.show.add(c)
	o.launch.add(c.Flags())
	c.Flags().BoolVar(&o.quiet, "quiet", false, "show errors only")
	return c
}

func runEnforce(c *cobra.Command, o enforceOptions, args []string) error {
	v := voiceOf(c, o.quiet)
	program, prog := "", ""
	if len(args) > 0 {
		program = args[0]
	}
	if !o.show.any() {
		var err error
		if prog, err = resolve(program); err != nil {
			return err
		}
	}
	names, policies, err := o.words.policies(o.policies, program)
	if err != nil {
		return err
	}
	if o.show.any() {
		return o.show.run(c.OutOrStdout(), names, policies)
	}
	for i, p := range policies {
		if err := answered(p); err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
	}
	code, err := compileStack(names, policies)
	if err != nil {
		return err
	}
	cmd := commandAsIs(args, prog)
	if err := o.launch.apply(&cmd, prog); err != nil {
		return err
	}
	if rights := enforce.Forfeits(prog); rights != "" && !cmd.Unprivileged {
		v.warn("%s has rights by %s; under a policy it runs without them (no_new_privs), unless root starts it", args[0], rights)
	}
	cmd.Filter = code.Bytes()

	report := enforce.NewReport(policies...)
	watch, finish, err := watchDenials(v, policies, report)
	if err != nil {
		return err
	}
	records, known := kernelRecords("log")
	for _, p := range policies {
		if err := audible(p, watch != nil, records, known); err != nil {
			finish()
			return err
		}
	}
	cmd.Watch = watch
	status, err := enforce.Run(cmd)
	lost := finish()
	if err != nil {
		return runError(err, args[0])
	}
	if s := report.Summary(); s != "" {
		v.say("%s; %s", s, enforce.Describe(status.WaitStatus))
		v.hint("if the program was right to call it: tjfuzz learn --resume -- %s, on inputs that lead there", fuzz.Quote(args[0]))
	}
	if lost > 0 {
		v.warn("%d refused calls could not be shown", lost)
	}
	return ended(status.WaitStatus)
}

// commandAsIs is a program, found at path, to run as if no tjfuzz stood in between.
func commandAsIs(args []string, path string) enforce.Command {
	c := enforce.Command{Path: executable(args[0], path), Argv: args, Env: os.Environ()}
	if files, ignored, ok := filter.Inherited(); ok {
		c.Files, c.Ignored = files, ignored
	}
	return c
}

// answered refuses a policy that asks somebody who is not there. A tracer of tjfuzz may
// trace the program too.
func answered(p *synth.Policy) error {
	for _, a := range p.Listeners() {
		if a == synth.Notify || a == synth.Trace && !traced() {
			return hinted(fmt.Errorf("the profile uses %v, and nobody would answer", a), "replace %v by an action that the kernel carries out by itself", a)
		}
	}
	return nil
}

// traced reports whether somebody traces this process.
func traced() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && !bytes.Contains(status, []byte("\nTracerPid:\t0\n"))
}

// compile turns the policy into a filter that was checked against it.
func compile(p *synth.Policy) ([]byte, error) {
	if err := answered(p); err != nil {
		return nil, err
	}
	prog, err := filter.Compile(p)
	if err != nil {
		return nil, err
	}
	if err := filter.Check(prog, p); err != nil {
		return nil, fmt.Errorf("the compiled filter does not do what the policy says: %w", err)
	}
	return prog.Bytes(), nil
}

// watchDenials arranges that refused calls are reported. finish waits for the
// last of them and returns how many were lost. Without the rights it says so and
// watches nothing.
func watchDenials(v voice, policies synth.Stack, report *enforce.Report) (watch func() (enforce.Watcher, error), finish func() uint64, err error) {
	rec, err := rawtp.Open(rawtp.Options{Slots: 1, Denials: true, Events: true})
	var pre *rawtp.PreflightError
	if errors.As(err, &pre) {
		v.say("refused calls are not shown: %s", pre.Missing)
		v.hint("%s", pre.Mend)
		return nil, func() uint64 { return 0 }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var events sync.WaitGroup
	shown := map[likeness]bool{}
	events.Go(func() {
		_ = rec.Events(ctx, func(e rawtp.Event) {
			if verdict, _ := policies.Decide(e.ID, e.Args); e.Kind == rawtp.FirstSeen && verdict.Action != synth.Log {
				return
			}
			line := report.Add(denial(e))
			if key := (likeness{e.Kind, e.ID, e.PID, e.Args}); !shown[key] {
				shown[key] = true
				v.say("%s", line)
			}
		})
	})
	watch = func() (enforce.Watcher, error) {
		slot, err := rec.Launcher(0)
		if err != nil {
			return nil, err
		}
		return ofSlot{slot}, nil
	}
	return watch, func() uint64 {
		cancel()
		events.Wait()
		// An event tells of the first of many equal calls; the table has the counts.
		if all, err := rec.Denials(); err == nil {
			for _, e := range all {
				if e.Count > 1 {
					e.Count--
					report.Add(denial(e))
				}
			}
		}
		_ = rec.Close()
		d := rec.Dropped()
		return d.Events + d.Denials
	}, nil
}

// likeness is what makes two refused calls the same for a reader.
type likeness struct {
	kind rawtp.Kind
	id   sysno.ID
	pid  int
	args [6]uint64
}

func denial(e rawtp.Event) enforce.Denial {
	d := enforce.Denial{ID: e.ID, Args: e.Args, PID: e.PID, TID: e.TID, Comm: e.Comm, Count: e.Count}
	for _, t := range e.Texts {
		d.Texts = append(d.Texts, enforce.Text(t))
	}
	return d
}
