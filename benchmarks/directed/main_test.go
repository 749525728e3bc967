package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/static"
)

// A call that is not behind its guard alone would be counted for nothing.
func TestEachGuardedCallIsOneThatTheCodeReachesAndAnEmptyRunDoesNotMake(t *testing.T) {
	testenv.Program(t, "gcc")
	for name, kinds := range guards {
		t.Run(name, func(t *testing.T) {
			path, err := build(t.Context(), t.TempDir(), name)
			if err != nil {
				t.Fatal(err)
			}
			reach, err := static.Analyze(t.Context(), path, static.Options{})
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, k := range kinds {
				for _, call := range strings.Fields(k.calls) {
					n++
					id, ok := sysno.Lookup(sysno.AMD64, call)
					if !ok {
						t.Errorf("there is no syscall %s", call)
					} else if x, ok := reach.Find(id); !ok || x.Startup {
						t.Errorf("%s is not reached by the program's own code", call)
					}
				}
			}
			if n != 30 {
				t.Errorf("%d guarded calls, want 30", n)
			}
			source, err := os.ReadFile("testdata/" + name + ".c")
			if err != nil {
				t.Fatal(err)
			}
			at := 0
			for _, k := range kinds {
				for range strings.Fields(k.calls) {
					at++
					mark := regexp.MustCompile(fmt.Sprintf(`/\* %d %s\b`, at, k.kind))
					if len(mark.FindAll(source, -1)) != 1 {
						t.Errorf("the source has no comment /* %d %s */, or several", at, k.kind)
					}
				}
			}
		})
	}
}

func TestTheReportSaysWhoSawMoreAndWhatWasNotMeasured(t *testing.T) {
	var out strings.Builder
	report(&out, "command", []subject{
		{name: "gzip", of: 50, directed: []string{"a", "b"}, straight: []string{"a"}, runs: [2]uint64{10, 20}},
		{name: "sort", of: 60, directed: []string{"a"}, straight: []string{"a", "c"}},
		{name: "guarded", of: 30, directed: []string{"a"}, missed: []string{"times (environment)"}},
		{name: "tar", failed: errors.New("no time")},
	})
	for _, want := range []string{
		"Of 2 real programs, directed sessions saw at least as many in 1, and more in 1.",
		"gzip     50         2         1           b               -                 10, 20",
		"guarded: not reached by the directed session: times (environment)",
		"not measured: tar: no time",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}
