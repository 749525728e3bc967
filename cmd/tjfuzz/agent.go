package main

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/enforce/denial"
	"github.com/tjfuzz/tjfuzz/enforce/notify"
	"github.com/tjfuzz/tjfuzz/synth"
)

type agentOptions struct {
	listen  string
	answers answerFlags
	logFile string
	quiet   bool
}

func newAgent() *cobra.Command {
	var o agentOptions
	c := &cobra.Command{
		Use:   "agent [flags] --listen SOCKET",
		Short: "Answer the calls that containers' profiles hand to user space",
		Long: `Answer the calls that a profile hands to user space (SCMP_ACT_NOTIFY), for
container runtimes and for 'tjfuzz enforce --agent': they connect to the Unix socket
that the profile names as its listenerPath, and hand over the descriptor.

Calls are answered by rules, or by a person at the terminal. To let a call go on
because of a path or an address is no protection against a program that means harm:
it can change what its pointers lead to before the kernel reads it (TOCTOU). To fail a
call, to return a value and to open the file here are.

When the agent ends, calls that wait, and later ones, fail with ENOSYS.`,
		Example: `  # rules.yaml
  #   version: 1
  #   rules:
  #     - {syscall: mkdir, path: /tmp/**, answer: continue}
  #     - {syscall: connect, address: ["127.0.0.0/8:*", "unix:/run/*"], answer: continue}
  #     - {syscall: openat, path: /etc/hosts, answer: open}
  #   otherwise: errno EPERM
  tjfuzz agent --listen /run/tjfuzz.sock --answers rules.yaml

  # ask about everything
  tjfuzz agent --listen /run/tjfuzz.sock --ask`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runAgent(c, o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "", "the Unix `socket` that runtimes connect to, the listenerPath of a profile")
	f.StringVar(&o.answers.file, "answers", "", "the `file` of rules, see docs/denials.md")
	f.BoolVar(&o.answers.ask, "ask", false, "ask at the terminal about every call")
	f.StringVar(&o.logFile, "log-file", "", "also write the answers to this `file`, a line of JSON each")
	f.BoolVar(&o.quiet, "quiet", false, "show errors only")
	return c
}

func runAgent(c *cobra.Command, o agentOptions) error {
	v := voiceOf(c, o.quiet)
	switch {
	case o.listen == "":
		return usage(c, errors.New("--listen names no socket"))
	case o.answers.file == "" && !o.answers.ask:
		return usage(c, errors.New("nothing says what to answer: --answers names a file of rules, --ask asks"))
	case o.answers.file != "" && o.answers.ask:
		return usage(c, errors.New("--answers and --ask are one too many; a rule can say ask"))
	}
	if err := o.answers.read(nil); err != nil {
		return err
	}
	agent, err := o.answers.agent(v)
	if err != nil {
		return err
	}
	var log *os.File
	if o.logFile != "" {
		if log, err = os.OpenFile(o.logFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
			return hinted(err, "choose another place with --log-file")
		}
		defer log.Close()
	}
	l, err := notify.Listen(o.listen)
	if err != nil {
		return hinted(err, "choose another socket with --listen, in a directory that is there")
	}
	defer l.Close()
	v.say("listening on %s", o.listen)
	var (
		mu      sync.Mutex // of what is said
		serving sync.WaitGroup
	)
	serve := func(state notify.Container, fd int) {
		defer closeFD(fd)
		mu.Lock()
		v.say("%q, pid %d: begins", state.State.ID, state.PID)
		mu.Unlock()
		tell := &account{v: v, log: log, report: denial.NewReport(), symbols: nil}
		counts, err := notify.Serve(c.Context(), fd, reading{agent}, func(o notify.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			if !o.Gone {
				tell.tell(tell.report.Answered(o.Call.Event(), synth.Verdict{Action: synth.Notify}, fails(o.Answer), o.Answer.String(), o.Answer.By))
			}
		})
		mu.Lock()
		defer mu.Unlock()
		switch err = errors.Join(err, tell.failed); {
		case err != nil:
			v.warn("%q: %v", state.State.ID, err)
		case c.Context().Err() != nil:
			v.say("%q: left, and its calls fail from now on; %d calls answered, %d callers gone", state.State.ID, counts.Answered, counts.Gone)
		default:
			v.say("%q: ended; %d calls answered, %d callers gone", state.State.ID, counts.Answered, counts.Gone)
		}
	}
	err = notify.Accept(c.Context(), l, func(s notify.Container, fd int) { serving.Go(func() { serve(s, fd) }) }, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		v.warn("%v", err)
	})
	serving.Wait()
	return err
}

// fails reports whether a call that was answered did not take place.
func fails(a notify.Answer) bool {
	return a.Kind == notify.Errno || a.Kind == notify.Kill
}

// reading is an agent that reads what there is to read of a caller while that waits.
type reading struct{ *notify.Agent }

func (r reading) Decide(ctx context.Context, c *notify.Call) (notify.Answer, func(context.Context) notify.Answer) {
	c.Event()
	return r.Agent.Decide(ctx, c)
}
