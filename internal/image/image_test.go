package image

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// source writes a C file that Compile can take.
func source(t testing.TB, name, text string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), name), text, 0o644)
}

func write(t testing.TB, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func identify(t *testing.T, path string) *Identity {
	t.Helper()
	id, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentifySaysHowAProgramWasLinked(t *testing.T) {
	main := source(t, "program.c", "int main(void) { return 0; }\n")
	cases := []struct {
		name    string
		flags   []string
		kind    Kind
		dynamic bool
	}{
		{"default", nil, Dynamic, true},
		{"no pie", []string{"-no-pie"}, Dynamic, true},
		{"static", []string{"-static"}, Static, false},
		{"static pie", []string{"-static-pie"}, StaticPIE, false},
		{"library", []string{"-shared", "-fPIC"}, SharedObject, false},
		{"object file", []string{"-c"}, Unknown, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := testenv.Compile(t, main, append(c.flags, "-Wl,--build-id=0xfeedbeef01")...)
			id := identify(t, path)
			if id.Kind != c.kind {
				t.Errorf("kind = %s, want %s", id.Kind, c.kind)
			}
			if c.dynamic != (id.Interpreter != "") {
				t.Errorf("interpreter = %q", id.Interpreter)
			}
			if c.dynamic && !slices.Equal(id.Needed, []string{"libc.so.6"}) {
				t.Errorf("needed = %q, want libc.so.6", id.Needed)
			}
			if want := "feedbeef01"; c.kind != Unknown && id.BuildID != want {
				t.Errorf("build ID = %q, want %q", id.BuildID, want)
			}
			if sum := sha256.Sum256(read(t, path)); id.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("SHA256 = %s, want %x", id.SHA256, sum)
			}
		})
	}
}

func TestIdentifyReads32BitFiles(t *testing.T) {
	path := testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"), "-m32", "-Wl,--build-id=0xfeedbeef01")
	id := identify(t, path)
	if id.Kind != Dynamic || id.Machine != elf.EM_386 || id.BuildID != "feedbeef01" || !slices.Equal(id.Needed, []string{"libc.so.6"}) {
		t.Errorf("got %+v", *id)
	}
	if err := CheckRunnable(path); err != nil {
		t.Error(err)
	}
}

func TestIdentifyResolvesSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	program := write(t, filepath.Join(dir, "program"), "#!/bin/sh\n", 0o755)
	if err := os.Symlink("program", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	want, err := filepath.EvalSymlinks(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if id := identify(t, "./link"); id.Path != want {
		t.Errorf("path = %s, want %s", id.Path, want)
	}
}

// The Go linker leaves the GNU build ID out of the note segment. The sections,
// which debug/elf finds by name, say what it is.
func TestGoProgramHasTheBuildIDThatOtherToolsShow(t *testing.T) {
	gnu, plain := goProgram(t, "-B=0xfeedbeef02"), goProgram(t, "-B=none", "-buildid=some/thing")
	if id := identify(t, gnu); id.BuildID != "feedbeef02" {
		t.Errorf("build ID = %q, want that of -B", id.BuildID)
	}
	if id := identify(t, plain); id.BuildID != "" {
		t.Errorf("build ID = %q, want none: what the go command calls so is no hexadecimal number", id.BuildID)
	}
	if id := identify(t, gnu); id.Kind != Static {
		t.Errorf("kind = %s, want %s", id.Kind, Static)
	}
}

func goProgram(t *testing.T, linkFlags ...string) string {
	t.Helper()
	dir := t.TempDir()
	src := write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() {}\n", 0o644)
	program := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-o", program, "-ldflags="+strings.Join(linkFlags, " "), src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func TestIdentifyRefusesToOpenAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if out, err := exec.Command("mkfifo", path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if id, err := Identify(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v, %v", id, err)
	}
}

