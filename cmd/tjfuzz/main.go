// Command tjfuzz derives a seccomp policy for a Linux program by running it on
// inputs that it mutates, proves the policy by replay, and applies it.
//
// This package holds flags, wiring, messages and exit codes; it decides nothing
// that another package could.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// version is set by the linker.
var version = "unknown"

// The exit codes. The target's own passes through enforce and trace.
const (
	exitError      = 1
	exitUsage      = 2
	exitIncomplete = 3
	exitDiffers    = 4
	exitViolation  = 5
)

// failure is an error that knows what to do next and which exit code it means.
type failure struct {
	err  error
	hint string
	code int
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// hinted adds the next step to an error.
func hinted(err error, hint string, args ...any) error {
	return &failure{err: err, hint: fmt.Sprintf(hint, args...), code: exitError}
}

// exitStatus ends the program with the target's exit code and without a message.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// bySignal is added to a signal in the result of run.
const bySignal = 256

func main() {
	code := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if code > bySignal {
		sig := unix.Signal(code - bySignal)
		spawn.Die(sig)
		code = 128 + int(sig)
	}
	os.Exit(code)
}

// run is main without the process around it, so that script tests can call it. It
// returns the exit code, or the signal to die of plus bySignal.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, done := context.WithCancel(context.Background())
	defer done()
	root := newRoot(args)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentPreRun = func(c *cobra.Command, _ []string) { interruptible(c) }
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	var sig enforce.EndedBy
	if errors.As(err, &sig) {
		return bySignal + int(sig)
	}
	if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
		err = hinted(errors.New("interrupted"), "run the same command again; learn goes on where it stopped")
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{err: err, code: exitError}
	}
	fmt.Fprintf(stderr, "tjfuzz: error: %v\n", err)
	for line := range strings.Lines(f.hint) {
		fmt.Fprintf(stderr, "tjfuzz: hint: %s\n", strings.TrimSuffix(line, "\n"))
	}
	return f.code
}

// interruptible lets the signals that end a program end the context of the command; the cause is enforce.EndedBy.
func interruptible(c *cobra.Command) {
	// To ask for a signal that was ignored at the start would end that: a job in the
	// background of a script is not to be interrupted from the terminal.
	var ends []os.Signal
	for _, s := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		if _, ignored, _ := filter.Inherited(); !slices.Contains(ignored, s) {
			ends = append(ends, s)
		}
	}
	if len(ends) == 0 { // Notify without signals means all of them
		return
	}
	ctx, end := context.WithCancelCause(c.Context())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, ends...)
	context.AfterFunc(c.Context(), func() { signal.Stop(signals) })
	go func() {
		select {
		case s := <-signals:
			end(enforce.EndedBy(s.(unix.Signal)))
		case <-ctx.Done():
		}
	}()
	c.SetContext(ctx)
}

// commands make the commands, by their names.
var commands = []struct {
	name string
	make func() *cobra.Command
}{
	{"agent", newAgent}, {"analyze", newAnalyze}, {"convert", newConvert}, {"corpora", newCorpora}, {"daemonset", newDaemonSet}, {"diff", newDiff}, {"doctor", newDoctor},
	{"enforce", newEnforce}, {"explain", newExplain}, {"generate", newGenerate}, {"groups", newGroups}, {"init", newInit}, {"job", newKubeJob},
	{"learn", newLearn}, {"lint", newLint}, {"merge", newMerge}, {"record", newRecord}, {"reduce", newReduce}, {"report", newReport}, {"trace", newTrace},
	{"verify", newVerify}, {"version", newVersion},
}

// newRoot is tjfuzz with the command that the arguments begin with, or else with all:
// what enforce starts waits for as long as it takes to make them.
func newRoot(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "tjfuzz",
		Short: "Learn, prove and apply seccomp policies",
		Long: `tjfuzz derives a seccomp policy for a Linux program: it runs the program on
inputs that it mutates while an eBPF recorder watches every syscall, generates
the smallest policy that keeps the program working, proves it by replay, and
applies it. The program needs no source, no recompilation and no configuration.`,
		Example: `  # learn a policy for ./target, with evidence for every syscall
  tjfuzz learn -- ./target

  # run it under that policy, and see what the policy refuses
  tjfuzz enforce -- ./target --some-option file

  # replay what was learned, under the policy
  tjfuzz verify -- ./target`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(c, fmt.Errorf("there is no command %q", args[0]))
			}
			return nil
		},
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	}
	root.SetVersionTemplate("tjfuzz {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(c, err)
	})
	for _, c := range commands {
		if len(args) > 0 && args[0] == c.name {
			root.CompletionOptions.DisableDefaultCmd = true
			root.AddCommand(c.make())
			return root
		}
	}
	for _, c := range commands {
		root.AddCommand(c.make())
	}
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Example = "  source <(tjfuzz completion bash)"
		}
	}
	return root
}

// ended makes the program end as its target did.
func ended(ws unix.WaitStatus) error {
	switch {
	case ws.Signaled():
		return enforce.EndedBy(ws.Signal())
	case ws.ExitStatus() != 0:
		return exitStatus(ws.ExitStatus())
	}
	return nil
}

func usage(c *cobra.Command, err error) error {
	return &failure{err: err, hint: fmt.Sprintf("see '%s --help'", c.CommandPath()), code: exitUsage}
}

// noArgs refuses arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(c, fmt.Errorf("%q is one argument too many", args[0]))
	}
	return nil
}

// targetArgs demands a program after the flags.
func targetArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage(c, errors.New("no program given; it stands after --"))
	}
	return nil
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  tjfuzz version",
		Args:    noArgs,
		Run:     func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "tjfuzz", version) },
	}
}
