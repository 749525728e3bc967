package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/notify"
	"github.com/tjfuzz/tjfuzz/synth"
)

// answerFlags say who answers the calls that a policy hands to user space.
type answerFlags struct {
	file   string
	ask    bool
	socket string
	rules  *notify.Rules // nil where none of them is given

	// stands says that who answers here stands in for a tracer, too. An agent does not: it was
	// promised the calls of SCMP_ACT_NOTIFY. A tracer that is there is asked itself.
	stands bool
}

func (a *answerFlags) add(f *pflag.FlagSet) {
	f.StringVar(&a.file, "answers", "", "answer the calls that the policy hands over (notify, trace) by the rules in this `file`, see docs/denials.md")
	f.BoolVar(&a.ask, "ask", false, "ask at the terminal about calls that the policy hands over, and for which no rule says otherwise")
	f.StringVar(&a.socket, "agent", "", "let the program that listens on this Unix `socket` answer them, as a container runtime does (listenerPath)")
}

// any reports whether somebody answers.
func (a *answerFlags) any() bool { return a.rules != nil || a.socket != "" }

// asked reports whether who answers here decides on calls with this verdict.
func (a *answerFlags) asked(v synth.Verdict) bool {
	return a.rules != nil && (v.Action == synth.Notify || v.Action == synth.Trace && a.stands)
}

// read reads the rules. Where no flag says otherwise and the policy names an agent, that
// is asked.
func (a *answerFlags) read(policies synth.Stack) error {
	for _, p := range policies {
		if a.file == "" && !a.ask && a.socket == "" && p.Listener != ownAgent {
			a.socket = p.Listener
		}
	}
	var err error
	switch {
	case a.socket != "" && (a.file != "" || a.ask):
		return hinted(fmt.Errorf("--agent answers everything, so --answers and --ask have nothing to say"), "give them to 'tjfuzz agent --listen %s'", a.socket)
	case a.file != "":
		a.rules, err = readAnswers(a.file)
	case a.ask:
		a.rules, err = notify.Default("ask")
	}
	a.stands = a.rules != nil && !traced()
	return err
}

func readAnswers(path string) (*notify.Rules, error) {
	const hint = "docs/denials.md has an example"
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, hinted(fmt.Errorf("read the rules: %w", err), hint)
	}
	r, err := notify.ReadRules(data)
	if err != nil {
		return nil, hinted(fmt.Errorf("%s: %w", path, err), hint)
	}
	return r, nil
}

// agent answers by the rules, and asks at the terminal where they say so.
func (a *answerFlags) agent(v voice) (*notify.Agent, error) {
	agent := &notify.Agent{Rules: a.rules}
	if a.rules.Asks() {
		tty, err := notify.OpenTerminal()
		if err != nil {
			return nil, hinted(fmt.Errorf("there is no terminal to ask at: %w", err), "give rules that ask nobody with --answers")
		}
		agent.Ask = tty.Ask
	}
	if a.rules.Trusting() {
		v.warn("where calls go on because of a path or an address, the program can change that before the kernel reads it: no protection against a program that means harm")
	}
	return agent, nil
}

// hand gives the listener to the agent that listens on the socket.
func (a *answerFlags) hand(fd int, cmd *enforce.Command) error {
	return notify.Send(a.socket, notify.Container{
		Version: "1.0.2", PID: os.Getpid(),
		State: notify.State{Version: "1.0.2", ID: fmt.Sprintf("tjfuzz-%d", os.Getpid()), Status: "creating", PID: os.Getpid(), Bundle: cmd.Dir},
	}, fd)
}

func closeFD(fd int) { _ = unix.Close(fd) }

// decider answers the calls of one run, and takes them into account.
type decider struct {
	a     *account
	agent *notify.Agent // nil where the policy hands nothing over
}

func (a *account) decider() (*decider, error) {
	d := &decider{a: a}
	if a.answer.rules == nil {
		return d, nil
	}
	var err error
	d.agent, err = a.answer.agent(a.v)
	return d, err
}

// Decide answers what the policy refuses or logs as the kernel would, for a filter that
// asks instead, and leaves what the policy hands over to the agent.
func (d *decider) Decide(ctx context.Context, c *notify.Call) (notify.Answer, func(context.Context) notify.Answer) {
	switch v, _ := d.a.policies.Decide(c.ID, c.Args); v.Action {
	case synth.Notify, synth.Trace:
		if d.agent != nil {
			c.Event() // while the caller waits
			return d.agent.Decide(ctx, c)
		}
		return notify.Answer{Kind: notify.Errno, Errno: unix.ENOSYS, By: "nobody"}, nil
	case synth.Errno:
		d.account(c, false)
		return notify.Answer{Kind: notify.Errno, Errno: unix.Errno(v.Errno)}, nil
	case synth.KillProcess:
		d.account(c, false)
		return notify.Answer{Kind: notify.Kill}, nil
	case synth.Log:
		d.account(c, true)
	}
	return notify.Answer{Kind: notify.Continue}, nil
}

func (d *decider) account(c *notify.Call, passed bool) {
	if !d.a.asks {
		return // it is seen in another way, too
	}
	e := c.Event()
	e.Passed = passed
	d.a.note(e)
}

// noted tells of what the agent said.
func (d *decider) noted(o notify.Outcome) {
	v, _ := d.a.policies.Decide(o.Call.ID, o.Call.Args)
	if !d.a.answer.asked(v) {
		return
	}
	d.a.mu.Lock()
	defer d.a.mu.Unlock()
	e := o.Call.Event()
	if o.Answer.Kind != notify.Continue {
		d.a.answered[caller{e.PID, e.ID}]++
	}
	if o.Gone {
		return // nobody has heard it
	}
	d.a.tell(d.a.report.Answered(e, v, fails(o.Answer), o.Answer.String(), o.Answer.By))
}
