package static

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

func analyzed(t *testing.T, path string, o Options) *trace.Reach {
	t.Helper()
	r, err := Analyze(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reaches(t *testing.T, r *trace.Reach, name string) bool {
	t.Helper()
	id, ok := sysno.Lookup(sysno.AMD64, name)
	if !ok {
		t.Fatalf("there is no syscall %s", name)
	}
	_, ok = r.Find(id)
	return ok
}

func source(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// These are reached by testdata/reaches.c, each in another way.
var reached = []string{"sched_rr_get_interval", "vhangup", "getsid", "getpgid", "personality", "sysfs", "ustat", "syslog",
	"acct", "quotactl", "mincore", "ioprio_get", "io_setup", "io_destroy", "exit_group", "execve", "rt_sigreturn"}

// And these would be if functions counted that nothing calls.
var unreached = []string{"reboot", "swapon"}

func TestEveryKindOfProgramReachesWhatItsCodeCalls(t *testing.T) {
	for _, kind := range []struct {
		name  string
		flags []string
		loose bool // the file does not tell its functions, so one may be taken for a part of another
	}{
		{name: "dynamic"},
		{name: "optimized", flags: []string{"-O2"}},
		{name: "not optimized", flags: []string{"-O0"}},
		{name: "at a fixed address", flags: []string{"-no-pie", "-fno-pie"}},
		{name: "static", flags: []string{"-static"}},
		{name: "static-PIE", flags: []string{"-static-pie"}},
		{name: "stripped", flags: []string{"-s"}},
		{name: "static, stripped", flags: []string{"-static", "-s"}},
		{name: "lazily bound", flags: []string{"-Wl,-z,lazy"}},
		// busybox is built so: only the C library's functions are described
		{name: "without descriptions", flags: []string{"-static", "-s", "-fno-asynchronous-unwind-tables"}, loose: true},
		{name: "without descriptions, at a fixed address", flags: []string{"-no-pie", "-fno-pie", "-s", "-fno-asynchronous-unwind-tables"}, loose: true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			check(t, analyzed(t, testenv.Compile(t, "testdata/reaches.c", kind.flags...), Options{}), kind.loose)
		})
	}
}

func check(t *testing.T, r *trace.Reach, loose bool) {
	t.Helper()
	for _, name := range reached {
		if !reaches(t, r, name) {
			t.Errorf("%s is not reached", name)
		}
	}
	for _, name := range unreached {
		if !loose && reaches(t, r, name) {
			id, _ := sysno.Lookup(sysno.AMD64, name)
			x, _ := r.Find(id)
			t.Errorf("%s is reached: %v", name, x.Path)
		}
	}
	if !r.Complete() {
		t.Errorf("gaps: %s", strings.Join(r.Gaps, "\n"))
	}
}

func TestWhatIsCalledBeforeMainOnlyIsToldFromTheRest(t *testing.T) {
	before, later := []string{"personality", "sysfs", "ustat"}, []string{"getsid", "getpgid", "quotactl", "vhangup", "ioprio_get", "acct", "exit_group"}
	for _, flags := range [][]string{{"-O1"}, {"-O2", "-s"}, {"-O1", "-static"}, {"-O1", "-static-pie", "-s"}, {"-O1", "-no-pie", "-fno-pie"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			r := analyzed(t, testenv.Compile(t, "testdata/phases.c", flags...), Options{})
			for i, names := range [][]string{before, later} {
				for _, name := range names {
					id, _ := sysno.Lookup(sysno.AMD64, name)
					if x, ok := r.Find(id); !ok || x.BeforeMain != (i == 0) {
						t.Errorf("%s: reached %t, before main only %t, want %t", name, ok, x.BeforeMain, i == 0)
					}
				}
			}
		})
	}
}

func TestWhatNameServicesBringIsNamed(t *testing.T) {
	gcc, dir := testenv.Program(t, "gcc"), t.TempDir()
	build := func(name, text string, flags ...string) string {
		path := filepath.Join(dir, name)
		args := slices.Concat([]string{"-O1", "-o", path, source(t, "a.c", text)}, flags)
		if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return path
	}
	build("libbelow.so", `#include <unistd.h>
extern long number[]; long number[2]; long below(int i) { return syscall(number[i]); }`, "-shared", "-fPIC")
	build("libnss_mine.so.2", `#include <unistd.h>
#include <sys/syscall.h>
long below(int); int _nss_mine_getpwnam_r(void) { return syscall(SYS_ustat) + below(1); }`, "-shared", "-fPIC", "-L"+dir, "-lbelow")
	program := build("user", `#include <pwd.h>
int main(int n, char **v) { return getpwnam(v[0]) != 0; }`)
	services := source(t, "nsswitch.conf", "passwd: files mine # and\n")
	r := analyzed(t, program, Options{LibraryPath: dir, NameServices: services})
	if !reaches(t, r, "ustat") {
		t.Error("what the module calls is not reached")
	}
	for _, want := range []struct {
		in   []string
		text string
	}{{r.Gaps, "loaded for libnss_mine.so.2"}, {r.Assumed, services + " says here, by"}, {r.Assumed, "libnss_mine.so.2"}} {
		if !strings.Contains(strings.Join(want.in, "\n"), want.text) {
			t.Errorf("%q is not among %q", want.text, want.in)
		}
	}
}

func TestProgramsWithMuslReachWhatTheirCodeCalls(t *testing.T) {
	gcc := testenv.Program(t, "musl-gcc")
	for _, flags := range [][]string{{"-static"}, {"-static", "-s"}, nil, {"-s", "-O2"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "reaches")
			if out, err := exec.Command(gcc, append([]string{"-o", path, "testdata/reaches.c"}, flags...)...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			check(t, analyzed(t, path, Options{}), false)
		})
	}
}

