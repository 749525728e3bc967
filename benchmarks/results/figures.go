package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
)

// The README shows some lines of RESULTS.md, between these.
const (
	figuresBegin = "<!-- figures: lines of benchmarks/RESULTS.md, written by go run ./benchmarks/results -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// excerpt is what is shown of a part: the lines of its first tables that begin with one of these, of
// which the first is the head of the table.
type excerpt struct {
	part  string
	about string
	rows  []string
}

var excerpts = []excerpt{
	{"recall", "How many syscalls the policies allow, and how many they miss of those that the test suite of the program's authors makes",
		[]string{"program  policy", "gzip +[a-z]", "sed +[a-z]"}},
	{"overhead", "Time of a run that is recorded, as a multiple of one that is not; untraced is the noise",
		[]string{" +getpid", "untraced, again", "tjfuzz trace  ", "strace -f -c", "perf trace", "bpftrace"}},
	{"speed", "Runs in a second, and as a multiple of those of `afl-fuzz -n`", []string{" +tiny", " +afl-fuzz -n", " +afl-fuzz, instrumented", " +tjfuzz, copies at the input, cage"}},
	{"enforcement", "Start and end of a small program under a policy", []string{"start and end", "plain exec  ", "tjfuzz enforce  ", "bubblewrap --seccomp  ", "firejail --seccomp  "}},
}

// figures are the excerpts of what was written, as Markdown. What was not measured at all is left out.
func figures(results string) (string, error) {
	var out strings.Builder
	for _, e := range excerpts {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == e.part })
		section := parts[i].earlier(results)
		var text, lacks string
		measured := false
		for i, row := range e.rows {
			// Of a row that comes in several tables, the first is meant; those of one table stand together.
			lines := regexp.MustCompile("(?m)(?:^" + row + ".*[0-9a-z].*\n)+").FindString(section)
			if lines == "" {
				lacks = row
			} else if i > 0 {
				measured = true
			}
			for line := range strings.Lines(lines) {
				text += strings.TrimRight(line, " \n") + "\n"
			}
		}
		switch {
		case !measured:
		case lacks != "":
			return "", fmt.Errorf("%s has no line that begins with %q", parts[i].about, lacks)
		default:
			fmt.Fprintf(&out, "\n%s:\n\n```text\n%s```\n", e.about, text)
		}
	}
	return out.String() + "\n", nil
}

// show replaces the figures in the text of the README.
func show(readme, figures string) (string, error) {
	before, rest, begun := strings.Cut(readme, figuresBegin)
	_, after, ended := strings.Cut(rest, figuresEnd)
	if !begun || !ended {
		return "", fmt.Errorf("there is no place for figures, between %q and %q", figuresBegin, figuresEnd)
	}
	return before + figuresBegin + figures + figuresEnd + after, nil
}

// showIn writes the figures of results into the README at path.
func showIn(path, results string) error {
	f, err := figures(results)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	shown, err := show(string(text), f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomicfile.Write(path, []byte(shown))
}
