package launch

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// recorded is a Rejoiner over a slot.
type recorded struct{ *rawtp.Slot }

func (r recorded) Begin(*spawn.Spec) error {
	r.Slot.Begin()
	return nil
}

func (recorded) Started(*spawn.Process) error { return nil }

// executors are one with a fork server and one without, both recorded where r is there.
func executors(t testing.TB, program string, r *rawtp.Recorder, c *cage.Options) (served, plain *Exec) {
	t.Helper()
	var both []*Exec
	for slot, server := range []bool{true, false} {
		o := Options{Cage: c, Program: program, Grace: 500 * time.Millisecond, Timeout: time.Minute, Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, ForkServer: server}
		if r != nil {
			o.Watch = func() (Watcher, error) {
				s, err := r.Launcher(slot)
				return recorded{s}, err
			}
		}
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		both = append(both, e)
	}
	return both[0], both[1]
}

// look tells how many copies an executor has made, and why it stopped making some.
func look(e *Exec) (copies int, refused error) {
	for _, c := range e.copies.classes {
		copies += c.copies
		if c.rung == nowhere {
			refused = c.refused
		}
	}
	return copies, refused
}

type command struct {
	name   string
	argv   []string
	inputs []string
	rung   Rung
	racy   bool // not all runs make the same calls
	leaves bool // each run leaves something in a cage
}

var commands = []command{
	{"true", []string{"true"}, nil, AtMain, false, false},
	{"exit code", []string{"sh", "-c", "exit 7"}, nil, AtMain, false, false},
	{"signal", []string{"sh", "-c", "kill -SEGV $$"}, nil, AtMain, false, false},
	{"abort", []string{"sh", "-c", "kill -ABRT $$"}, nil, AtMain, false, false},
	{"pids", []string{"sh", "-c", "echo $$ $PPID"}, nil, AtMain, false, false},
	{"a child", []string{"sh", "-c", "cat | wc -c"}, []string{"", "abc"}, AtMain, false, false},
	{"one that is left behind", []string{"sh", "-c", "sleep 86287 & exit 4"}, nil, nowhere, true, false},
	{"cat", []string{"cat", "@@", "-"}, []string{"one", "two", "three\n", ""}, AtInput, false, false},
	{"writes", []string{"sh", "-c", "ls; echo x >file; cat file $1", "sh", "@@"}, []string{"one", "two"}, AtMain, false, true},
	{"spoils its input", []string{"sh", "-c", "cat $1; : >$1", "sh", "@@"}, []string{"one", "two", "six"}, AtMain, false, true},
	{"sort", []string{"sort"}, []string{"b\na\n", "c\n", ""}, AtInput, false, false},
	{"grep", []string{"grep", "-n", "a", "@@"}, []string{"b\na\n", "c\n"}, AtMain, false, false},
	{"sed", []string{"sed", "s/a/b/"}, []string{"b\na\n", "c\n"}, AtInput, false, false},
	{"gzip", []string{"gzip", "-dc"}, []string{"x", "\x1f\x8b\b\x00\x00\x00\x00\x00\x00\x03\xab\x00\x00\x83\x16\xdc\x8c\x01\x00\x00\x00"}, AtInput, false, false},
	{"tar", []string{"tar", "-tf", "@@"}, []string{"x", strings.Repeat("\x00", 10240)}, AtInput, false, false},
	{"descriptors", []string{"ls", "/proc/self/fd"}, nil, AtMain, false, false},
	{"blocked signals", []string{"grep", "-E", "^(Sig(Pnd|Blk|Ign|Cgt)|Cap.*|NoNewPrivs|Seccomp):", "/proc/self/status"}, nil, AtMain, false, false},
	{"environment", []string{"env"}, nil, AtMain, false, false},
	{"working directory", []string{"pwd"}, nil, AtMain, false, false},
	{"links", []string{"find", "-L", ".", "-printf", "%p %y %l %m\n"}, nil, AtMain, false, false},
	{"jq", []string{"jq", "-c", ".a"}, []string{"{\"a\":[1]}", "{", "3"}, AtInput, false, false},
	{"file", []string{"file", "-"}, []string{"#!/bin/sh", "\x7fELF", ""}, AtInput, false, false},
	{"xmllint", []string{"xmllint", "@@"}, []string{"<a/>", "<"}, AtInput, false, false},
}

// things are files of all kinds that a copy may have.
var things = []fuzz.File{
	{Name: "dir/dangling", Kind: fuzz.FileDangling}, {Name: "dir/empty", Kind: fuzz.FileDirectory}, {Name: "dir/link", Data: []byte("x\n"), Kind: fuzz.FileSymlink},
	{Name: "loop", Kind: fuzz.FileLoop}, {Name: "ro", Data: []byte("x\n"), Kind: fuzz.FileReadOnly}, {Name: "un", Kind: fuzz.FileUnreadable},
}