func TestGoProgramsReachWhatTheirCodeCalls(t *testing.T) {
	dir := t.TempDir()
	text := `package main

import (
	"os"
	"syscall"
)

func main() {
	syscall.RawSyscall(syscall.SYS_ACCT, 0, 0, 0)
	syscall.Syscall6(syscall.SYS_QUOTACTL, 0, 0, 0, 0, 0, 0)
	nr := uintptr(syscall.SYS_SYSFS)
	if len(os.Args) > 1 {
		nr = syscall.SYS_USTAT
	}
	syscall.Syscall(nr, 0, 0, 0)
	syscall.Setuid(syscall.Getuid())
}
`
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// Another linker puts C before the code of Go, and the table of functions among other data.
	withC := filepath.Join(dir, "c.go")
	if err := os.WriteFile(withC, []byte(strings.Replace(text, "import (", "import (\n\t\"C\"", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	testenv.Program(t, "gcc")
	for _, c := range []struct {
		file  string
		flags []string
		older bool // the table says that it is of Go 1.18, which has the same layout
	}{
		{file, nil, false},
		{file, []string{"-ldflags=-s -w"}, false},
		{file, []string{"-ldflags=-s -w"}, true},
		{file, []string{"-buildmode=pie"}, false},
		{withC, []string{"-ldflags=-s -w -linkmode=external"}, false},
		{withC, []string{"-ldflags=-s -w -linkmode=external"}, true},
		{withC, []string{"-buildmode=pie", "-ldflags=-s -w -linkmode=external"}, false},
	} {
		t.Run(fmt.Sprint(filepath.Base(c.file), c.flags, c.older), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "program")
			cmd := exec.Command("go", slices.Concat([]string{"build", "-o", path}, c.flags, []string{c.file})...)
			cmd.Env = append(os.Environ(), map[bool]string{true: "CGO_ENABLED=0", false: "CGO_ENABLED=1"}[c.file == file])
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if c.older {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				const today, then = "\xf1\xff\xff\xff\x00\x00\x01\x08", "\xf0\xff\xff\xff\x00\x00\x01\x08"
				if n := bytes.Count(b, []byte(today)); n != 1 {
					t.Fatalf("%d tables of functions", n)
				}
				if err := os.WriteFile(path, bytes.Replace(b, []byte(today), []byte(then), 1), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			r := analyzed(t, path, Options{})
			for _, name := range []string{"acct", "quotactl", "sysfs", "ustat", "setuid", "read", "mmap", "clone", "futex", "rt_sigreturn"} {
				if !reaches(t, r, name) {
					t.Errorf("%s is not reached", name)
				}
			}
			for _, name := range []string{"reboot", "swapon", "mount"} {
				if reaches(t, r, name) {
					t.Errorf("%s is reached", name)
				}
			}
			if !r.Complete() {
				t.Errorf("gaps: %s", strings.Join(r.Gaps, "\n"))
			}
		})
	}
}

func TestAPathLeadsFromTheBeginningToTheCall(t *testing.T) {
	r := analyzed(t, testenv.Compile(t, "testdata/reaches.c", "-O1"), Options{})
	id, _ := sysno.Lookup(sysno.AMD64, "quotactl")
	x, ok := r.Find(id)
	if !ok {
		t.Fatal("quotactl is not reached")
	}
	var names []string
	for _, s := range x.Path {
		names = append(names, s.Function)
	}
	if want := []string{"_start", "main", "outer", "wrapper"}; !slices.Equal(names, want) {
		t.Errorf("quotactl is reached through %v, want %v", names, want)
	}
	if x.Path[0].Link != trace.Begin || x.Path[1].Link != trace.Pointer || x.Startup {
		t.Errorf("quotactl is reached as %+v", x)
	}
	if arch, _ := sysno.Lookup(sysno.AMD64, "arch_prctl"); true {
		if x, ok := r.Find(arch); !ok || !x.Startup {
			t.Errorf("arch_prctl is reached as %+v, %v; only the loader makes it", x, ok)
		}
	}
}

func TestTheSameFilesMakeTheSameResult(t *testing.T) {
	path := testenv.Program(t, "tar")
	a, b := analyzed(t, path, Options{}), analyzed(t, path, Options{})
	if !equal(a, b) {
		t.Errorf("two results differ: %v and %v", a, b)
	}
}

func equal(a, b *trace.Reach) bool {
	return slices.Equal(a.Gaps, b.Gaps) && slices.Equal(a.Assumed, b.Assumed) &&
		slices.EqualFunc(a.Reached, b.Reached, func(x, y trace.Reached) bool {
			return x.ID == y.ID && x.Startup == y.Startup && slices.Equal(x.Path, y.Path)
		})
}

func TestLibrariesThatAreOpenedCount(t *testing.T) {
	plugin := testenv.Compile(t, source(t, "plugin.c", `
#include <sys/syscall.h>
#include <unistd.h>
void plugged(void) { syscall(SYS_acct); }
`), "-shared", "-fPIC")
	text := func(open, look string) string {
		return source(t, "main.c", `
#include <dlfcn.h>
int main(int argc, char **argv) {
	void *h = dlopen(`+open+`, RTLD_NOW);
	void (*f)(void) = (void (*)(void))dlsym(h, `+look+`);
	f();
}
`)
	}
	r := analyzed(t, testenv.Compile(t, text(`"`+plugin+`.so"`, `"plugged"`)), Options{})
	if reaches(t, r, "acct") {
		t.Error("what a library does that is not there is reached")
	}
	if err := os.Rename(plugin, plugin+".so"); err != nil {
		t.Fatal(err)
	}
	if r = analyzed(t, testenv.Compile(t, text(`"`+plugin+`.so"`, `"plugged"`)), Options{}); !reaches(t, r, "acct") || !r.Complete() {
		t.Errorf("acct is reached: %v; gaps: %v", reaches(t, r, "acct"), r.Gaps)
	}
	unknown := testenv.Compile(t, text("argv[1]", "argv[2]"))
	r = analyzed(t, unknown, Options{})
	if len(r.Gaps) != 2 || !strings.Contains(r.Gaps[0]+r.Gaps[1], "dlopen") || !strings.Contains(r.Gaps[0]+r.Gaps[1], "dlsym") || reaches(t, r, "acct") {
		t.Errorf("gaps: %q", r.Gaps)
	}
	// The recorder has seen which it was.
	if r = analyzed(t, unknown, Options{Mapped: []string{plugin + ".so"}}); !reaches(t, r, "acct") {
		t.Error("what a mapped library does is not reached")
	}
}

func TestProgramsThatAreExecutedCountOrAreAGap(t *testing.T) {
	child := testenv.Compile(t, source(t, "child.c", `
#include <sys/syscall.h>
#include <unistd.h>
int main(void) { return syscall(SYS_acct); }
`))
	parent := testenv.Compile(t, source(t, "parent.c", `
#include <unistd.h>
int main(void) { return execl("`+child+`", "child", (char *)0); }
`))
	r := analyzed(t, parent, Options{})
	if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0], child) || reaches(t, r, "acct") {
		t.Errorf("gaps: %q", r.Gaps)
	}
	r = analyzed(t, parent, Options{FollowExec: true})
	if !r.Complete() || !reaches(t, r, "acct") {
		t.Errorf("gaps: %q", r.Gaps)
	}
	id, _ := sysno.Lookup(sysno.AMD64, "acct")
	if x, _ := r.Find(id); !slices.ContainsFunc(x.Path, func(s trace.Step) bool { return s.Link == trace.Exec && s.Module == child }) {
		t.Errorf("acct is reached by %v", x.Path)
	}
	shell := testenv.Compile(t, source(t, "shell.c", "#include <stdlib.h>\nint main(void) { return system(\"true\"); }\n"))
	if r = analyzed(t, shell, Options{FollowExec: true}); len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0], "shell") {
		t.Errorf("gaps: %q", r.Gaps)
	}
}

