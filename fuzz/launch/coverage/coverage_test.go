package coverage

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

const mapsText = `55d0c0a00000-55d0c0a02000 r--p 00000000 fe:01 1234                       /usr/bin/a program
55d0c0a02000-55d0c0a07000 r-xp 00002000 fe:01 1234                       /usr/bin/a program
55d0c0b00000-55d0c0b21000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 r-xp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xp 00001000 fe:01 99                         /tmp/new\012line.so
7f0000004000-7f0000005000 r-xp 00000000 fe:01 98                         /tmp/gone.so (deleted)
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]
`

func TestMappingsWithCodeAndConstantsAreRead(t *testing.T) {
	got, err := parseMaps([]byte(mapsText))
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping{
		{0x55d0c0a00000, 0x55d0c0a02000, 0, false, "/usr/bin/a program"},
		{0x55d0c0a02000, 0x55d0c0a07000, 0x2000, true, "/usr/bin/a program"},
		{0x7f0000002000, 0x7f0000003000, 0x1000, true, "/tmp/new\nline.so"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"x", "1-2 r-xp 0 fe:01", "55d0c0a02000 r-xp 00002000 fe:01 1234 /bin/x", "2-1 r-xp 0 fe:01 7 /bin/x", "1-2 r-x 0 fe:01 7 /bin/x"} {
		if _, err := parseMaps([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzParseMaps(f *testing.F) {
	f.Add([]byte(mapsText))
	f.Fuzz(func(t *testing.T, maps []byte) {
		all, err := parseMaps(maps)
		for _, m := range all {
			if err != nil || m.path[0] != '/' || m.start >= m.end {
				t.Errorf("%q gives %+v, %v", maps, m, err)
			}
		}
	})
}

func TestLibrariesOfTheProgramAreItsOwn(t *testing.T) {
	needed := []string{"libjq.so.1", "libm.so.6", "libc.so.6", "libcrypto.so.3", "libdb-5.3.so", "libstdc++.so.6", "libxml2.so.2"}
	for path, want := range map[string]bool{
		"/usr/lib/libjq.so.1.0.4":         true,
		"/usr/lib/libdb-5.3.so":           true,
		"/usr/lib/libxml2.so.2.9.14":      true,
		"/usr/lib/libonig.so.5.3.0":       false,
		"/usr/lib/libc.so.6":              false,
		"/usr/lib/libm.so.6":              false,
		"/usr/lib/libcrypto.so.3":         false,
		"/usr/lib/libstdc++.so.6.0.30":    false,
		"/usr/lib/ld-linux-x86-64.so.2":   false,
		"/usr/lib/libxml2-plugins.so.2.9": false,
	} {
		if got := own(path, needed); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}

// stopped is a process of a program that has executed nothing yet. It lives on the thread
// of the calling goroutine.
func stopped(t *testing.T, program string) int {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("there are no blocks of another architecture")
	}
	testenv.Require(t, testenv.Root) // who may open what is mapped
	runtime.LockOSThread()
	c := exec.Command(program)
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		runtime.UnlockOSThread()
	})
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(c.Process.Pid, &ws, 0, nil); err != nil || !ws.Stopped() {
		t.Fatalf("got %v, %v, want a stop", ws, err)
	}
	return c.Process.Pid
}

// code is the memory of the parts of a watch.
func code(t *testing.T, w *Watch) []byte {
	t.Helper()
	var all []byte
	for _, p := range w.parts {
		b := make([]byte, p.end-p.start)
		if _, err := w.mem.ReadAt(b, int64(p.start)); err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func mustWatch(t *testing.T, m *Map, pid int) *Watch {
	t.Helper()
	w, err := m.Watch(pid, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func mustReach(t *testing.T, m *Map, points ...point) []uint64 {
	t.Helper()
	fresh, err := m.reach(points)
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func differences(a, b []byte) int {
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestBreakpointsAreOnWhatWasNotReachedAndGoWithoutATrace(t *testing.T) {
	pid := stopped(t, testenv.Program(t, "grep"))
	var m Map
	w := mustWatch(t, &m, pid)
	if len(w.parts) == 0 {
		t.Fatal("no code is watched")
	}
	p := w.parts[0]
	blocks := p.to - p.from
	if len(w.parts) != 1 || blocks < 1000 {
		t.Fatalf("%d parts, %d blocks; want grep alone, which has thousands", len(w.parts), blocks)
	}
	armed := code(t, w)
	if err := w.Clear(); err != nil {
		t.Fatal(err)
	}
	clean := code(t, w)
	if n := differences(armed, clean); n != blocks {
		t.Errorf("%d bytes differ, want one for each of %d blocks", n, blocks)
	}
	file, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	if size := min(uint64(len(file))-p.offset, p.end-p.start); !bytes.Equal(clean[:size], file[p.offset:][:size]) {
		t.Error("what is left differs from the file")
	}

	points := []point{{p.module, p.from}, {p.module, p.from + 7}, {p.module, p.to - 1}}
	if fresh := mustReach(t, &m, points...); len(fresh) != len(points) || !slices.IsSorted(fresh) {
		t.Errorf("%d of %d points are new: %x", len(fresh), len(points), fresh)
	}
	if fresh := mustReach(t, &m, points...); len(fresh) != 0 {
		t.Errorf("%d are new again", len(fresh))
	}
	again := mustWatch(t, &m, pid)
	if n := differences(code(t, again), clean); n != blocks-len(points) {
		t.Errorf("%d breakpoints, want %d: none on what was reached", n, blocks-len(points))
	}
	mustReach(t, &m, point{p.module, p.from + 1})
	if err := again.Refresh(); err != nil {
		t.Fatal(err)
	}
	if n := differences(code(t, again), clean); n != blocks-len(points)-1 {
		t.Errorf("%d breakpoints, want %d: one less", n, blocks-len(points)-1)
	}
}

func TestBreakpointOfSomebodyElseStays(t *testing.T) {
	pid := stopped(t, testenv.Program(t, "grep"))
	var m Map
	w := mustWatch(t, &m, pid)
	if err := w.Clear(); err != nil {
		t.Fatal(err)
	}
	clean := code(t, w)
	p := w.parts[0]
	if _, err := w.mem.WriteAt([]byte{breakpoint}, int64(p.address(p.from+3))); err != nil {
		t.Fatal(err)
	}
	again := mustWatch(t, &m, pid)
	if _, ours := again.find(p.address(p.from + 3)); ours {
		t.Error("it is taken for one of ours")
	}
	if found, ours := again.find(p.address(p.from + 4)); !ours || found != (point{p.module, p.from + 4}) {
		t.Errorf("the next one is found as %+v, %v", found, ours)
	}
	if err := again.Clear(); err != nil {
		t.Fatal(err)
	}
	if n := differences(code(t, again), clean); n != 1 {
		t.Errorf("%d bytes differ, want that breakpoint", n)
	}
}

func TestCodeThatIsNotThatOfItsFileIsLeftAlone(t *testing.T) {
	pid := stopped(t, testenv.Program(t, "grep"))
	var m Map
	w := mustWatch(t, &m, pid)
	p := w.parts[0]
	if _, err := w.mem.WriteAt([]byte{p.module.first[p.from+3] ^ 1}, int64(p.address(p.from+3))); err != nil {
		t.Fatal(err)
	}
	if again := mustWatch(t, &m, pid); len(again.parts) != 0 {
		t.Errorf("%d parts have breakpoints, want none", len(again.parts))
	}
}

// replacing notes what a process is to map, and answers with an error.
func replacing(to *[]mapping, answer error) Replace {
	return func(start, end uint64, file *os.File, offset uint64) error {
		*to = append(*to, mapping{start, end, offset, true, "/" + file.Name()})
		return answer
	}
}

// A process of which the code is that of its file gets the copy; one with other code does not, nor one that cannot map it.
func TestCodeThatIsThatOfItsFileIsReplaced(t *testing.T) {
	pid := stopped(t, testenv.Program(t, "grep"))
	var m Map
	first := mustWatch(t, &m, pid)
	if err := first.Clear(); err != nil {
		t.Fatal(err)
	}
	clean := code(t, first)
	p := first.parts[0]
	last := int64(p.end) - pageSize + 8 // which is in no block
	for _, tt := range []struct {
		name     string
		at       int64
		byte     byte
		answer   error
		replaced bool
		armed    int // breakpoints that are in the memory then
	}{
		{"the file's", 0, 0, nil, true, 0},
		{"the kernel refuses", 0, 0, errors.ErrUnsupported, true, p.to - p.from},
		{"somebody's breakpoint", int64(p.address(p.from + 3)), breakpoint, nil, false, p.to - p.from},
		{"another byte of no block", last, 0x55, nil, false, p.to - p.from},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.at != 0 {
				if _, err := first.mem.WriteAt([]byte{tt.byte}, tt.at); err != nil {
					t.Fatal(err)
				}
				defer first.mem.WriteAt(clean[tt.at-int64(p.start):][:1], tt.at)
			}
			var got, want []mapping
			if tt.replaced {
				want = []mapping{p.mapping}
			}
			w, err := m.Watch(pid, replacing(&got, tt.answer))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); diff != "" {
				t.Errorf("is to be mapped (-want +got):\n%s", diff)
			}
			n := differences(code(t, w), clean)
			if tt.at == last {
				n--
			}
			if n != tt.armed {
				t.Errorf("%d breakpoints, want %d", n, tt.armed)
			}
			if err := w.Clear(); err != nil {
				t.Fatal(err)
			}
		})
	}
	broken := errors.New("broken")
	if w, err := m.Watch(pid, replacing(new([]mapping), broken)); !errors.Is(err, broken) || !errors.Is(err, ErrHalf) {
		t.Errorf("got %v, %v, want what fails otherwise, and that the process is of no use", w, err)
	}
}

// A kernel may have been built without the pagemap.
func TestWithoutAPagemapNoCodeIsReplaced(t *testing.T) {
	pid := stopped(t, testenv.Program(t, "grep"))
	var m Map
	w := mustWatch(t, &m, pid)
	if err := w.Clear(); err != nil {
		t.Fatal(err)
	}
	clean, blocks := code(t, w), w.parts[0].to-w.parts[0].from
	// A socket cannot be opened.
	socket, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	pagemap := fmt.Sprintf("/proc/%d/pagemap", pid)
	if err := unix.Mount(socket.Addr().String(), pagemap, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(pagemap, unix.MNT_DETACH)
	var replaced []mapping
	if w, err = m.Watch(pid, replacing(&replaced, nil)); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if n := differences(code(t, w), clean); len(replaced) != 0 || n != blocks {
		t.Errorf("%d parts are replaced, and %d breakpoints are there; want none, and %d", len(replaced), n, blocks)
	}
	mustReach(t, &m, point{w.parts[0].module, w.parts[0].from})
	if err := w.Refresh(); err != nil {
		t.Error(err)
	}
}

// A breakpoint that cannot be taken away makes nothing unknown of what was reached.
func TestWhatWasReachedIsToldWhereBreakpointsStay(t *testing.T) {
	testenv.Require(t, testenv.Root)
	m, mod, path := known(t, "grep")
	armed := mod.copied(path, path)
	if armed == nil {
		t.Fatal("there is no copy of the code")
	}
	if err := armed.file.Close(); err != nil {
		t.Fatal(err)
	}
	points := []point{{mod, 3}, {mod, 4}, {mod, 5}}
	fresh, err := m.reach(points)
	if len(fresh) != len(points) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %d of %d points, %v, want all and what failed", len(fresh), len(points), err)
	}
}

func TestCopyOfTheCodeThatFailedIsNotTriedAgain(t *testing.T) {
	testenv.Require(t, testenv.Root)
	_, mod, path := known(t, "grep")
	for _, name := range []string{"/no such file", path} {
		if got := mod.copied(name, path); got != nil {
			t.Errorf("%s: got a copy, want none", name)
		}
	}
}

// known is a map with the module of a program, and the path of its file.
func known(t *testing.T, name string) (*Map, *module, string) {
	t.Helper()
	path, err := filepath.EvalSymlinks(testenv.Program(t, name))
	if err != nil {
		t.Fatal(err)
	}
	m := new(Map)
	m.mu.Lock()
	defer m.mu.Unlock()
	mod, err := m.file(path)
	if err != nil {
		t.Fatal(err)
	}
	return m, mod, path
}

// The copy of a file is that file, but for the breakpoints on what was not reached, and whoever maps it sees the name of
// the file.
func TestCopyOfTheCodeHasTheBreakpoints(t *testing.T) {
	testenv.Require(t, testenv.Root)
	m, mod, path := known(t, "grep")
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	mustReach(t, m, point{mod, 3})
	if mod.armed, err = mod.arm(path, "/usr/bin/a/../other name"); err != nil {
		t.Fatal(err)
	}
	mustReach(t, m, point{mod, 5})
	size := mod.armed.size
	is, want := make([]byte, size), make([]byte, size)
	for f, b := range map[*os.File][]byte{file: want, mod.armed.file: is} {
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	for n, offset := range mod.offsets {
		if n != 3 && n != 5 {
			want[offset] = breakpoint
		}
	}
	if n := differences(is, want); n != 0 {
		t.Errorf("%d bytes are not what they are to be", n)
	}
	mapped, err := syscall.Mmap(int(mod.armed.file.Fd()), 0, pageSize, syscall.PROT_READ|syscall.PROT_EXEC, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(mapped)
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(maps, []byte(" /usr/bin/other name\n")) {
		t.Errorf("the mapping has no such name:\n%s", maps)
	}
}

func TestGoProgramHasNoBreakpoints(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", program, "../testdata/threads.go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if w, err := new(Map).Watch(stopped(t, program), nil); !errors.Is(err, ErrTraps) {
		t.Errorf("got %v, %v, want ErrTraps", w, err)
	}
}

// Who looks for a block by its file and its place there finds it by the name that a trace tells.
func TestBlocksThatWereReachedAreFoundByFileAndOffset(t *testing.T) {
	path := testenv.Program(t, "true")
	id, err := FileID(path)
	if err != nil {
		t.Fatal(err)
	}
	var m Map
	m.mu.Lock()
	mod, err := m.file(path)
	m.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	const first, second = 3, 4
	if keys := mustReach(t, &m, point{mod, first}); len(keys) != 1 || keys[0] != BlockKey(id, mod.offsets[first]) {
		t.Errorf("the trace calls the block %x, its file and offset make %x", keys, BlockKey(id, mod.offsets[first]))
	}
	for offset, want := range map[uint64]bool{mod.offsets[first]: true, mod.offsets[second]: false, mod.offsets[first] + 1: false} {
		if got := m.Reached(id, offset); got != want {
			t.Errorf("Reached at %#x is %t, want %t", offset, got, want)
		}
	}
	if m.Reached("no such file", mod.offsets[first]) {
		t.Error("a block of an unknown file was reached")
	}
	own, err := Own(path)
	if err != nil {
		t.Fatal(err)
	}
	if real, _ := filepath.EvalSymlinks(path); !own(real) || own("/usr/lib/libc.so.6") {
		t.Errorf("own tells %t of the program and %t of the C library", own(real), own("/usr/lib/libc.so.6"))
	}
}