// A copy gives what execve gives: how it ends, what it writes and, where it is recorded,
// the same syscalls.
func TestCopiesDoWhatTheProgramDoes(t *testing.T) {
	if os.Geteuid() != 0 {
		copies(t, nil, false)
		return
	}
	testenv.Require(t, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 2, Denials: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	t.Run("no cage", func(t *testing.T) { copies(t, r, false) })
	t.Run("cage", func(t *testing.T) { copies(t, r, true) })
	if lost := r.Lost(); lost != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", lost)
	}
}

func copies(t *testing.T, r *rawtp.Recorder, caged bool) {
	t.Helper()
	compare := func(t *testing.T, program string, c command) {
		t.Helper()
		var in *cage.Options
		if caged {
			in = &cage.Options{Expose: []string{program}}
		}
		compare(t, program, r, in, c)
	}
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) { compare(t, testenv.Program(t, c.argv[0]), c) })
	}
	dynamic, static := build(t, victimC, "-pie", "-fPIE"), build(t, victimC, "-static")
	for _, mode := range []string{"abort", "trap", "ids", "raise", "thread", "fork", "stack"} {
		c := command{argv: []string{"victim", mode}, inputs: []string{"a", "b"}, rung: AtMain, racy: mode == "thread"}
		if mode == "stack" {
			c.rung = AtInput
		}
		t.Run(mode, func(t *testing.T) { compare(t, dynamic, c) })
		t.Run(mode+" static", func(t *testing.T) { compare(t, static, c) })
	}
}

// rooms is where directories are without a cage: each executor has its own, and each server one in it.
var rooms = regexp.MustCompile(`/tjfuzz-run-\d+/\d/`)

// compare runs a command with a server and without, and fails where that can be told.
func compare(t *testing.T, program string, r *rawtp.Recorder, in *cage.Options, c command) {
	t.Helper()
	served, plain := executors(t, program, r, in)
	if c.leaves && in != nil {
		c.rung = nowhere
	}
	if len(c.inputs) == 0 {
		c.inputs = []string{""}
	}
	const runs = 9
	for n := range runs {
		s := &fuzz.Scenario{Argv: c.argv, Stdin: fuzz.StdinPipe, Input: []byte(c.inputs[n%len(c.inputs)]), Files: things}
		want := run(t, plain, s)
		out := rooms.ReplaceAll(plain.Output(), nil)
		got := run(t, served, s)
		copied := rooms.ReplaceAll(served.Output(), nil)
		if c.racy {
			got.Seen, want.Seen = nil, nil
		}
		if !same(got, want) || !bytes.Equal(copied, out) {
			t.Errorf("run %d: got %+v, %q, want %+v, %q", n, got, copied, want, out)
		}
	}
	for _, class := range served.copies.classes {
		if class.rung != c.rung && !c.racy {
			t.Errorf("copies begin at rung %d, want %d: %v", class.rung, c.rung, class.refused)
		}
	}
	if n, refused := look(served); n < runs-warmUp && !c.racy && c.rung < nowhere {
		t.Errorf("%d copies were made, want %d: %v", n, runs-warmUp, refused)
	}
}

// The sources, for tests that run in another directory.
var (
	//go:embed testdata/victim.c
	victimC []byte
	//go:embed testdata/startup.c
	startupC []byte
)

// build compiles a C file.
func build(t *testing.T, source []byte, flags ...string) string {
	t.Helper()
	gcc, out := testenv.Program(t, "gcc"), filepath.Join(t.TempDir(), "out")
	c := exec.Command(gcc, append(flags, "-pthread", "-o", out, "-x", "c", "-")...)
	c.Stdin = bytes.NewReader(source)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, text)
	}
	return out
}

// The runtime of a Go program starts its threads after the entry point.
func TestRecordOfACopyOfAGoProgramIsThatOfTheProgram(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/threads.go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	served, plain := executors(t, program, r, nil)
	s := &fuzz.Scenario{Argv: []string{"program"}, Stdin: fuzz.StdinNull}
	for range 12 { // not every run makes the same calls
		want, got := run(t, plain, s), run(t, served, s)
		if string(served.Output()) != "done\n" || got.ExitCode != want.ExitCode {
			t.Fatalf("got %+v, %q, want %+v and done", got, served.Output(), want)
		}
	}
}

func TestWhatTheStartupLeavesIsAReasonForExecve(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	library := build(t, startupC, "-shared", "-fPIC")
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, tt := range []struct{ what, why string }{
		{"nothing", ""},
		{"signals", ""},
		{"thread", "2 threads"},
		{"child", "children"},
		{"epoll", "descriptors"},
		{"memory", "shares memory"},
		{"end", "ended before"},
		{"pid", "something else"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			served, plain := executors(t, "/bin/true", r, nil)
			s := &fuzz.Scenario{Argv: []string{"true"}, Stdin: fuzz.StdinNull, Env: []string{"LD_PRELOAD=" + library, "WHAT=" + tt.what}}
			for n := range 9 {
				want, got := run(t, plain, s), run(t, served, s)
				if tt.what == "thread" || tt.what == "child" { // which may not get to make its calls
					got.Seen, want.Seen = nil, nil
				}
				if !same(got, want) {
					t.Errorf("run %d: got %+v, want %+v", n, got, want)
				}
			}
			copies, refused := look(served)
			if tt.why == "" && (copies < 7 || refused != nil) || tt.why != "" && (refused == nil || !strings.Contains(refused.Error(), tt.why)) {
				t.Errorf("%d copies, refused with %v, want %q", copies, refused, tt.why)
			}
		})
	}
}

