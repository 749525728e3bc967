package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestTheReportKeepsApartWhatWasLookedAt(t *testing.T) {
	mkdir, err := sysno.Parse(sysno.AMD64, "mkdirat")
	if err != nil {
		t.Fatal(err)
	}
	got := report("command", []row{
		{subject: subject{name: "seen", looked: true}, learned: 9, called: 5, lines: 3, failed: 1},
		{subject: subject{name: "unseen"}, learned: 7, called: 6, lines: 2, missed: []sighting{{mkdir, "unseen -d new"}}},
		{subject: subject{name: "gone"}, err: errors.New("it is not installed; its package is gone")},
	})
	for _, want := range []string{
		`(?ms)^nobody has looked at +lines.*^unseen +2 +0 +6 +7 +1$.*^all +1$.*^looked at`,
		`(?m)^- unseen: mkdirat, first by: unseen -d new$`,
		`(?ms)^looked at.*^seen +3 +1 +5 +9 +0$.*^all +0$`,
		`(?m)^- not measured: gone: it is not installed; its package is gone$`,
	} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the report has nothing like %s:\n%s", want, got)
		}
	}
}

func TestEachProgramHasCommandLinesThatRunIt(t *testing.T) {
	b := &bench{}
	if _, err := b.choose(""); err != nil {
		t.Fatal(err)
	}
	files, err := fs.ReadDir(b.lines, ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(subjects) {
		t.Errorf("%d files of command lines for %d programs", len(files), len(subjects))
	}
	for _, s := range subjects {
		text, err := fs.ReadFile(b.lines, s.name)
		if err != nil {
			t.Error(err)
			continue
		}
		for line := range strings.Lines(string(text)) {
			if !slices.Contains(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ;|&'\n", r) }), s.name) {
				t.Errorf("%s: a line does not run it: %s", s.name, line)
			}
		}
	}
}

func TestWhatWasLearnedOtherwiseIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	profile := filepath.Join(dir, "profile.json")
	few, many := &bench{flags: []string{"--execs", "10"}}, &bench{flags: []string{"--execs", "1000"}}
	for range 2 {
		if err := few.matches(dir, profile); err != nil {
			t.Fatal(err)
		}
	}
	if err := many.matches(dir, profile); err == nil {
		t.Error("what was learned with other flags is used")
	}
	if err := os.Remove(filepath.Join(dir, "flags")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(profile, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := few.matches(dir, profile); err == nil {
		t.Error("what was learned with unknown flags is used")
	}
}

// Only the program is recorded, with what it starts, and not what stands beside it in a line.
func TestTheWorkOfAProgramIsRecordedAlone(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	if testing.Short() {
		t.Skip("it builds tjfuzz")
	}
	path, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tjfuzz, err := learning.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: dir, tjfuzz: tjfuzz, progress: t.Output()}
	r := &row{subject: subject{name: "cat"}}
	seen, err := b.run(t.Context(), r, path, filepath.Join(dir, "work"), []string{`mkdir made && test "$HOME" = "$PWD" && cat <text | tr a b >out`, "cat missing"})
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]string{}
	for _, s := range seen {
		called[s.id.String()] = s.line
	}
	if called["read"] == "" || called["mkdir"]+called["mkdirat"] != "" {
		t.Errorf("the calls recorded are %v, want read, and no mkdir or mkdirat", called)
	}
	if r.lines != 2 || r.failed != 1 {
		t.Errorf("%d lines, %d failed, want 2 and 1", r.lines, r.failed)
	}
	if _, err := os.Stat(filepath.Join(dir, "work", "world", "made")); err != nil {
		t.Errorf("the line was not run where its files are: %v", err)
	}
}
