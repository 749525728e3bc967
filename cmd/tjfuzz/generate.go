package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
	"github.com/tjfuzz/tjfuzz/trace"
)

// policyFlags are the choices in turning evidence into a policy.
type policyFlags struct {
	action          string
	errorPath       string
	runtime         string
	noNewPrivs      bool
	args            string
	portable        bool
	groups          string
	allowIncomplete bool
	unobserved      string
	reachable       string
	listener        string
}

func (p *policyFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&p.action, "default", "errno", "what happens to all other calls: `action` errno, errno:NAME, kill, kill-thread, trap or log")
	f.StringVar(&p.errorPath, "error-path", "allow", "what only crashed or hung runs showed: `choice` allow or deny")
	f.StringVar(&p.runtime, "runtime", "none", "add what a container `runtime` needs to start the program: "+strings.Join(synth.Runtimes(), ", ")+" or none")
	f.BoolVar(&p.noNewPrivs, "no-new-privs", false, "with --runtime: the container runs with no_new_privs, so less is added; docker and podman run it without unless told")
	f.StringVar(&p.args, "args", "off", "hold calls to the enums and flags that were seen: `mode` off, safe (refuse what is dangerous and was not seen) or strict (refuse all that was not seen)")
	f.BoolVar(&p.portable, "portable", false, "also allow what other C libraries and kernels call for the same, and needs no more trust")
	f.StringVar(&p.groups, "groups", "exact", "whether calls that were not seen may complete groups: `choice` exact, tolerant or tolerant:N, for at most N (8) calls, none of them dangerous")
	f.StringVar(&p.unobserved, "unobserved", "", "what happens to calls that the program can reach by its code and no run showed: `choice` deny, log, notify or allow; what it cannot reach is then killed, if the analysis is complete and --args refuses no values that it can reach")
	f.StringVar(&p.reachable, "reachable", "", "the `file` that analyze --json has written, for --unobserved (default: analyze the program now)")
	f.StringVar(&p.listener, "listener", "", "with --unobserved notify: the `socket` of the supervisor")
	f.BoolVar(&p.allowIncomplete, "allow-incomplete", false, "generate a profile although the recorder missed something")
}

func (p *policyFlags) options() (synth.Options, error) {
	o := synth.Options{AllowIncomplete: p.allowIncomplete}
	var err error
	if o.Default, err = parseAction(p.action); err != nil {
		return o, err
	}
	switch p.errorPath {
	case "allow":
	case "deny":
		o.DenyErrorPath = true
	default:
		return o, fmt.Errorf("--error-path %s is neither allow nor deny", p.errorPath)
	}
	o.Portable = p.portable
	if o.Tolerate, err = parseGroups(p.groups); err != nil {
		return o, err
	}
	if o.Args, err = synth.ParseArgMode(p.args); err != nil {
		return o, fmt.Errorf("--args: %w", err)
	}
	if p.runtime != "none" {
		if !slices.Contains(synth.Runtimes(), p.runtime) {
			return o, fmt.Errorf("--runtime %s is not known; there are %s and none", p.runtime, strings.Join(synth.Runtimes(), ", "))
		}
		o.Runtime = p.runtime
	} else if p.noNewPrivs {
		return o, errors.New("--no-new-privs says how a container runs; name its --runtime")
	}
	o.NoNewPrivs = p.noNewPrivs
	switch p.unobserved {
	case "", "deny":
	case "log":
		o.Unobserved.Action = synth.Log
	case "notify":
		o.Unobserved.Action = synth.Notify
		if o.Listener = p.listener; p.listener == "" {
			return o, errors.New("--unobserved notify needs a supervisor; name its socket with --listener")
		}
	case "allow":
		o.Unobserved.Action = synth.Allow
	default:
		return o, fmt.Errorf("--unobserved %s is none of deny, log, notify and allow", p.unobserved)
	}
	if p.unobserved == "" && p.reachable != "" {
		return o, errors.New("--reachable says what can be reached; say with --unobserved what happens to that")
	}
	return o, nil
}

