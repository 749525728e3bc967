package launch

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// instrumented builds testdata/instrumented.c with a compiler of AFL's.
func instrumented(t testing.TB, compiler string, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "instrumented")
	c := exec.Command(testenv.Program(t, compiler), append([]string{"-O1", "-o", program, "testdata/instrumented.c"}, flags...)...)
	c.Env = append(c.Environ(), "AFL_QUIET=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, out)
	}
	return program
}

// counting is an executor of an instrumented program in a cage, with copies from a rung on.
func counting(t testing.TB, r *rawtp.Recorder, slot int, program string, highest Rung, m *coverage.Map) *Exec {
	t.Helper()
	e, err := New(Options{
		Program: program, Cage: &cage.Options{Expose: []string{program}}, Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"},
		ForkServer: highest < nowhere, Highest: highest, Coverage: m, Timeout: time.Minute, Grace: 200 * time.Millisecond,
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

// builds are the ways in which a program can have AFL's fork server.
var builds = []struct {
	name, compiler string
	flags          []string
}{
	{"clang", "afl-clang-fast", nil},
	{"gcc", "afl-gcc", nil},
	{"deferred", "afl-clang-fast", []string{"-DDEFERRED"}},
	{"persistent", "afl-clang-fast", []string{"-DPERSISTENT"}},
	{"static", "afl-clang-fast", []string{"-static"}},
}

// What AFL's fork server makes is what execve makes: how it ends, what it writes, and the
// same syscalls, none of which are those of AFL's runtime.
func TestCopiesOfAFLDoWhatTheProgramDoes(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			program := instrumented(t, b.compiler, b.flags...)
			r, err := rawtp.Open(rawtp.Options{Slots: 2, Denials: true})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			served, plain := counting(t, r, 0, program, AtAFL, nil), counting(t, r, 1, program, nowhere, nil)
			for _, stdin := range []fuzz.StdinKind{fuzz.StdinFile, fuzz.StdinNull} {
				if stdin == fuzz.StdinNull && b.flags != nil {
					continue // one of them is enough
				}
				argv := []string{"instrumented"}
				if stdin == fuzz.StdinNull {
					argv = append(argv, "@@")
				}
				before := served.Copies()[AtAFL]
				for _, input := range []string{"", "a", "a", "az", "x", "b", "e", "c", "f", "n", "ayz"} {
					s := &fuzz.Scenario{Argv: argv, Stdin: stdin, Input: []byte(input)}
					got := run(t, served, s)
					text := string(served.Output())
					want := run(t, plain, s)
					if !same(got, want) || text != string(plain.Output()) {
						t.Errorf("%q: got %+v, %q; want %+v, %q", input, got, text, want, plain.Output())
					}
				}
				if n := served.Copies()[AtAFL] - before; n < 6 {
					t.Errorf("%d copies, want more: %v", n, refusals(served))
				}
			}
			if lost := r.Lost(); lost != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", lost)
			}
		})
	}
}

func refusals(e *Exec) (all []error) {
	for _, c := range e.copies.classes {
		all = append(all, c.refused)
	}
	return all
}

// A run that leaves processes, or ends the fork server, ends as it does by execve.
func TestServerOfAFLIsLeftToItsOwnDevicesByNoRun(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	program := instrumented(t, "afl-clang-fast")
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, input := range []string{"d", "g"} {
		t.Run(input, func(t *testing.T) {
			served, plain := counting(t, r, 0, program, AtAFL, nil), counting(t, r, 1, program, nowhere, nil)
			for _, in := range []string{"", "", "a", input, "a", input, ""} {
				s := &fuzz.Scenario{Argv: []string{"instrumented"}, Stdin: fuzz.StdinFile, Input: []byte(in)}
				if got, want := run(t, served, s), run(t, plain, s); !same(got, want) {
					t.Errorf("%q: got %+v, want %+v", in, got, want)
				}
			}
			if served.Copies()[AtAFL] == 0 {
				t.Errorf("there were no copies: %v", refusals(served))
			}
		})
	}
}

// Each rung tells of the edges that no run has taken, once.
func TestEdgesOfAnInstrumentedProgramAreSignals(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	for _, compiler := range []string{"afl-clang-fast", "afl-gcc"} {
		program := instrumented(t, compiler)
		for name, rung := range map[string]Rung{"afl": AtAFL, "main": AtMain} {
			t.Run(compiler+"/"+name, func(t *testing.T) {
				r, err := rawtp.Open(rawtp.Options{Slots: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				e := counting(t, r, 0, program, rung, new(coverage.Map))
				edges := func(input string) (n int) {
					s := &fuzz.Scenario{Argv: []string{"instrumented"}, Stdin: fuzz.StdinFile, Input: []byte(input)}
					got := run(t, e, s)
					if !slices.IsSortedFunc(got.Signals, func(a, b fuzz.Signal) int { return int(a.Kind) - int(b.Kind) }) {
						t.Errorf("%q: the signals are not sorted: %v", input, got.Signals)
					}
					for _, sig := range got.Signals {
						if sig.Kind == fuzz.SignalEdge {
							n++
						}
					}
					return n
				}
				for range warmUp {
					edges("")
				}
				for _, step := range []struct {
					input string
					fresh bool
				}{{"", true}, {"", false}, {"a", true}, {"a", false}, {"aa", true}, {"aa", false}, {"aaaaaaaaa", true}, {"az", true}, {"az", false}, {"e", true}, {"", false}} {
					if n := edges(step.input); (n > 0) != step.fresh {
						t.Errorf("%q shows %d new edges, want some: %v", step.input, n, step.fresh)
					}
				}
				if e.Copies()[rung] == 0 {
					t.Errorf("there were no copies: %v", refusals(e))
				}
			})
		}
	}
}
