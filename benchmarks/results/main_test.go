package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSectionsSayWhatWasMeasuredAndWhatFailed(t *testing.T) {
	begin := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)
	measured := result{part: part{name: "speed", about: "Runs in a second", args: []string{"-rounds", "3"}}, report: "a  1\n```\n", begin: begin, took: 61 * time.Second}
	failed := result{part: part{name: "other", about: "Something else"}, begin: begin, err: errors.New("it took more than 1m0s")}
	want := "\n## Runs in a second\n\n`go run ./benchmarks/speed -rounds 3`, 2026-11-30, 1m1s\n\n````text\na  1\n```\n````\n"
	if got := measured.section(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := failed.section(), "\n## Something else\n\n`go run ./benchmarks/other`, 2026-11-30, 0s\n\nNot all of it was measured: it took more than 1m0s.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	text := head([]string{"go version go1.26"}) + measured.section() + failed.section()
	for _, r := range []result{measured, failed} {
		if got := r.earlier(text); got != r.section() {
			t.Errorf("got %q of what was written before, want %q", got, r.section())
		}
	}
	if got := (&part{about: "Nothing"}).earlier(text); got != "" {
		t.Errorf("got %q of what was never written", got)
	}
}

// What was measured is written before the next part begins, and one that fails, or cannot be written, ends none.
func TestEachPartSurvivesTheOthers(t *testing.T) {
	before := "\n## " + parts[2].about + "\nbefore\n"
	chosen := []part{parts[0], parts[1], parts[3], parts[4]}
	ctx, interrupt := context.WithCancel(t.Context())
	var written []string
	err := measure(ctx, chosen, before, func(p *part) (r result) {
		r.part = *p
		switch p.name {
		case parts[0].name:
			r.err = errors.New("it broke")
		case parts[4].name:
			interrupt()
		}
		return r
	}, func(sections string) error {
		var has []string
		for _, line := range strings.Split(sections, "\n") {
			if about, ok := strings.CutPrefix(line, "## "); ok {
				has = append(has, about)
			}
		}
		written = append(written, strings.Join(has, ", "))
		return errors.New("the disk is full")
	})
	about := func(which ...int) string {
		var all []string
		for _, i := range which {
			all = append(all, parts[i].about)
		}
		return strings.Join(all, ", ")
	}
	if want := []string{about(0, 2), about(0, 1, 2), about(0, 1, 2, 3)}; !slices.Equal(written, want) {
		t.Errorf("written are %q, want %q", written, want)
	}
	if err == nil || err.Error() != "interrupted: "+parts[4].name+" and what comes after it was not measured" {
		t.Errorf("got %v", err)
	}
	err = measure(t.Context(), chosen[:2], "", func(p *part) result { return result{part: *p, err: errors.New("it broke")} }, func(string) error { return nil })
	for _, p := range chosen[:2] {
		if err == nil || !strings.Contains(err.Error(), p.name+": not all was measured: it broke") {
			t.Errorf("got %v, which does not name %s", err, p.name)
		}
	}
}

// Each write has all sections, so only the last one can leave something unwritten.
func TestAWriteThatALaterOneRepairsIsNoFailure(t *testing.T) {
	full := errors.New("the disk is full")
	for failing, want := range map[string]error{parts[0].about: nil, parts[1].about: full} {
		err := measure(t.Context(), parts[:2], "", func(p *part) result { return result{part: *p} }, func(sections string) error {
			if last := sections[strings.LastIndex(sections, "\n## ")+4:]; strings.HasPrefix(last, failing) {
				return full
			}
			return nil
		})
		if !errors.Is(err, want) {
			t.Errorf("the write after %q fails: got %v, want %v", failing, err, want)
		}
	}
}

func TestOnlyPartsThatThereAre(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-only", "speed,nonsense"}, &out, &out); err == nil || !strings.Contains(err.Error(), "there is no benchmark nonsense") {
		t.Errorf("got %v", err)
	}
}

func TestEachBenchmarkHasAPart(t *testing.T) {
	benchmarks, err := filepath.Glob("../*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, main := range benchmarks {
		name := filepath.Base(filepath.Dir(main))
		if name != "results" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			t.Errorf("nothing of %s is run", name)
		}
	}
	if len(benchmarks) != len(parts)+1 {
		t.Errorf("%d programs for %d parts", len(benchmarks), len(parts))
	}
}

func TestFencesHoldWhatTheyFence(t *testing.T) {
	for text, want := range map[string]string{"a": "```", "```": "````", "`````x": "``````"} {
		if got := fenceOf(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got := plain("\x1b[1mafl-fuzz++4.04c\x1b[0m"); got != "afl-fuzz++4.04c" {
		t.Errorf("got %q", got)
	}
}
