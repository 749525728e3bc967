package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
)

// origins are the columns of what found a syscall: what was run deliberately, then
// what draws varied, then what came of neither.
var origins = []string{"base", "seeds", "options", "bytes", "argv", "env", "streams", "files", "several", "replay"}

// origin is the column of a syscall.
func origin(f learning.Found) string {
	switch {
	case f.Phase != "explore":
		return f.Phase
	case len(f.Varied) == 1:
		return f.Varied[0]
	}
	return "several"
}

// reach is when a share of all syscalls that the session found was found.
func reach(found []learning.Found, share float64) float64 {
	n := int(share*float64(len(found)) + 0.999999)
	if n == 0 {
		return 0
	}
	return found[n-1].Seconds
}

// until counts what was found by a time.
func until(found []learning.Found, seconds float64) int {
	n := 0
	for _, f := range found {
		if f.Seconds <= seconds {
			n++
		}
	}
	return n
}

// beyond are the syscalls of a session that the first one did not find.
func beyond(everything, other *session) []string {
	all := everything.syscalls()
	return slices.DeleteFunc(other.syscalls(), func(name string) bool { return slices.Contains(all, name) })
}

func report(command string, duration time.Duration, modes []mode, subjects []subject) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Syscalls found by learning\n%s\n%s\n\n", command, harness.Machine())
	var measured []subject
	for _, s := range subjects {
		if s.failed == "" {
			measured = append(measured, s)
		}
	}
	table(&out, func(w *tabwriter.Writer) {
		fmt.Fprint(w, "syscalls")
		for _, m := range modes {
			fmt.Fprintf(w, "\t%s", m.name)
		}
		fmt.Fprintln(w, "\truns/s\t50 %\t90 %\t100 %\tcounted by hand")
		for _, s := range measured {
			fmt.Fprint(w, s.name)
			for i := range modes {
				if x := &s.sessions[i]; x.failed != "" {
					fmt.Fprint(w, "\tfailed")
				} else {
					fmt.Fprintf(w, "\t%d", len(x.syscalls()))
				}
			}
			all := s.sessions[0]
			fmt.Fprintf(w, "\t%.0f\t%.1f s\t%.1f s\t%.1f s\t", float64(all.Runs)/all.Seconds, reach(all.Found, .5), reach(all.Found, .9), reach(all.Found, 1))
			if n := paper[s.name]; n > 0 {
				fmt.Fprint(w, n)
			} else {
				fmt.Fprint(w, "-")
			}
			fmt.Fprintln(w)
		}
	})
	out.WriteString(`
The modes restrict what tjfuzz varies; seeds, and how an input is given, are the same in
all. Times are those by which the unrestricted session had found such a share
of all that it found. Counted by hand are the syscalls that the authors of "Seccomp
Filters from Fuzzing" (SECRYPT 2022) count for the program with another version of it
and of the C library; they give no names here, so only the numbers can be compared.
What their method would find with this library is at most what varying bytes and
arguments finds: that it is found by everything is what the next lines tell.

`)
	for _, s := range measured {
		for i := range s.sessions[1:] {
			x := &s.sessions[i+1]
			if x.failed != "" {
				fmt.Fprintf(&out, "- %s, %s: %s\n", s.name, modes[i+1].name, x.failed)
			} else if names := beyond(&s.sessions[0], x); len(names) > 0 {
				fmt.Fprintf(&out, "- %s: found by varying %s, and not by everything: %s\n", s.name, modes[i+1].name, strings.Join(names, " "))
			} else {
				fmt.Fprintf(&out, "- %s: everything found all that varying %s found\n", s.name, modes[i+1].name)
			}
		}
	}
	out.WriteString("\nWhat found them, in the unrestricted session\n\n")
	table(&out, func(w *tabwriter.Writer) {
		columns := columns(measured)
		fmt.Fprintln(w, "first shown by\t"+strings.Join(columns, "\t"))
		for _, s := range measured {
			fmt.Fprint(w, s.name)
			for _, c := range columns {
				n := 0
				for _, f := range s.sessions[0].Found {
					if origin(f) == c {
						n++
					}
				}
				fmt.Fprintf(w, "\t%d", n)
			}
			fmt.Fprintln(w)
		}
	})
	out.WriteString(`
Base, seeds and options are deliberate runs that come first. The others are draws, by
what they varied; several is more than one thing at once, and replay a scenario that
was made smaller.

How many were found by a time

`)
	table(&out, func(w *tabwriter.Writer) {
		times := ticks(duration)
		fmt.Fprint(w, "after")
		for _, t := range times {
			fmt.Fprintf(w, "\t%v", t)
		}
		fmt.Fprintln(w)
		for _, s := range measured {
			for i, x := range s.sessions {
				if x.failed != "" {
					continue
				}
				fmt.Fprintf(w, "%s, %s", s.name, modes[i].name)
				for _, t := range times {
					fmt.Fprintf(w, "\t%d", until(x.Found, t.Seconds()))
				}
				fmt.Fprintln(w)
			}
		}
	})
	for _, s := range subjects {
		if s.failed != "" {
			fmt.Fprintf(&out, "- not measured: %s: %s\n", s.name, s.failed)
		}
	}
	return out.String()
}

// columns are the origins, and those that are not known here but occur.
func columns(subjects []subject) []string {
	all := slices.Clone(origins)
	for _, s := range subjects {
		for _, f := range s.sessions[0].Found {
			if o := origin(f); !slices.Contains(all, o) {
				all = append(all, o)
			}
		}
	}
	slices.Sort(all[len(origins):])
	return all
}

// ticks are times from the first second on, each about double, to the end.
func ticks(end time.Duration) []time.Duration {
	var out []time.Duration
	for _, t := range []time.Duration{1, 2, 5, 10, 20, 30, 60, 120, 300} {
		if t *= time.Second; t < end {
			out = append(out, t)
		}
	}
	return append(out, end)
}

func table(out *strings.Builder, fill func(*tabwriter.Writer)) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fill(w)
	_ = w.Flush() // a strings.Builder does not fail
}
