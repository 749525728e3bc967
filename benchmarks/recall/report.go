package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

// report is the table, with what has to be known to read it.
func report(command string, rows []tableRow) string {
	var out strings.Builder
	fmt.Fprintf(&out, "What a policy misses that was learned by fuzzing, by the upstream test suite\n%s\n%s\n\n", command, harness.Machine())
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "program\tlearned\tallowed\tinvocations\tin the suite\tmissed\ttests passed\tunder the policy")
	for _, r := range rows {
		if r.failed != "" {
			fmt.Fprintf(t, "%s\tnot measured\n", r.name)
			continue
		}
		fmt.Fprintf(t, "%s\t%d in %.0f s\t%d\t%d\t%d\t%d\t%v\t%v\n", r.name, r.learned.Observed, r.learned.Seconds, r.learned.Allowed,
			r.watched.invocations, len(r.watched.calls), len(r.missed), r.plain, r.watched.tally)
	}
	_ = t.Flush() // a strings.Builder does not fail
	out.WriteString(`
Learned are the syscalls that fuzzing saw, allowed those of the profile, with what any
program may need. In the suite are the syscalls that the program and what it started
made in all invocations, and missed those of them that the profile does not allow.
Passed are the tests with the installed program itself, and then with the program under
the policy, which logs what it does not allow.
`)
	if slices.ContainsFunc(rows, func(r tableRow) bool { return len(r.others) > 0 }) {
		beside(&out, rows)
	}
	surfaces(&out, rows)
	for _, r := range rows {
		r.details(&out)
	}
	return out.String()
}

// surfaces is the table of how much the policies allow.
func surfaces(out *strings.Builder, rows []tableRow) {
	out.WriteString("\nHow much the policies allow\n")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "program\tafter startup\tcallander\tin the suite\tconditioned\trefused by conditions")
	for _, r := range rows {
		if r.failed != "" {
			continue
		}
		other := "-"
		if n, ok := byCallander(r.name); ok {
			other = strconv.Itoa(n)
		}
		c := r.conditions
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d of %d\t%d\n", r.name, r.surface, other, len(r.watched.calls), c.conditioned, c.checkable, len(c.refused))
	}
	_ = t.Flush() // a strings.Builder does not fail
	out.WriteString(`
After startup are the syscalls that were learned, in whatever way the runs ended, without
execve and what only the dynamic loader called; callander are those that static analysis
finds, counted in the same way. Conditioned are the allowed syscalls of which --args safe
looks at an argument, of those that have one which is a choice among named values; and
refused by conditions are the syscalls that the suite makes with others.
`)
}

func (r *tableRow) details(out *strings.Builder) {
	fmt.Fprintf(out, "\n%s, suite of %s\n", r.name, r.version)
	if r.failed != "" {
		fmt.Fprintf(out, "- not measured: %s\n", strings.ReplaceAll(r.failed, "\n", "\n  "))
		return
	}
	fmt.Fprintf(out, "- learned in %d runs, %s: %s; chance of another < %.3g %%\n", r.learned.Runs,
		r.learned.at.UTC().Format(time.DateTime), r.learned.Stop, 100*r.learned.Chance)
	if r.workload {
		out.WriteString("- learned with a workload of this benchmark's own besides, in every session\n")
	}
	if r.leaves != "" {
		fmt.Fprintf(out, "- left out: %s\n", r.leaves)
	}
	for _, c := range sorted(r.missed) {
		fmt.Fprintf(out, "- missed: %v, first by %s\n", c.id, c.by())
	}
	for _, c := range sorted(r.answered) {
		fmt.Fprintf(out, "- answered with an error, as the profile says: %v\n", c.id)
	}
	for _, c := range r.conditions.refused {
		fmt.Fprintf(out, "- refused by --args safe: %v %v, learned %v\n", c.ID, c.Is, c.Was)
	}
	w := r.watched
	if w.unrecorded > 0 {
		fmt.Fprintf(out, "- not recorded: %d invocations, by other users or without descriptors\n", w.unrecorded)
	}
	if w.unrestricted > 0 {
		fmt.Fprintf(out, "- recorded, but without the policy: %d invocations\n", w.unrestricted)
	}
	if !w.lost.Complete() || w.dropped.Events > 0 {
		fmt.Fprintf(out, "- the recording is incomplete: lost %+v, dropped %+v\n", w.lost, w.dropped)
	}
}

// by names what made the call. The names are the suite's choice, and escaped.
func (c call) by() string {
	if c.command == "" {
		return fmt.Sprintf("%q, which the program had started", c.comm)
	}
	command := c.command
	if len(command) > 160 {
		command = command[:160] + "..."
	}
	return command
}
