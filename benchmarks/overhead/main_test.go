package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestTableHasEveryToolThatWorksHereOnEveryWorkload(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	testenv.Program(t, "gcc")
	testenv.Program(t, "sqlite3")
	var table strings.Builder
	args := []string{"-rounds", "2", "-scale", "0.02", "-tools", "tjfuzz trace$|--sites|again", "-workloads", "getpid|git|sqlite"}
	if err := run(t.Context(), args, &table, t.Output()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"untraced, again", "tjfuzz trace", "tjfuzz trace --results --args --sites", "unrelated, tjfuzz trace"} {
		at := strings.Index(table.String(), "\n"+row+"  ")
		if at < 0 {
			t.Errorf("the table has no row %q:\n%s", row, &table)
			continue
		}
		line, _, _ := strings.Cut(table.String()[at+1:], "\n")
		if n := strings.Count(line, "("); n != 3 {
			t.Errorf("%d numbers in the row, want 3: %s", n, line)
		}
	}
	if strings.Contains(table.String(), "failed") {
		t.Errorf("something failed:\n%s", &table)
	}
}

func TestAToolThatFailsIsNamedAndTheOthersAreMeasured(t *testing.T) {
	b := &bench{clock: "clock", progress: t.Output(), tools: []tool{
		{name: untraced},
		{name: "fails", wrap: func(string, []string) []string { return []string{"sh", "-c", "echo no right >&2; exit 3"} }},
	}}
	w := &workload{name: "sleep", file: t.TempDir() + "/time", clock: "sh", results: map[string]*result{}}
	w.argv = []string{"-c"} // sh FILE -c: sh reads the file, which is not there
	if _, err := w.measure(t.Context(), &b.tools[1]); err == nil || !strings.Contains(err.Error(), "no right") {
		t.Errorf("error is %v; want what the tool said", err)
	}
	w.results["fails"], w.results[untraced] = &result{failed: "no right"}, &result{}
	b.workloads = []*workload{w}
	if got, want := b.report("command"), "failed: fails, sleep: no right"; !strings.Contains(got, want) {
		t.Errorf("the report does not say %q:\n%s", want, got)
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	plain := &result{samples: map[int]sample{0: {1, 1}, 1: {2, 2}, 2: {4, 4}, 3: {1, 1}}}
	r := &result{samples: map[int]sample{0: {1.5, 2}, 1: {3, 2}, 2: {6, 2}}}
	r.compare(plain)
	if got, want := r.passed, (harness.Spread{Low: 1.5, Median: 1.5, High: 1.5, N: 3}); got != want {
		t.Errorf("ratios of time: %+v, want %+v", got, want)
	}
	if got, want := r.spent, (harness.Spread{Low: .75, Median: 1, High: 1.5, N: 3}); got != want {
		t.Errorf("ratios of processor time: %+v, want %+v", got, want)
	}
}

func TestEveryRoundRunsEveryToolOnceInAnOrderOfItsOwn(t *testing.T) {
	var orders [][]int
	for round := range 4 {
		order := rotated(4, round)
		if sorted := slices.Sorted(slices.Values(order)); !slices.Equal(sorted, []int{0, 1, 2, 3}) {
			t.Errorf("round %d: %v, want each once", round, order)
		}
		for _, o := range orders {
			if slices.Equal(o, order) {
				t.Errorf("round %d: %v again", round, order)
			}
		}
		orders = append(orders, order)
	}
}

func TestVerdictJudgesWhatIsPrinted(t *testing.T) {
	for _, c := range []struct {
		spread harness.Spread
		want   string
	}{
		{harness.Spread{Low: 1.00, Median: 1.104, High: 1.2}, "met"},
		{harness.Spread{Low: 1.08, Median: 1.11, High: 1.2}, "not met by the median, met by the lower quartile"},
		{harness.Spread{Low: 1.11, Median: 1.12, High: 1.2}, "not met"},
	} {
		if got := verdict(c.spread, 1.10); got != c.want {
			t.Errorf("verdict(%v) = %q, want %q", c.spread, got, c.want)
		}
	}
}
