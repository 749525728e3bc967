package foreign

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

var amd64 = Options{Arch: sysno.AMD64}

// logs opens files of testdata, which strace 6.1 wrote.
func logs(t testing.TB, names ...string) []Log {
	t.Helper()
	var opened []Log
	for i, name := range names {
		f, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		l := Log{Reader: f}
		if len(names) > 1 { // of -ff, with the number of the process behind the name
			l.PID = 27176 + i
		}
		opened = append(opened, l)
	}
	return opened
}

func readStrace(t testing.TB, o Options, logs ...Log) *Recording {
	t.Helper()
	rec, err := ReadStrace(o, logs...)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func read(text string) (*Recording, error) {
	return ReadStrace(amd64, Log{Reader: strings.NewReader(text)})
}

// summary is what a recording shows, a word for each observation.
func summary(rec *Recording) []string {
	var words []string
	for _, o := range rec.Trace.Observations {
		name, ok := o.ID.Name()
		if !ok {
			name = "syscall_" + o.ID.String()[len(o.ID.String())-1:]
		}
		words = append(words, o.ID.Arch.String()+":"+name)
	}
	slices.Sort(words)
	return words
}

// find is the observation of a syscall.
func find(t testing.TB, rec *Recording, word string) trace.Observation {
	t.Helper()
	id, err := sysno.Parse(sysno.AMD64, word)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range rec.Trace.Observations {
		if o.ID == id {
			return o
		}
	}
	t.Fatalf("%s is not in the recording: %v", word, summary(rec))
	return trace.Observation{}
}

// One program with a thread, two children, a signal and calls of int80, in all ways
// of writing a log.
func TestALogSaysTheSameInEveryForm(t *testing.T) {
	want := summary(readStrace(t, amd64, logs(t, "f.strace")...))
	for _, name := range []string{"f-tt-T.strace", "f-ttt-i-y.strace", "f-r-n-Y.strace"} {
		rec := readStrace(t, amd64, logs(t, name)...)
		// What the kernel starts again depends on when the signal comes.
		got := slices.DeleteFunc(summary(rec), func(s string) bool { return s == "x86_64:restart_syscall" })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-f.strace +%s)\n%s", name, name, diff)
		}
		if diff := cmp.Diff([]string{"./v2", "a b", "it's"}, rec.Argv); diff != "" {
			t.Errorf("%s: command line\n%s", name, diff)
		}
		if rec.Missing != nil || rec.Trace.CleanRuns != 1 || rec.Trace.Runs != 1 {
			t.Errorf("%s: missing %q, %d clean runs; the log is whole and the program exited", name, rec.Missing, rec.Trace.CleanRuns)
		}
	}
}

func TestOnStandardErrorStraceTellsTheABI(t *testing.T) {
	rec := readStrace(t, amd64, logs(t, "stderr.strace")...)
	for _, word := range []string{"i386:getpid", "i386:uname", "getpid", "$999", "$4294967295"} {
		find(t, rec, word)
	}
	if got, want := find(t, rec, "i386:uname").Returns, (trace.Returns{Errnos: []uint16{14}}); !cmp.Equal(got, want) {
		t.Errorf("i386:uname: got %+v, want %+v", got, want)
	}
	if rec.Missing != nil || rec.Trace.CleanRuns != 1 {
		t.Errorf("missing %q, %d clean runs", rec.Missing, rec.Trace.CleanRuns)
	}

	rec = readStrace(t, amd64, logs(t, "stderr-32bit.strace")...)
	for _, word := range []string{"execve", "i386:mmap2", "i386:execve", "exit_group"} {
		find(t, rec, word)
	}
	if slices.Contains(summary(rec), "i386:arch_prctl") {
		t.Error("what a 64-bit program does after execve is told as 32-bit")
	}
}

