package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReportHasEachPartAndWhatFailed(t *testing.T) {
	speed, err := choose("speed")
	if err != nil {
		t.Fatal(err)
	}
	got := report("go run ./benchmarks/results -only speed", time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC), []result{
		{part: speed[0], report: "a  1\n```\n", took: 61 * time.Second},
		{part: part{name: "other", about: "Something else"}, err: errors.New("it took more than 1m0s")},
	}, []string{"go version go1.26"})
	for _, want := range []string{
		"Written by `go run ./benchmarks/results -only speed` on 2026-11-30, ",
		"- go version go1.26\n",
		"## Runs in a second, beside afl-fuzz\n\n`go run ./benchmarks/speed -rounds 3 -window 2s`, 1m1s\n\n````text\na  1\n```\n````\n",
		"## Something else\n\n`go run ./benchmarks/other`, 0s\n\nNot all of it was measured: it took more than 1m0s.\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

func TestOnlyPartsThatThereAre(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-only", "speed,nonsense"}, &out, &out); err == nil || !strings.Contains(err.Error(), "there is no benchmark nonsense") {
		t.Errorf("got %v", err)
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
