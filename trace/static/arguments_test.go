package static

import (
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

// valuesOf is what is known of an argument, in words.
func valuesOf(t *testing.T, r *trace.Reach, name string, index int) string {
	t.Helper()
	id, ok := sysno.Lookup(sysno.AMD64, name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	x, ok := r.Find(id)
	if !ok {
		t.Fatalf("%s is not reached", name)
	}
	i := slices.IndexFunc(x.Args, func(a trace.Arg) bool { return a.Index == index })
	switch {
	case i < 0:
		t.Fatalf("nothing is said of argument %d of %s: %+v", index, name, x.Args)
	case x.Args[i].Any:
		return "any"
	}
	var words []string
	for _, v := range x.Args[i].Values {
		words = append(words, id.Args()[index].Format(v))
	}
	return strings.Join(words, " ")
}

func TestValuesOfArgumentsAreFoundWhereTheyAreConstant(t *testing.T) {
	for _, kind := range []struct {
		name  string
		flags []string
	}{
		{"dynamic", nil},
		{"optimized", []string{"-O2"}},
		{"with frame pointers", []string{"-O2", "-fno-omit-frame-pointer"}},
		{"static, stripped", []string{"-O1", "-static", "-s"}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			r := analyzed(t, testenv.Compile(t, "testdata/arguments.c", kind.flags...), Options{})
			for _, want := range []struct {
				call   string
				index  int
				values string
			}{
				{"ptrace", 0, "PTRACE_TRACEME"},
				{"flock", 1, "LOCK_EX"},
				{"epoll_create1", 0, "EPOLL_CLOEXEC"},
				{"inotify_init1", 0, "0 IN_NONBLOCK"},
				{"unshare", 0, "CLONE_NEWNS CLONE_NEWIPC"},
				{"accept4", 3, "SOCK_CLOEXEC SOCK_CLOEXEC|SOCK_NONBLOCK"},
				{"userfaultfd", 0, "O_NONBLOCK O_NONBLOCK|UFFD_USER_MODE_ONLY"},
				// What may be written by others has any value.
				{"madvise", 2, "any"},
				{"shutdown", 1, "any"},
				{"timerfd_create", 0, "any"},
				{"setns", 1, "any"},
				{"memfd_create", 1, "any"},
			} {
				got := valuesOf(t, r, want.call, want.index)
				if sorted(got) != sorted(want.values) {
					t.Errorf("argument %d of %s: %s, want %s", want.index, want.call, got, want.values)
				}
			}
			// The C library makes these calls, too.
			for _, part := range []struct {
				call  string
				index int
				value string
			}{{"getrandom", 2, "GRND_NONBLOCK"}, {"socket", 0, "AF_INET"}, {"socket", 0, "AF_UNIX"}, {"socket", 1, "SOCK_DGRAM|SOCK_CLOEXEC"}} {
				if got := strings.Fields(valuesOf(t, r, part.call, part.index)); got[0] != "any" && !slices.Contains(got, part.value) {
					t.Errorf("argument %d of %s: %v, without %s", part.index, part.call, got, part.value)
				}
			}
		})
	}
}

func sorted(words string) string {
	all := strings.Fields(words)
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestValuesOfArgumentsAreFoundInGo(t *testing.T) {
	text := `package main

import (
	"os"
	"syscall"
)

func main() {
	syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWNS, 0, 0)
	syscall.Syscall(syscall.SYS_FLOCK, 0, syscall.LOCK_EX, 0)
	syscall.Flock(0, syscall.LOCK_UN)
	syscall.Syscall(syscall.SYS_SHUTDOWN, 0, uintptr(len(os.Args)), 0)
}
`
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-o", path, file)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := analyzed(t, path, Options{})
	for call, want := range map[string]struct {
		index  int
		values string
	}{"unshare": {0, "CLONE_NEWNS"}, "flock": {1, "LOCK_EX LOCK_UN"}, "shutdown": {1, "any"}} {
		if got := valuesOf(t, r, call, want.index); sorted(got) != sorted(want.values) {
			t.Errorf("argument %d of %s: %s, want %s", want.index, call, got, want.values)
		}
	}
}

func TestOfWhatTheKernelMakesProgramsCallAnyValueIsExpected(t *testing.T) {
	r := analyzed(t, testenv.Program(t, "cat"), Options{})
	if got := valuesOf(t, r, "clock_gettime", 0); got != "any" {
		t.Errorf("the clock of clock_gettime is %s; the vDSO hands on what it got", got)
	}
}