func TestAResultIsNotFoundInAString(t *testing.T) {
	rec := readStrace(t, amd64, logs(t, "f.strace")...)
	for word, want := range map[string]trace.Returns{
		"write":       {Success: true},
		"openat":      {Success: true, Errnos: []uint16{2}},
		"uname":       {Errnos: []uint16{14}},
		"$999":        {Errnos: []uint16{38}},
		"exit_group":  {},
		"read":        {Success: true}, // ERESTARTSYS is no result
		"sched_yield": {Success: true},
	} {
		if got := find(t, rec, word).Returns; !cmp.Equal(got, want) {
			t.Errorf("%s: got %+v, want %+v", word, got, want)
		}
	}
}

func TestExecInAThreadLosesNobody(t *testing.T) {
	for _, name := range []string{"f-exec.strace", "stderr-exec.strace"} {
		rec := readStrace(t, amd64, logs(t, name)...)
		if rec.Missing != nil || rec.Trace.CleanRuns != 1 {
			t.Errorf("%s: missing %q, %d clean runs", name, rec.Missing, rec.Trace.CleanRuns)
		}
	}
}

func TestExecInAThreadWithALogOfItsOwnLosesNobody(t *testing.T) {
	leader := `execve("/srv/x", ["x"], 0x7ffd /* 1 var */) = 0
clone3({flags=CLONE_THREAD}, 88) = 12
pause()                                 = ?
+++ superseded by execve in pid 12 +++
<... execve resumed>)                   = 0
exit_group(0)                           = ?
+++ exited with 0 +++
`
	thread := `set_robust_list(0x7f46ec9729a0, 24)     = 0
execve("/bin/echo", ["echo"], 0x7fff /* 1 var */ <pid changed to 11 ...>
`
	for _, pids := range [][2]int{{11, 12}, {12, 11}} { // numbers begin anew some time
		texts := map[int]string{pids[0]: strings.ReplaceAll(leader, "12", strconv.Itoa(pids[1])), pids[1]: thread}
		rec := readStrace(t, amd64, Log{PID: 11, Reader: strings.NewReader(texts[11])}, Log{PID: 12, Reader: strings.NewReader(texts[12])})
		if rec.Missing != nil || rec.Trace.CleanRuns != 1 || !slices.Equal(rec.Argv, []string{"x"}) {
			t.Errorf("%v: missing %q, %d clean runs, %q", pids, rec.Missing, rec.Trace.CleanRuns, rec.Argv)
		}
	}
}

func TestLogsOfOneProcessEachAreOneRun(t *testing.T) {
	rec := readStrace(t, amd64, logs(t, "ff.1", "ff.2")...)
	if rec.Missing != nil || rec.Trace.Runs != 1 || rec.Trace.CleanRuns != 1 {
		t.Errorf("missing %q, %d runs, %d clean", rec.Missing, rec.Trace.Runs, rec.Trace.CleanRuns)
	}
	if diff := cmp.Diff([]string{"sh", "-c", "/bin/true; echo hi"}, rec.Argv); diff != "" {
		t.Errorf("command line\n%s", diff)
	}
	if rec.Trace.Target.Path != "/usr/bin/sh" {
		t.Errorf("path: got %q", rec.Trace.Target.Path)
	}
	// Without the child's log, the child is lost.
	rec = readStrace(t, amd64, logs(t, "ff.1")...)
	if rec.Trace.Lost.Tasks != 1 {
		t.Errorf("a child without a log: %d lost", rec.Trace.Lost.Tasks)
	}
}

func TestWhatALogDoesNotHaveIsLost(t *testing.T) {
	for _, c := range []struct {
		name, why    string
		tasks, clean uint64
	}{
		{"cut.strace", "the log ends before the end of 2 processes or threads", 2, 0},
		{"alone.strace", "3 processes or threads are started by the program not in the log; strace -f follows them", 3, 1},
		{"detached.strace", "", 0, 1},
	} {
		rec := readStrace(t, amd64, logs(t, c.name)...)
		if got := rec.Trace.Lost.Tasks; got != c.tasks || !strings.Contains(strings.Join(rec.Missing, "; "), c.why) {
			t.Errorf("%s: %d lost, %q; want %d, %q", c.name, got, rec.Missing, c.tasks, c.why)
		}
		if rec.Trace.CleanRuns != c.clean {
			t.Errorf("%s: %d clean runs, want %d", c.name, rec.Trace.CleanRuns, c.clean)
		}
	}
}

