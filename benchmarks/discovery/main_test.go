package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestEveryModeOfAProgramIsMeasured(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	testenv.Program(t, "cat")
	var out strings.Builder
	curves := filepath.Join(t.TempDir(), "curves.svg")
	args := []string{"-programs", "cat,no-such-program", "-execs", "40", "-jobs", "1", "-duration", "5m", "-against", "bytes,bytes+argv", "-plot", curves}
	if err := run(t.Context(), args, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	drawn, err := os.ReadFile(curves)
	if err != nil {
		t.Fatal(err)
	}
	var svg struct {
		Paths []struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal(drawn, &svg); err != nil || len(svg.Paths) != 3 {
		t.Errorf("%d curves, want 3: %v", len(svg.Paths), err)
	}
	for _, want := range []string{
		`(?m)^cat +[1-9][0-9]+ +[1-9][0-9]+ +[1-9][0-9]+ +[0-9]+ +[0-9.]+ s `,
		`(?m)^- cat: (everything found all that varying bytes found|found by varying bytes, and not by everything: )`,
		`(?m)^cat, bytes and argv( +[0-9]+){9}$`,
		`(?m)^- not measured: no-such-program: it is not installed`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the report has nothing like %s:\n%s", want, &out)
		}
	}
}

func TestWhatOnlyARestrictedSessionFoundIsNamed(t *testing.T) {
	found := func(names ...string) session {
		r := &learning.Result{Runs: 10, Seconds: 2}
		for i, name := range names {
			r.Found = append(r.Found, learning.Found{Syscall: name, Seconds: float64(i), Phase: "explore", Varied: []string{"argv"}})
		}
		return session{Result: r}
	}
	s := subject{name: "diff", sessions: []session{found("read", "openat", "close"), found("read", "ptrace"), found("read"), {failed: "no right"}}}
	others, err := restrictions("bytes,argv,bytes+argv")
	if err != nil {
		t.Fatal(err)
	}
	got := report("command", time.Minute, append([]mode{everything}, others...), []subject{s})
	for _, want := range []string{
		"- diff: found by varying bytes, and not by everything: ptrace\n",
		"- diff: everything found all that varying argv found\n",
		"- diff, bytes and argv: no right\n",
		"25\n", // counted by hand
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the report does not say %q:\n%s", want, got)
		}
	}
}

func TestWhatIsNoRestrictionIsRefused(t *testing.T) {
	for _, list := range []string{"", "env", "bytes,", "bytes+"} {
		if _, err := restrictions(list); err == nil {
			t.Errorf("%q is taken", list)
		}
	}
}

func TestReachIsWhenAShareWasFound(t *testing.T) {
	var found []learning.Found
	for i := range 10 {
		found = append(found, learning.Found{Seconds: float64(i + 1)})
	}
	for share, want := range map[float64]float64{.5: 5, .9: 9, .95: 10, 1: 10} {
		if got := reach(found, share); got != want {
			t.Errorf("%v of ten were found after %v s, want %v", share, got, want)
		}
	}
	if got := until(found, 3.5); got != 3 {
		t.Errorf("%d were found in 3.5 s, want 3", got)
	}
}
