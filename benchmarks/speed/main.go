// Speed measures how often in a second a program is run: by afl-fuzz and, side by side,
// by each of the executors of tjfuzz, in the cage and without, while eBPF records the
// runs; and what a run costs with breakpoints and without. It decides what is compared with what; how programs are run it does not know.
//
//	go run ./benchmarks/speed                       # as root; the whole table
//	go run ./benchmarks/speed -rounds 9 -targets 'tiny' -runners 'afl|cage'
//	go run ./benchmarks/speed -targets 'redis|nginx'   # messages that sessions with services exchange
//
// Its main hazard is a noisy machine. So all runs of a round follow each other on one processor,
// in an order of the round's own; a rate is divided by that of afl-fuzz in the same round, and what is
// printed is the median of the rates and of these ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
)

func main() {
	if err := pin(); err != nil {
		fmt.Fprintf(os.Stderr, "speed: %v\n", err)
		os.Exit(1)
	}
	harness.Main("speed", run)
}

// pin makes all of this process run on one processor, as afl-fuzz does by itself.
func pin() error {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("read the processors to run on: %w", err)
	}
	if set.Count() == 1 {
		return nil
	}
	last := 0
	for i := range 1024 {
		if set.IsSet(i) {
			last = i
		}
	}
	set.Zero()
	set.Set(last)
	// Of the calling thread, and so of what that executes.
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("choose a processor: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("speed", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		rounds  = flags.Int("rounds", 5, "`number` of times that everything is measured")
		window  = flags.Duration("window", 5*time.Second, "how long each runner runs each target in a round")
		session = flags.Duration("session", 30*time.Second, "how long each session with a service is")
		targets = flags.String("targets", "", "only the targets that match this `pattern`")
		runners = flags.String("runners", "", "only the runners that match this `pattern`")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *rounds < 1 || *window <= 0 || *session <= 0 {
		return errors.New("usage: speed [-rounds N] [-window DURATION] [-session DURATION] [-targets PATTERN] [-runners PATTERN]")
	}
	targetPattern, err := regexp.Compile(*targets)
	if err != nil {
		return fmt.Errorf("-targets: %w", err)
	}
	runnerPattern, err := regexp.Compile(*runners)
	if err != nil {
		return fmt.Errorf("-runners: %w", err)
	}
	dir, err := os.MkdirTemp("", "tjfuzz-speed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, window: *window, session: *session}
	if err := b.prepare(ctx, targetPattern, runnerPattern); err != nil {
		return err
	}
	for round := range *rounds {
		for _, t := range b.targets {
			fmt.Fprintf(stderr, "speed: round %d of %d: %s\n", round+1, *rounds, t.name)
			for i := range b.runners {
				r := &b.runners[(i+round)%len(b.runners)]
				if err := b.measure(ctx, t, r); err != nil {
					return err
				}
			}
			if b.covers {
				if err := b.measureBreakpoints(ctx, t); err != nil {
					return err
				}
			}
		}
		for _, t := range b.talks {
			fmt.Fprintf(stderr, "speed: round %d of %d: %s\n", round+1, *rounds, t.name())
			if err := b.measureSession(ctx, t, round+1); err != nil {
				return err
			}
		}
	}
	fmt.Fprint(stdout, b.report(harness.Command("speed", args)))
	return nil
}

// measure notes how fast a runner is once. One that fails is not asked again.
func (b *bench) measure(ctx context.Context, t *target, r *runner) error {
	if t.failed[r.name] != "" || r.instrumented && t.instrumented == "" {
		return nil
	}
	rate, err := r.rate(ctx, b, t)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.failed[r.name] = err.Error()
		rate = 0
	}
	t.rates[r.name] = append(t.rates[r.name], rate)
	return nil
}

// output runs a command, and makes what it says part of the error.
func output(ctx context.Context, env []string, argv ...string) error {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", argv[0], err, lines[len(lines)-1])
	}
	return nil
}
