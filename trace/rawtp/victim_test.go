package rawtp

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// The victims are static: what they call is what their source says.
var (
	trivialFlags = []string{"-O2", "-static", "-nostdlib"}
	victimFlags  = []string{"-O2", "-static", "-pthread"}
)

func compile(t testing.TB, source string, flags []string) string {
	t.Helper()
	gcc := testenv.Program(t, "gcc")
	out := filepath.Join(t.TempDir(), "victim")
	args := append(slices.Clone(flags), "-o", out, filepath.Join("testdata", source))
	if text, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc %v: %v\n%s", args, err, text)
	}
	return out
}

func trivial(t testing.TB) string { return compile(t, "trivial.c", trivialFlags) }
func victim(t testing.TB) string  { return compile(t, "victim.c", victimFlags) }

func mustOpen(t testing.TB, o Options) *Recorder {
	t.Helper()
	return mustOpenBounded(t, o, defaultBounds())
}

func mustOpenBounded(t testing.TB, o Options, b bounds) *Recorder {
	t.Helper()
	testenv.Require(t, testenv.BPF)
	r, err := open(o, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// launcher locks the test's goroutine to its thread and marks it.
func launcher(t testing.TB, r *Recorder, slot int) *Slot {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	s, err := r.Launcher(slot)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start forks and executes with all three standard descriptors on files.
func start(argv []string, files ...*os.File) (pid int, err error) {
	attr := &syscall.ProcAttr{Env: []string{"PATH=/usr/bin:/bin"}}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	return syscall.ForkExec(argv[0], argv, attr)
}

func wait(pid int) (status syscall.WaitStatus, err error) {
	for {
		_, err = syscall.Wait4(pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}

func devNull(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// run launches a program from the marked thread and waits until it exits with 0.
func run(t testing.TB, argv ...string) {
	t.Helper()
	null := devNull(t)
	pid, err := start(argv, null, null, null)
	if err != nil {
		t.Fatalf("start %q: %v", argv, err)
	}
	status, err := wait(pid)
	if err != nil || !status.Exited() || status.ExitStatus() != 0 {
		t.Fatalf("%q ended with status %#x, %v; want exit 0", argv, status, err)
	}
}

// runFiltered does the same under a seccomp filter that the child loads right
// before its execve.
func runFiltered(t testing.TB, action uint32, nrs []uint32, init bool, argv ...string) unix.WaitStatus {
	t.Helper()
	spec := &spawn.Spec{Init: init}
	var code []byte
	if len(nrs) > 0 {
		code = filter(action, nrs)
	}
	spec.Target.Exec(argv[0], argv, nil, code)
	p, err := spawn.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	status, err := p.Wait(spawn.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return status.WaitStatus
}

// filter is cBPF that answers each of the numbers, of whatever ABI, with action,
// and allows the rest.
func filter(action uint32, nrs []uint32) []byte {
	const offsetNR = 0
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetNR}}
	for _, nr := range nrs {
		code = append(code,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: nr},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action})
	}
	code = append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	size := len(code) * int(unsafe.Sizeof(code[0]))
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&code[0])), size))
}

// names are the syscalls as strace writes them.
func names(ids []sysno.ID) []string {
	var names []string
	for _, id := range ids {
		names = append(names, id.String())
	}
	slices.Sort(names)
	return names
}

var straceLine = regexp.MustCompile(`(?m)^\d+ +([a-z_0-9]+)\(`)

// straced is the union of the syscalls in the lines of strace -f over some runs.
func straced(t testing.TB, runs int, argv ...string) []string {
	t.Helper()
	strace := testenv.Program(t, "strace")
	var names []string
	for range runs {
		out := filepath.Join(t.TempDir(), "strace")
		cmd := exec.Command(strace, append([]string{"-f", "-o", out, "--"}, argv...)...)
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		if text, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 0 {
			t.Fatalf("strace %q: %v\n%s", argv, err, text)
		}
		lines, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range straceLine.FindAllSubmatch(lines, -1) {
			names = append(names, string(m[1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// id is a syscall that the native table has.
func id(t testing.TB, arch sysno.Arch, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(arch, name)
	if !ok {
		t.Fatalf("%v has no syscall %q", arch, name)
	}
	return id
}
