package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/synth"
)

// small is a suite of three tests for cat, of which one fails and one is skipped.
var small = recipe{name: "cat", once: "cat text", place: "bin/cat", count: automake, suite: each + `
printf 'one\ntwo\n' >want
same first want ./bin/cat want
status=0; ./bin/cat missing 2>/dev/null || status=$?; ended second $status
ended third 77
`}

func named(t *testing.T, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(sysno.Native(), name)
	if !ok {
		t.Fatalf("there is no syscall %q", name)
	}
	return id
}

func TestMissedCallsAreNamedWithTheInvocationThatMadeThem(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	testenv.Program(t, "gcc")
	real, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &suite{recipe: &small, dir: dir, real: real, limit: time.Minute}
	plain, err := s.run(t.Context(), real, filepath.Join(dir, "plain"))
	if want := (tally{1, 1, 1}); err != nil || plain != want {
		t.Fatalf("with the program itself: %+v, %v; want %+v", plain, err, want)
	}
	p := &synth.Policy{Default: synth.Verdict{Action: synth.Log}, Archs: []sysno.Arch{sysno.Native()}}
	group := synth.Group{Name: "test"}
	for _, name := range []string{"execve", "read", "write", "close", "exit_group"} {
		group.Rules = append(group.Rules, synth.Rule{ID: named(t, name), Tier: synth.Observed, Verdict: synth.Verdict{Action: synth.Allow}})
	}
	p.Groups = []synth.Group{group}
	w, err := s.watch(t.Context(), filepath.Join(dir, "watched"), p)
	if err != nil {
		t.Fatal(err)
	}
	if w.tally != plain || w.invocations != 2 || w.unrecorded != 0 || w.unrestricted != 0 || !w.lost.Complete() {
		t.Errorf("got %+v; want two invocations that end as without the wrapper", w)
	}
	missed, answered := w.missed(p)
	i := slices.IndexFunc(missed, func(c call) bool { return c.id == named(t, "openat") })
	if i < 0 {
		t.Fatalf("openat is not among the missed: %v", missed)
	}
	if got, want := missed[i].by(), "./bin/cat want"; got != want || missed[i].dir != dir {
		t.Errorf("openat is first by %q in %s, want %q in %s", got, missed[i].dir, want, dir)
	}
	for _, c := range missed {
		if slices.ContainsFunc(group.Rules, func(r synth.Rule) bool { return r.ID == c.id }) {
			t.Errorf("%v is allowed, and called missed", c.id)
		}
	}
	if len(answered) > 0 {
		t.Errorf("answered: %v, though the policy answers nothing", answered)
	}
	if _, err := os.Stat(string(w.group)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", w.group, err)
	}
}

func TestAProgramIsMeasuredFromLearningToTheReport(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	testenv.Program(t, "gcc")
	var progress bytes.Buffer
	b := &bench{dir: t.TempDir(), execs: 30, jobs: 2, seed: 1, compare: true, duration: 5 * time.Minute, limit: time.Minute, progress: io.MultiWriter(&progress, t.Output())}
	cat := small
	cat.workload = "cat DIR.version"
	var err error
	if b.tjfuzz, err = learning.Build(t.Context(), b.dir); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(b.dir, "cat", "source")
	if err := os.MkdirAll(source, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source+".version", []byte("1.0"), 0o644); err != nil {
		t.Fatal(err)
	}
	row := b.measure(t.Context(), nil, &cat)
	got := report("command", []tableRow{row})
	if row.failed != "" || row.learned.Runs != 30 || row.watched.invocations != 2 || row.watched.tally != row.plain {
		t.Errorf("%+v\n%s", row, got)
	}
	if !strings.Contains(got, "cat, suite of 1.0\n- learned in 30 runs, ") {
		t.Errorf("the report does not say how cat was learned:\n%s", got)
	}
	if n := strings.Count(progress.String(), "--workload cat "+source+".version"); n != 2 {
		t.Errorf("the workload was given to %d sessions, want both:\n%s", n, &progress)
	}
	for _, want := range []string{
		`(?m)^- learned with a workload `,
		`(?m)^cat +docker's default +[34][0-9]{2} +[1-9][0-9]+ +0 +-$`,
		`(?m)^cat +static analysis alone +[1-9][0-9]+ +[1-9][0-9]+ +0 +[0-9.]+ s$`,
		`(?m)^cat +strace -f cat text +[1-9][0-9]+ +[1-9][0-9]+ +[0-9] +[0-9.]+ s$`,
		`(?m)^cat +learn --only bytes +[1-9][0-9]+ +[1-9][0-9]+ +[0-9] +[0-9.]+ s$`,
		`(?m)^cat +learn +[1-9][0-9]+ +[1-9][0-9]+ +[0-9] +[0-9.]+ s$`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the report has nothing like %s:\n%s", want, got)
		}
	}
	again := b.measure(t.Context(), nil, &cat)
	if !again.learned.at.Equal(row.learned.at) {
		t.Error("the profile was not kept")
	}
}

