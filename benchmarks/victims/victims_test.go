// Package victims holds the recorders to what they promise to see: for each way
// in which a process can make a call there is a victim that makes one distinctive
// call in that way, and for each way into a recording there is a test that uses it.
// It knows tjfuzz by its command line only. Its main hazard is a document that
// promises more than the tools keep, so the tables of docs/recorder.md are made
// from the rows here, and are compared with them:
//
//	go test ./benchmarks/victims -update
package victims

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

var update = flag.Bool("update", false, "write the tables of docs/recorder.md")

// backends are the columns: those that --backend names.
var backends = []string{"ebpf", "notify", "ptrace"}

// unavailable is the exit code by which a victim says that the kernel does not
// offer what it was to do.
const unavailable = 77

// mark is what no victim calls but in the way that its row names.
const mark = "sched_get_priority_max"

// row is a way in which a process can make a call.
type row struct {
	what   string // in the words of the document
	victim string // the argument of testdata/victim.c
	arch   sysno.Arch
	call   string // the distinctive call; empty: mark
	nr     uint32 // where the call has no name

	operation string // of io_uring, in place of a call

	only string // GOARCH that has such a thing, empty for all

	// cannot has the reasons of the backends that cannot see it. That they do not
	// is tested too.
	cannot map[string]string
}

func rows() []row {
	noOperations := map[string]string{
		"notify": "an operation is no syscall, and no filter is asked about it",
		"ptrace": "an operation is no syscall, and nothing stops at it",
	}
	return []row{
		{what: "the program itself", victim: "itself"},
		{what: "a thread", victim: "thread"},
		{what: "a child by fork", victim: "fork"},
		{what: "a child by vfork", victim: "vfork"},
		{what: "a child by clone with CLONE_PARENT, whose parent is the recorder", victim: "clone-parent"},
		{what: "a child by clone3", victim: "clone3"},
		{what: "a child in new pid and user namespaces", victim: "namespaces"},
		{what: "a daemon: setsid, a second fork, a new parent", victim: "daemon"},
		{what: "a program executed by a thread that is not the leader", victim: "exec-by-thread"},
		{what: "a program executed by execveat", victim: "execveat"},
		{what: "the execveat itself", victim: "execveat", call: "execveat"},
		{what: "a process that unshares its namespaces and renames itself", victim: "disguise"},
		{what: "a process that another one of the program's traces", victim: "tracee", cannot: map[string]string{
			"ptrace": "a task has one tracer, so the program's own fails",
		}},
		{what: "a process that SIGKILL ends right after its call", victim: "sigkill"},
		{what: "a call that the program's own filter refuses", victim: "own-filter", cannot: map[string]string{
			"notify": "the kernel asks the strictest filter, and that one answers itself",
		}},
		{what: "a call for which strict mode kills", victim: "strict"},
		{what: "restart_syscall, by which the kernel resumes a call", victim: "restart", call: "restart_syscall"},
		{what: "a number beyond the table", victim: "number", nr: 1000},
		{what: "the number -1", victim: "minus-one", nr: ^uint32(0)},
		{what: "a 32-bit program", victim: "exec-of", arch: sysno.I386, only: "amd64"},
		{what: "int $0x80 in a 64-bit program", victim: "int80", arch: sysno.I386, only: "amd64"},
		{what: "a call of x32, whether or not the kernel has x32", victim: "x32", arch: sysno.X32, only: "amd64"},
		{what: "time, by the vsyscall page", victim: "vsyscall", call: "time", only: "amd64", cannot: map[string]string{
			"ptrace": "the kernel answers it in a page fault, at which no tracer is asked",
		}},
		{what: "io_uring_setup, which is what a policy decides about", victim: "uring", call: "io_uring_setup"},
		{what: "an operation of io_uring", victim: "uring", operation: "NOP", cannot: noOperations},
		{what: "an operation that the kernel's own thread takes (SQPOLL)", victim: "sqpoll", operation: "NOP", cannot: noOperations},
	}
}

// in reports whether the evidence has what the row's victim does.
func (r *row) in(t *testing.T, evidence *trace.Trace) bool {
	if r.operation != "" {
		return slices.ContainsFunc(evidence.Operations, func(o trace.Operation) bool { return o.Name == r.operation })
	}
	return slices.Contains(ids(evidence), r.id(t))
}

func (r *row) id(t *testing.T) sysno.ID {
	arch := r.arch
	if arch == sysno.ArchInvalid {
		arch = sysno.Native()
	}
	if r.nr != 0 {
		return sysno.ID{Arch: arch, NR: r.nr}
	}
	name := r.call
	if name == "" {
		name = mark
	}
	id, ok := sysno.Lookup(arch, name)
	if !ok {
		t.Fatalf("%v has no syscall %q", arch, name)
	}
	return id
}

// victims are the programs and the tool, made once for all tests of a test.
type victims struct {
	tool, native, compat string
}

