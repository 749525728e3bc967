package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// observed shows the evidence on syscalls, or all of it where none is named.
func observed(c *cobra.Command, t *trace.Trace, words []string, asJSON bool) error {
	ids, err := parseSyscalls(t.Arch, words)
	if err != nil {
		return err
	}
	if asJSON {
		return observedJSON(c.OutOrStdout(), t, ids)
	}
	out := c.OutOrStdout()
	if len(ids) == 0 {
		fmt.Fprintf(out, "%s on %v, Linux %s: %d runs, %d of them ended normally, %d syscalls\n",
			cmp.Or(t.Target.Path, "an unnamed program"), t.Arch, cmp.Or(t.Kernel, "of unknown release"), t.Runs, t.CleanRuns, len(t.Observations))
	}
	lacking := lacks(t)
	for _, o := range selected(t, ids) {
		for _, line := range describe(t, o, lacking) {
			fmt.Fprintln(out, legible(line))
		}
	}
	if len(ids) == 0 {
		for _, op := range t.Operations {
			fmt.Fprintf(out, "io_uring operation %s: made without a syscall of its own; a filter sees io_uring_setup and io_uring_enter alone\n", operation(op))
		}
	}
	if len(lacking) > 0 {
		fmt.Fprintf(out, "not recorded: %s\n", strings.Join(lacking, ", "))
	}
	fmt.Fprintf(out, "lost: %s\n", lostOf(t.Lost))
	return nil
}

// The details that a recording may do without.
const (
	ofPhases    = "phases"
	ofResults   = "results"
	ofArguments = "arguments"
	ofSites     = "call sites"
)

// lacks lists the details that no observation of a trace has.
func lacks(t *trace.Trace) []string {
	var lacking []string
	for _, d := range []struct {
		name string
		has  func(trace.Observation) bool
	}{
		{ofPhases, func(o trace.Observation) bool { return o.Phases != trace.PhaseUnknown }},
		{ofResults, func(o trace.Observation) bool { return o.Returns.Success || len(o.Returns.Errnos) > 0 }},
		{ofArguments, func(o trace.Observation) bool { return o.Args != nil }},
		{ofSites, func(o trace.Observation) bool { return len(o.Sites) > 0 }},
	} {
		if !slices.ContainsFunc(t.Observations, d.has) {
			lacking = append(lacking, d.name)
		}
	}
	return lacking
}

