package fuzz

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// statsSample is a coordinator in the middle of a run.
func statsSample(t *testing.T, dir string) *coordinator {
	t.Helper()
	state, err := OpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, synthetic{})
	o.State, o.Only = state, []string{"argv"}
	o.Bases = []Scenario{{Argv: []string{`bin/my "$(reboot)" tool`}}}
	o.Now = func() time.Time { return time.Unix(1_000_090, 0) }
	c := newCoordinator(&o)
	c.start = time.Unix(1_000_000, 0)
	c.before = past{sessions: 1, elapsed: 10 * time.Second}
	c.stats = Stats{Runs: 5000, CleanRuns: 4000, TimedOut: 7, LastNew: 40 * time.Second, LastCrash: 50 * time.Second}
	for nr := range uint32(20) {
		c.books[id(nr)] = &record{}
	}
	c.drawn[dimArgv], c.quiet[dimArgv] = 3000, 2000
	for range 30 {
		c.corpus.entries = append(c.corpus.entries, &entry{drawn: youth})
	}
	c.crashes["11"] = &Failure{}
	return c
}

func TestTheNumbersAreUnderAFLsNames(t *testing.T) {
	dir := t.TempDir()
	c := statsSample(t, dir)
	for range 2 {
		if err := c.saveStats(c.snapshot()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, statsName))
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(got)) {
		key, value, ok := strings.Cut(line, ": ")
		if !ok || len(key) != 18 {
			t.Errorf("line %q", line)
		}
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	for key, want := range map[string]string{
		"start_time": "999990", "last_update": "1000090", "run_time": "100", "execs_done": "5000", "execs_per_sec": "50.00",
		"corpus_count": "30", "last_find": "1000030", "last_crash": "1000040", "last_hang": "0", "saved_crashes": "1", "saved_hangs": "0", "total_tmout": "7",
		"afl_banner": "bin/my____reboot___tool", "phase": "explore", "seed": "1", "syscalls_found": "20", "sessions": "2",
	} {
		if values[key] != want {
			t.Errorf("%s is %q, want %q", key, values[key], want)
		}
	}
	plot, err := os.ReadFile(filepath.Join(dir, plotName))
	if err != nil {
		t.Fatal(err)
	}
	// The columns up to edges_found are those of fprintf in afl++ 4.04c, src/afl-fuzz-stats.c.
	line := "100, 0, 0, 30, 0, 0, 0.00%, 1, 0, 0, 50.00, 5000, 20, 0.001498\n"
	want := "# relative_time, cycles_done, cur_item, corpus_count, pending_total, pending_favs, map_size, saved_crashes, saved_hangs, max_depth, " +
		"execs_per_sec, total_execs, edges_found, chance_of_new\n" + line + line
	if diff := cmp.Diff(want, string(plot)); diff != "" {
		t.Error(diff)
	}
}

func TestPlotDataGoesOnAfterItsLastWholeLine(t *testing.T) {
	for _, c := range []struct{ name, before, want string }{
		{"nothing", "", plotHeader + "new\n"},
		{"a cut header", "# relati", plotHeader + "new\n"},
		{"a header", plotHeader, plotHeader + "new\n"},
		{"a cut line", plotHeader + "1, 0\n5, ", plotHeader + "1, 0\nnew\n"},
		{"much", plotHeader + strings.Repeat("1, 0, 0\n", 2000) + "9", plotHeader + strings.Repeat("1, 0, 0\n", 2000) + "new\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := &State{dir: dir}
			path := filepath.Join(dir, plotName)
			if err := os.WriteFile(path, []byte(c.before), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := s.appendPlot("new\n"); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestAFLsToolsReadAState(t *testing.T) {
	whatsup, plot := testenv.Program(t, "afl-whatsup"), testenv.Program(t, "afl-plot")
	testenv.Program(t, "gnuplot")
	dir := t.TempDir()
	c := statsSample(t, filepath.Join(dir, "one"))
	for range 3 {
		if err := c.saveStats(c.snapshot()); err != nil {
			t.Fatal(err)
		}
	}
	tool := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "TERM=dumb")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	out := tool(whatsup, dir)
	for _, want := range []string{">>> bin/my____reboot___tool (0 days, 0 hrs)", "Fuzzers alive : 1", "Total execs : 5 thousands", "Crashes saved : 1"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("afl-whatsup does not say %q:\n%s", want, out)
		}
	}
	graphs := t.TempDir()
	tool(plot, filepath.Join(dir, "one"), graphs)
	for _, name := range []string{"edges.png", "exec_speed.png", "high_freq.png", "low_freq.png"} {
		if b, err := os.ReadFile(filepath.Join(graphs, name)); err != nil || len(b) < 500 {
			t.Errorf("%s has %d bytes, %v", name, len(b), err)
		}
	}
}
