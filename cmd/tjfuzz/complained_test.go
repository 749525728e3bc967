package main

import (
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
)

func TestHowAProgramFailsAsItWasCalledIsTold(t *testing.T) {
	for _, c := range []struct {
		r      fuzz.Result
		output string
		want   string
	}{
		{fuzz.Result{ExitCode: 71}, "can't run as root without the -u switch\n", "exit status 71: can't run as root without the -u switch"},
		{fuzz.Result{ExitCode: 1}, "started\n\nTraceback:\n  no module\n\n", "exit status 1: no module"},
		{fuzz.Result{ExitCode: 1}, strings.Repeat("ä", 200), "exit status 1: " + strings.Repeat("ä", 120) + "..."},
		{fuzz.Result{ExitCode: 1}, "half\rx: Invalid argument\n", "exit status 1: x: Invalid argument"},
		{fuzz.Result{ExitCode: 1}, "x: missing arguments\n", ""},
		{fuzz.Result{ExitCode: 2}, "Usage: grep [OPTION]...\nmore\n", ""},
		{fuzz.Result{ExitCode: 1}, "cp: missing file operand\nTry 'cp --help'\n", ""},
		{fuzz.Result{ExitCode: 1}, "\x1b[31mno\x1b[m", ""},
		{fuzz.Result{ExitCode: 1}, " \n", ""},
		{fuzz.Result{}, "all is well\n", ""},
		{fuzz.Result{Signal: 6}, "aborted\n", ""},
		{fuzz.Result{ExitCode: 1, TimedOut: true}, "slow\n", ""},
	} {
		if got := complained(&c.r, []byte(c.output)); got != c.want {
			t.Errorf("%+v %q: got %q, want %q", c.r, c.output, got, c.want)
		}
	}
}
