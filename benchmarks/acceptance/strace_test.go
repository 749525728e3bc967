package acceptance

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/foreign"
)

// rounds is how often each side watches a command: scheduling decides about some
// syscalls, so what is compared are unions.
const rounds = 5

// TestTraceRecordsWhatStraceShows compares ten commands, and all fifty with
// TJFUZZ_LONG=1. Nothing that only tjfuzz has may lack a reason: it could be a
// call of the launcher's.
func TestTraceRecordsWhatStraceShows(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, c := range besideStrace(t, os.Getenv("TJFUZZ_LONG") != "") {
		for _, d := range c.differences {
			if d.why == "" {
				t.Errorf("%s: only %s has %v", c.args, d.who, d.id)
			}
		}
	}
}

// BenchmarkTraceBesideStrace prints the table of all fifty commands and counts what
// no reason explains.
func BenchmarkTraceBesideStrace(b *testing.B) {
	testenv.Require(b, testenv.BPF)
	for b.Loop() {
		var unexplained, commands float64
		for _, c := range besideStrace(b, true) {
			commands++
			for _, d := range c.differences {
				if d.why == "" {
					unexplained++
				}
			}
		}
		b.ReportMetric(commands, "commands")
		b.ReportMetric(unexplained, "unexplained")
		b.ReportMetric(0, "ns/op") // the speed is measured elsewhere
	}
}

// compared is a command with the syscalls that one side has alone.
type compared struct {
	watched
	differences []difference
}

type difference struct {
	id  sysno.ID
	who string
	why string // from the table of commands, else empty
}

// text tells of the differences, those of one reason together.
func (c *compared) text() string {
	var reasons []string
	ids := map[string][]string{}
	for _, d := range c.differences {
		reason := fmt.Sprintf("(%s; only %s)", cmp.Or(d.why, "unexplained"), d.who)
		if ids[reason] == nil {
			reasons = append(reasons, reason)
		}
		ids[reason] = append(ids[reason], d.id.String())
	}
	for i, r := range reasons {
		reasons[i] = strings.Join(ids[r], " ") + " " + r
	}
	return cmp.Or(strings.Join(reasons, "; "), "none")
}

// besideStrace lets both watch the commands and logs a table.
func besideStrace(t testing.TB, all bool) []compared {
	t.Helper()
	strace := testenv.Program(t, "strace")
	tool, materials := build(t), workplace(t)
	var results []compared
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "package\tcommand\tsyscalls\tdifferences")
	for _, c := range commands() {
		if !all && !c.often {
			continue
		}
		if c.pkg != "" {
			testenv.Program(t, words(c.args)[0])
		}
		ours := watch(t, c, materials, readEvidence, tool, "trace", "--quiet")
		theirs := watch(t, c, materials, readStrace, strace, "-f")
		r := differ(t, c, ours, theirs)
		results = append(results, r)
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", cmp.Or(c.pkg, "ours"), c.args, len(ours), r.text())
	}
	_ = w.Flush() // a strings.Builder does not fail
	t.Logf("syscalls of tjfuzz trace and of strace -f, %d runs united on each side\n%s", rounds, &out)
	return results
}

// sightings are syscalls, each with a file in which it is.
type sightings map[sysno.ID]string

// watch makes the union of what the watcher has seen in all rounds.
func watch(t testing.TB, c watched, materials string, read func(testing.TB, string) []sysno.ID, watcher ...string) sightings {
	t.Helper()
	union := sightings{}
	for range rounds {
		dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
		lay(t, materials, dir, nil)
		argv := words(c.args)
		if c.pkg == "" {
			argv[0] = filepath.Join(dir, argv[0])
		}
		o := command{argv: slices.Concat(watcher, []string{"-o", out, "--"}, argv), dir: dir, stdin: c.stdin, limit: time.Minute}.run(t)
		if o.code != c.code {
			t.Fatalf("%s -- %s ended with %d, want %d:\n%s", watcher[0], c.args, o.code, c.code, o.stderr)
		}
		for _, id := range read(t, out) {
			union[id] = out
		}
	}
	return union
}

func differ(t testing.TB, c watched, ours, theirs sightings) compared {
	t.Helper()
	execve, _ := sysno.Lookup(sysno.Native(), "execve")
	if ours[execve] == "" || theirs[execve] == "" {
		t.Fatalf("%s: one side has no execve; tjfuzz: %v, strace: %v", c.args, ours, theirs)
	}
	r := compared{watched: c}
	for _, side := range []struct {
		who       string
		has, lack sightings
	}{{"tjfuzz", ours, theirs}, {"strace", theirs, ours}} {
		for _, id := range slices.SortedFunc(maps.Keys(side.has), sysno.ID.Compare) {
			if side.lack[id] != "" {
				continue
			}
			why := c.may[id.String()]
			if namesake(id, side.lack) {
				why = "strace does not say in which ABI a call is made"
			}
			if why == "" {
				t.Logf("%s: the lines about %v, of which only %s knows:\n%s", c.args, id, side.who, about(t, id, side.has[id]))
			}
			r.differences = append(r.differences, difference{id, side.who, why})
		}
	}
	return r
}

// about is what a file says of a syscall, with the lines before: a difference that
// nobody expected may not come again.
func about(t testing.TB, id sysno.ID, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := id.Name()
	var found []string
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		if strings.Contains(line, name) {
			found = append(found, lines[max(0, i-5):i+1]...)
		}
	}
	return strings.Join(found, "\n")
}

// namesake reports whether ids has a syscall of another ABI with the name of id.
func namesake(id sysno.ID, ids sightings) bool {
	name, ok := id.Name()
	for other := range ids {
		if n, _ := other.Name(); ok && other.Arch != id.Arch && n == name {
			return true
		}
	}
	return false
}

func readEvidence(t testing.TB, name string) []sysno.ID {
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
	return identifiers(evidence)
}

func readStrace(t testing.TB, name string) []sysno.ID {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log, err := foreign.ReadStrace(foreign.Options{}, foreign.Log{Name: name, Reader: f})
	if err != nil {
		t.Fatal(err)
	}
	if !log.Trace.Lost.Complete() {
		t.Fatalf("strace lost something: %s", log.Missing)
	}
	return identifiers(log.Trace)
}

func identifiers(evidence *trace.Trace) []sysno.ID {
	var ids []sysno.ID
	for _, o := range evidence.Observations {
		ids = append(ids, o.ID)
	}
	return ids
}