// legible escapes what a terminal would obey: names and command lines are as the
// target chose them.
func legible(line string) string {
	var b strings.Builder
	for len(line) > 0 {
		r, size := utf8.DecodeRuneInString(line)
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(line[:size])
		} else {
			quoted := strconv.QuoteToASCII(line[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		line = line[size:]
	}
	return b.String()
}

// selected are the observations of ids, or all; a syscall that was not seen has an
// observation of no runs.
func selected(t *trace.Trace, ids []sysno.ID) []trace.Observation {
	if len(ids) == 0 {
		return t.Observations
	}
	var found []trace.Observation
	for _, id := range ids {
		o := trace.Observation{ID: id}
		if i := slices.IndexFunc(t.Observations, func(o trace.Observation) bool { return o.ID == id }); i >= 0 {
			o = t.Observations[i]
		}
		found = append(found, o)
	}
	return found
}

func seen(t *trace.Trace, id sysno.ID) bool {
	return slices.ContainsFunc(t.Observations, func(o trace.Observation) bool { return o.ID == id })
}

// describe is what is known of a syscall, in lines. What the trace lacks altogether
// is not mentioned.
func describe(t *trace.Trace, o trace.Observation, lacking []string) []string {
	lines := []string{o.ID.String()}
	line := func(what, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("  %-10s ", what)+fmt.Sprintf(format, args...))
	}
	if !seen(t, o.ID) {
		line("seen:", "in none of %d runs", t.Runs)
		return lines
	}
	atLeast := ""
	if t.AtLeast {
		atLeast = "at least "
	}
	if o.Runs == 0 {
		line("seen:", "outside of every run")
	} else {
		line("seen:", "in %s%d of %d runs, %d of them ended normally", atLeast, o.Runs, t.Runs, o.CleanRuns)
	}
	told := func(detail string) bool { return !slices.Contains(lacking, detail) }
	if told(ofPhases) {
		line("phase:", "%s", cmp.Or(strings.Join(o.Phases.Words(), ", "), "not recorded"))
	}
	if told(ofResults) || o.Returns.Refused {
		line("results:", "%s", cmp.Or(strings.Join(o.Returns.Words(), ", "), "none; no call has returned, or it was not recorded"))
	}
	for _, a := range o.Args {
		name, values := symbolic(o.ID, a)
		if a.Any {
			values = []string{"any"}
		}
		line("argument:", "%s: %s", name, strings.Join(values, ", "))
	}
	if o.Args == nil && typed(o.ID) && told(ofArguments) {
		line("argument:", "not recorded")
	}
	for _, s := range o.Sites {
		line("called at:", "%s", site(s))
	}
	switch {
	case o.MoreSites:
		line("called at:", "and elsewhere")
	case len(o.Sites) == 0 && told(ofSites):
		line("called at:", "not recorded")
	}
	if o.Witness.Command != "" {
		line("witness:", "%s", o.Witness.Command)
	}
	return lines
}

// typed reports whether a syscall has an argument whose values have names.
func typed(id sysno.ID) bool {
	return slices.ContainsFunc(id.Args(), func(a sysno.Arg) bool { return a.Set != nil })
}

// symbolic is an argument's name and its values as strace writes them.
func symbolic(id sysno.ID, a trace.Arg) (name string, values []string) {
	name = fmt.Sprintf("%d", a.Index)
	format := func(v uint64) string { return fmt.Sprintf("%#x", v) }
	if args := id.Args(); a.Index < len(args) {
		name, format = args[a.Index].Name, args[a.Index].Format
	}
	for _, v := range a.Values {
		values = append(values, format(v))
	}
	return name, values
}

func site(s trace.Site) string {
	where := fmt.Sprintf("%s+%#x", cmp.Or(s.Module, "an unknown module"), s.Offset)
	if s.Symbol != "" {
		where += " (" + s.Symbol + ")"
	}
	return where
}

func operation(op trace.Operation) string {
	return cmp.Or(op.Name, fmt.Sprintf("%d", op.Code))
}

// lostOf says what was lost, and what may be missing because of it.
func lostOf(l trace.Lost) string {
	var parts []string
	part := func(n uint64, one, many, consequence string) {
		switch {
		case n == 1:
			parts = append(parts, one+"; "+consequence)
		case n > 1:
			parts = append(parts, fmt.Sprintf(many, n)+"; "+consequence)
		}
	}
	part(l.Tasks, "one process or thread could not be followed", "%d processes or threads could not be followed", "any syscall of theirs may be missing")
	part(l.Beyond, "one unknown number did not fit", "%d unknown numbers did not fit", "these calls are missing")
	part(l.Late, "one call came after the end of its run", "%d calls came after the end of their runs", "they are in the evidence, but not in the counts of runs")
	part(l.Details, "one value, result or call site did not fit", "%d values, results and call sites did not fit", "no syscall is missing, but what is told of one may be less than all")
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ". ")
}

func observedJSON(w io.Writer, t *trace.Trace, ids []sysno.ID) error {
	type argument struct {
		Name   string   `json:"name"`
		Index  int      `json:"index"`
		Values []string `json:"values,omitempty"`
		Any    bool     `json:"any,omitempty"`
	}
	type entry struct {
		Syscall   string     `json:"syscall"`
		Seen      bool       `json:"seen"`
		Runs      uint64     `json:"runs"`
		CleanRuns uint64     `json:"clean_runs"`
		Phases    []string   `json:"phases,omitempty"`
		Results   []string   `json:"results,omitempty"`
		Arguments []argument `json:"arguments,omitempty"`
		Sites     []string   `json:"sites,omitempty"`
		MoreSites bool       `json:"more_sites,omitempty"`
		Witness   string     `json:"witness,omitempty"`
	}
	result := struct {
		Program      string   `json:"program"`
		Arch         string   `json:"arch"`
		Runs         uint64   `json:"runs"`
		CleanRuns    uint64   `json:"clean_runs"`
		AtLeast      bool     `json:"at_least"`
		Complete     bool     `json:"complete"`
		Lost         string   `json:"lost"`
		Operations   []string `json:"operations,omitempty"`
		Observations []entry  `json:"observations"`
	}{Program: t.Target.Path, Arch: t.Arch.String(), Runs: t.Runs, CleanRuns: t.CleanRuns, AtLeast: t.AtLeast,
		Complete: t.Lost.Complete(), Lost: lostOf(t.Lost), Observations: []entry{}}
	for _, op := range t.Operations {
		result.Operations = append(result.Operations, operation(op))
	}
	for _, o := range selected(t, ids) {
		e := entry{Syscall: o.ID.String(), Seen: seen(t, o.ID), Runs: o.Runs, CleanRuns: o.CleanRuns, Phases: o.Phases.Words(),
			Results: o.Returns.Words(), MoreSites: o.MoreSites, Witness: o.Witness.Command}
		for _, a := range o.Args {
			name, values := symbolic(o.ID, a)
			e.Arguments = append(e.Arguments, argument{name, a.Index, values, a.Any})
		}
		for _, s := range o.Sites {
			e.Sites = append(e.Sites, site(s))
		}
		result.Observations = append(result.Observations, e)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(result)
}
