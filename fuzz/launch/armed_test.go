package launch

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// Each page of its own that a server has in its code costs every copy: with breakpoints there are no more of them, and its
// mappings are called what they are called without.
func TestBreakpointsMakeNoPageAServersOwn(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program := testenv.Program(t, "grep") // which has code on dozens of pages
	e := withBlocks(t, r, 0, program, new(coverage.Map), &cage.Options{Expose: []string{program}})
	e.opts.Highest = AtMain
	s := &fuzz.Scenario{Argv: []string{"grep", "x"}, Stdin: fuzz.StdinFile, Input: []byte("x\n")}
	blocks := 0
	for range warmUp + 2 {
		blocks += len(run(t, e, s).Signals)
	}
	if blocks == 0 {
		t.Fatal("no copy came to a breakpoint")
	}
	name, code, own := "", 0, 0
	names := map[string]bool{}
	for line := range strings.Lines(inProc(t, onlyServer(t, e).Pid(), "smaps")) {
		if _, path, ok := strings.Cut(line, " /"); ok {
			name = ""
			if strings.HasSuffix(path, "/grep\n") {
				name = path
				names[path] = true
			}
			if !strings.Contains(line, "r-xp") {
				name = ""
			}
		}
		var kB int
		if n, _ := fmt.Sscanf(line, "Size: %d kB", &kB); n == 1 && name != "" {
			code = kB
		}
		if n, _ := fmt.Sscanf(line, "Anonymous: %d kB", &kB); n == 1 && name != "" {
			own = kB
		}
	}
	if code < 64 || own > 4 || len(names) != 1 {
		t.Errorf("of %d kB of code %d are the server's own, want none of dozens; the mappings are called %v", code, own, names)
	}
}

// Pages that are the server's own, for copies use them, have the breakpoints that the others have.
func TestBreakpointsGoFromPagesThatAreAServersOwn(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program := victim(t)
	var m coverage.Map
	c := &cage.Options{Expose: []string{filepath.Dir(program)}}
	one, other := withBlocks(t, r, 0, program, &m, c), withBlocks(t, r, 1, program, &m, c)
	reaches := func(e *Exec, input string) int {
		t.Helper()
		s := &fuzz.Scenario{Argv: []string{"victim"}, Stdin: fuzz.StdinFile, Input: []byte(input)}
		return len(run(t, e, s).Signals)
	}
	for _, e := range []*Exec{one, other} {
		for range warmUp + many + 1 {
			reaches(e, "w0")
		}
	}
	served := [...]*server{onlyServer(t, one), onlyServer(t, other)}
	if reaches(one, "w1") == 0 {
		t.Error("what is new was not noticed")
	}
	for _, e := range []*Exec{one, other, one} {
		if n := reaches(e, "w1"); n != 0 {
			t.Errorf("%d blocks are new once more", n)
		}
	}
	if reaches(other, "l0") == 0 {
		t.Error("what is new was not noticed by the other one")
	}
	if now := [...]*server{onlyServer(t, one), onlyServer(t, other)}; now != served {
		t.Error("the servers did not last")
	}
}
