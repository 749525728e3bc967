package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

// barInstrumented is how many times as fast as afl-fuzz with the instrumented program
// tjfuzz has to be, with that one and with the plain one.
const barInstrumented = 0.9

// report is the table.
func (b *bench) report(command string) string {
	if len(b.targets) == 0 {
		return fmt.Sprintf("Services on one processor (%s)\n%s", command, b.reportSessions())
	}
	var out strings.Builder
	fmt.Fprintf(&out, "Runs in a second on one processor, and how many times as many as afl-fuzz -n\n(medians; %s)\n\n", command)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	for _, t := range b.targets {
		fmt.Fprintf(w, "%s\t\t", t.name)
	}
	fmt.Fprintln(w)
	for _, r := range b.runners {
		fmt.Fprintf(w, "%s\t", r.name)
		for _, t := range b.targets {
			rate, ratio := "-", ""
			if rates := t.rates[r.name]; len(rates) > 0 && t.failed[r.name] == "" {
				rate = fmt.Sprintf("%.0f", harness.SpreadOf(rates).Median)
				if x := t.times(r.name, dumb); x > 0 {
					ratio = fmt.Sprintf("%.2fx", x)
				}
			}
			fmt.Fprintf(w, "%s\t%s\t", rate, ratio)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	fmt.Fprintln(&out)
	for _, t := range b.targets {
		for _, caged := range []bool{false, true} {
			where := "without a cage"
			if caged {
				where = "in the cage"
			}
			for _, bar := range []struct {
				than  string
				x     float64
				edges bool
			}{{dumb, t.bar, false}, {instrumented, barInstrumented, false}, {instrumented, barInstrumented, true}} {
				best := b.best(t, caged, bar.edges)
				if x := t.times(best, bar.than); x > 0 && bar.x > 0 {
					verdict := "missed"
					if x >= bar.x {
						verdict = "met"
					}
					fmt.Fprintf(&out, "%s %s, %s: %.2fx of %s, bar %gx: %s\n", t.name, where, programs[bar.edges], x, bar.than, bar.x, verdict)
				}
			}
		}
		if why := t.failed[breakpoints]; why != "" {
			fmt.Fprintf(&out, "failed: %s, %s: %s\n", breakpoints, t.name, why)
		} else if len(t.costs) > 0 {
			out.WriteString(t.breakpointsLine())
		}
		for _, r := range b.runners {
			if why := t.failed[r.name]; why != "" {
				fmt.Fprintf(&out, "failed: %s, %s: %s\n", r.name, t.name, why)
			}
		}
	}
	out.WriteString(b.reportSessions())
	return out.String()
}

// programs names what runs, by whether it is instrumented.
var programs = map[bool]string{false: "plain", true: "instrumented"}

// best is the fastest of the runners of tjfuzz, empty without one.
func (b *bench) best(t *target, caged, instrumented bool) (name string) {
	for _, r := range b.runners {
		if strings.HasPrefix(r.name, "tjfuzz") && strings.HasSuffix(r.name, ", cage") == caged && r.instrumented == instrumented &&
			harness.SpreadOf(t.rates[r.name]).Median > harness.SpreadOf(t.rates[name]).Median {
			name = r.name
		}
	}
	return name
}

// times is how many times as fast as another a runner was, by the rounds; 0 where that is
// not known.
func (t *target) times(name, than string) float64 {
	a, b := t.rates[name], t.rates[than]
	if len(a) != len(b) || t.failed[name] != "" || t.failed[than] != "" {
		return 0
	}
	var ratios []float64
	for i := range a {
		ratios = append(ratios, a[i]/b[i])
	}
	return harness.SpreadOf(ratios).Median
}
