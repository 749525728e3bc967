package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// breakpoints is the name of what they cost, where runners are chosen by theirs.
const breakpoints = "breakpoints"

// barBreakpoints is by how much of their cost runs may cost more with breakpoints.
const barBreakpoints = 0.05

// cost is the processor time of a run of a copy at the input, in the cage: that of tjfuzz, the server and the copy.
type cost struct {
	with, without time.Duration
	runs, fresh   int // with breakpoints, and those of them that were the first to reach something: each is made three times, and traced
}

// measureBreakpoints notes what they cost once. Where that fails it is not asked again.
func (b *bench) measureBreakpoints(ctx context.Context, t *target) error {
	if t.failed[breakpoints] != "" {
		return nil
	}
	c, err := b.breakpointsOf(ctx, t)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.failed[breakpoints] = err.Error()
		return nil
	}
	t.costs = append(t.costs, c)
	return nil
}

// breakpointsOf measures what runs cost with breakpoints and without, by turns, with the same inputs. By then most of the
// breakpoints that these inputs come to are gone.
func (b *bench) breakpointsOf(ctx context.Context, t *target) (c cost, err error) {
	const (
		first = 8192 // runs, or a few windows of them, before what is measured: a steady state is asked for
		batch = 128
	)
	var (
		both   [2]*executor
		before [2]int // copies
	)
	o := launch.Options{Program: t.program, ForkServer: true, Highest: launch.AtInput}
	for n, m := range []*coverage.Map{new(coverage.Map), nil} {
		o.Coverage = m
		x, err := start(t, o, true)
		if err != nil {
			return cost{}, err
		}
		defer func() { err = errors.Join(err, x.close()) }()
		for n, began := 0, time.Now(); n < first && time.Since(began) < 3*b.window; n += batch {
			if err := x.run(ctx, batch); err != nil {
				return cost{}, err
			}
		}
		both[n], before[n] = x, x.Copies()[o.Highest]
	}
	var spent [2]time.Duration
	runs, fresh := 0, both[0].fresh
	for began := time.Now(); time.Since(began) < 2*b.window; runs += batch {
		for turn := range both {
			n := (turn + runs/batch) % len(both) // what else the machine does hits both alike
			x := both[n]
			from, err := used()
			if err != nil {
				return cost{}, err
			}
			if err := x.run(ctx, batch); err != nil {
				return cost{}, err
			}
			to, err := used()
			if err != nil {
				return cost{}, err
			}
			spent[n] += to - from
		}
	}
	for n, x := range both {
		if err := x.check(o, before[n], runs); err != nil {
			return cost{}, err
		}
	}
	// Otherwise copies without breakpoints would be compared with their like.
	if why := both[0].Bare(); why != nil {
		return cost{}, fmt.Errorf("copies have no breakpoints: %w", why)
	}
	if both[0].fresh == 0 {
		return cost{}, errors.New("no run came to a breakpoint")
	}
	per := time.Duration(runs)
	return cost{with: spent[0] / per, without: spent[1] / per, runs: runs, fresh: both[0].fresh - fresh}, nil
}

// used is the processor time of this process and its children, and of what they have waited for.
func used() (sum time.Duration, err error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	sum = spawn.UsedBy(os.Getpid())
	for _, task := range tasks {
		children, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return 0, err
		}
		for _, child := range strings.Fields(string(children)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			sum += spawn.UsedBy(pid)
		}
	}
	return sum, nil
}

// breakpointsLine says what they cost, by the medians over the rounds.
func (t *target) breakpointsLine() string {
	var with, without, more []float64
	runs, fresh := 0, 0
	for _, c := range t.costs {
		runs, fresh = runs+c.runs, fresh+c.fresh
		with = append(with, c.with.Seconds()*1e6)
		without = append(without, c.without.Seconds()*1e6)
		more = append(more, float64(c.with)/float64(c.without)-1)
	}
	verdict, x := "met", harness.SpreadOf(more).Median
	if x > barBreakpoints {
		verdict = "missed"
	}
	return fmt.Sprintf("%s in the cage, copies at the input: %.0f us of processor time a run with breakpoints, %.0f without, %+.1f%%, bar %g%%: %s; %d of %d runs were the first to reach something\n",
		t.name, harness.SpreadOf(with).Median, harness.SpreadOf(without).Median, 100*x, 100*barBreakpoints, verdict, fresh, runs)
}