func prepare(t *testing.T) victims {
	t.Helper()
	testenv.Require(t, testenv.BPF)
	v := victims{tool: filepath.Join(t.TempDir(), "tjfuzz")}
	if out, err := exec.Command("go", "build", "-o", v.tool, "../../cmd/tjfuzz").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	v.native = testenv.Compile(t, "testdata/victim.c", "-static", "-pthread")
	if runtime.GOARCH == "amd64" {
		v.compat = testenv.Compile(t, "testdata/victim.c", "-static", "-pthread", "-m32")
	}
	return v
}

func TestEachBackendFindsWhatTheTableSays(t *testing.T) {
	v := prepare(t)
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			for _, r := range rows() {
				t.Run(r.what, func(t *testing.T) {
					t.Parallel()
					if r.only != "" && r.only != runtime.GOARCH {
						t.Skipf("there is no such thing on %s", runtime.GOARCH)
					}
					if r.arch == sysno.I386 {
						testenv.RequireCompat(t)
					}
					why, cannot := r.cannot[backend]
					seen, offered := v.record(t, []string{"--backend", backend}, v.native, r.victim, v.compat)
					if !offered && !cannot {
						unoffered(t)
					}
					switch found := r.in(t, seen); {
					case found && cannot:
						t.Errorf("it was found; the table says that it cannot be: %s", why)
					case !found && !cannot:
						t.Errorf("it was not found among %v and %v", ids(seen), seen.Operations)
					}
				})
			}
			t.Run("nothing", func(t *testing.T) {
				r := row{}
				if seen := v.trace(t, []string{"--backend", backend}, v.native, "nothing"); r.in(t, seen) || len(seen.Operations) > 0 {
					t.Errorf("%s was found in a victim that does not call it: the other rows prove nothing", mark)
				}
			})
		})
	}
}

// trace records a program and returns the evidence, which must be complete.
func (v *victims) trace(t *testing.T, flags []string, argv ...string) *trace.Trace {
	t.Helper()
	evidence, offered := v.record(t, flags, argv...)
	if !offered {
		unoffered(t)
	}
	return evidence
}

// unoffered ends the test of something that the kernel does not have.
func unoffered(t *testing.T) {
	t.Helper()
	testenv.Lack(t, "kernel", "it does not offer this")
}

// record is trace for a program to which the kernel, or who records, may deny what it
// was to do.
func (v *victims) record(t *testing.T, flags []string, argv ...string) (evidence *trace.Trace, offered bool) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "evidence")
	args := slices.Concat([]string{"trace", "--quiet", "-o", out}, flags, []string{"--"}, argv)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, err := exec.CommandContext(ctx, v.tool, args...).CombinedOutput()
	var exit *exec.ExitError
	offered = !errors.As(err, &exit) || exit.ExitCode() != unavailable
	if err != nil && offered {
		t.Fatalf("tjfuzz %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return read(t, out), offered
}

func read(t *testing.T, name string) *trace.Trace {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	evidence, err := trace.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if !evidence.Lost.Complete() {
		t.Fatalf("the recorder lost something: %+v", evidence.Lost)
	}
	return evidence
}

func ids(evidence *trace.Trace) []sysno.ID {
	var ids []sysno.ID
	for _, o := range evidence.Observations {
		ids = append(ids, o.ID)
	}
	return ids
}

func TestTheDocumentHasTheTables(t *testing.T) {
	const name = "../../docs/recorder.md"
	doc, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(doc)
	for mark, table := range map[string]string{"everything": everything(), "ways": waysTable()} {
		begin, end := "<!-- made from benchmarks/victims: "+mark+" -->\n", "<!-- end -->\n"
		before, rest, ok := strings.Cut(text, begin)
		old, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Fatalf("%s has no place for the table %q", name, mark)
		}
		if old != table && !*update {
			t.Errorf("%s: the table %q is not what the tests hold; run go test ./benchmarks/victims -update\ngot:\n%s\nwant:\n%s", name, mark, old, table)
		}
		text = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// everything is the table of what a process can do.
func everything() string {
	return table("a call by, or of", func(add func(string, string, map[string]string)) {
		for _, r := range rows() {
			what, found := r.what, "found"
			if r.only == "amd64" {
				what += " (x86-64)"
			}
			if r.arch != sysno.ArchInvalid {
				found += ", as " + r.arch.String()
			}
			add(what, found, r.cannot)
		}
	})
}

// waysTable is the table of the ways in.
func waysTable() string {
	return table("way in", func(add func(string, string, map[string]string)) {
		for _, w := range ways() {
			add(w.what, "recorded", w.cannot)
		}
	})
}

func table(head string, fill func(add func(what, found string, cannot map[string]string))) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n|---|%s\n", head, strings.Join(backends, " | "), strings.Repeat("---|", len(backends)))
	fill(func(what, found string, cannot map[string]string) {
		fmt.Fprintf(&b, "| %s |", what)
		for _, backend := range backends {
			cell := found
			if why, ok := cannot[backend]; ok {
				cell = "cannot: " + why
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	})
	return b.String()
}