// reach adds the analysis to options if it is asked for, and tells of what was seen beyond
// it. Without a file of it, the program is analyzed that the evidence is on.
func (p *policyFlags) reach(ctx context.Context, v voice, t *trace.Trace, o *synth.Options) (err error) {
	if p.unobserved == "" {
		return nil
	}
	if p.reachable != "" {
		o.Reach, err = loadReach(p.reachable)
	} else {
		o.Reach, err = reachOf(ctx, t.Target.Path, reachOptions(t), true)
	}
	if err != nil {
		return hinted(fmt.Errorf("what the program can reach is not known: %w", err), "leave out --unobserved, or give --reachable FILE")
	}
	for _, line := range alarm(o.Reach, t) {
		v.warn("%s", line)
	}
	if !o.Reach.Complete() {
		v.warn("the analysis has %d gaps, so what it does not reach is not killed; 'tjfuzz analyze %s' lists them", len(o.Reach.Gaps), t.Target.Path)
	}
	return nil
}

// parseGroups reads --groups: how many calls may complete groups.
func parseGroups(word string) (int, error) {
	const usual, most = 8, 400
	switch name, number, given := strings.Cut(word, ":"); {
	case word == "exact":
		return 0, nil
	case word == "tolerant":
		return usual, nil
	case name == "tolerant" && given:
		if n, err := strconv.Atoi(number); err == nil && 0 < n && n <= most {
			return n, nil
		}
		return 0, fmt.Errorf("--groups %s: %q is not a number from 1 to %d", word, number, most)
	}
	return 0, fmt.Errorf("--groups %s is neither exact nor tolerant", word)
}

func parseAction(word string) (synth.Verdict, error) {
	name, arg, _ := strings.Cut(word, ":")
	actions := map[string]synth.Action{"errno": synth.Errno, "kill": synth.KillProcess,
		"kill-thread": synth.KillThread, "trap": synth.Trap, "log": synth.Log}
	a, ok := actions[name]
	switch {
	case !ok:
		return synth.Verdict{}, fmt.Errorf("--default %s is not an action; there are errno, errno:NAME, kill, kill-thread, trap and log", word)
	case a != synth.Errno && arg != "":
		return synth.Verdict{}, fmt.Errorf("--default %s: only errno takes a name", word)
	case a != synth.Errno:
		return synth.Verdict{Action: a}, nil
	case arg == "":
		return synth.Verdict{Action: a, Errno: uint16(unix.EPERM)}, nil
	}
	if e, ok := sysno.Errno(strings.ToUpper(arg)); ok {
		return synth.Verdict{Action: a, Errno: uint16(e)}, nil
	}
	return synth.Verdict{}, fmt.Errorf("--default %s: there is no errno %s", word, arg)
}

