package acceptance

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// rounds is how often each side watches an invocation: scheduling decides about
// some syscalls, so what is compared are unions.
const rounds = 5

func TestTraceRecordsWhatStraceShows(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	strace := testenv.Program(t, "strace")
	tool := build(t)
	// varying are the syscalls that one side may have alone, because not even five
	// runs settle whether the program makes them.
	cases := []struct {
		program string
		args    string
		varying []string
	}{
		{program: "jq", args: "-f filter.jq person.json"},
		{program: "gzip", args: "-kf large.txt"},
		{program: "sort", args: "--parallel=2 -n large.txt -o out", varying: []string{"futex"}}, // when threads meet
		{program: "sqlite3", args: "some.db 'update t set b = b || a; select * from t'"},
		{program: "tar", args: "-czf new.tar.gz dir"},
		{program: "openssl", args: "dgst -sha256 a.txt"},
		{program: "static C", args: "-j a.txt b.txt large.txt", varying: []string{"futex", "madvise"}}, // when threads meet, and end
		{program: "Python", args: "./table.py -f markdown -o out/table.md a.csv"},
		{program: "shell", args: "a.log b.log", varying: []string{"rt_sigreturn"}}, // when a child ends before it is waited for
	}
	for _, c := range cases {
		t.Run(c.program, func(t *testing.T) {
			p := programs()[slices.IndexFunc(programs(), func(p program) bool { return p.name == c.program })]
			materials := t.TempDir()
			furnish(t, p, materials)
			argv := append([]string{p.learn[0]}, words(c.args)...)
			side := func(read func(t testing.TB, name string) []sysno.ID, log string, watcher ...string) map[sysno.ID]bool {
				union := map[sysno.ID]bool{}
				for range rounds {
					dir, out := t.TempDir(), filepath.Join(t.TempDir(), log)
					lay(t, materials, dir, nil)
					o := command{argv: slices.Concat(watcher, []string{"-o", out, "--"}, argv), dir: dir, limit: time.Minute}.run(t)
					if o.code != 0 {
						t.Fatalf("%s ended with %d:\n%s", watcher[0], o.code, o.stderr)
					}
					for _, id := range read(t, out) {
						union[id] = true
					}
				}
				return union
			}
			ours := side(readEvidence, "evidence.json", tool, "trace")
			theirs := side(readStrace, "strace", strace, "-f")
			execve, _ := sysno.Lookup(sysno.Native(), "execve")
			if !ours[execve] || !theirs[execve] {
				t.Fatalf("one side has no execve; tjfuzz: %v, strace: %v", ours, theirs)
			}
			for _, d := range []struct {
				who       string
				has, lack map[sysno.ID]bool
			}{{"tjfuzz trace", ours, theirs}, {"strace", theirs, ours}} {
				for id := range d.has {
					switch {
					case d.lack[id]:
					case slices.Contains(c.varying, id.String()):
						t.Logf("only %s has %v, which this program makes now and then", d.who, id)
					default:
						t.Errorf("only %s has %v", d.who, id)
					}
				}
			}
		})
	}
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
	var ids []sysno.ID
	for _, o := range evidence.Observations {
		ids = append(ids, o.ID)
	}
	return ids
}

// straceLine is a line of strace -f -o: a number, then a call, the rest of a call
// that another thread interrupted, a signal (---) or an end (+++).
var straceLine = regexp.MustCompile(`^(?:\d+ +)?(?:([a-z_0-9]+)\(|<\.\.\. ([a-z_0-9]+) resumed>|---|\+\+\+)`)

func readStrace(t testing.TB, name string) []sysno.ID {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var ids []sysno.ID
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := straceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			t.Fatalf("strace wrote a line of unknown form: %s", lines.Text())
		}
		call := m[1] + m[2]
		if call == "" {
			continue
		}
		id, err := sysno.Parse(sysno.Native(), call)
		if err != nil {
			t.Fatalf("strace names a syscall that is not in the table: %v", err)
		}
		ids = append(ids, id)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}