// Wherever a log is cut, it is refused or known to be cut.
func TestNoCutGoesUnnoticed(t *testing.T) {
	whole, err := os.ReadFile("testdata/f.strace")
	if err != nil {
		t.Fatal(err)
	}
	end := strings.LastIndex(string(whole), " +++") + len(" +++")
	for n := 0; n < end; n += 41 {
		rec, err := read(string(whole[:n]))
		if err == nil && rec.Trace.Lost.Complete() {
			t.Fatalf("cut after %d bytes, the log passes for whole", n)
		}
		if n > 100 && err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
}

func TestLinesOfStrace(t *testing.T) {
	const exited = "\n+++ exited with 0 +++\n"
	cases := []struct {
		name, log, want string // the observations
	}{
		{"a number of an older version", "syscall_455(0) = -1 ENOSYS (Function not implemented)", "x86_64:futex_wait"},
		{"a number of a yet older version", "SYS_455(0) = -1 ENOSYS (Function not implemented)", "x86_64:futex_wait"},
		{"a number that has a name", "syscall_0x1c7(0) = 0", "x86_64:futex_wait"},
		{"a number of x32", "syscall_0x40000027() = -1 ENOSYS (Function not implemented)", "x32:getpid"},
		{"a call that began before the log", "<... read resumed>\"\", 1) = 0", "x86_64:read"},
		{"a call that strace found under way", "restart_syscall(<... resuming interrupted read ...>) = 0", "x86_64:restart_syscall"},
		{"a call that never returned", "read(0,  <unfinished ...>) = ?", "x86_64:read"},
		{"two numbers of a child", "clone(child_stack=NULL) = 2 /* 77 in strace's PID NS */\n77  getpid() = 2\n77  +++ exited with 0 +++", "x86_64:clone x86_64:getpid"},
		{"time and duration", "12:00:01 read(3<a b>, \"= 1\", 3) = 3 <0.1>", "x86_64:read"},
		{"an errno without a name", "ioctl(1, TCGETS) = -1 (errno 524)", "x86_64:ioctl"},
		{"an errno of two names", "ioctl(1, TCGETS) = -1 EOPNOTSUPP (Operation not supported)", "x86_64:ioctl"},
		{"a stack", "read(0, \"\", 1) = 0\n > /lib/libc.so(read+0x1) [0x2]", "x86_64:read"},
		{"a stop", "read(0, \"\", 1) = 0\n--- stopped by SIGSTOP ---", "x86_64:read"},
		{"a warning", "read(0, \"\", 1) = 0\nstrace: umoven: short read (1 < 4) @0x1", "x86_64:read"},
		{"an empty line", "\nread(0, \"\", 1) = 0\n", "x86_64:read"},
		{"a result that says more", "poll([{fd=3}], 1, 0) = 1 ([{fd=3, revents=POLLIN}])", "x86_64:poll"},
		{"a mode", "umask(022) = 022", "x86_64:umask"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rec, err := read(c.log + exited)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(summary(rec), " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if rec.Missing != nil {
				t.Errorf("missing: %q", rec.Missing)
			}
		})
	}
}

