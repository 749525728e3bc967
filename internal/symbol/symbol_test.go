package symbol

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// offsetOf is the place after the first byte of a function.
func offsetOf(t *testing.T, path, name string) uint64 {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == name {
			section := f.Sections[s.Section]
			return s.Value - section.Addr + section.Offset + 1
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

func idOf(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command(testenv.Program(t, "readelf"), "-n", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(string(out), "Build ID: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}

func strip(t *testing.T, path string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(path))
	if text, err := exec.Command(testenv.Program(t, "strip"), append(flags, "-o", out, path)...).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v\n%s", err, text)
	}
	return out
}

func goProgram(t *testing.T, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command(testenv.Program(t, "go"), append([]string{"build", "-o", out}, append(flags, "testdata/program.go")...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	return out
}

func TestFunctionsHaveNames(t *testing.T) {
	c := testenv.Compile(t, "testdata/program.c")
	static := testenv.Compile(t, "testdata/program.c", "-static")
	debug := testenv.Compile(t, "testdata/program.c", "-g")
	library := testenv.Compile(t, "testdata/program.c", "-shared", "-fPIC")
	goes := goProgram(t)
	pie := goProgram(t, "-buildmode=pie")
	for _, c := range []struct {
		name, path, whole, function, want, line string
	}{
		{"a function", c, c, "called", "called+0x1", ""},
		{"a static function", c, c, "hidden", "hidden+0x1", ""},
		{"a static program", static, static, "called", "called+0x1", ""},
		{"debug information", debug, debug, "hidden", "hidden+0x1", "program.c:4"},
		{"stripped", strip(t, c), c, "called", "", ""},
		{"debug information without symbols", withoutSymbols(t, debug), debug, "hidden", "hidden+0x1", "program.c:4"},
		{"an exported function of a stripped library", strip(t, library), library, "called", "called+0x1", ""},
		{"another function of a stripped library", strip(t, library), library, "hidden", "", ""},
		{"Go", goes, goes, "main.called", "main.called+0x1", "program.go:5"},
		{"stripped Go", strip(t, goes), goes, "main.called", "main.called+0x1", "program.go:5"},
		{"Go at any address", strip(t, pie), pie, "main.called", "main.called+0x1", "program.go:5"},
		{"Go's assembly", strip(t, goes), goes, "internal/runtime/syscall/linux.Syscall6", "internal/runtime/syscall/linux.Syscall6+0x1", "asm_linux_amd64.s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := idOf(t, c.whole)
			if strings.Contains(c.name, "Go") {
				id = "" // to the kernel
			}
			got := New("/no/such/file", "/dev/null", c.path).Find(filepath.Base(c.path), id, offsetOf(t, c.whole, c.function))
			if got.Symbol() != c.want || got.Path != c.path || !strings.HasPrefix(got.Line, c.line) || (got.Line == "") != (c.line == "") {
				t.Errorf("got %q in %q at %q, want %q in %q at %q", got.Symbol(), got.Path, got.Line, c.want, c.path, c.line)
			}
		})
	}
}

// withoutSymbols removes the symbol table alone.
func withoutSymbols(t *testing.T, path string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	if text, err := exec.Command(testenv.Program(t, "objcopy"), "--keep-symbol=none", "--strip-symbol=called",
		"--strip-symbol=hidden", "--strip-symbol=main", path, out).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, text)
	}
	return out
}

func TestAFunctionEndsWithItsLastInstruction(t *testing.T) {
	path := testenv.Compile(t, "testdata/program.c")
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name != "called" {
			continue
		}
		last := offsetOf(t, path, "called") - 1 + s.Size
		if got := New(path).Find("", idOf(t, path), last); got.Function != "called" || got.Offset != s.Size {
			t.Errorf("after the last instruction: %+v, want called+%#x", got, s.Size)
		}
		if got := New(path).Find("", idOf(t, path), last+1); got.Function == "called" {
			t.Errorf("a byte further: still in called")
		}
	}
}

func TestAFileIsTheOneThatWasMapped(t *testing.T) {
	with := testenv.Compile(t, "testdata/program.c")
	without := testenv.Compile(t, "testdata/program.c", "-Wl,--build-id=none")
	other := testenv.Compile(t, "testdata/program.c", "-Wl,--build-id=none", "-static")
	place := offsetOf(t, with, "called")
	dir := t.TempDir()
	beside := filepath.Join(dir, "plugin.so")
	code, err := os.ReadFile(with)
	if err == nil {
		err = os.WriteFile(beside, code, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		paths           []string
		module, buildID string
		want            string
	}{
		{"by build-id, whatever it is called", []string{without, with}, "other", idOf(t, with), with},
		{"another build-id", []string{with}, "program", strings.Repeat("00", 20), ""},
		{"by name", []string{with, without}, "program", "", without},
		{"by another name", []string{without}, "other", "", ""},
		{"two of a name", []string{without, other}, "program", "", ""},
		{"a name for one that has a build-id", []string{with}, "program", "", ""},
		{"in the same directory", []string{filepath.Join(dir, "program")}, "plugin.so", idOf(t, with), beside},
		{"nothing known", []string{without}, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := New(c.paths...).Find(c.module, c.buildID, place).Path; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Some programs make the same call a million times, and debug information is read from its beginning each time.
func TestAPlaceIsSoughtOnce(t *testing.T) {
	path := testenv.Compile(t, "testdata/program.c", "-g")
	table, id, offset := New(path), idOf(t, path), offsetOf(t, path, "main")
	want := table.Find("program", id, offset)
	if want.Function != "main" || want.Line == "" {
		t.Fatalf("got %+v, want main with its line", want)
	}
	f := table.files[path]
	f.functions, f.debug = nil, nil
	if got := table.Find("program", id, offset); got != want {
		t.Errorf("got %+v for the second time, want %+v", got, want)
	}
	for i := range uint64(maxFound + 1) {
		table.Find("program", id, offset+1+i)
	}
	if n := len(f.found); n > maxFound {
		t.Errorf("%d places are known, want at most %d", n, maxFound)
	}
}

func TestTheVDSOHasNames(t *testing.T) {
	if maps, err := os.ReadFile("/proc/self/maps"); err != nil {
		t.Fatal(err)
	} else if !strings.Contains(string(maps), "[vdso]") {
		t.Skip("this kernel has no vdso")
	}
	table := New()
	var names []string
	for offset := uint64(1); offset < 8192; offset++ {
		place := table.Find("[vdso]", "", offset)
		if place.Path == "" {
			t.Fatalf("nothing is known of the vdso at %#x", offset)
		}
		if len(names) == 0 || names[len(names)-1] != place.Function {
			names = append(names, place.Function)
		}
	}
	if !strings.Contains(strings.Join(names, " "), "clock_gettime") {
		t.Errorf("no clock_gettime in the vdso: %v", names)
	}
}

func TestOddOffsetsAreOfNoFunction(t *testing.T) {
	path := testenv.Compile(t, "testdata/program.c")
	for _, offset := range []uint64{0, 1, 1 << 40, ^uint64(0)} {
		if got := New(path).Find("", idOf(t, path), offset); got.Function != "" || got.Path != path {
			t.Errorf("offset %#x: %+v, want no function", offset, got)
		}
	}
}

// A file may have been made to mislead: reading it must end.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"/bin/true", "/proc/self/exe"} {
		if data, err := os.ReadFile(name); err == nil && len(data) < 1<<17 {
			f.Add(data, uint64(0x1000))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, offset uint64) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if r := read(path); r != nil {
			New(path).Find("file", r.buildID, offset)
		}
	})
}
