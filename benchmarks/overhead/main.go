// Overhead measures what it costs a program to be recorded: by tjfuzz and, side
// by side, by the tools that people use for the same. It decides which workloads
// stand for real work and how two times are compared; it knows all tools, tjfuzz
// too, by their command lines only.
//
//	go run ./benchmarks/overhead                     # as root; the whole table
//	go run ./benchmarks/overhead -rounds 21 -tools 'tjfuzz' -workloads 'tar|git'
//
// Its main hazard is a noisy machine. So every round runs every tool once, in an
// order of its own; a time is divided by that of the untraced run of the same round
// and workload; what is printed is the median of these ratios with its quartiles,
// and beside the tools stands a second untraced run, which shows what the noise
// alone makes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

// far is the ratio from which on a tool is not near any goal; after enough rounds
// it is not measured further.
const (
	far    = 2
	enough = 3
)

// limit is for one run of a workload: no tool that works takes longer.
const limit = 10 * time.Minute

// The goals, as ratios to the untraced run.
const (
	goal          = 1.10 // of a recorded program, on real workloads
	goalUnrelated = 1.05 // of any other program
)

func main() { harness.Main("overhead", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("overhead", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		rounds    = flags.Int("rounds", 9, "`number` of runs of each tool on each workload")
		tools     = flags.String("tools", "", "only the tools that match this `pattern`")
		workloads = flags.String("workloads", "", "only the workloads that match this `pattern`")
		scale     = flags.Float64("scale", 1, "`factor` for the size of the workloads, about a second each with 1")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *rounds < 1 || *scale <= 0 {
		return errors.New("usage: overhead [-rounds N] [-tools PATTERN] [-workloads PATTERN] [-scale FACTOR]")
	}
	toolPattern, err := regexp.Compile(*tools)
	if err != nil {
		return fmt.Errorf("-tools: %w", err)
	}
	workloadPattern, err := regexp.Compile(*workloads)
	if err != nil {
		return fmt.Errorf("-workloads: %w", err)
	}
	dir, err := os.MkdirTemp(scratch(), "tjfuzz-overhead-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	b := &bench{dir: dir, progress: stderr}
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := b.chooseTools(ctx, toolPattern); err != nil {
		return err
	}
	if err := b.chooseWorkloads(ctx, workloadPattern, *scale); err != nil {
		return err
	}
	for round := range *rounds {
		if err := b.round(ctx, round, *rounds); err != nil && (round == 0 || ctx.Err() == nil) {
			return err
		} else if err != nil {
			b.notes = append(b.notes, fmt.Sprintf("interrupted in round %d of %d", round+1, *rounds))
			break
		}
	}
	fmt.Fprint(stdout, b.report(harness.Command("overhead", args)))
	return nil
}

// scratch is a place in memory where there is one: what a disk does now and then
// is no tool's doing.
func scratch() string {
	var fs unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &fs); err == nil && fs.Type == unix.TMPFS_MAGIC && unix.Access("/dev/shm", unix.W_OK) == nil {
		return "/dev/shm"
	}
	return ""
}

// bench is one run of the benchmark.
type bench struct {
	dir       string
	clock     string // testdata/clock.c
	tjfuzz    string
	tools     []tool
	workloads []*workload
	notes     []string // what cannot be measured here, and why
	progress  io.Writer
}

// round measures every tool on every workload once.
func (b *bench) round(ctx context.Context, round, rounds int) error {
	for _, w := range b.workloads {
		fmt.Fprintf(b.progress, "overhead: round %d of %d: %s\n", round+1, rounds, w.name)
		for _, i := range rotated(len(b.tools), round) {
			t := &b.tools[i]
			r := w.results[t.name]
			if r.failed != "" || r.far() {
				continue
			}
			limited, cancel := context.WithTimeout(ctx, limit)
			s, err := w.measure(limited, t)
			cancel()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				r.failed = err.Error()
				continue
			}
			r.samples[round] = s
		}
		plain := w.results[untraced]
		if plain.failed != "" {
			return fmt.Errorf("%s does not even run untraced: %s", w.name, plain.failed)
		}
		for _, r := range w.results {
			r.compare(plain)
		}
	}
	return nil
}

// rotated is the order of n tools in a round: each is first at some time, and in
// every other round the neighbours are the other way round.
func rotated(n, round int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = (i + round) % n
		if round%2 == 1 {
			order[i] = (n - i + round) % n
		}
	}
	return order
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
