package coverage

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	w, err := m.Watch(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
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
	if fresh := m.reach(points); len(fresh) != len(points) || !slices.IsSorted(fresh) {
		t.Errorf("%d of %d points are new: %x", len(fresh), len(points), fresh)
	}
	if fresh := m.reach(points); len(fresh) != 0 {
		t.Errorf("%d are new again", len(fresh))
	}
	again := mustWatch(t, &m, pid)
	if n := differences(code(t, again), clean); n != blocks-len(points) {
		t.Errorf("%d breakpoints, want %d: none on what was reached", n, blocks-len(points))
	}
	m.reach([]point{{p.module, p.from + 1}})
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

func TestGoProgramHasNoBreakpoints(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", program, "../testdata/threads.go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if w, err := new(Map).Watch(stopped(t, program)); !errors.Is(err, ErrTraps) {
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
	if keys := m.reach([]point{{mod, first}}); len(keys) != 1 || keys[0] != BlockKey(id, mod.offsets[first]) {
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
