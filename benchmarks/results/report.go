package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

// head is what stands above all sections.
func head(versions []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, `# What was measured

Written by `+"`go run ./benchmarks/results`"+` on %s.
Every section is a benchmark cut short, and names the command that makes it; docs/benchmarks.md says what it
measures, and how, and has what longer runs gave. Ratios say more than times: they are of one run on one machine.

`, processor())
	for _, v := range versions {
		fmt.Fprintf(&out, "- %s\n", v)
	}
	return out.String()
}

// section is what a part said, as Markdown.
func (r *result) section() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n`%s`, %s, %v\n", r.heading(), harness.Command(r.name, r.args), r.begin.UTC().Format(time.DateOnly), r.took.Round(time.Second))
	if r.report != "" {
		fence := fenceOf(r.report)
		fmt.Fprintf(&out, "\n%stext\n%s\n%s\n", fence, strings.TrimRight(r.report, "\n"), fence)
	}
	if plot := r.plot(); plot != "" && r.err == nil {
		fmt.Fprintf(&out, "\n![%s](%s)\n", r.about, plot)
	}
	if r.err != nil {
		fmt.Fprintf(&out, "\nNot all of it was measured: %v.\n", r.err)
	}
	return out.String()
}

// heading begins the section.
func (p *part) heading() string { return "\n## " + p.about + "\n" }

// earlier is the section of a part in what was written before, "" where there is none.
func (p *part) earlier(text string) string {
	_, rest, ok := strings.Cut(text, p.heading())
	if !ok {
		return ""
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	return p.heading() + section
}

var backquotes = regexp.MustCompile("`{3,}")

// fenceOf is a fence that does not occur in the text.
func fenceOf(text string) string {
	fence := "```"
	for _, b := range backquotes.FindAllString(text, -1) {
		if len(b) >= len(fence) {
			fence = b + "`"
		}
	}
	return fence
}

// processor is the name that the kernel knows, and how many there are.
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // without it, the machine is told by its kernel
	for line := range strings.Lines(string(info)) {
		if name, model, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model) + ", " + harness.Machine()
		}
	}
	return harness.Machine()
}

// versions are those of the tools that something is compared with, each in a line.
func versions(ctx context.Context) []string {
	var all []string
	for _, ask := range [][]string{{"go", "version"}, {"afl-fuzz", "-h"}, {"strace", "--version"}, {"perf", "--version"}, {"bpftrace", "--version"},
		{"bwrap", "--version"}, {"firejail", "--version"}, {"runc", "--version"}, {"crun", "--version"}} {
		said, err := exec.CommandContext(ctx, ask[0], ask[1:]...).Output()
		var exit *exec.ExitError // afl-fuzz knows no such option, and ends the help that begins with its version with 1
		line, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
		if err != nil && !errors.As(err, &exit) || line == "" {
			continue // what lacks it says so itself
		}
		if !strings.HasPrefix(line, ask[0]) {
			line = ask[0] + ": " + line
		}
		all = append(all, plain(line))
	}
	return all
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// plain is a line without what colours a terminal.
func plain(line string) string { return escapes.ReplaceAllString(line, "") }
