package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/forkserver"
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
	code, own, names := codeOf(t, onlyServer(t, e).Pid(), "grep")
	if code < 64 || own > 4 || len(names) != 1 {
		t.Errorf("of %d kB of code %d are the server's own, want none of dozens; the mappings are called %v", code, own, names)
	}
}

// codeOf is how much code a process has of a program, in kB, how much of that is in pages that are its own, and by which names.
func codeOf(t *testing.T, pid int, program string) (code, own int, names map[string]bool) {
	t.Helper()
	names = map[string]bool{}
	name := ""
	for line := range strings.Lines(inProc(t, pid, "smaps")) {
		if _, path, ok := strings.Cut(line, " /"); ok {
			name = ""
			if strings.HasSuffix(path, "/"+program+"\n") {
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
	return code, own, names
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
	for _, s := range served {
		if _, own, _ := codeOf(t, s.Pid(), "victim"); own == 0 {
			t.Fatal("no page of the code is the server's own")
		}
	}
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

// failing is a server that can have other code in so many places, and fails in the next.
type failing struct {
	*forkserver.Server
	places int
}

func (f *failing) Replace(start, end uint64, file *os.File, offset uint64) error {
	if f.places--; f.places < 0 {
		return errors.New("broken")
	}
	return f.Server.Replace(start, end, file, offset)
}

// A server that has breakpoints in the program but not in its library is not used, and the next one has none.
func TestServerThatGetsSomeOfItsBreakpointsGoes(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	e, s := withServer(t)
	c := only(t, e)
	var err error
	e.onThread(func() {
		e.copies.drop(c)
		if err = e.copies.startAt(c, s); err == nil {
			c.server.maker = &failing{c.server.maker.(*forkserver.Server), 1}
			e.copies.cover(c)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.server != nil {
		t.Error("the server stays")
	}
	if got := run(t, e, s); got.Signal != 0 || len(got.Signals) != 0 {
		t.Errorf("got %+v, want no trace of breakpoints", got)
	}
	isBare(t, c, "broken")
}

// Where a copy did something else than the program, the next one has the code from where the program has it.
func TestServerWithOtherCodeGoesWithTheBreakpoints(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	e, s := withServer(t)
	c := only(t, e)
	e.copies.differs(c)
	run(t, e, s)
	isBare(t, c, "something else")
}

// withServer is an executor that has a server of testdata/blocks.c with breakpoints, and a scenario.
func withServer(t *testing.T) (*Exec, *fuzz.Scenario) {
	t.Helper()
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	program := victim(t)
	e := withBlocks(t, r, 0, program, new(coverage.Map), &cage.Options{Expose: []string{filepath.Dir(program)}})
	s := &fuzz.Scenario{Argv: []string{"victim"}, Stdin: fuzz.StdinFile, Input: []byte("w0")}
	for range warmUp + checked {
		run(t, e, s)
	}
	if onlyServer(t, e).covered == nil {
		t.Fatal("there are no breakpoints")
	}
	return e, s
}

// isBare checks that a class has a server with the code of the program's file, for a reason.
func isBare(t *testing.T, c *class, why string) {
	t.Helper()
	if c.server == nil || c.server.covered != nil || c.bare == nil || !strings.Contains(c.bare.Error(), why) {
		t.Fatalf("got the server %+v, without breakpoints because of %v, want one because of %q", c.server, c.bare, why)
	}
	exe, err := os.Stat(fmt.Sprintf("/proc/%d/exe", c.server.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(inProc(t, c.server.Pid(), "maps")) {
		if at, _, _ := strings.Cut(line, " "); strings.HasSuffix(line, "/victim\n") {
			code, err := os.Stat(fmt.Sprintf("/proc/%d/map_files/%s", c.server.Pid(), at))
			if err != nil {
				t.Fatal(err)
			}
			if checked++; !os.SameFile(code, exe) {
				t.Errorf("another file is mapped: %s", line)
			}
		}
	}
	if checked == 0 {
		t.Error("the program is not mapped")
	}
}