func newGenerate() *cobra.Command {
	var p policyFlags
	var f foreignFlags
	var out, rollout string
	c := &cobra.Command{
		Use:   "generate [flags] EVIDENCE...",
		Short: "Make a profile from evidence",
		Long: `Make an OCI seccomp profile from evidence. The same evidence and the same flags
make the same bytes. Several files of evidence on one program are united. What
other tools recorded is evidence, too: see 'tjfuzz merge --help'.

If the output's name ends in .yaml, it is the policy as people read and edit it:
tiers, reasons, arguments by name. In a file that is there already, what a person
wrote stays: comments, "include" and "manual". enforce and verify take either.`,
		Example: `  tjfuzz generate -o jq.seccomp.json .tjfuzz/jq/evidence.json

  # from what strace recorded
  strace -f -o prog.log ./prog
  tjfuzz generate -o prog.seccomp.json prog.log

  # for a trial, which logs what the profile would refuse
  tjfuzz generate --rollout jq.trial.json -o jq.json .tjfuzz/jq/evidence.json

  # what no run showed but the code can do is logged, all else is deadly
  tjfuzz generate --unobserved log -o jq.json .tjfuzz/jq/evidence.json

  # to read, and to edit
  tjfuzz generate -o jq.yaml .tjfuzz/jq/evidence.json

  # for a container, deadly for all that was not seen
  tjfuzz generate --runtime runc --default kill -o jq.json .tjfuzz/jq/evidence.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, errors.New("no evidence given"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			o, err := p.options()
			if err != nil {
				return usage(c, err)
			}
			l, err := newLoader(c, voiceOf(c, false), f)
			if err != nil {
				return err
			}
			t, err := l.merged(args)
			if err != nil {
				return err
			}
			w, err := outputTo(c, out)
			if err != nil {
				return err
			}
			encode, err := policyWriter(out)
			if err != nil {
				return err
			}
			early, err := rolloutTo(c, rollout)
			if err != nil {
				return err
			}
			if err := p.reach(c.Context(), voiceOf(c, false), t, &o); err != nil {
				return err
			}
			policy, err := generate(t, o)
			if err != nil {
				return err
			}
			warnings(voiceOf(c, false), policy)
			spared(voiceOf(c, false), policy, o)
			if o.Args != synth.ArgsOff {
				voiceOf(c, false).say("%s", conditioned(policy))
			}
			if err := early(policy); err != nil {
				return err
			}
			return w.write(func(w io.Writer) error { return encode(w, policy) })
		},
	}
	p.add(c)
	f.add(c)
	c.Flags().StringVar(&rollout, "rollout", "", "also write to this `file` the same policy for a trial: what it would refuse is logged and carried out")
	c.Flags().StringVarP(&out, "output", "o", "-", "write the profile to this `file`, - for standard output; a policy in YAML if it ends in .yaml")
	return c
}

// rolloutTo is what writes the policy for a trial; nothing, for no path.
func rolloutTo(c *cobra.Command, path string) (func(*synth.Policy) error, error) {
	if path == "" {
		return func(*synth.Policy) error { return nil }, nil
	}
	w, err := outputTo(c, path)
	if err != nil {
		return nil, err
	}
	encode, err := policyWriter(path)
	if err != nil {
		return nil, err
	}
	return func(p *synth.Policy) error {
		return w.write(func(w io.Writer) error { return encode(w, p.Rollout()) })
	}, nil
}

// generate is synth.Generate with hints and the exit code of incomplete evidence.
func generate(t *trace.Trace, o synth.Options) (*synth.Policy, error) {
	p, err := synth.Generate(t, o)
	if errors.Is(err, synth.ErrIncomplete) {
		return nil, &failure{err: err, code: exitIncomplete,
			hint: "learn again with fewer --jobs, or use --allow-incomplete if you accept a profile that may lack something"}
	}
	if errors.Is(err, synth.ErrReach) {
		return nil, hinted(err, "analyze the program that was run: tjfuzz analyze --json -o FILE %s", t.Target.Path)
	}
	if errors.Is(err, synth.ErrNoExecSeen) {
		return nil, hinted(err, "record how it starts, too: tjfuzz trace -o start.json -- %s; then give both files", t.Target.Path)
	}
	return p, err
}

// conditioned says of how many calls the arguments are held to what was seen.
func conditioned(p *synth.Policy) string {
	n, of := p.Conditioned()
	return fmt.Sprintf("arguments are looked at in %d of the %d calls that have enums or flags", n, of)
}

// spared tells that what the program cannot reach is not killed, although the analysis is complete.
func spared(v voice, p *synth.Policy, o synth.Options) {
	if o.Reach != nil && o.Reach.Complete() && p.Default.Action != synth.KillProcess {
		v.warn("--args %v refuses values that the program can reach, so what no rule allows is not killed but gets %v", o.Args, p.Default)
	}
}

// warnings says what a profile cannot express or what others may not understand.
func warnings(v voice, p *synth.Policy) {
	if names := format.NewerNames(p); len(names) > 0 {
		v.warn("runtimes with libseccomp 2.5.4 or older ignore these names silently: %s", strings.Join(names, " "))
	}
	for _, w := range format.Widenings(p) {
		v.warn("%s", w)
	}
	if len(p.Unnamed) > 0 {
		v.warn("the program called numbers that name no syscall; a profile cannot name them: %s", names(p.Unnamed))
	}
}
