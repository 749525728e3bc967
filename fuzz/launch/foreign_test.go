package launch

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// Of thousands of copies each shows the calls that execve shows for its input, and no
// other. TJFUZZ_LONG=1 makes 10,000 copies of each program.
func TestCopiesMakeNoForeignCalls(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	copies := 150
	if os.Getenv("TJFUZZ_LONG") != "" {
		copies = 10_000
	}
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	static := build(t, victimC, "-static")
	for _, c := range []struct {
		argv   []string
		inputs []string
	}{
		{[]string{"cat", "@@"}, []string{"", "one\n", "two\nlines\n"}},
		{[]string{"sort"}, []string{"", "b\na\n", "1\n"}},
		{[]string{"jq", ".a"}, []string{"", "{\"a\":1}", "{", "[1,2"}},
		{[]string{"xmllint", "--nonet", "@@"}, []string{"<a/>", "<", "<?xml version=\"1.0\" encoding=\"latin1\"?><a>\xe4</a>"}},
		{[]string{"file", "-"}, []string{"#!/bin/sh", "\x7fELF", ""}},
		{[]string{"gzip", "-dc"}, []string{"x", "", "\x1f\x8b\b\x00\x00\x00\x00\x00\x00\x03\xab\x00\x00\x83\x16\xdc\x8c\x01\x00\x00\x00"}},
		{[]string{static, "stack"}, []string{"a", "b"}},
	} {
		name := filepath.Base(c.argv[0])
		t.Run(name, func(t *testing.T) {
			program := c.argv[0]
			if program != static {
				program = testenv.Program(t, program)
			}
			served, plain := executors(t, program, r, &cage.Options{Expose: []string{static}})
			var want []*fuzz.Result
			scenario := func(n int) *fuzz.Scenario {
				return &fuzz.Scenario{Argv: c.argv, Stdin: fuzz.StdinPipe, Input: []byte(c.inputs[n%len(c.inputs)])}
			}
			for n := range c.inputs {
				want = append(want, run(t, plain, scenario(n)))
			}
			for n := 0; served.Copies()[AtInput] < copies; n++ {
				if class := served.copies.class(scenario(n)); class.rung != AtInput {
					t.Fatalf("run %d: copies begin at rung %d: %v", n, class.rung, class.refused)
				}
				if got, want := run(t, served, scenario(n)), want[n%len(want)]; !same(got, want) {
					t.Fatalf("run %d, input %q: got %+v, want %+v", n, c.inputs[n%len(c.inputs)], got, want)
				}
			}
		})
	}
	if lost := r.Lost(); lost != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", lost)
	}
}

// A program is stopped at its entry point though the recorder has a uprobe there, and goes on
// over that: each copy's main phase is told from the startup.
func TestServersBeginWhereTheRecorderHasAUprobe(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := testenv.Program(t, "cat")
	file, offset, err := image.Entry(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, rung := range []Rung{AtInput, AtMain, AtEntry} {
		r, err := rawtp.Open(rawtp.Options{Slots: 2, Entry: &rawtp.Entry{Path: file, Offset: offset}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := r.NoPhases(); err != nil {
			t.Fatal(err)
		}
		served, plain := executors(t, program, r, &cage.Options{})
		served.copies.e.opts.Highest = rung
		s := &fuzz.Scenario{Argv: []string{"cat", "@@"}, Stdin: fuzz.StdinPipe, Input: []byte("input")}
		for n := range warmUp + checked + 2 {
			if got, want := run(t, served, s), run(t, plain, s); !same(got, want) {
				t.Errorf("rung %d, run %d: got %+v, want %+v", rung, n, got, want)
			}
		}
		if n := served.Copies()[rung]; n < checked {
			t.Errorf("%d copies begin at rung %d, want at least %d", n, rung, checked)
		}
		phases := func(e *Exec) map[sysno.ID]trace.Phase {
			all := map[sysno.ID]trace.Phase{}
			for _, o := range e.watch.(recorded).Observations() {
				all[o.ID] = o.Phases
			}
			return all
		}
		if got, want := phases(served), phases(plain); !maps.Equal(got, want) {
			t.Errorf("rung %d: the phases are %v, want %v", rung, got, want)
		}
	}
}

// Programs of which copies at their input would be something else are served from where
// they are not, or executed: what is recorded is what execve shows.
func TestServersOfProgramsWithThreadsAndEventsStandLower(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	goProgram := filepath.Join(t.TempDir(), "threads")
	if out, err := exec.Command("go", "build", "-o", goProgram, "./testdata/threads.go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, c := range []struct {
		argv  []string
		input string
	}{
		{[]string{"nginx", "-c", "@@"}, "daemon off; error_log stderr; pid pid; events {} http { access_log off; server { listen 127.0.0.1:8080; } }"},
		{[]string{"redis-server", "@@"}, "port 0\nunixsocket socket\nsave \"\"\n"},
		{[]string{goProgram}, ""},
	} {
		t.Run(filepath.Base(c.argv[0]), func(t *testing.T) {
			program := c.argv[0]
			if program != goProgram {
				program = testenv.Program(t, program)
			}
			var both [2]*Exec
			for i := range both {
				e, err := New(Options{
					Program: program, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, ForkServer: i == 0, Timeout: 400 * time.Millisecond,
					Cage: &cage.Options{Expose: []string{goProgram}},
					Watch: func() (Watcher, error) {
						s, err := r.Launcher(i)
						return recorded{s}, err
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				both[i] = e
			}
			served, plain := both[0], both[1]
			s := &fuzz.Scenario{Argv: c.argv, Stdin: fuzz.StdinNull, Input: []byte(c.input)}
			// Not all runs of these make the same calls: what some do, and what all do. Some
			// calls are rare, so more runs are made where one seems to be wrong.
			var some, all []sysno.ID
			again := func() {
				seen := run(t, plain, s).Seen
				if some == nil {
					all = slices.Clone(seen)
				}
				some = union(some, seen)
				all = slices.DeleteFunc(all, func(id sysno.ID) bool { return !slices.Contains(seen, id) })
			}
			for range 5 {
				again()
			}
			for n := range 8 {
				got := run(t, served, s).Seen
				if n < warmUp {
					some = union(some, got)
				}
				const most = 200
				for i := 0; i < most && len(without(all, got))+len(without(got, some)) > 0; i++ {
					again()
				}
				if missing := without(all, got); len(missing) > 0 {
					t.Errorf("run %d: %v is missing", n, missing)
				}
				if foreign := without(got, some); len(foreign) > 0 {
					t.Errorf("run %d: %v is foreign", n, foreign)
				}
			}
			class := served.copies.class(s)
			if class.rung == AtInput {
				t.Error("copies begin at the input")
			}
			t.Logf("rung %d: %v; copies %v", class.rung, class.refused, served.Copies())
		})
	}
}

// without is a less b.
func without(a, b []sysno.ID) []sysno.ID {
	return slices.DeleteFunc(slices.Clone(a), func(id sysno.ID) bool { return slices.Contains(b, id) })
}