func TestSourceEntriesAreThoseOfDebian(t *testing.T) {
	list := "# comment\ndeb http://archive.example/debian bookworm main\ndeb [arch=amd64] http://other.example/apt stable main\n"
	if got, want := sourceEntries(list, false), "deb-src http://archive.example/debian bookworm main\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	stanzas := "Types: deb\nURIs: http://other.example/apt\nSuites: x\n\nTypes: deb deb-src\nURIs: http://archive.example/mirror\nSuites: bookworm\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
	if got, want := sourceEntries(stanzas, true), "Types: deb-src\nURIs: http://archive.example/mirror\nSuites: bookworm\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTestsAreCountedByWhatTheSuitePrints(t *testing.T) {
	for _, c := range []struct {
		name   string
		count  func(string) tally
		output string
		want   tally
	}{
		{"automake", automake, "PASS: a\nXFAIL: b\nFAIL: c\nSKIP: d\n# PASS:  2\n", tally{2, 1, 1}},
		{"testfixture", testfixture, "shell1-1.1... Ok\nshell1-1.2...\n! shell1-1.2 expected: [0]\n! shell1-1.2 got:      [1]\nshell1-2.0... Omitted\n0 errors out of 2 tests\nTime: shell1.test 5 ms\n", tally{1, 1, 1}},
		{"autotest", autotest, "  1: tar version    ok\n 22: links     FAILED (x.at:1)\n107: skipped     skipped (x.at:2)\n  3: ok                ok\n", tally{2, 1, 1}},
		{"tap", tap, "1..4\nok 1 - a\nnot ok 2 - b\nok 3 # skip no\nnot ok 4 - c # TODO known breakage\n    ok 1 - subtest\n", tally{2, 1, 1}},
	} {
		if got := c.count(c.output); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A program that opens a file, and does not where strace looks, misses what comes of it.
func TestOneRunUnderStraceIsThatRunOnly(t *testing.T) {
	testenv.Program(t, "strace")
	real, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	for command, opens := range map[string]bool{"cat text": true, "cat 'text'": true, "cat nothing": false} {
		allows, err := once(t.Context(), &recipe{name: "cat", once: command}, real, filepath.Join(t.TempDir(), "once"))
		if err != nil || !allows[named(t, "execve")] || allows[named(t, "fadvise64")] != opens {
			t.Errorf("%s: %v, %v", command, allows, err)
		}
		o := other{allows: allows}
		if n := o.missed([]call{{id: named(t, "execve")}, {id: named(t, "ptrace")}}); n != 1 {
			t.Errorf("%s: it misses %d of execve and ptrace", command, n)
		}
	}
}

func TestEveryRecipeIsWhole(t *testing.T) {
	for _, r := range recipes() {
		if r.name == "" || !strings.HasPrefix(r.once, r.name+" ") || r.pkg == "" && r.target == "" || r.prepare == "" || r.place == "" || r.suite == "" || r.count == nil {
			t.Errorf("%s: something is missing: %+v", r.name, r)
		}
		if out, err := exec.Command("sh", "-nc", r.prepare+"\n"+r.suite).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", r.name, err, out)
		}
		if out, err := exec.Command("sh", "-nc", r.work("/a directory")).CombinedOutput(); err != nil {
			t.Errorf("%s: its workload: %v: %s", r.name, err, out)
		}
	}
	r := recipe{workload: "cd DIR && pwd"}
	dir := filepath.Join(t.TempDir(), "it's one")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", "-c", r.work(dir)).CombinedOutput(); err != nil || string(out) != dir+"\n" {
		t.Errorf("%q is where the workload is, %v; want %s", out, err, dir)
	}
}