func TestStraceIsRefused(t *testing.T) {
	cases := []struct{ name, log, message string }{
		{"nothing", "", "no syscall is recorded"},
		{"a signal alone", "--- SIGHUP {si_signo=SIGHUP} ---\n", "no syscall is recorded"},
		{"an unknown name", "read(0, \"\", 1) = 0\nopnat(0) = 0\n", `line 2: x86_64 has no syscall "opnat"; did you mean "openat"?`},
		{"a name of another ABI", "mmap2(0) = 0\n", `line 1: x86_64 has no syscall "mmap2"; i386 has`},
		{"the program's own output", "read(0, \"\", 1) = 0\nhello, world\n", `line 2: "hello, world" is not a line of strace`},
		{"a table of -c", "% time     seconds  usecs/call     calls    errors syscall\n", "line 1: \"% time"},
		{"no result", "read(0, \"\", 1)\nread(0) = 0\n", "line 1: read: \"0, \\\"\\\", 1)\" is a call without a result"},
		{"a result that is none", "read(0) = maybe\n", `line 1: read: "maybe" is no result`},
		{"an errno that is none", "read(0) = -1 ENOPE (What)\n", "line 1: read: -1 ENOPE  is no errno"},
		{"an errno beyond all", "read(0) = -1 (errno 5000)\n", "is no errno"},
		{"a number that is none", "syscall_0xzz(0) = 0\n", "has no number"},
		{"a process beyond all", "99999999999999999999 read(0) = 0\n", "out of range"},
		{"a mode that is none", "[ Process PID=1 runs in 16 bit mode. ]\n", "line 1: process 1 runs in 16 bit mode, which x86_64 does not have"},
		{"an endless line", strings.Repeat("x", maxLine+1), "line 1: longer than"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(c.log)
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got error %v, want one with %q", err, c.message)
			}
		})
	}
	_, err := ReadStrace(amd64, Log{Name: "a.log", Reader: strings.NewReader("hello\n")})
	if err == nil || !strings.HasPrefix(err.Error(), "a.log: line 1: ") {
		t.Errorf("got error %v, want it to begin with the name and the line", err)
	}
	broken := errors.New("broken")
	if _, err := ReadStrace(amd64, Log{Reader: io.MultiReader(strings.NewReader("read("), failing{broken})}); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func TestHowARunEnded(t *testing.T) {
	for log, clean := range map[string]uint64{
		"read(0, \"\", 1) = 0\n+++ exited with 1 +++\n":                                                          1,
		"read(0, \"\", 1) = 0\n+++ killed by SIGSEGV (core dumped) +++\n":                                        0,
		"5 fork() = 6\n6 getpid() = 6\n6 +++ killed by SIGKILL +++\n5 getpid() = 5\n5 +++ exited with 0 +++\n":   1,
		"read(0, \"\", 1) = -1 EIO (Input/output error) (INJECTED)\n+++ exited with 0 +++\n":                     0,
		"5 fork() = 6\n6 getpid() = 6\n6 +++ exited with 0 +++\n5 getpid() = 5\n5 +++ killed by SIGALRM +++\n":   0,
		"restart_syscall(<... resuming interrupted read ...> <detached ...>\n":                                   1,
		"strace: Process 5 attached with 2 threads\n[pid 6] pause( <detached ...>\nstrace: Process 5 detached\n": 1,
	} {
		rec, err := read(log)
		if err != nil {
			t.Errorf("%v\n%s", err, log)
			continue
		}
		if rec.Trace.CleanRuns != clean || rec.Missing != nil {
			t.Errorf("got %d clean runs, missing %q; want %d and nothing\n%s", rec.Trace.CleanRuns, rec.Missing, clean, log)
		}
	}
}

