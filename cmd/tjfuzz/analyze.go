package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/static"
)

// analyzeOptions are the flags of analyze.
type analyzeOptions struct {
	followExec bool
	evidence   string
	paths      bool
	json       bool
	noCache    bool
	nsswitch   string
	out        string
}

func newAnalyze() *cobra.Command {
	var o analyzeOptions
	c := &cobra.Command{
		Use:   "analyze [flags] PROGRAM [SYSCALL...]",
		Short: "Find which syscalls a program can reach, without running it",
		Long: `Find which syscalls the code of a program, and of all that is loaded with it, can
reach: an upper bound to what a recording shows. Each has a shortest path of
functions that leads to it. What the analysis cannot follow, such as libraries with
names that are made at run time, is a gap: then others may be reached, too.

With syscalls, show how the program reaches these, and the values that their enum
and flag arguments may have, where all are constants. With --evidence, say what
was seen that is not reached; files that were seen mapped are analyzed as well.
It knows x86-64 programs only. What was found is kept in the user's cache
directory for as long as no file changes.`,
		Example: `  tjfuzz analyze jq
  tjfuzz analyze jq socket execve

  # is all that was seen among it?
  tjfuzz analyze --evidence .tjfuzz/jq/evidence.json jq

  # a profile that kills what the program cannot reach
  tjfuzz analyze --json -o jq.reach.json jq
  tjfuzz generate --reachable jq.reach.json --unobserved log -o jq.json .tjfuzz/jq/evidence.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(c, errors.New("no program given"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return analyze(c, o, args[0], args[1:]) },
	}
	f := c.Flags()
	f.BoolVar(&o.followExec, "follow-exec", false, "also add what the programs reach that it executes by constant paths")
	f.StringVar(&o.evidence, "evidence", "", "compare with this `file` of evidence; exit with 5 if a complete analysis lacks something seen")
	f.BoolVar(&o.paths, "paths", false, "show for each syscall how it is reached")
	f.StringVar(&o.nsswitch, "nsswitch", "", "look up users and hosts as this `file` says instead of /etc/nsswitch.conf")
	f.BoolVar(&o.noCache, "no-cache", false, "analyze anew, and keep nothing")
	f.BoolVar(&o.json, "json", false, "write JSON, for generate --reachable among others")
	f.StringVarP(&o.out, "output", "o", "-", "write to this `file`, - for standard output")
	return c
}

func analyze(c *cobra.Command, o analyzeOptions, program string, calls []string) error {
	path, err := resolve(program)
	if err != nil {
		return err
	}
	ids, err := parseSyscalls(sysno.AMD64, calls)
	if err != nil {
		return err
	}
	w, err := outputTo(c, o.out)
	if err != nil {
		return err
	}
	options := static.Options{LibraryPath: os.Getenv("LD_LIBRARY_PATH"), FollowExec: o.followExec, NameServices: o.nsswitch}
	var seen *trace.Trace
	if o.evidence != "" {
		if seen, err = loadEvidence(o.evidence); err != nil {
			return err
		}
		options.Mapped = mapped(seen)
	}
	r, err := reachOf(c.Context(), path, options, !o.noCache)
	if errors.Is(err, static.ErrMachine) {
		return hinted(err, "only x86-64 code is known so far; learn and trace need no analysis")
	}
	if err != nil {
		return err
	}
	err = w.write(func(w io.Writer) error {
		switch {
		case o.json:
			return trace.EncodeReach(w, only(r, ids))
		case len(ids) > 0:
			_, err := io.WriteString(w, reachedBy(r, ids))
			return err
		}
		_, err := io.WriteString(w, summary(r, o.paths))
		return err
	})
	if err != nil || seen == nil {
		return err
	}
	return compared(voiceOf(c, false), r, seen)
}

// mapped are the files that code of a program was seen to run from.
func mapped(t *trace.Trace) []string {
	files := map[string]bool{}
	for _, o := range t.Observations {
		for _, s := range o.Sites {
			if filepath.IsAbs(s.Module) && s.Module != t.Target.Path {
				files[s.Module] = true
			}
		}
	}
	for _, l := range t.Target.Libraries {
		delete(files, l.Path) // it is loaded in any case, and not looked up
	}
	var all []string
	for f := range files {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// only is the part of a result that is about some syscalls, or all of it.
func only(r *trace.Reach, ids []sysno.ID) *trace.Reach {
	if len(ids) == 0 {
		return r
	}
	part := *r
	part.Reached = nil
	for _, x := range r.Reached {
		if slices.Contains(ids, x.ID) {
			part.Reached = append(part.Reached, x)
		}
	}
	return &part
}

// alarm says what was seen that the analysis does not reach, a line each; where it is
// complete, also with which arguments.
func alarm(r *trace.Reach, t *trace.Trace) []string {
	var lines []string
	add := func(o trace.Observation, line string) {
		for i, s := range o.Sites {
			line += map[bool]string{true: ": called at ", false: ", "}[i == 0] + site(s)
		}
		lines = append(lines, legible(line))
	}
	for _, o := range r.Beyond(t) {
		add(o, fmt.Sprintf("%v was seen, and is not reached", o.ID))
	}
	if !r.Complete() {
		return lines
	}
	for _, o := range r.BeyondArgs(t) {
		for _, a := range o.Args {
			name, values := valuesOf(o.ID, a)
			add(o, fmt.Sprintf("%v was seen with %s %s, which no code hands to it", o.ID, name, values))
		}
	}
	return lines
}

// valuesOf is an argument and its values in words.
func valuesOf(id sysno.ID, a trace.Arg) (name, values string) {
	args := id.Args()
	if a.Index >= len(args) {
		return fmt.Sprintf("argument %d", a.Index), "any"
	}
	arg := args[a.Index]
	if a.Any {
		return arg.Name, "any"
	}
	var words []string
	for _, v := range a.Values {
		words = append(words, arg.Format(v))
	}
	return arg.Name, strings.Join(words, " ")
}

// compared tells of what was seen beyond the analysis. Where that is complete, one of the
// two is wrong.
func compared(v voice, r *trace.Reach, t *trace.Trace) error {
	lines := alarm(r, t)
	for _, line := range lines {
		v.warn("%s", line)
	}
	switch {
	case len(lines) == 0:
		with := ""
		if r.Complete() && slices.ContainsFunc(t.Observations, func(o trace.Observation) bool { return o.Args != nil }) {
			with = ", with the arguments that they had"
		}
		v.say("all %d syscalls that were seen are reached%s", len(t.Observations), with)
		return nil
	case r.Complete():
		return &failure{err: errors.New("the analysis claims to be complete, and is not"), code: exitViolation,
			hint: "this is an error of tjfuzz: report it, with the program"}
	}
	v.hint("the analysis has gaps: 'tjfuzz analyze %s' lists them", r.Target.Path)
	return nil
}

// summary is a result in text.
func summary(r *trace.Reach, paths bool) string {
	var b bytes.Buffer
	startup, before := 0, 0
	groups := map[string][]string{}
	totals := map[string]int{}
	for _, x := range r.Reached {
		name := x.ID.String()
		if x.Startup {
			startup++
			name += "*"
		} else if x.BeforeMain {
			before++
			name += "+"
		}
		group := "@unnamed"
		if def, ok := synth.FunctionalGroup(x.ID); ok {
			group = def.Name
			totals[group] = len(def.Members)
		}
		groups[group] = append(groups[group], name)
	}
	fmt.Fprintf(&b, "%s: %d syscalls can be reached, %d of them (*) only before the program itself begins", legible(r.Target.Path), len(r.Reached), startup)
	if before > 0 {
		fmt.Fprintf(&b, ", and %d (+) only before main, as far as pointers tell", before)
	}
	b.WriteByte('\n')
	if paths {
		for _, x := range r.Reached {
			b.WriteString(way(x))
		}
	} else {
		var names []string
		for name := range groups {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, "  %s, %d of %d: %s\n", name, len(groups[name]), max(totals[name], len(groups[name])), strings.Join(groups[name], " "))
		}
	}
	if known, all := constant(r); all > 0 {
		fmt.Fprintf(&b, "values are known of %d of %d enum and flag arguments: name a syscall to see them\n", known, all)
	}
	if r.Complete() {
		b.WriteString("complete: no others\n")
	}
	for _, gap := range r.Gaps {
		fmt.Fprintf(&b, "gap: %s\n", legible(gap))
	}
	for _, a := range r.Assumed {
		fmt.Fprintf(&b, "assumed: %s\n", legible(a))
	}
	return b.String()
}

// constant counts the enum and flag arguments that have known values, and all.
func constant(r *trace.Reach) (known, all int) {
	for _, x := range r.Reached {
		for _, a := range x.Args {
			if all++; !a.Any {
				known++
			}
		}
	}
	return known, all
}

// reachedBy says how some syscalls are reached.
func reachedBy(r *trace.Reach, ids []sysno.ID) string {
	var b strings.Builder
	for _, id := range ids {
		switch x, ok := r.Find(id); {
		case ok:
			b.WriteString(way(x))
		case r.Complete():
			fmt.Fprintf(&b, "%v: not reached\n", id)
		default:
			fmt.Fprintf(&b, "%v: not reached, as far as the analysis can tell: it has gaps, which 'tjfuzz analyze %s' lists\n", id, legible(r.Target.Path))
		}
	}
	return b.String()
}

// way says how a syscall is reached.
func way(x trace.Reached) string {
	if len(x.Path) == 0 {
		return fmt.Sprintf("%v\n  made by the kernel, the vDSO or the launcher in any program\n", x.ID)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n", x.ID)
	if x.Startup {
		b.WriteString("  only before the program itself begins\n")
	} else if x.BeforeMain {
		b.WriteString("  only before main, as far as pointers tell\n")
	}
	for _, a := range x.Args {
		name, values := valuesOf(x.ID, a)
		fmt.Fprintf(&b, "  %s: %s\n", name, values)
	}
	links := map[trace.Link]string{trace.Begin: "begins at", trace.Called: "calls", trace.Jumped: "jumps to", trace.Pointer: "takes a pointer to",
		trace.Datum: "has data with a pointer to", trace.Found: "looks up", trace.Exec: "executes"}
	for _, s := range x.Path {
		fmt.Fprintf(&b, "  %s %s\n", links[s.Link], legible(stepName(s)))
	}
	return b.String()
}

func stepName(s trace.Step) string {
	if s.Function == "" {
		return fmt.Sprintf("%s+%#x", filepath.Base(s.Module), s.Offset)
	}
	return fmt.Sprintf("%s (%s)", s.Function, filepath.Base(s.Module))
}
