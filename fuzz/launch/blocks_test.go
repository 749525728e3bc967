package launch

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// withBlocks is an executor whose copies are recorded, with breakpoints where m is there.
func withBlocks(t testing.TB, r *rawtp.Recorder, slot int, program string, m *coverage.Map, c *cage.Options) *Exec {
	t.Helper()
	e, err := New(Options{
		Program: program, Cage: c, Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, ForkServer: true, Coverage: m,
		Timeout: 10 * time.Second, Grace: 10 * time.Second, // nothing of this is to depend on the machine
		Watch: func() (Watcher, error) {
			s, err := r.Launcher(slot)
			return recorded{s}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// victim builds testdata/blocks.c with the library of its own beside it.
func victim(t *testing.T, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	compile(t, "testdata/library.c", filepath.Join(dir, "libvictim.so"), "-shared", "-fPIC")
	program := filepath.Join(dir, "victim")
	compile(t, "testdata/blocks.c", program, append(flags, "-L"+dir, "-lvictim", "-Wl,-rpath,"+dir)...)
	return program
}

func compile(t *testing.T, source, to string, flags ...string) {
	t.Helper()
	gcc := testenv.Program(t, "gcc")
	if text, err := exec.Command(gcc, append([]string{"-O1", "-pthread", "-o", to, source}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, text)
	}
}

// only is the one class that an executor has run.
func only(t testing.TB, e *Exec) *class {
	t.Helper()
	if n := len(e.copies.classes); n != 1 {
		t.Fatalf("%d classes, want 1", n)
	}
	for _, c := range e.copies.classes {
		return c
	}
	return nil
}

// What a program does about SIGTRAP, or with processes, makes no difference to what its
// runs show, nor does it reach the record of the session.
func TestBreakpointsChangeNothingThatAProgramDoes(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	program := victim(t)
	for name, c := range map[string]*cage.Options{"cage": {Expose: []string{filepath.Dir(program)}}, "no cage": nil} {
		t.Run(name, func(t *testing.T) { changesNothing(t, program, c) })
	}
}

func changesNothing(t *testing.T, program string, c *cage.Options) {
	t.Helper()
	for _, tt := range []struct {
		name   string
		inputs string // one after the other, each twice
		bare   string // why there are no breakpoints in the end, if there are none
	}{
		{"work", "w0 w1 w2 w3 w4 w5", ""},
		{"a library of its own", "l0 l1", ""},
		{"children", "w0 f1 f2 f3", "processes"},
		{"children that are the first to reach something", "w0 g0 g1 g3", "processes"},
		{"children that share the memory", "w0 v1 v2 v3", "processes"},
		{"threads", "w0 t1 t2 w3 t4", ""},
		{"threads that do not get to an end", "w0 e1 e2", ""},
		{"a handler for SIGTRAP", "w0 h0 h1 h3", "SIGTRAP"},
		{"a handler for something else", "w0 u1 u2 u3", ""},
		{"SIGTRAP is blocked", "w0 b1 b2 b3", ""},
		{"a breakpoint of its own", "w0 i1 i2", "ends by SIGTRAP"},
		{"SIGTRAP from itself", "w0 k1 k2", "ends by SIGTRAP"},
		{"a debugger", "w0 d1 d2", "traces"},
		{"a crash", "w0 s1 s2", ""},
		{"another program", "w0 x1 x2", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := rawtp.Open(rawtp.Options{Slots: 2, Denials: true})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			covered, plain := withBlocks(t, r, 0, program, new(coverage.Map), c), withBlocks(t, r, 1, program, nil, c)
			calls := map[sysno.ID]bool{}
			one := func(input string) *fuzz.Result {
				s := &fuzz.Scenario{Argv: []string{"victim"}, Stdin: fuzz.StdinPipe, Input: []byte(input)}
				want, got := run(t, plain, s), run(t, covered, s)
				for _, id := range want.Seen {
					calls[id] = true
				}
				if input[0] == 'e' || input[0] == 't' { // which threads do not always do alike
					got.Seen, want.Seen = nil, nil
				}
				if !same(got, want) {
					t.Errorf("%s: got %+v, want %+v", input, got, want)
				}
				return got
			}
			for range warmUp + checked + 1 {
				one("w0")
			}
			for input := range strings.FieldsSeq(tt.inputs) {
				first, second := one(input), one(input)
				known := input == "w0" || input == "h0" || input[0] == 'e'
				if c := only(t, covered); c.server != nil && c.server.covered != nil && !known && (len(first.Signals) == 0 || len(second.Signals) != 0) {
					t.Errorf("%s: got %d new blocks, then %d; want some, then none", input, len(first.Signals), len(second.Signals))
				}
			}
			c := only(t, covered)
			alike := !strings.HasPrefix(tt.name, "threads") // else by chance a run shows what no other did
			if alike && (c.bare == nil) != (tt.bare == "") || c.bare != nil && !strings.Contains(c.bare.Error(), tt.bare) || c.rung == nowhere {
				t.Errorf("no breakpoints because of %v, want %q; copies begin at rung %d", c.bare, tt.bare, c.rung)
			}
			for _, id := range r.Seen() {
				if alike && !calls[id] {
					t.Errorf("the record has %v, which no run has shown", id)
				}
			}
			if lost := r.Lost(); lost != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", lost)
			}
		})
	}
}

// A run that is ended is one whatever it has reached.
func TestCopyThatHangsInNewCodeIsKilled(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e, err := New(Options{
		Program: victim(t), ForkServer: true, Coverage: new(coverage.Map), Timeout: time.Second,
		Watch: func() (Watcher, error) {
			s, err := r.Launcher(0)
			return recorded{s}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, input := range []string{"w0", "w0", "w0", "p1", "w2", "p3"} {
		got := run(t, e, &fuzz.Scenario{Argv: []string{"victim"}, Stdin: fuzz.StdinPipe, Input: []byte(input)})
		if got.TimedOut != (input[0] == 'p') {
			t.Errorf("%s: got %+v", input, got)
		}
	}
	if c := only(t, e); c.bare != nil {
		t.Errorf("no breakpoints: %v", c.bare)
	}
}

// A block has one name in all processes, and is new once in a session.
func TestServersShareWhatTheirCopiesReached(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program := victim(t)
	var m coverage.Map
	reached := func(e *Exec, word string) map[fuzz.Signal]bool {
		found := map[fuzz.Signal]bool{}
		for _, input := range []string{"w0", "w0", "w0", "w1", "l0"} {
			got := run(t, e, &fuzz.Scenario{Argv: []string{"victim", word}, Stdin: fuzz.StdinPipe, Input: []byte(input)})
			for _, s := range got.Signals {
				if found[s] || s.Kind != fuzz.SignalBlock {
					t.Errorf("%s: %v again", input, s)
				}
				found[s] = true
			}
		}
		return found
	}
	one, other := withBlocks(t, r, 0, program, &m, nil), withBlocks(t, r, 1, program, &m, nil)
	first := reached(one, "a")
	if len(first) == 0 {
		t.Error("nothing was reached")
	}
	if again := reached(one, "b"); len(again) != 0 {
		t.Errorf("another class reached %v, want nothing new", again)
	}
	if again := reached(other, "a"); len(again) != 0 {
		t.Errorf("another executor reached %v, want nothing new", again)
	}
	if alone := reached(withBlocks(t, r, 2, program, new(coverage.Map), nil), "a"); !maps.Equal(alone, first) {
		t.Errorf("another session reached %d blocks, want the same %d", len(alone), len(first))
	}
}

// TJFUZZ_LONG takes all files of each corpus.
func TestBreakpointsChangeNoRunOfFiveCorpora(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	module := testenv.GoFuzzCorpus(t)
	for _, tt := range []struct {
		corpus string
		argv   []string
	}{
		{"json", []string{"jq", "-c", ".", "@@"}},
		{"xml", []string{"xmllint", "--nonet", "@@"}},
		{"gzip", []string{"gzip", "-dc"}},
		{"zip", []string{"unzip", "-tqq", "@@"}},
		{"png", []string{"file", "-"}},
	} {
		t.Run(tt.corpus, func(t *testing.T) {
			dir := filepath.Join(module, tt.corpus, "corpus")
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if os.Getenv("TJFUZZ_LONG") == "" {
				files = files[:40]
			}
			r, err := rawtp.Open(rawtp.Options{Slots: 2, Denials: true})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			program := testenv.Program(t, tt.argv[0])
			covered, plain := withBlocks(t, r, 0, program, new(coverage.Map), nil), withBlocks(t, r, 1, program, nil, nil)
			blocks := 0
			for _, f := range files {
				data, err := os.ReadFile(filepath.Join(dir, f.Name()))
				if err != nil {
					t.Fatal(err)
				}
				s := &fuzz.Scenario{Argv: tt.argv, Stdin: fuzz.StdinFile, Input: data}
				want, got := run(t, plain, s), run(t, covered, s)
				if !same(got, want) {
					t.Errorf("%s: got %+v, want %+v", f.Name(), got, want)
				}
				blocks += len(got.Signals)
			}
			c := only(t, covered)
			if c.bare != nil || blocks == 0 {
				t.Errorf("%d blocks; no breakpoints because of %v", blocks, c.bare)
			}
			t.Logf("%d files, %d blocks, %d copies", len(files), blocks, c.copies)
		})
	}
}

// What breakpoints cost when there is nothing new to reach: ratio is that of the times
// with them and without.
func BenchmarkBlocks(b *testing.B) {
	testenv.Require(b, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 2, Denials: true})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct {
		argv  []string
		input string
	}{
		{[]string{"true"}, ""},
		{[]string{"jq", ".a"}, "{\"a\":[1]}"},
		{[]string{"file", "-"}, "#!/bin/sh"},
		{[]string{"xmllint", "-"}, "<a/>"},
	} {
		b.Run(c.argv[0], func(b *testing.B) {
			program := testenv.Program(b, c.argv[0])
			s := &fuzz.Scenario{Argv: c.argv, Stdin: fuzz.StdinFile, Input: []byte(c.input)}
			both := []*Exec{withBlocks(b, r, 0, program, nil, nil), withBlocks(b, r, 1, program, new(coverage.Map), nil)}
			for _, e := range both {
				for range warmUp + checked {
					run(b, e, s)
				}
			}
			before := [2]float64{cpuTime(b, both[0]), cpuTime(b, both[1])}
			// One after the other, so that what else the machine does hits both.
			var times [2][]time.Duration
			for b.Loop() {
				for i, e := range both {
					began := time.Now()
					run(b, e, s)
					times[i] = append(times[i], time.Since(began))
				}
			}
			for i := range times {
				slices.Sort(times[i])
			}
			middle := len(times[0]) / 2
			b.ReportMetric(float64(times[0][middle].Microseconds()), "without-µs")
			b.ReportMetric(float64(times[1][middle])/float64(times[0][middle]), "time-ratio")
			b.ReportMetric((cpuTime(b, both[1])-before[1])/(cpuTime(b, both[0])-before[0]), "cpu-ratio")
		})
	}
}

// cpuTime is what the one server of an executor and all of its copies have used, in ticks
// of which there are 100 in a second: they must be many.
func cpuTime(b *testing.B, e *Exec) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", only(b, e).server.Pid()))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	sum := 0.0
	for _, f := range fields[12:16] { // utime stime cutime cstime of proc_pid_stat(5)
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += n
	}
	return sum
}