// In another language than C, the C library maps tables of encodings, which all processes share.
func TestCopiesBeginAtTheInputInOtherLanguages(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	served, plain := executors(t, testenv.Program(t, "file"), r, nil)
	s := &fuzz.Scenario{Argv: []string{"file", "@@"}, Stdin: fuzz.StdinNull, Env: []string{"LC_ALL=C.UTF-8"}, Input: []byte("#!/bin/sh")}
	for n := range 9 {
		if got, want := run(t, served, s), run(t, plain, s); !same(got, want) {
			t.Errorf("run %d: got %+v, want %+v", n, got, want)
		}
	}
	if n := served.Copies()[AtInput]; n != 9-warmUp {
		_, refused := look(served)
		t.Errorf("%d copies, want %d: %v", n, 9-warmUp, refused)
	}
}

func TestCopyThatRunsTooLongIsKilled(t *testing.T) {
	e, err := New(Options{Program: "/bin/sh", Env: []string{"PATH=/usr/bin:/bin"}, ForkServer: true, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const text = "read x; [ $x ] && { setsid sleep 86294 & sleep 86294; }; exit 2"
	for n, input := range []string{"\n", "\n", "\n", "1\n", "\n"} {
		r := run(t, e, &fuzz.Scenario{Argv: []string{"sh", "-c", text}, Stdin: fuzz.StdinPipe, Input: []byte(input)})
		if late := input != "\n"; r.TimedOut != late || !late && r.ExitCode != 2 {
			t.Errorf("run %d: got %+v", n, r)
		}
	}
	if out, _ := exec.Command("pgrep", "-fx", "sleep 86294").Output(); len(out) > 0 {
		t.Errorf("alive: %s", out)
	}
}

func TestDeadServerIsNoFailure(t *testing.T) {
	e, err := New(Options{Program: "/bin/sh", Env: []string{"PATH=/usr/bin:/bin"}, ForkServer: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for n := range 6 {
		if r := run(t, e, script("exit 6")); r.ExitCode != 6 {
			t.Errorf("run %d: got %+v", n, r)
		}
		if n == 3 {
			for _, c := range e.copies.classes {
				if err := unix.Kill(c.server.Pid(), unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, c := range e.copies.classes {
		if c.refused == nil || !strings.Contains(c.refused.Error(), "fork server") {
			t.Errorf("the server was not missed: %v", c.refused)
		}
	}
}

func TestServersAreFew(t *testing.T) {
	e, err := New(Options{Program: "/bin/true", ForkServer: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for n := range maxServers + 2 {
		for range warmUp + 1 {
			run(t, e, &fuzz.Scenario{Argv: []string{"true", fmt.Sprint(n)}, Stdin: fuzz.StdinNull})
		}
	}
	n := 0
	for _, c := range e.copies.classes {
		if c.server != nil {
			n++
		}
	}
	if n != maxServers {
		t.Errorf("%d servers, want %d", n, maxServers)
	}
}

func BenchmarkServers(b *testing.B) {
	testenv.Require(b, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 2, Denials: true})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for _, c := range []command{
		{"true", []string{"true"}, []string{""}, AtEntry, false, false},
		{"jq", []string{"jq", ".a"}, []string{"{\"a\":[1]}"}, AtInput, false, false},
		{"file", []string{"file", "-"}, []string{"#!/bin/sh"}, AtInput, false, false},
		{"xmllint", []string{"xmllint", "-"}, []string{"<a/>"}, AtInput, false, false},
	} {
		program := testenv.Program(b, c.argv[0])
		s := &fuzz.Scenario{Argv: c.argv, Stdin: fuzz.StdinFile, Input: []byte(c.inputs[0])}
		for _, in := range []struct {
			name string
			cage *cage.Options
		}{{"no cage", nil}, {"cage", &cage.Options{}}} {
			b.Run(c.name+"/"+in.name, func(b *testing.B) {
				served, plain := executors(b, program, r, in.cage)
				for range warmUp + checked {
					run(b, served, s)
				}
				// One after the other, so that what else the machine does hits both.
				var times [2][]time.Duration
				for b.Loop() {
					for i, e := range []*Exec{plain, served} {
						began := time.Now()
						run(b, e, s)
						times[i] = append(times[i], time.Since(began))
					}
				}
				for i, name := range []string{"execve", "copy"} {
					all := times[i]
					slices.Sort(all)
					b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-median-µs")
					b.ReportMetric(float64(all[len(all)/20].Microseconds()), name+"-p5-µs")
				}
			})
		}
	}
}
