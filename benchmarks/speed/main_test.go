package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestTableHasEveryRunnerOnEveryTarget(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	for _, program := range []string{"gcc", "afl-fuzz", "afl-clang-fast"} {
		testenv.Program(t, program)
	}
	var table strings.Builder
	if err := run(t.Context(), []string{"-rounds", "1", "-window", "200ms", "-targets", "tiny"}, &table, t.Output()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "with breakpoints") {
		t.Errorf("nothing is said of breakpoints:\n%s", &table)
	}
	rows := 0
	for line := range strings.Lines(table.String()) {
		if strings.Contains(line, "afl-fuzz -n  ") || strings.Contains(line, "afl-fuzz, instrumented  ") || strings.Contains(line, "tjfuzz, ") {
			if rows++; strings.Count(line, "x") != 1+strings.Count(line, "execve") {
				t.Errorf("want one ratio in %q", line)
			}
		}
	}
	if rows != 11 || strings.Contains(table.String(), "failed") {
		t.Errorf("%d rows, want 11, and nothing that failed:\n%s", rows, &table)
	}
}

// A service that exchanges nothing has no rate, and the other is measured all the same.
func TestSessionsWithServicesAreCountedByTheirMessages(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	testenv.Program(t, "redis-server")
	b := &bench{dir: t.TempDir(), session: 3 * time.Second, talks: []*talk{{command: []string{"redis-server", "--port", "7391"}}, {command: []string{"true"}}}}
	for _, talk := range b.talks {
		if err := b.measureSession(t.Context(), talk, 1); err != nil {
			t.Fatal(err)
		}
	}
	got := b.report("command")
	if talk := b.talks[0]; talk.failed != nil || len(talk.messages) != 1 || talk.messages[0] <= 0 || talk.busy[0] <= 0 || !strings.Contains(got, "redis-server: bar 200 a second: ") {
		t.Errorf("%+v\n%s", talk, got)
	}
	if !strings.Contains(got, "failed: sessions, true: no message was exchanged in ") {
		t.Errorf("it does not say that true is no service:\n%s", got)
	}
}

// What is not measured is not made either, and has no table.
func TestSessionsAloneNeedNoOtherTargets(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	if err := b.prepare(t.Context(), regexp.MustCompile(""), regexp.MustCompile(sessions)); err != nil || len(b.targets) > 0 || len(b.talks) != len(services()) {
		t.Errorf("%v; %d targets, %d services", err, len(b.targets), len(b.talks))
	}
	if left, err := os.ReadDir(b.dir); err != nil || len(left) > 0 {
		t.Errorf("made: %v, %v", left, err)
	}
	if got := b.report(""); strings.Contains(got, "Runs in a second") {
		t.Errorf("there is a table of runs:\n%s", got)
	}
	if err := new(bench).prepare(t.Context(), regexp.MustCompile(""), regexp.MustCompile("nothing")); err == nil {
		t.Error("no runner is asked for, and there is something to measure")
	}
}

func TestBreakpointsCostTheMedianOfTheRounds(t *testing.T) {
	tt := &target{name: "x", costs: []cost{
		{with: 103 * time.Microsecond, without: 100 * time.Microsecond},
		{with: 300 * time.Microsecond, without: 100 * time.Microsecond, runs: 128, fresh: 3},
		{with: 100 * time.Microsecond, without: 102 * time.Microsecond, runs: 256, fresh: 1},
	}}
	if got, want := tt.breakpointsLine(), "103 us of processor time a run with breakpoints, 100 without, +3.0%, bar 5%: met; 4 of 384 runs were the first to reach something\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want a line that ends in %q", got, want)
	}
	tt.costs = tt.costs[1:2]
	if got := tt.breakpointsLine(); !strings.Contains(got, "bar 5%: missed;") {
		t.Errorf("got %q, want a bar that is missed", got)
	}
}

// Copies without breakpoints are not taken for such as have them, and the rest is measured all the same.
func TestBreakpointsThatThereAreNotHaveNoCost(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	tt := &target{name: "traps", program: testenv.Compile(t, "testdata/traps.c"), args: []string{"@@"}, seeds: []string{"abc"}, failed: map[string]string{}}
	b := &bench{window: 50 * time.Millisecond, targets: []*target{tt}}
	if err := b.measureBreakpoints(t.Context(), tt); err != nil {
		t.Fatal(err)
	}
	if got := b.report(""); !strings.Contains(got, "failed: breakpoints, traps: copies have no breakpoints: the program handles SIGTRAP itself\n") || strings.Contains(got, "met") {
		t.Errorf("got %q, want that it has none", got)
	}
}

func TestRatiosAreMediansOverTheRounds(t *testing.T) {
	tt := &target{rates: map[string][]float64{"a": {10, 40, 90}, "b": {10, 10, 30}, "c": {1}}, failed: map[string]string{}}
	if got := tt.times("a", "b"); got != 3 {
		t.Errorf("got %v, want 3", got)
	}
	if got := tt.times("a", "c"); got != 0 {
		t.Errorf("got %v for runners with different rounds, want 0", got)
	}
	tt.failed["b"] = "why"
	if got := tt.times("a", "b"); got != 0 {
		t.Errorf("got %v for one that failed, want 0", got)
	}
}

func TestRateOfAflIsReadFromItsPlot(t *testing.T) {
	const head = "# relative_time, cycles_done, execs_per_sec, total_execs, edges_found\n"
	for _, tt := range []struct {
		plot string
		want float64
	}{
		{head + "1, 0, 10.50, 11, 0\n3, 0, 716.36, 2170, 0\n", 716.36},
		{head + "2, 0, 0.00, 90, 0\n", 45},
		{head + "0, 0, 0.00, 0, 0\n", 0},
		{head, 0},
		{"", 0},
	} {
		if got, err := lastRate(tt.plot); got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%q: got %v, %v, want %v", tt.plot, got, err, tt.want)
		}
	}
}