func TestNumbersThatAreNotKnownAreAGap(t *testing.T) {
	path := testenv.Compile(t, source(t, "any.c", `
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) { return syscall(atoi(argv[1])); }
`))
	if r := analyzed(t, path, Options{}); len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0], "main") {
		t.Errorf("gaps: %q", r.Gaps)
	}
}

func TestAnotherABIIsNotTakenForTheNative(t *testing.T) {
	path := testenv.Compile(t, source(t, "abi.c", `
int main(void) {
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20));
	__asm__ volatile("syscall" : "=a"(r) : "a"(0x40000000 | 5) : "rcx", "r11");
	return r;
}
`))
	r := analyzed(t, path, Options{})
	for _, id := range []sysno.ID{{Arch: sysno.I386, NR: 20}, {Arch: sysno.X32, NR: 5}} {
		if _, ok := r.Find(id); !ok {
			t.Errorf("%v is not reached", id)
		}
	}
}

func TestAScriptReachesWhatItsInterpreterDoes(t *testing.T) {
	path := source(t, "script", "#!/bin/sh\necho\n")
	r := analyzed(t, path, Options{})
	if r.Target.Path != path || !reaches(t, r, "execve") || !slices.ContainsFunc(r.Gaps, func(g string) bool { return strings.Contains(g, "script") }) {
		t.Errorf("target %s, gaps: %q", r.Target.Path, r.Gaps)
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	if _, err := Analyze(t.Context(), source(t, "text", "hello\n"), Options{}); err == nil {
		t.Error("a text is analyzed")
	}
	foreign, err := os.ReadFile(testenv.Compile(t, "testdata/reaches.c"))
	if err != nil {
		t.Fatal(err)
	}
	foreign[18] = 183 // EM_AARCH64
	if _, err := Analyze(t.Context(), source(t, "foreign", string(foreign)), Options{}); !errors.Is(err, ErrMachine) {
		t.Errorf("a program for another machine: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Analyze(ctx, "/bin/true", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Hostile files are refused or analyzed in bounded time; never do they end tjfuzz.
func FuzzAnalyze(f *testing.F) {
	var seeds []string
	if gcc, err := exec.LookPath("gcc"); err == nil {
		for i, flags := range [][]string{{"-nostdlib", "-static", "-s"}, {"-nostdlib", "-shared", "-fPIC"}, {"-nostdlib", "-pie", "-fPIE"}} {
			path := filepath.Join(f.TempDir(), "seed"+string(rune('0'+i)))
			text := filepath.Join(f.TempDir(), "seed.c")
			if os.WriteFile(text, []byte("long w(long n) { long r; __asm__ volatile(\"syscall\" : \"=a\"(r) : \"a\"(n)); return r; }\nlong (*p[])(long) = {w};\nvoid _start(void) { w(60); p[0](1); }\n"), 0o644) == nil &&
				exec.Command(gcc, append([]string{"-O1", "-s", "-Wl,-z,noseparate-code", "-o", path, text}, flags...)...).Run() == nil {
				seeds = append(seeds, path)
			}
		}
	}
	for _, path := range seeds {
		if b, err := os.ReadFile(path); err == nil {
			f.Add(b)
			f.Add(b[:len(b)/2])
		}
	}
	path := filepath.Join(f.TempDir(), "hostile")
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		own := path + t.Name()[strings.LastIndex(t.Name(), "/")+1:]
		if err := os.WriteFile(own, b, 0o755); err != nil {
			t.Fatal(err)
		}
		r, c, err := AnalyzeAndChart(t.Context(), own, Options{}, func(string) bool { return true })
		if err != nil {
			return
		}
		if len(r.Reached) == 0 {
			t.Error("a program that reaches nothing")
		}
		for _, x := range r.Reached {
			if w := c.Way(x.ID); w != nil {
				w.Clues()
				w.Setters()
			}
		}
	})
}

func TestNumbersArriveThroughPointersInData(t *testing.T) {
	for _, flags := range [][]string{{"-O1"}, {"-O2"}, {"-O2", "-s"}, {"-Os"}, {"-O2", "-static-pie"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			r := analyzed(t, testenv.Compile(t, "testdata/held.c", flags...), Options{})
			for _, name := range []string{"quotactl", "acct", "sysfs"} {
				if !reaches(t, r, name) {
					t.Errorf("%s is not reached", name)
				}
			}
			if reaches(t, r, "reboot") {
				t.Error("reboot is reached")
			}
			if !r.Complete() {
				t.Errorf("gaps: %s", strings.Join(r.Gaps, "\n"))
			}
		})
	}
}

func TestPointersInDataThatGetOutOfSightAreAGap(t *testing.T) {
	for _, way := range []struct {
		name  string
		flags []string
	}{
		{name: "AWAY"},
		{name: "ATOMIC"},
		{name: "EXCHANGE"},
		{name: "INDEX"},
		{name: "TAIL"},
		{name: "SEVENTH", flags: []string{"-maccumulate-outgoing-args"}},
		{name: "FIXED", flags: []string{"-no-pie", "-fno-pie"}},
		{name: "BASE"},
		{name: "ABOVE"},
		{name: "COPIED"},
		{name: "MOVES"},
	} {
		for _, level := range []string{"-O1", "-O2", "-Os"} {
			t.Run(way.name+" "+level, func(t *testing.T) {
				flags := append([]string{level, "-D" + way.name}, way.flags...)
				if r := analyzed(t, testenv.Compile(t, "testdata/held.c", flags...), Options{}); r.Complete() {
					t.Error("it claims to be complete")
				}
			})
		}
	}
}

func TestNumbersArriveThroughAnAddressThatIsLoaded(t *testing.T) {
	for _, flags := range [][]string{{"-O1"}, {"-O2", "-s"}, {"-Os", "-fno-plt"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			r := analyzed(t, testenv.Compile(t, "testdata/loaded.c", flags...), Options{})
			for _, name := range []string{"acct", "sysfs", "quotactl"} {
				if !reaches(t, r, name) {
					t.Errorf("%s is not reached", name)
				}
			}
			if reaches(t, r, "reboot") || !r.Complete() {
				t.Errorf("reboot is reached, or there are gaps: %s", strings.Join(r.Gaps, "\n"))
			}
		})
	}
}
