package image

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// compare holds Libraries against what ld.so lists, and returns the paths.
func compare(t *testing.T, program, libraryPath string) []string {
	t.Helper()
	id := identify(t, program)
	if id.Kind != Dynamic {
		t.Fatalf("%s is a %s", program, id.Kind)
	}
	libs, gotMissing, err := id.Libraries(libraryPath)
	if err != nil {
		t.Fatal(err)
	}
	got := pathsOf(libs)

	// ldd(1) does this. The loader's --list stops at the first missing library.
	list := exec.Command(id.Path)
	list.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraryPath, "LD_TRACE_LOADED_OBJECTS=1")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{real(t, id.Interpreter)}
	var wantMissing []string
	for line := range strings.Lines(string(out)) {
		name, path, arrow := strings.Cut(strings.TrimSpace(line), " => ")
		if !arrow {
			path = name
		}
		path, _, _ = strings.Cut(path, " (")
		switch {
		case path == "not found":
			wantMissing = append(wantMissing, name)
		case strings.Contains(path, "/"):
			want = append(want, real(t, path))
		}
	}
	slices.Sort(want)
	slices.Sort(wantMissing)
	if d := cmp.Diff(slices.Compact(want), got); d != "" {
		t.Errorf("%s with LD_LIBRARY_PATH=%q (-ld.so +Libraries):\n%s", program, libraryPath, d)
	}
	if !slices.Equal(slices.Compact(wantMissing), gotMissing) {
		t.Errorf("%s with LD_LIBRARY_PATH=%q: missing %q, ld.so says %q", program, libraryPath, gotMissing, wantMissing)
	}
	return got
}

func pathsOf(libs []Library) []string {
	var paths []string
	for _, l := range libs {
		paths = append(paths, l.Path)
	}
	return paths
}

