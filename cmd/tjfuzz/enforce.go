package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/early"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/synth"
)

type enforceOptions struct {
	policies []string
	words    wordFlags
	show     showFlags
	launch   launchFlags
	logs     logFlags
	answers  answerFlags
	quiet    bool
}

// brief reports whether there is nothing to end until the program begins but a start, which a signal does by itself.
func (o *enforceOptions) brief() bool { return o.quiet && o.logs.update == "" }

func newEnforce() *cobra.Command {
	var o enforceOptions
	c := &cobra.Command{
		Use:   "enforce [flags] -- PROGRAM [ARGS...]",
		Short: "Run a program under a policy and show what the policy refuses",
		Long: `Run a program under a policy. Every call that the policy refuses is shown with
its arguments, the process and what in the policy decided. The exit code is the
program's own.

No syscall is made between the load of the filter and the program's execve, so
the policy needs nothing but what the program itself needs. Refused and logged
calls are seen by eBPF; without the rights for that, by the kernel's audit records,
which have no arguments; or by seccomp notification, which needs no rights, and does
not show what a trap or the end of a single thread was for.

Calls that the policy hands to user space (SCMP_ACT_NOTIFY) are answered by rules,
by a person, or by another program; see 'tjfuzz agent --help'.

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

  # all that was refused as lines of JSON, and a policy that allows it
  tjfuzz enforce --log-file denied.jsonl --update server.yaml --yes -- ./server

  # ask at each connection
  tjfuzz enforce --notify connect --ask -- curl https://example.org

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
		PersistentPreRun: func(c *cobra.Command, _ []string) {
			if !o.brief() {
				interruptible(c)
			}
		},
		RunE: func(c *cobra.Command, args []string) error { return runEnforce(c, o, args) },
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringArrayVar(&o.policies, "policy", nil, "the OCI `profile`, or policy in YAML, to apply; may be repeated; none for no file (default PROGRAM.seccomp.json)")
	o.words.add(c.Flags())
	o.show.add(c)
	o.launch.add(c.Flags())
	o.logs.add(c.Flags())
	o.answers.add(c.Flags())
	c.Flags().BoolVar(&o.quiet, "quiet", false, "show errors only, and become the program where nothing is to be seen or answered")
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
		prog, err = lookUp(program)
		if err == nil && !o.quiet { // else what waits for the start need not wait for this
			err = runnable(prog)
		}
		if err != nil {
			return err
		}
	}
	if err := early.Failed(); err != nil {
		return rather(prog, runError(err, program))
	}
	names, policies, err := o.words.policies(o.logs.policies(o.policies), program)
	if err != nil {
		return rather(prog, err)
	}
	if o.show.any() {
		return o.show.run(c.OutOrStdout(), names, policies)
	}
	if err := o.answers.read(policies); err != nil {
		return err
	}
	for i, p := range policies {
		if err := answered(p, o.answers); err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
	}
	code, err := compileStack(names, policies)
	if err != nil {
		return err
	}
	cmd := early.AsIs(args, prog)
	if err := o.launch.apply(&cmd, prog); err != nil {
		return err
	}
	if rights := enforce.Forfeits(prog); rights != "" && !cmd.Unprivileged {
		v.warn("%s has rights by %s; under a policy it runs without them (no_new_privs), unless root starts it", args[0], rights)
	}
	cmd.Filter = code.Bytes()

	acct, err := openAccount(c, v, o.logs, o.answers, policies, prog)
	if err != nil {
		return err
	}
	for _, p := range policies {
		if err := audible(p, acct.sees(), kernelRecords); err != nil {
			return errors.Join(err, acct.abandon())
		}
	}
	if err := acct.prepare(&cmd); err != nil {
		return errors.Join(err, acct.abandon())
	}
	if acct.idle() {
		return rather(prog, runError(enforce.Become(c.Context(), cmd), args[0]))
	}
	if o.brief() { // what is told at the end is to come whole
		interruptible(c)
	}
	status, err := enforce.Run(c.Context(), cmd)
	if err != nil {
		return errors.Join(rather(prog, runError(err, args[0])), acct.abandon())
	}
	if err := acct.close(c, args[0], enforce.Describe(status.WaitStatus)); err != nil {
		return err
	}
	return ended(status.WaitStatus)
}

// answered refuses a policy that asks somebody who is not there. A tracer of tjfuzz may
// trace the program too.
func answered(p *synth.Policy, who answerFlags) error {
	for _, a := range p.Listeners() {
		hint := fmt.Sprintf("replace %v by an action that the kernel carries out by itself", a)
		switch {
		case a == synth.Notify && !who.any():
			hint += "\nenforce answers by itself with --answers FILE or --ask, and through another program with --agent SOCKET"
		case a == synth.Trace && !who.stands && !traced():
			hint += "\nenforce answers in the place of a tracer with --answers FILE or --ask; strace and debuggers that run tjfuzz are asked themselves"
		default:
			continue
		}
		return hinted(fmt.Errorf("the profile uses %v, and nobody would answer", a), "%s", hint)
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
	if err := answered(p, answerFlags{}); err != nil {
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
