package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
)

// sessions is what is said of services: whole sessions of learn with one run at a time, in which a run is start, talk, stop.
const sessions = "sessions"

// barMessages is how many messages in a second a session with a service has to exchange.
const barMessages = 200

// talk is what sessions with one service came to, each a session.
type talk struct {
	command  []string
	messages []float64 // in a second of the clock
	busy     []float64 // in a second of processor time: of tjfuzz and all that it starts, with the proof of the policy
	runs     []float64 // in a second of the clock
	failed   error
}

func services() []*talk {
	return []*talk{{command: []string{"redis-server"}}, {command: []string{"nginx", "-g", "daemon off;"}}}
}

func (t *talk) name() string { return t.command[0] }

// measureSession learns a service for as long as it is told, with a seed of the round's own.
func (b *bench) measureSession(ctx context.Context, t *talk, seed int) error {
	if t.failed != nil {
		return nil
	}
	if b.tjfuzz == "" {
		tjfuzz, err := learning.Build(ctx, b.dir)
		if err != nil {
			return err
		}
		b.tjfuzz = tjfuzz
	}
	dir, err := os.MkdirTemp(b.dir, "session-")
	if err != nil {
		return err
	}
	before := spent()
	out, err := learning.Learn(ctx, b.tjfuzz, dir, t.command, "--jobs", "1", "--seed", fmt.Sprint(seed), "--duration", b.session.String(), "--confidence", "0")
	used := spent() - before
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var r *learning.Result
	if err == nil {
		r, err = learning.Parse(out)
	}
	if err == nil && r.Messages() == 0 {
		err = fmt.Errorf("no message was exchanged in %d runs", r.Runs)
	}
	if err != nil {
		t.failed = err
		return nil
	}
	n := float64(r.Messages())
	t.messages = append(t.messages, n/r.Seconds)
	t.busy = append(t.busy, n/used.Seconds())
	t.runs = append(t.runs, float64(r.Runs)/r.Seconds)
	return nil
}

// spent is the processor time of all that this process has started and waited for.
func spent() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportSessions is the table of services; empty where none were asked for.
func (b *bench) reportSessions() string {
	if len(b.talks) == 0 {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\nMessages that a session with a service exchanges, one run at a time, %v each (medians)\n\n", b.session.Round(time.Millisecond))
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tin a second\tin a second of processor time\truns in a second\t")
	for _, t := range b.talks {
		if t.failed == nil {
			fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.1f\t\n", t.name(), harness.SpreadOf(t.messages).Median, harness.SpreadOf(t.busy).Median, harness.SpreadOf(t.runs).Median)
		}
	}
	w.Flush()
	fmt.Fprintln(&out)
	for _, t := range b.talks {
		switch {
		case t.failed != nil:
			fmt.Fprintf(&out, "failed: %s, %s: %s\n", sessions, t.name(), t.failed)
		case harness.SpreadOf(t.messages).Median >= barMessages:
			fmt.Fprintf(&out, "%s: bar %d a second: met\n", t.name(), barMessages)
		default:
			fmt.Fprintf(&out, "%s: bar %d a second: missed\n", t.name(), barMessages)
		}
	}
	return out.String()
}