func real(t *testing.T, path string) string {
	t.Helper()
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func TestLibrariesOfInstalledProgramsAreThoseThatTheLoaderLists(t *testing.T) {
	for _, path := range []string{"/bin/ls", "/bin/sh", "/usr/bin/python3", "/usr/bin/openssl", "/usr/bin/tar"} {
		t.Run(path, func(t *testing.T) { compare(t, testenv.Program(t, path), "") })
	}
}

// A program needs liba, which needs libb, in directories that only one of the
// ways to name a directory leads to, or several.
func TestSearchPathsHaveTheLoadersOrder(t *testing.T) {
	const old, new = "-Wl,--disable-new-dtags", "-Wl,--enable-new-dtags"
	dir := real(t, t.TempDir())
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"a", "b", "env", "foreign", "sub/b"} {
		if err := os.MkdirAll(in(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install := func(built, path string) {
		write(t, path, string(read(t, built)), 0o755)
	}
	library := func(name, text string, flags ...string) string {
		return testenv.Compile(t, source(t, name+".c", text), append([]string{"-shared", "-fPIC", "-Wl,-soname," + name + ".so", "-Wl,--no-as-needed"}, flags...)...)
	}
	libb := library("libb", "int b(void) { return 0; }\n")
	for _, d := range []string{"b", "env", "sub/b"} {
		install(libb, in(d+"/libb.so"))
	}
	foreign := read(t, libb)
	binary.LittleEndian.PutUint16(foreign[18:], uint16(elf.EM_RISCV))
	write(t, in("foreign/libb.so"), string(foreign), 0o755)

	liba := once(func(flags []string) string {
		return library("liba", "int b(void); int a(void) { return b(); }\n", append(flags, "-L"+in("b"), "-lb")...)
	})
	install(liba(nil), in("a/liba.so")) // to link with
	main := source(t, "program.c", "int a(void); int main(void) { return a(); }\n")
	program := once(func(flags []string) string {
		return testenv.Compile(t, main, append(flags, "-L"+in("a"), "-la", "-Wl,--unresolved-symbols=ignore-in-shared-libs")...)
	})

	cases := []struct {
		name          string
		program, liba []string
		libraryPath   string
		libb          string // where it is found, "" for nowhere
	}{
		{"rpath is inherited", []string{old, "-Wl,-rpath,$ORIGIN/a:$ORIGIN/b"}, nil, "", "b"},
		{"runpath is not inherited", []string{new, "-Wl,-rpath,$ORIGIN/a:$ORIGIN/b"}, nil, "", ""},
		{"runpath of the library", []string{new, "-Wl,-rpath,$ORIGIN/a"}, []string{new, "-Wl,-rpath,${ORIGIN}/../sub/b"}, "", "sub/b"},
		{"a library's runpath hides inherited rpath", []string{old, "-Wl,-rpath," + in("a") + ":" + in("b")}, []string{new, "-Wl,-rpath,/nonexistent"}, "", ""},
		{"a library's rpath goes first", []string{old, "-Wl,-rpath," + in("a") + ":" + in("b")}, []string{old, "-Wl,-rpath," + in("sub/b")}, "", "sub/b"},
		{"rpath goes before LD_LIBRARY_PATH", []string{old, "-Wl,-rpath," + in("a") + ":" + in("b")}, nil, in("env"), "b"},
		{"LD_LIBRARY_PATH goes before runpath", []string{new, "-Wl,-rpath," + in("a")}, []string{new, "-Wl,-rpath," + in("b")}, in("env"), "env"},
		{"LD_LIBRARY_PATH alone", nil, nil, in("a") + ";" + in("env"), "env"},
		{"LD_LIBRARY_PATH with $ORIGIN", nil, nil, "$ORIGIN/a:$ORIGIN/env", "env"},
		{"other machines are passed over", nil, nil, in("a") + ":" + in("foreign") + ":" + in("b"), "b"},
		{"the program's own need is missing", nil, nil, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			install(liba(c.liba), in("a/liba.so"))
			install(program(c.program), in("program"))
			got := compare(t, in("program"), c.libraryPath)
			i := slices.IndexFunc(got, func(p string) bool { return filepath.Base(p) == "libb.so" })
			if found := i >= 0; found != (c.libb != "") || found && got[i] != in(c.libb+"/libb.so") {
				t.Errorf("got %q, want libb.so in %q", got, c.libb)
			}
		})
	}
}

// The linker notes the path it was given of a library that has no name.
func TestNeedWithASlashIsAPath(t *testing.T) {
	lib := real(t, testenv.Compile(t, source(t, "nameless.c", "int a(void) { return 0; }\n"), "-shared", "-fPIC"))
	program := testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"), "-Wl,--no-as-needed", lib)
	if got := compare(t, program, ""); !slices.Contains(got, lib) {
		t.Errorf("got %q, want %s among them", got, lib)
	}
}

// once remembers what build made of the same flags.
func once(build func(flags []string) string) func([]string) string {
	built := map[string]string{}
	return func(flags []string) string {
		key := strings.Join(flags, " ")
		if built[key] == "" {
			built[key] = build(slices.Clone(flags))
		}
		return built[key]
	}
}

func TestLibrariesOf32BitProgramsAre32Bit(t *testing.T) {
	testenv.RequireCompat(t) // what the loader itself says is compared
	program := testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"), "-m32")
	for _, path := range compare(t, program, "") {
		if id := identify(t, path); id.Machine != elf.EM_386 {
			t.Errorf("%s is for %s", path, id.Machine)
		}
	}
}

func TestLibrariesOfAScriptAreThoseOfItsInterpreter(t *testing.T) {
	dir := t.TempDir()
	inner := write(t, filepath.Join(dir, "inner"), "#!/bin/sh\n", 0o755)
	outer := write(t, filepath.Join(dir, "outer"), "#!"+inner+"\n", 0o755)
	libs, missing, err := identify(t, outer).Libraries("")
	if err != nil || len(missing) > 0 {
		t.Fatalf("missing %q, error %v", missing, err)
	}
	want := append(compare(t, "/bin/sh", ""), real(t, inner), real(t, "/bin/sh"))
	slices.Sort(want)
	if d := cmp.Diff(want, pathsOf(libs)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	for _, l := range libs {
		if id := identify(t, l.Path); l.BuildID != id.BuildID {
			t.Errorf("%s: build ID %q, want %q", l.Path, l.BuildID, id.BuildID)
		}
	}
}

func TestMissingInterpreterIsNamed(t *testing.T) {
	const absent = "/nonexistent/loader"
	script := write(t, filepath.Join(t.TempDir(), "script"), "#!"+absent+"\n", 0o755)
	program := testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"), "-Wl,--dynamic-linker,"+absent)
	for _, path := range []string{script, program} {
		_, missing, err := identify(t, path).Libraries("")
		if err != nil || !slices.Equal(missing, []string{absent}) {
			t.Errorf("%s: missing %q, error %v", path, missing, err)
		}
	}
}

func TestNothingIsLoadedForAStaticProgram(t *testing.T) {
	program := testenv.Compile(t, source(t, "program.c", "int main(void) { return 0; }\n"), "-static")
	for _, path := range []string{program, testenv.Program(t, "busybox")} {
		if libs, missing, err := identify(t, path).Libraries("/lib"); len(libs) > 0 || len(missing) > 0 || err != nil {
			t.Errorf("%s: %v, missing %q, error %v", path, libs, missing, err)
		}
	}
}

func TestMuslLoaderIsItsOwnCLibrary(t *testing.T) {
	src := source(t, "program.c", "int main(void) { return 0; }\n")
	ld := filepath.Join(real(t, t.TempDir()), "ld-musl-test.so.1")
	write(t, ld, string(read(t, identify(t, testenv.Compile(t, src)).Interpreter)), 0o755)
	program := testenv.Compile(t, src, "-Wl,--dynamic-linker,"+ld)
	libs, missing, err := identify(t, program).Libraries("")
	if err != nil || len(missing) > 0 || !slices.Equal(pathsOf(libs), []string{ld}) {
		t.Errorf("got %v, missing %q, error %v; want %s only", libs, missing, err, ld)
	}
}

func TestLoaderConfigurationIsReadInOrderAndOnce(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(in("conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	main := write(t, in("ld.so.conf"), "# comment\n/first # why\n\n\tinclude conf.d/*.conf /nonexistent/*\nhwcap 0 nosegneg\n  /last dir  ", 0o644)
	write(t, in("conf.d/2.conf"), "/two\ninclude "+main+"\n", 0o644)
	write(t, in("conf.d/1.conf"), "/one\n", 0o644)
	write(t, in("conf.d/ignored"), "/ignored\n", 0o644)
	want := []string{"/first", "/one", "/two", "/last dir"}
	if got := confDirs(main, map[string]bool{}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := confDirs(in("none"), map[string]bool{}); len(got) > 0 {
		t.Errorf("a file that is not there names %q", got)
	}
}
