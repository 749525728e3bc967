// Results runs the other benchmarks, one after another, each for a few minutes, and writes
// what they report to benchmarks/RESULTS.md, and some lines of that to README.md. It decides which
// part of each is run; the benchmarks themselves measure, and know nothing of it.
//
//	go run ./benchmarks/results                  # as root, on a machine that does nothing else
//	go run ./benchmarks/results -only speed,static   # of others, what was written stays
//
// Its hazard is a benchmark that fails or takes too long: that is said in its place, and the
// others are run all the same; the exit code is 1 then. What an interrupted one leaves is what those before it measured.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
)

// part is a benchmark, cut short.
type part struct {
	name  string
	about string
	args  []string
	limit time.Duration // after which it is ended
}

// plot is the file that it draws, beside RESULTS.md; "" for none.
func (p *part) plot() string {
	if i := slices.Index(p.args, "-plot"); i >= 0 {
		return filepath.Base(p.args[i+1])
	}
	return ""
}

// parts take 32 minutes together on two processors. What they leave out is in docs/benchmarks.md.
var parts = []part{
	{"speed", "Runs in a second, beside afl-fuzz", []string{"-rounds", "3", "-window", "2s", "-session", "20s"}, 12 * time.Minute},
	{"overhead", "What recording costs a program, beside other tools", []string{"-rounds", "3", "-scale", "0.3"}, 10 * time.Minute},
	{"enforcement", "What a policy costs, beside bubblewrap and firejail", []string{"-rounds", "9", "-calls", "200000"}, 4 * time.Minute},
	{"static", "What code can reach, beside what programs do", nil, 8 * time.Minute},
	{"runtimes", "What container runtimes call after loading a filter", []string{"-starts", "3"}, 3 * time.Minute},
	{"discovery", "Which syscalls learning finds, when, and by varying what",
		[]string{"-programs", "file,gzip,jq,sort,tar", "-duration", "15s", "-plot", "benchmarks/discovery.svg"}, 12 * time.Minute},
	{"recall", "What learning misses, by test suites of the programs' authors", []string{"-programs", "gzip,sed", "-duration", "30s"}, 9 * time.Minute},
	{"directed", "What it is worth to aim runs at what the code can reach",
		[]string{"-programs", "guarded,diff,gzip", "-execs", "1500"}, 8 * time.Minute},
	{"newcomer", "What a newcomer types, on a bare machine", nil, 10 * time.Minute},
	{"seeds", "What the built-in seeds are worth", []string{"-programs", "jq,gzip", "-execs", "500"}, 5 * time.Minute},
	{"everyday", "What learning misses of programs that nobody has looked at, by everyday command lines",
		[]string{"-programs", "lzop,brotli", "-execs", "300"}, 6 * time.Minute},
}

func main() { harness.Main("results", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("results", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "only these `benchmarks`, separated by commas; of others, what is in the file stays")
	usual := filepath.Join("benchmarks", "RESULTS.md")
	out := flags.String("o", usual, "write to this `file`, - for standard output; only what is written to "+usual+" is shown in README.md")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil || flags.NArg() > 0 {
		return errors.Join(err, errors.New("usage: results [-only LIST] [-o FILE]"))
	}
	dir, err := os.MkdirTemp("", "tjfuzz-results-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	before, err := os.ReadFile(*out)
	if err != nil && *out != "-" && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := head(versions(ctx))
	above := len(text)
	err = measure(ctx, chosen, string(before), func(p *part) result {
		fmt.Fprintf(stderr, "results: %s, at most %v\n", p.name, p.limit)
		return p.run(ctx, dir, stderr)
	}, func(sections string) error {
		text = text[:above] + sections
		if *out == "-" {
			return nil
		}
		if err := atomicfile.Write(*out, []byte(text)); err != nil || *out != usual {
			return err
		}
		return showIn("README.md", text)
	})
	if *out == "-" {
		_, werr := io.WriteString(stdout, text)
		err = errors.Join(err, werr)
	}
	return err
}

// measure runs the chosen parts, and writes all sections after each, so that what one has measured is there
// whatever becomes of the next. Of the others, the section is that of before.
func measure(ctx context.Context, chosen []part, before string, run func(*part) result, write func(sections string) error) error {
	sections := make([]string, len(parts))
	for i, p := range parts {
		sections[i] = p.earlier(before)
	}
	var failed, unwritten error
	for i, p := range parts {
		if !slices.ContainsFunc(chosen, func(c part) bool { return c.name == p.name }) {
			continue
		}
		r := run(&p)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted: %s and what comes after it was not measured", p.name)
		}
		if r.err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: not all was measured: %w", p.name, r.err))
		}
		sections[i] = r.section()
		unwritten = write(strings.Join(sections, "")) // what an earlier one did not write is in this one
	}
	return errors.Join(failed, unwritten)
}

// choose is the parts by their names, all for "".
func choose(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}
	var chosen []part
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no benchmark %s", name)
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// result is what a part reported.
type result struct {
	part
	report string
	begin  time.Time
	took   time.Duration
	err    error
}

// run builds the benchmark and runs it; the time that building takes does not count.
func (p *part) run(ctx context.Context, dir string, stderr io.Writer) (r result) {
	r.part = *p
	binary := filepath.Join(dir, p.name)
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./benchmarks/"+p.name)
	build.Stderr = stderr
	if r.err = build.Run(); r.err != nil {
		return r
	}
	r.begin = time.Now()
	limited, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(limited, binary, p.args...)
	cmd.Stdout, cmd.Stderr = &out, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // they remove what they made
	cmd.WaitDelay = time.Minute
	r.err = cmd.Run()
	if limited.Err() != nil && ctx.Err() == nil {
		r.err = fmt.Errorf("it took more than %v", p.limit)
	}
	r.report, r.took = out.String(), time.Since(r.begin)
	return r
}
