package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// Once copies have been looked at they have the pages that they use, and are as they were otherwise.
func TestCopiesHaveThePagesThatTheyUse(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	dir := t.TempDir()
	program := filepath.Join(dir, "pages")
	compile(t, "testdata/pages.c", program)
	argv := []string{program}
	for _, content := range []string{"a", "b"} {
		file := filepath.Join(dir, content)
		if err := os.WriteFile(file, []byte(strings.Repeat(content, 2*os.Getpagesize())), 0o644); err != nil {
			t.Fatal(err)
		}
		argv = append(argv, file)
	}
	for name, m := range map[string]*coverage.Map{"plain": nil, "with breakpoints": new(coverage.Map)} {
		t.Run(name, func(t *testing.T) {
			r, err := rawtp.Open(rawtp.Options{Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			e := withBlocks(t, r, 0, program, m, &cage.Options{Expose: argv})
			s := &fuzz.Scenario{Argv: argv, Stdin: fuzz.StdinFile, Input: []byte("x")}
			want := run(t, e, s)
			if want.ExitCode != 0 {
				t.Fatalf("execve: exit status %d", want.ExitCode)
			}
			more := func(runs int) {
				t.Helper()
				for range runs {
					if got := run(t, e, s); !same(got, want) {
						t.Fatalf("got %+v, want %+v", got, want)
					}
				}
			}
			const few = 20
			more(few)
			served := onlyServer(t, e)
			before := faultsOf(t, served.Pid())
			mappings := strings.Count(inProc(t, served.Pid(), "maps"), "\n")
			more(few)
			before = faultsOf(t, served.Pid()) - before
			more(many)
			if onlyServer(t, e) != served {
				t.Fatal("the server did not last")
			}
			after := faultsOf(t, served.Pid())
			more(few)
			after = faultsOf(t, served.Pid()) - after
			const most = 32 // of the 64 pages of the table, of which some come together with others
			if saved := (before - after) / few; saved < most {
				t.Errorf("%d page faults in %d copies, and %d before: %d less in each, want %d", after, few, before, saved, most)
			}
			if now := strings.Count(inProc(t, served.Pid(), "maps"), "\n"); now != mappings {
				t.Errorf("%d mappings, want %d", now, mappings)
			}
			if lost := r.Lost(); lost != (trace.Lost{}) {
				t.Errorf("lost %+v", lost)
			}
		})
	}
}

// What a server has mapped of its copies' input is that of each copy, also when they were looked at.
func TestCopiesHaveTheirOwnInputMapped(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := filepath.Join(t.TempDir(), "mapped")
	compile(t, "testdata/mapped.c", program)
	for name, argv := range map[string][]string{"standard input": {program}, "a file": {program, "@@"}} {
		t.Run(name, func(t *testing.T) {
			r, err := rawtp.Open(rawtp.Options{Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			e := withBlocks(t, r, 0, program, nil, &cage.Options{Expose: []string{program}})
			e.opts.Highest = AtMain
			for n := range many + 20 {
				want := 'a' + n%3
				s := &fuzz.Scenario{Argv: argv, Stdin: fuzz.StdinFile, Input: []byte{byte(want)}}
				if got := run(t, e, s); got.ExitCode != want {
					t.Fatalf("run %d: exit status %d, want %d", n, got.ExitCode, want)
				}
			}
			if n := e.Copies()[AtMain]; n <= many {
				t.Errorf("%d copies begin at main, want more than %d", n, many)
			}
		})
	}
}

// onlyServer is the one server that an executor has.
func onlyServer(t *testing.T, e *Exec) (found *server) {
	t.Helper()
	for _, c := range e.copies.classes {
		if c.server != nil {
			found = c.server
		}
		if c.refused != nil || c.bare != nil {
			t.Fatalf("%v, %v", c.refused, c.bare)
		}
	}
	if found == nil {
		t.Fatal("there is no server")
	}
	return found
}

func inProc(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// faultsOf is how many page faults the children of a process have had that it has waited for.
func faultsOf(t *testing.T, pid int) int {
	t.Helper()
	_, stat, _ := strings.Cut(inProc(t, pid, "stat"), ") ")
	const cminflt = 11 - 3 // the eleventh field of proc_pid_stat(5); the third comes first here
	n, err := strconv.Atoi(strings.Fields(stat)[cminflt])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
