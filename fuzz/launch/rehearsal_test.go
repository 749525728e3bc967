package launch

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/image"
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
			first := run(t, e, s)
			if first.ExitCode != 0 {
				t.Fatalf("execve: exit status %d", first.ExitCode)
			}
			more := func(runs int) {
				t.Helper()
				for range runs {
					if got := run(t, e, s); !same(got, first) {
						t.Fatalf("got %+v, want %+v", got, first)
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
			want := 32 // of the 64 pages of the table, of which some come together with others
			if hasRings() {
				want += 120 // of the 128 that are written to
			}
			if saved := (before - after) / few; saved < want {
				t.Errorf("%d page faults in %d copies, and %d before: %d less in each, want %d", after, few, before, saved, want)
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

// hasRings reports whether this process may have an io_uring.
func hasRings() bool {
	var params [120]byte // struct io_uring_params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0])), 0)
	if errno != 0 {
		return false
	}
	return unix.Close(int(fd)) == nil
}

// Where not all pages may be locked, copies are as they are otherwise.
func TestCopiesGoWithoutPagesThatMayNotBeLocked(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := filepath.Join(t.TempDir(), "pages")
	compile(t, "testdata/pages.c", program)
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e := withBlocks(t, r, 0, program, nil, &cage.Options{Expose: []string{program}})
	s := &fuzz.Scenario{Argv: []string{program}, Stdin: fuzz.StdinFile, Input: []byte("x")}
	first := run(t, e, s)
	for range 4 {
		run(t, e, s)
	}
	served := onlyServer(t, e)
	limit := unix.Rlimit{Cur: 40 << 10, Max: 40 << 10}
	if err := unix.Prlimit(served.Pid(), unix.RLIMIT_MEMLOCK, &limit, nil); err != nil {
		t.Fatal(err)
	}
	for range many + 20 {
		if got := run(t, e, s); !same(got, first) {
			t.Fatalf("got %+v, want %+v", got, first)
		}
	}
	if onlyServer(t, e) != served {
		t.Fatal("the server did not last")
	}
	_, pinned, _ := strings.Cut(inProc(t, served.Pid(), "status"), "VmPin:")
	if kB, err := strconv.Atoi(strings.Fields(pinned)[0]); err != nil || kB > int(limit.Cur>>10) {
		t.Errorf("%d kB are pinned, %v", kB, err)
	}
}

// What the dynamic linker has found for copies that were looked at, it has found for all later ones.
func TestCopiesHaveTheFunctionsThatTheyUse(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	for name, flags := range map[string][]string{"plain": {"-fcf-protection=none"}, "guarded": {"-fcf-protection=full", "-Wl,-z,ibtplt"}} {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "pages")
			compile(t, "testdata/pages.c", program, append(flags, "-Wl,-z,lazy")...)
			imports, err := image.Imports(program)
			if err != nil {
				t.Fatal(err)
			}
			r, err := rawtp.Open(rawtp.Options{Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			e := withBlocks(t, r, 0, program, nil, &cage.Options{Expose: []string{program}})
			s := &fuzz.Scenario{Argv: []string{program}, Stdin: fuzz.StdinFile, Input: []byte("x")}
			first := run(t, e, s)
			for range 4 {
				run(t, e, s)
			}
			served := onlyServer(t, e)
			var base, end uint64
			for line := range strings.Lines(inProc(t, served.Pid(), "maps")) {
				if strings.HasSuffix(line, "/pages\n") {
					var from uint64
					if _, err := fmt.Sscanf(line, "%x-%x", &from, &end); err != nil {
						t.Fatal(err)
					}
					if base == 0 {
						base = from
					}
				}
			}
			bound := func() (names []string) {
				mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", served.Pid()))
				if err != nil {
					t.Fatal(err)
				}
				defer mem.Close()
				for slot, name := range imports {
					var b [8]byte
					if _, err := mem.ReadAt(b[:], int64(base+slot)); err != nil {
						t.Fatal(err)
					}
					if to := binary.LittleEndian.Uint64(b[:]); to > end && (name == "read" || name == "mprotect" || name == "munmap") {
						names = append(names, name)
					}
				}
				slices.Sort(names)
				return names
			}
			before := bound()
			for range many + 20 {
				if got := run(t, e, s); !same(got, first) {
					t.Fatalf("got %+v, want %+v", got, first)
				}
			}
			// Copies begin with a read, and call nothing to be taken away, for nothing is mapped.
			if after := bound(); !slices.Equal(before, []string{"read"}) || !slices.Equal(after, []string{"mprotect", "read"}) {
				t.Errorf("bound are %q before and %q after, want read, and mprotect and read", before, after)
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
