package launch

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

//go:embed testdata/clock.c
var clockC []byte

// answer is one line of testdata/clock.c.
type answer struct {
	failed int
	time   int64
}

func answers(t *testing.T, output []byte) map[string][]answer {
	t.Helper()
	all := map[string][]answer{}
	for line := range strings.Lines(string(output)) {
		var name string
		var a answer
		if _, err := fmt.Sscan(line, &name, &a.failed, &a.time); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all[name] = append(all[name], a)
	}
	return all
}

func clockExecutor(t *testing.T, program string, c *cage.Options) *Exec {
	t.Helper()
	if c != nil {
		testenv.Require(t, testenv.Cage)
		c.Expose = []string{program}
	}
	e, err := New(Options{Program: program, Cage: c, Timeout: time.Minute})
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

var allClocks = []fuzz.Clock{fuzz.ClockHost, fuzz.ClockEpoch, fuzz.ClockYearEnd, fuzz.Clock2038, fuzz.ClockFar, fuzz.ClockBooted, fuzz.ClockAged}

func TestClocksAreWhatTheScenarioSays(t *testing.T)             { clocksAre(t, &cage.Options{}) }
func TestClocksAreWhatTheScenarioSaysWithoutACage(t *testing.T) { clocksAre(t, nil) }

func clocksAre(t *testing.T, c *cage.Options) {
	t.Helper()
	programs := map[string]string{"dynamic": build(t, clockC), "static": build(t, clockC, "-static")}
	if os.Geteuid() == 0 { // the tests of ordinary users run where nothing can be built
		programs["Go"] = filepath.Join(t.TempDir(), "program")
		if out, err := exec.Command("go", "build", "-o", programs["Go"], "./testdata/clock.go").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	for name, program := range programs {
		e := clockExecutor(t, program, c)
		if can := e.Can(); c != nil && (!can.Uptime || can.TimeOfDay != (sysno.Native() == sysno.AMD64)) {
			t.Errorf("able to show %+v", can)
		}
		for _, clock := range allClocks {
			s := &fuzz.Scenario{Argv: []string{"clock"}, Stdin: fuzz.StdinNull, World: fuzz.World{Clock: clock}}
			if !e.Can().Allow(s) {
				continue
			}
			began, up := time.Now(), uptime(t)
			r := run(t, e, s)
			took := int64(time.Since(began)/time.Second) + 2
			if !r.Clean() || r.ExitCode != 0 {
				t.Fatalf("%s, %v: %+v", name, clock, r)
			}
			got := answers(t, e.Output())
			between := func(from int64, names ...string) {
				for _, n := range names {
					for _, a := range got[n] {
						if a.failed != 0 || a.time < from || a.time > from+took {
							t.Errorf("%s, cage %v, %v: %s says %+v, want %d and at most %d seconds more", name, c != nil, clock, n, a, from, took)
						}
					}
				}
			}
			day := began
			if at, ok := clock.TimeOfDay(); ok {
				day = at
			}
			if since, ok := clock.Uptime(); ok {
				up = int64(since / time.Second)
			}
			between(day.Unix(), "time", "gettimeofday", "realtime", "coarse")
			between(up, "monotonic", "monotonic_coarse", "boottime", "sysinfo")
			between(began.Unix(), "syscall")
			if name == "Go" {
				continue
			}
			if tai := got["tai"][0].time - got["realtime"][0].time; tai < 0 || tai > took+60 {
				t.Errorf("%s, %v: atomic time is %d seconds from the time of day", name, clock, tai)
			}
			if a := got["alarm"][0]; a.failed == 0 { // where there is no clock that wakes the machine, there is none to read
				between(day.Unix(), "alarm")
			}
			if got["wrong"][0] != (answer{-1, 0}) || got["zone"][0].failed != 0 || got["cputime"][0].time > took {
				t.Errorf("%s, %v: %v", name, clock, got)
			}
		}
	}
}

func uptime(t *testing.T) int64 {
	t.Helper()
	var up float64
	out, err := exec.Command("cat", "/proc/uptime").Output()
	if err == nil {
		_, err = fmt.Sscan(string(out), &up)
	}
	if err != nil {
		t.Fatal(err)
	}
	return int64(up)
}

func TestFilesHaveTheTimesThatTheScenarioSays(t *testing.T)             { fileTimes(t, &cage.Options{}) }
func TestFilesHaveTheTimesThatTheScenarioSaysWithoutACage(t *testing.T) { fileTimes(t, nil) }

func fileTimes(t *testing.T, c *cage.Options) {
	t.Helper()
	e := clockExecutor(t, build(t, clockC), c)
	for _, kind := range []fuzz.FileKind{fuzz.FileRegular, fuzz.FileSymlink, fuzz.FileDirectory, fuzz.FileSocket, fuzz.FileLoop, fuzz.FileReadOnly} {
		for times := fuzz.TimesMade; times.String() != ""; times++ {
			s := &fuzz.Scenario{
				Argv: []string{"clock", "a", "b/c", "@@"}, Stdin: fuzz.StdinNull,
				Files: []fuzz.File{{Name: "a"}, {Name: "b/c", Kind: kind}}, World: fuzz.World{Times: times, Input: kind},
			}
			if kind == fuzz.FileSymlink {
				s.Argv = append(s.Argv, "b/c.target")
			}
			const tick = 10 * time.Millisecond // a file's time is that of the last one
			began := time.Now().Add(-tick).Truncate(time.Second)
			run(t, e, s)
			took := time.Since(began)
			for i, got := range answers(t, e.Output())["file"] {
				n := i
				if i == 3 { // as the link to it
					n = 1
				}
				want, _ := times.Of(n, 3, began)
				if late := time.Unix(got.time, 0).Sub(want); got.failed != 0 || late < 0 || late > took {
					t.Errorf("cage %v, %v, %v: file %d has the time %v, want %v", c != nil, kind, times, i, time.Unix(got.time, 0), want)
				}
			}
		}
	}
	s := &fuzz.Scenario{Argv: []string{"clock", "@@"}, Stdin: fuzz.StdinNull, World: fuzz.World{Times: fuzz.TimesEpoch, Input: fuzz.FileMissing}}
	run(t, e, s)
	if got := answers(t, e.Output())["file"]; got[0].failed != -1 {
		t.Errorf("a file that is missing: %v", got)
	}
}

// Neither the recorder nor the program can tell a run with another clock from any but by the time.
func TestAnotherClockMakesNoCalls(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := build(t, clockC)
	for _, c := range []*cage.Options{{Expose: []string{program}}, nil} {
		r, err := rawtp.Open(rawtp.Options{Slots: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		served, plain := executors(t, program, r, c)
		for _, e := range []*Exec{served, plain} {
			var want []sysno.ID
			for _, clock := range allClocks {
				s := &fuzz.Scenario{Argv: []string{"clock"}, Stdin: fuzz.StdinNull, World: fuzz.World{Clock: clock}}
				if !e.Can().Allow(s) {
					continue
				}
				got := run(t, e, s)
				if want == nil {
					want = got.Seen
				}
				if !slices.Equal(got.Seen, want) || !got.Clean() {
					t.Errorf("cage %v, %v: got %v, want %v", c != nil, clock, got, want)
				}
			}
		}
		if lost := r.Lost(); lost != (trace.Lost{}) {
			t.Errorf("lost %+v", lost)
		}
	}
}

// What ends the start of a program leaves nobody waiting.
func TestARunWithAnotherClockEndsLikeAny(t *testing.T) {
	for _, c := range []*cage.Options{{}, nil} {
		if c != nil {
			testenv.Require(t, testenv.Cage)
		}
		e := shell(t, Options{Cage: c, Timeout: 300 * time.Millisecond})
		for _, tt := range []struct {
			script string
			want   fuzz.Result
		}{
			{"exit 3", fuzz.Result{ExitCode: 3}},
			{"kill -9 $$", fuzz.Result{Signal: 9}},
			{"kill -SEGV $$", fuzz.Result{Signal: 11}},
			{"while :; do :; done", fuzz.Result{TimedOut: true}},
			{"sleep 1000000 & exit 1", fuzz.Result{ExitCode: 1, Left: true}},
			{"(exec true); true | true; exec sh -c 'exit 4'", fuzz.Result{ExitCode: 4}},
		} {
			for _, clock := range []fuzz.Clock{fuzz.ClockFar, fuzz.ClockBooted} {
				s := script(tt.script)
				s.World.Clock = clock
				if !e.Can().Allow(s) {
					continue
				}
				got := run(t, e, s)
				if !sameEnd(got, &tt.want) {
					t.Errorf("cage %v, %v, %s: got %+v, want %+v", c != nil, clock, tt.script, got, tt.want)
				}
			}
		}
		missing, err := New(Options{Program: filepath.Join(t.TempDir(), "missing"), Cage: c})
		if err != nil {
			t.Fatal(err)
		}
		if missing.Can().TimeOfDay {
			t.Error("a program that there is not can have another time of day")
		}
		if err := missing.Close(); err != nil {
			t.Error(err)
		}
	}
}