// /bin/echo as interpreter prints what the kernel gives it.
func TestScriptLineIsReadAsTheKernelReadsIt(t *testing.T) {
	long := strings.Repeat("x", 300)
	echo := testenv.Program(t, "echo")
	cases := []struct {
		name, text, interpreter string
		args                    []string
	}{
		{"plain", "#!" + echo + "\n", echo, nil},
		{"no new line", "#!" + echo, echo, nil},
		{"no new line, argument", "#!" + echo + " a", echo, []string{"a"}},
		{"blanks before", "#! \t" + echo + "\nrest", echo, nil},
		{"blanks after", "#!" + echo + " \t \nrest", echo, nil},
		{"one argument", "#!" + echo + " a\n", echo, []string{"a"}},
		{"two words are one argument", "#!" + echo + "  a  b \n", echo, []string{"a  b"}},
		{"blanks at the end of the file", "#!" + echo + " a  ", echo, []string{"a  "}},
		{"argument cut by the buffer", "#!" + echo + " " + long + "\n", echo, []string{long[:255-len("#!"+echo+" ")]}},
		{"NUL ends the name", "#!" + echo + "\x00a\n", echo, nil},
		{"NUL ends the argument", "#!" + echo + " a\x00b\n", echo, []string{"a"}},
		{"name cut by the buffer", "#!/" + long + "\n", "", nil},
		{"blank line", "#! \t\n", "", nil},
		{"nothing after", "#!", "", nil},
		{"blanks fill the buffer", "#!" + strings.Repeat(" ", 300) + echo + "\n", "", nil},
		{"blank before", " #!" + echo + "\n", "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "script"), c.text, 0o755)
			id := identify(t, path)
			kind := Unknown
			if c.interpreter != "" {
				kind = Script
			}
			if id.Kind != kind || id.Interpreter != c.interpreter || !slices.Equal(id.Args, c.args) {
				t.Errorf("%s, interpreter %q, args %q; want %s, %q, %q", id.Kind, id.Interpreter, id.Args, kind, c.interpreter, c.args)
			}
			out, err := exec.Command(path).Output()
			if ran := err == nil; ran != (kind == Script) {
				t.Fatalf("the kernel says %v", err)
			}
			if want := strings.Join(append(c.args, path), " ") + "\n"; err == nil && string(out) != want {
				t.Errorf("the interpreter got %q, want %q", out, want)
			}
		})
	}
}

// The kernel does not look at section headers, and some programs have none.
func TestSectionHeadersAreNotNeeded(t *testing.T) {
	path := testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"), "-Wl,--build-id=0xfeedbeef01")
	want := identify(t, path)
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var end uint64
	for _, p := range f.Progs {
		end = max(end, p.Off+p.Filesz)
	}
	whole := read(t, path)
	garbage := slices.Clone(whole)
	for i := end; i < uint64(len(garbage)); i++ {
		garbage[i] = 0xff
	}
	for name, b := range map[string][]byte{"cut off": whole[:end], "garbage": garbage} {
		t.Run(name, func(t *testing.T) {
			stripped := write(t, filepath.Join(t.TempDir(), "program"), string(b), 0o755)
			got := identify(t, stripped)
			if got.Kind != want.Kind || got.BuildID != want.BuildID || got.Interpreter != want.Interpreter || !slices.Equal(got.Needed, want.Needed) {
				t.Errorf("got %+v, want %+v", *got, *want)
			}
			if err := CheckRunnable(stripped); err != nil {
				t.Error(err)
			}
			if out, err := exec.Command(stripped).CombinedOutput(); err != nil {
				t.Errorf("the kernel says %v\n%s", err, out)
			}
		})
	}
}

func TestBuildIDsAreFoundAmongOtherNotes(t *testing.T) {
	// name size, descriptor size, type, name, descriptor
	const (
		gnu      = "\x04\x00\x00\x00\x03\x00\x00\x00\x03\x00\x00\x00GNU\x00\xab\xcd\xef"
		goID     = "\x04\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00Go\x00\x00a/b"
		property = "\x04\x00\x00\x00\x04\x00\x00\x00\x05\x00\x00\x00GNU\x00\x01\x02\x03\x04"
		stapsdt  = "\x07\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00stapsdt\x00"
		endless  = "\x04\x00\x00\x00\xff\xff\xff\xff\x03\x00\x00\x00GNU\x00"
	)
	cases := []struct {
		name, notes string
		align       uint64
		want        string
	}{
		{"alone", gnu, 4, "abcdef"},
		{"after others", stapsdt + property + gnu, 4, "abcdef"},
		{"before another", gnu + "\x00" + goID, 4, "abcdef"},
		{"alignment of 8", property + "\x00\x00\x00\x00" + gnu, 8, "abcdef"},
		{"alignment 0 is 4", property + gnu, 0, "abcdef"},
		{"go only", goID, 4, ""},
		{"size beyond the end", endless + gnu, 4, ""},
		{"cut off", gnu[:len(gnu)-1], 4, ""},
		{"none", "", 4, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := buildIDOf([]byte(c.notes), binary.LittleEndian, c.align); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