func TestTheCommandLineIsReadInFullOrNotAtAll(t *testing.T) {
	for log, want := range map[string][]string{
		`execve("/bin/a", ["a", "\t\"\\\33[\0", "\x41\2011"], 0x1 /* 1 var */) = 0`: {"a", "\t\"\\\x1b[\x00", "A\x811"},
		`execve("/bin/a", [], 0x1 /* 1 var */) = 0`:                                 nil,
		`execve("/bin/a", ["a", "long"...], 0x1 /* 1 var */) = 0`:                   nil,
		`execve("/bin/a", ["a", ...], 0x1 /* 1 var */) = 0`:                         nil,
		`execve("/bin/a", 0x7f00, 0x1) = -1 EFAULT (Bad address)`:                   nil,
	} {
		rec, err := read(log + "\n+++ exited with 0 +++\n")
		if err != nil {
			t.Errorf("%s: %v", log, err)
			continue
		}
		if diff := cmp.Diff(want, rec.Argv); diff != "" || rec.Trace.Target.Path != "/bin/a" {
			t.Errorf("%s: path %q\n%s", log, rec.Trace.Target.Path, diff)
		}
	}
}

// A program of 32 bits that a program of 64 bits started: the log of -o does not
// say where the ABI changes, so the user has to.
func TestA32BitProgramIsReadWhenToldTo(t *testing.T) {
	text, err := os.ReadFile("testdata/f-32bit.strace")
	if err != nil {
		t.Fatal(err)
	}
	_, err = read(string(text))
	var unknown *sysno.UnknownNameError
	if !errors.As(err, &unknown) || !slices.Contains(unknown.Elsewhere, sysno.I386) {
		t.Errorf("got error %v, want an unknown name that i386 has", err)
	}
	only, _, _ := strings.Cut(string(text), "execve(\"/bin/true\"")
	rec := readStrace(t, Options{Arch: sysno.I386}, Log{Reader: strings.NewReader(only[:strings.LastIndex(only, "\n")+1])})
	if rec.Trace.Arch != sysno.AMD64 {
		t.Errorf("the machine: got %v", rec.Trace.Arch)
	}
	find(t, rec, "execve") // strace's own, of 64 bits
	find(t, rec, "i386:mmap2")
}

// The strace of this machine, with every option that changes the form of a log.
func TestTheStraceThatIsInstalledIsRead(t *testing.T) {
	strace := testenv.Program(t, "strace")
	if sysno.Native() == sysno.ArchInvalid {
		t.Skip("no table for this machine")
	}
	for _, options := range []string{"-f", "-f -t", "-f -tt -T", "-f -ttt -i", "-f -r -y", "-f -n -v -x", "-f -r -tt -yy -q", "-f -a 80 -s 3 -X raw", "-f -k"} {
		t.Run(options, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "log")
			cmd := exec.Command(strace, append(strings.Fields(options), "-o", out, "sh", "-c", "cat /dev/null | cat; no_such_command 2>/dev/null; exit 3")...)
			var exit *exec.ExitError
			if said, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
				t.Fatalf("strace: %v\n%s", err, said)
			}
			f, err := os.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			rec := readStrace(t, Options{}, Log{Reader: f})
			if rec.Missing != nil || rec.Trace.CleanRuns != 1 {
				t.Errorf("missing %q, %d clean runs", rec.Missing, rec.Trace.CleanRuns)
			}
			got := summary(rec)
			for _, name := range []string{"execve", "openat", "read", "exit_group", "wait4", "munmap", "rt_sigaction"} {
				if !slices.Contains(got, sysno.Native().String()+":"+name) {
					t.Errorf("%s is not in the recording: %v", name, got)
				}
			}
		})
	}
}

func FuzzReadStrace(f *testing.F) {
	names, err := filepath.Glob("testdata/*.strace")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data[:min(len(data), 2000)]))
	}
	f.Add("execve(\"/bin/a\", [\"a\", \"\\33\"], 0x1) = 0\n+++ exited with 0 +++\n")
	f.Fuzz(func(t *testing.T, text string) {
		rec, err := read(text)
		if err != nil {
			return
		}
		if rec.Trace.Lost.Complete() != (rec.Missing == nil) {
			t.Errorf("%d lost, but the reasons are %q", rec.Trace.Lost.Tasks, rec.Missing)
		}
		if err := trace.Encode(io.Discard, rec.Trace); err != nil {
			t.Error(err)
		}
	})
}
