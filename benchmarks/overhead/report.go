package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

// result is what came of a tool on a workload.
type result struct {
	samples map[int]sample // by round
	failed  string

	passed, spent harness.Spread // ratios to the untraced run
}

// compare divides each sample by that of the untraced run of the same round.
func (r *result) compare(plain *result) {
	var passed, spent []float64
	for round, s := range r.samples {
		p, ok := plain.samples[round]
		if !ok {
			continue
		}
		passed = append(passed, s.passed/p.passed)
		spent = append(spent, s.spent/p.spent)
	}
	r.passed, r.spent = harness.SpreadOf(passed), harness.SpreadOf(spent)
}

func (r *result) far() bool { return r.passed.N >= enough && r.passed.Median > far }

// report is the table, with what has to be known to read it.
func (b *bench) report(command string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "The cost of being recorded: time as a multiple of the untraced run\n%s\n%s\n\n", command, harness.Machine())
	b.table(&out, func(r *result) harness.Spread { return r.passed })
	out.WriteString(`
Each cell is the median of the ratios to the untraced run of the same round, with
their quartiles. The clock runs inside: the start and the end of a tool count for
nothing. "Unrelated" is the workload untouched, while the tool watches a program that
sleeps. "Untraced, again" is the noise of this machine.
`)
	for _, w := range b.workloads {
		fmt.Fprintf(&out, "- %s: %s; untraced %s s, of which processor %s s\n", w.name, w.what,
			seconds(w.results[untraced], func(s sample) float64 { return s.passed }),
			seconds(w.results[untraced], func(s sample) float64 { return s.spent }))
	}
	fmt.Fprintf(&out, "A tool beyond %dx is measured %d times, the others in all rounds.\n", far, enough)
	out.WriteString("\nThe same for processor time, which other programs disturb less; a tracing process's own is not in it\n\n")
	b.table(&out, func(r *result) harness.Spread { return r.spent })
	out.WriteString("\nGoals for real workloads, which getpid is none of:\n")
	for _, t := range b.tools {
		if t.goal == 0 {
			continue
		}
		for _, w := range b.workloads {
			if r := w.results[t.name]; w.real && r.failed == "" {
				fmt.Fprintf(&out, "- %s, %s: %s, at most %.2f is wanted: %s\n", t.name, w.name, r.passed, t.goal, verdict(r.passed, t.goal))
			}
		}
	}
	for _, n := range b.notes {
		fmt.Fprintf(&out, "- %s\n", n)
	}
	for _, w := range b.workloads {
		for _, t := range b.tools {
			if why := w.results[t.name].failed; why != "" {
				fmt.Fprintf(&out, "- failed: %s, %s: %s\n", t.name, w.name, why)
			}
		}
	}
	return out.String()
}

func (b *bench) table(out *strings.Builder, of func(*result) harness.Spread) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, w := range b.workloads {
		fmt.Fprintf(t, "\t%s", w.name)
	}
	fmt.Fprintln(t)
	for _, tool := range b.tools {
		if tool.name == untraced {
			continue
		}
		fmt.Fprint(t, tool.name)
		for _, w := range b.workloads {
			cell := "failed"
			if r := w.results[tool.name]; r.failed == "" {
				cell = of(r).String()
			}
			fmt.Fprintf(t, "\t%s", cell)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // a strings.Builder does not fail
}

// verdict compares what is printed, not digits that nobody sees.
func verdict(s harness.Spread, goal float64) string {
	switch {
	case fmt.Sprintf("%.2f", s.Median) <= fmt.Sprintf("%.2f", goal):
		return "met"
	case s.Low <= goal:
		return "not met by the median, met by the lower quartile"
	}
	return "not met"
}

func seconds(r *result, of func(sample) float64) string {
	var values []float64
	for _, s := range r.samples {
		values = append(values, of(s))
	}
	return fmt.Sprintf("%.3f", harness.SpreadOf(values).Median)
}
