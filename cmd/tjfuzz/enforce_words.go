package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/document"
)

// commandLine is the group of the rules that flags have added.
const commandLine = "@command-line"

// ownAgent stands for the listener of a policy that names none: tjfuzz itself.
const ownAgent = "tjfuzz"

// wordFlags are what a person says about single calls, or all others, beside a policy.
type wordFlags struct {
	said    []saying // in the order of the command line
	standby string   // the verdict of --default
}

// saying is a flag with its value.
type saying struct{ flag, value string }

func (w *wordFlags) add(f *pflag.FlagSet) {
	f.StringVar(&w.standby, "default", "", "the `action` for all calls without a rule: allow, log, errno:NAME, trap, trace:N, kill-thread or kill-process")
	for _, flag := range []struct{ name, usage string }{
		{"allow", "allow these `calls`: names, @groups, $165 by number, separated by commas; !name takes one out"},
		{"log", "allow these `calls` and show each"},
		{"errno", "answer these with an error: `NAME:calls`, EPERM without a name"},
		{"trap", "send the program a SIGSYS for these `calls`"},
		{"trace", "let a tracer decide on these: `N:calls`, 0 without a number"},
		{"kill-thread", "kill the thread that makes one of these `calls`"},
		{"kill", "kill the program at one of these `calls`"},
		{"notify", "let a supervisor decide on these `calls`"},
	} {
		f.Var(&word{flag.name, w}, flag.name, flag.usage)
	}
}

// word is one of the flags.
type word struct {
	flag string
	all  *wordFlags
}

func (w *word) String() string { return "" }
func (w *word) Type() string   { return "calls" }
func (w *word) Set(value string) error {
	w.all.said = append(w.all.said, saying{w.flag, value})
	return nil
}

// any reports whether anything was said.
func (w *wordFlags) any() bool { return w.standby != "" || len(w.said) > 0 }

// verdict is the verdict of a flag with its list.
func (s saying) verdict() (v synth.Verdict, list string, err error) {
	list = s.value
	prefix, rest, has := strings.Cut(s.value, ":")
	switch s.flag {
	case "errno":
		v = synth.Verdict{Action: synth.Errno, Errno: 1}
		// "i386:read" is a call.
		if given, e := synth.ParseVerdict("errno " + prefix); has && e == nil {
			v, list = given, rest
		} else if has && strings.HasPrefix(prefix, "E") {
			return v, "", e
		}
		return v, list, nil
	case "trace":
		v = synth.Verdict{Action: synth.Trace}
		if given, e := synth.ParseVerdict("trace " + prefix); has && e == nil {
			v, list = given, rest
		}
		return v, list, nil
	case "kill":
		return synth.Verdict{Action: synth.KillProcess}, list, nil
	}
	v, err = synth.ParseVerdict(strings.ReplaceAll(s.flag, "-", " "))
	return v, list, err
}

// apply is the policy with what was said.
func (w *wordFlags) apply(p *synth.Policy) (*synth.Policy, error) {
	if w.standby != "" {
		v, err := flagVerdict(w.standby)
		if err != nil {
			return nil, hinted(fmt.Errorf("--default: %w", err), "such as --default errno:EPERM or --default log")
		}
		p = p.WithDefault(v)
	}
	for _, s := range w.said {
		v, list, err := s.verdict()
		if err == nil {
			if v.Action == synth.Notify && p.Listener == "" {
				own := *p
				own.Listener = ownAgent
				p = &own
			}
			p, err = document.Override(p, v, list, commandLine, "--"+s.flag+" on the command line")
		}
		if err != nil {
			return nil, wordError(s, err)
		}
	}
	if w.any() {
		var problem *synth.Problem
		if errors.As(p.Validate(), &problem) {
			return nil, hinted(fmt.Errorf("with what the command line says: %s: %s", problem.Where, problem.Detail), "%s", problem.Mend)
		}
	}
	return p, nil
}

func wordError(s saying, err error) error {
	var d *document.Error
	hint := "calls are like openat, i386:open, $257, @file-read or socket{domain: AF_UNIX}; 'tjfuzz groups' lists the groups"
	if errors.As(err, &d) && d.Mend != "" {
		hint = d.Mend
		err = errors.New(d.Detail)
	}
	return hinted(fmt.Errorf("--%s %s: %w", s.flag, s.value, err), "%s", hint)
}

// flagVerdict reads a verdict as flags spell it: "errno:EPERM", "EPERM", "kill-process".
func flagVerdict(text string) (synth.Verdict, error) {
	spelled := strings.NewReplacer("-", " ", ":", " ").Replace(text)
	switch {
	case spelled == "kill":
		spelled = "kill process"
	case spelled == "errno":
		spelled = "errno EPERM"
	case spelled == "trace":
		spelled = "trace 0"
	default:
		if _, ok := sysno.Errno(text); ok {
			spelled = "errno " + text
		}
	}
	return synth.ParseVerdict(spelled)
}

// policies reads the policies that were named, or that of the program, and lets the
// flags win over each. Where there is no profile, --default begins a policy.
func (w *wordFlags) policies(paths []string, program string) (names []string, stack synth.Stack, err error) {
	switch {
	case len(paths) == 1 && paths[0] == "none" || len(paths) == 0 && w.standby != "" && !exists(defaultProfile(program)):
		if w.standby == "" {
			return nil, nil, hinted(errors.New("--policy none has no default action"), "say what happens to all calls without a rule, such as --default allow")
		}
		names, stack = []string{"the command line"}, synth.Stack{{Archs: []sysno.Arch{sysno.Native()}}}
	case len(paths) == 0:
		paths = []string{""}
		fallthrough
	default:
		for _, path := range paths {
			path, p, err := loadPolicy(path, program)
			if err != nil {
				return nil, nil, err
			}
			names, stack = append(names, path), append(stack, p)
		}
	}
	for i := range stack {
		if stack[i], err = w.apply(stack[i]); err != nil {
			return nil, nil, err
		}
	}
	return names, stack, nil
}
