package launch

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	mayLock(t, 4<<20)
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
				want += 60 // of the 64 that are written to and of no file
				if atLeast(t, 6, 5) {
					want += 60 // of the 64 of the program's file
				}
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

// mayLock lets the programs that a test starts lock so many bytes.
func mayLock(t *testing.T, bytes uint64) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &was); err != nil {
		t.Fatal(err)
	}
	if was.Cur >= bytes {
		return
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: bytes, Max: max(was.Max, bytes)}); err != nil {
		testenv.Lack(t, "RLIMIT_MEMLOCK", err.Error())
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &was) })
}

// atLeast reports whether the kernel is of this version or a later one.
func atLeast(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var is [2]int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &is[0], &is[1]); err != nil {
		t.Fatal(err)
	}
	return slices.Compare(is[:], []int{major, minor}) >= 0
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
	for _, tt := range []struct {
		name  string
		flags []string
		m     *coverage.Map
	}{
		{"plain", []string{"-fcf-protection=none"}, nil},
		{"with breakpoints", []string{"-fcf-protection=none"}, new(coverage.Map)},
		{"guarded", []string{"-fcf-protection=full", "-Wl,-z,ibtplt"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "pages")
			compile(t, "testdata/pages.c", program, append(tt.flags, "-Wl,-z,lazy")...)
			imports, err := image.Imports(program)
			if err != nil {
				t.Fatal(err)
			}
			r, err := rawtp.Open(rawtp.Options{Slots: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			e := withBlocks(t, r, 0, program, tt.m, &cage.Options{Expose: []string{program}})
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
	dir := t.TempDir()
	read, written := filepath.Join(dir, "read"), filepath.Join(dir, "written")
	compile(t, "testdata/mapped.c", read)
	compile(t, "testdata/mapped.c", written, "-DWRITTEN")
	for name, argv := range map[string][]string{
		"standard input": {read}, "a file": {read, "@@"},
		"standard input that is written to": {written}, "a file that is written to": {written, "@@"},
	} {
		t.Run(name, func(t *testing.T) {
			program := argv[0]
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

// What a program writes itself where its calls lead to is not there before.
func TestCopiesHaveNoHooksOfTheirOwn(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := filepath.Join(t.TempDir(), "hook")
	compile(t, "testdata/hook.c", program, "-Wl,-z,lazy", "-Wl,-z,norelro", "-fcf-protection=none")
	imports, err := image.Imports(program)
	if err != nil {
		t.Fatal(err)
	}
	argv := []string{program}
	for slot, name := range imports {
		if name == "getppid" {
			argv = append(argv, strconv.FormatUint(slot, 10))
		}
	}
	if len(argv) != 2 {
		t.Fatalf("got %v, want one slot of getppid", argv)
	}
	sameAsExecve(t, argv, 3, nil)
}

// What a program only reserves is not looked at, page by page.
func TestReservedMemoryCostsNothing(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := filepath.Join(t.TempDir(), "reserved")
	compile(t, "testdata/reserved.c", program)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sameAsExecve(t, []string{program}, 3, nil)
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 64 {
		t.Errorf("%d MiB were allocated, want a few; of the reserved pages the kernel tells 128 MiB", got)
	}
}

// A program that has forbidden itself, at the price of its life, what servers do beside making copies has servers nevertheless,
// and breakpoints.
func TestServersOutliveWhatTheirProgramForbids(t *testing.T) {
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := filepath.Join(t.TempDir(), "reserved")
	compile(t, "testdata/reserved.c", program, "-DFORBIDDEN")
	sameAsExecve(t, []string{program}, 3, nil)
	m := new(coverage.Map)
	sameAsExecve(t, []string{program}, 3, m)
	id, err := coverage.FileID(program)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := image.Blocks(program)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(blocks, func(b image.Block) bool { return m.Reached(id, b.Offset) }) {
		t.Error("no copy came to a breakpoint")
	}
}

// sameAsExecve runs a program often enough for copies to have been looked at, and wants the same exit status each time, and
// one server that makes them.
func sameAsExecve(t *testing.T, argv []string, status int, m *coverage.Map) {
	t.Helper()
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e := withBlocks(t, r, 0, argv[0], m, &cage.Options{Expose: argv[:1]})
	e.opts.Highest = AtMain
	s := &fuzz.Scenario{Argv: argv, Stdin: fuzz.StdinFile, Input: []byte("x")}
	var served *server
	for n := range many + 20 {
		if got := run(t, e, s); got.ExitCode != status {
			t.Fatalf("run %d: got %+v, want exit status %d", n, got, status)
		}
		if n == 4 {
			served = onlyServer(t, e)
		}
	}
	if onlyServer(t, e) != served {
		t.Error("the server did not last")
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
