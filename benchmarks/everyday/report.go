package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

// report is the table of what was missed, those programs apart that somebody has looked at.
func report(command string, rows []row) string {
	var out strings.Builder
	fmt.Fprintf(&out, "What everyday command lines call and learning misses\n%s\n%s\n", command, harness.Machine())
	part(&out, "nobody has looked at", rows, false)
	part(&out, "looked at", rows, true)
	return out.String()
}

func part(out *strings.Builder, title string, rows []row, looked bool) {
	fmt.Fprintln(out)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\tlines\tfailed\tcalled\tlearned\tmissed\n", title)
	missed := 0
	for _, r := range rows {
		if r.looked == looked && r.err == nil {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\n", r.name, r.lines, r.failed, r.called, r.learned, len(r.missed))
			missed += len(r.missed)
		}
	}
	fmt.Fprintf(t, "all\t\t\t\t\t%d\n", missed)
	_ = t.Flush() // a strings.Builder does not fail
	for _, r := range rows {
		if r.looked != looked {
			continue
		}
		if r.err != nil {
			fmt.Fprintf(out, "- not measured: %s: %v\n", r.name, r.err)
		}
		for _, s := range r.missed {
			fmt.Fprintf(out, "- %s: %v, first by: %s\n", r.name, s.id, s.line)
		}
	}
}
