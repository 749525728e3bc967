// Seeds measures what the built-in seeds are worth: it learns each program with them and
// with an empty input in their place, and says how many syscalls each session found and after how
// many runs. It knows tjfuzz by its command line only.
//
//	go run ./benchmarks/seeds                                   # as root; minutes
//	go run ./benchmarks/seeds -programs jq,xmllint -execs 500
//
// Its main hazard is chance: what a session happens to draw. So both have the same -seed and
// number of runs, which no load changes, and what one found and the other did not is named.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
)

func main() { harness.Main("seeds", run) }

// programs are the defaults, parsers of formats that differ.
const programs = "jq,xmllint,sqlite3,gzip,tar,file"

// subject is a program with its sessions.
type subject struct {
	name          string
	with, without *learning.Result
	failed        error
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("seeds", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		list  = flags.String("programs", programs, "the `programs`, separated by commas")
		execs = flags.Uint64("execs", 1000, "the `number` of runs for each session")
		seed  = flags.Uint64("seed", 1, "the `number` that all randomness comes from")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *execs == 0 {
		return errors.New("usage: seeds [-programs LIST] [-execs N] [-seed N]")
	}
	dir, err := os.MkdirTemp("", "tjfuzz-seeds-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	none := filepath.Join(dir, "none")
	if err := os.Mkdir(none, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(none, "empty"), nil, 0o644); err != nil {
		return err
	}
	tjfuzz, err := learning.Build(ctx, dir)
	if err != nil {
		return err
	}
	var all []subject
	for _, name := range strings.Split(*list, ",") {
		s := subject{name: name}
		if _, err := exec.LookPath(name); err != nil {
			s.failed = errors.New("it is not installed; run scripts/setup bench")
		}
		learn := func(state string, more ...string) *learning.Result {
			if s.failed != nil {
				return nil
			}
			fmt.Fprintf(stderr, "seeds: %s, %s\n", name, state)
			at := filepath.Join(dir, name+"-"+state)
			if s.failed = os.Mkdir(at, 0o755); s.failed != nil {
				return nil
			}
			flags := append([]string{"--seed", fmt.Sprint(*seed), "--jobs", "1", "--duration", "0", "--confidence", "0", "--execs", fmt.Sprint(*execs)}, more...)
			out, err := learning.Learn(ctx, tjfuzz, at, []string{name}, flags...)
			if err != nil {
				s.failed = err
				return nil
			}
			var r *learning.Result
			r, s.failed = learning.Parse(out)
			return r
		}
		s.with, s.without = learn("with"), learn("without", "--seeds", none)
		all = append(all, s)
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Fprint(stdout, report(harness.Command("seeds", args), all))
	return nil
}

func names(r *learning.Result) []string {
	var all []string
	for _, f := range r.Found {
		all = append(all, f.Syscall)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// minus are the names in a that are not in b.
func minus(a, b []string) string {
	only := slices.DeleteFunc(slices.Clone(a), func(n string) bool { return slices.Contains(b, n) })
	if len(only) == 0 {
		return "none"
	}
	return strings.Join(only, " ")
}

// by is after how many runs all but a tenth was found.
func by(r *learning.Result) uint64 {
	if len(r.Found) == 0 {
		return 0
	}
	return r.Found[(len(r.Found)*9+9)/10-1].Run
}

func report(command string, all []subject) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Syscalls found with and without the built-in seeds\n%s\n%s\n\n", command, harness.Machine())
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "program\twith\twithout\t90 % by run\twithout\tonly with\tonly without")
	for _, s := range all {
		if s.failed != nil {
			continue
		}
		a, b := names(s.with), names(s.without)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%s\n", s.name, len(a), len(b), by(s.with), by(s.without), minus(a, b), minus(b, a))
	}
	_ = w.Flush() // a strings.Builder does not fail
	for _, s := range all {
		if s.failed != nil {
			fmt.Fprintf(&out, "- not measured: %s: %v\n", s.name, s.failed)
		}
	}
	return out.String()
}
