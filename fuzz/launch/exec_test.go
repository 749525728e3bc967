package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// shell is an executor whose target is /bin/sh.
func shell(t testing.TB, o Options) *Exec {
	t.Helper()
	if o.Cage != nil {
		testenv.Require(t, testenv.Cage)
	}
	o.Program = "/bin/sh"
	o.Env = append(o.Env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func run(t testing.TB, e *Exec, s *fuzz.Scenario) *fuzz.Result {
	t.Helper()
	r, err := e.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func script(text string) *fuzz.Scenario {
	return &fuzz.Scenario{Argv: []string{"sh", "-c", text}, Stdin: fuzz.StdinNull}
}

func TestScenarioReachesTheTarget(t *testing.T)             { reaches(t, &cage.Options{}) }
func TestScenarioReachesTheTargetWithoutACage(t *testing.T) { reaches(t, nil) }

func reaches(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c, Env: []string{"KEPT=1", "GONE=1", "SET=old"}})
	for _, tt := range []struct {
		name string
		s    fuzz.Scenario
		want string
	}{
		{"null", fuzz.Scenario{Stdin: fuzz.StdinNull, Input: []byte("x"), Argv: []string{"sh", "-c", "cat"}}, ""},
		{"file", fuzz.Scenario{Stdin: fuzz.StdinFile, Input: []byte("x"), Argv: []string{"sh", "-c", "[ -f /dev/stdin ] && cat"}}, "x"},
		{"pipe", fuzz.Scenario{Stdin: fuzz.StdinPipe, Input: []byte("x"), Argv: []string{"sh", "-c", "[ -p /dev/stdin ] && cat"}}, "x"},
		{"large pipe", fuzz.Scenario{Stdin: fuzz.StdinPipe, Input: make([]byte, 3_000_000), Argv: []string{"sh", "-c", "wc -c"}}, "3000000\n"},
		{"input file", fuzz.Scenario{Stdin: fuzz.StdinNull, Input: []byte("y"), Argv: []string{"sh", "-c", "cat $1", "sh", "@@"}}, "y"},
		{"input file in a word", fuzz.Scenario{Stdin: fuzz.StdinNull, Input: []byte("y"), Argv: []string{"sh", "-c", "cat ${1#if=}", "sh", "if=@@"}}, "y"},
		{"further files", fuzz.Scenario{Stdin: fuzz.StdinNull, Files: []fuzz.File{{Name: "d/f", Data: []byte("z")}}, Argv: []string{"sh", "-c", "cat d/f"}}, "z"},
		{"environment", fuzz.Scenario{Stdin: fuzz.StdinNull, Env: []string{"GONE", "SET=new", "NEW=a=b"}, Argv: []string{"sh", "-c", "echo $KEPT.$GONE.$SET.$NEW"}}, "1..new.a=b\n"},
	} {
		r := run(t, e, &tt.s)
		if got := string(e.Output()); got != tt.want || !r.Clean() || r.ExitCode != 0 {
			t.Errorf("cage %v, %s: output %q, want %q; result %+v", c != nil, tt.name, got, tt.want, r)
		}
	}
}

func TestRunsDoNotSeeEachOther(t *testing.T) {
	e := shell(t, Options{Cage: &cage.Options{}})
	for range 2 {
		run(t, e, script("ls /tmp /tmp/work /run /dev/shm /etc/made; echo $$; ipcs -m | wc -l; touch a /tmp/b /run/c /dev/shm/d /etc/made 2>/dev/null; ipcmk -M 1 >/dev/null"))
		first := string(e.Output())
		run(t, e, script("ls /tmp /tmp/work /run /dev/shm /etc/made; echo $$; ipcs -m | wc -l"))
		if second := string(e.Output()); second != first || first == "" {
			t.Errorf("a later run sees %q where the first saw %q", second, first)
		}
	}
}

func TestTheCageLooksLikeAContainer(t *testing.T) {
	e := shell(t, Options{Cage: &cage.Options{}})
	caps, own := "00000000800005fb", "tjfuzz-*"
	if os.Geteuid() != 0 {
		caps, own = "0000000000000000", "*" // it has none, but sees those of others
	}
	for _, tt := range []struct{ name, script, want string }{
		{"capabilities", "grep -h Cap /proc/self/status | sort -u | tr -d '\\n\\t'",
			"CapAmb:0000000000000000CapBnd:" + caps + "CapEff:" + caps + "CapInh:0000000000000000CapPrm:" + caps},
		{"the user's own ids", "id -u; id -g", fmt.Sprintf("%d\n%d\n", os.Geteuid(), os.Getegid())},
		{"working directory", "pwd; ls -A | wc -l", "/tmp/work\n0\n"},
		{"no descriptor of tjfuzz", "ls /proc/$$/fd; :", "0\n1\n2\n"},
		{"own pids", "echo $$", "2\n"},
		{"no signal is blocked or ignored", "grep -hE 'Sig(Blk|Ign):' /proc/self/status | tr -d '\\n\\t'", "SigBlk:0000000000000000SigIgn:0000000000000000"},
		{"only loopback, and it is up", "cat /proc/net/dev | grep -c :; grep -c 127 /proc/net/fib_trie | sed 's/[1-9].*/some/'", "1\nsome\n"},
		{"devices work", "echo x >/dev/null && head -c2 /dev/zero | wc -c && head -c3 /dev/urandom | wc -c; [ -c /dev/tty ] && [ -L /dev/stdin ] && [ -d /dev/pts ] && echo ok", "2\n3\nok\n"},
		{"no device can be made", "mknod /tmp/d b 254 0 2>/dev/null && echo made; mknod /etc/d c 1 1 2>/dev/null && echo made", ""},
		{"the kernel cannot be set", "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper; do [ -e $f ] && (echo x >$f) 2>/dev/null && echo wrote $f; done", ""},
		{"no user namespace, and so no cgroup", "unshare -Ur true 2>/dev/null && echo unshared; chroot /tmp /bin/true 2>/dev/null && echo chrooted", ""},
		{"nothing above the root", "ls -d /../proc /../usr/../etc | wc -l; ls /.. | grep -c xup", "2\n0\n"},
		{"cgroups are seen and cannot be changed", "d=$(find /sys/fs/cgroup -mindepth 1 -type d -name '" + own + "' 2>/dev/null | head -n 1); [ -d \"$d\" ] && cat $d/cgroup.procs >/dev/null && echo seen; " +
			"for f in $(find /sys/fs/cgroup -maxdepth 2 -name cgroup.procs -o -maxdepth 2 -name tasks 2>/dev/null); do (echo 0 >$f) 2>/dev/null && echo wrote $f; done; mkdir $d/x 2>/dev/null && echo made", "seen\n"},
		{"no mount", "mount -t tmpfs x /mnt 2>/dev/null && echo mounted; umount /proc 2>/dev/null && echo unmounted", ""},
	} {
		run(t, e, script(tt.script))
		if got := string(e.Output()); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestExposedTargetInTmpRuns(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	dir := t.TempDir()
	prog := filepath.Join(dir, "prog")
	if err := os.WriteFile(prog, []byte("#!/bin/sh\ncat ${0%/*}/data; touch $0 ${0%/*}/new 2>/dev/null && echo wrote\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("data\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{Program: prog, Env: []string{"PATH=/usr/bin:/bin"}, Cage: &cage.Options{Expose: []string{dir}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	run(t, e, &fuzz.Scenario{Argv: []string{prog}, Stdin: fuzz.StdinNull})
	if got := string(e.Output()); got != "data\nwrote\n" {
		t.Errorf("got %q, want data and that it wrote", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the host's directory holds %v, %v", entries, err)
	}
}

func TestTargetStartsInADirectoryOfTheHostThatItCannotChange(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"kept", "hidden"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{dir, "/usr/share"} { // below a private directory, and not
		e := shell(t, Options{Cage: &cage.Options{Dir: dir, Hide: []string{"hidden"}}})
		s := script("pwd; ls >list; cat kept hidden made/here @@ 2>/dev/null; rm -rf kept list made")
		s.Files = []fuzz.File{{Name: "made/here", Data: []byte(" and here")}}
		s.Argv = append(s.Argv, "sh", "@@")
		run(t, e, s)
		want := dir + "\n and here"
		if strings.HasPrefix(dir, "/tmp/") {
			want = dir + "\nkept and here"
		}
		if got := string(e.Output()); got != want {
			t.Errorf("in %s: got %q, want %q", dir, got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the host's directory holds %v, %v", entries, err)
	}
}

// Each victim tries to harm the host. Afterwards the host is unharmed and the
// executor still works.
func TestVictimsHarmNothing(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	// On a file system that worlds show.
	dir, err := os.MkdirTemp("/var/tmp", "tjfuzz-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	outside := filepath.Join(dir, "outside")
	if err := os.WriteFile(outside, []byte("safe"), 0o644); err != nil {
		t.Fatal(err)
	}
	victims := []struct{ name, script string }{
		{"remove everything", "rm -rf --no-preserve-root / 2>/dev/null"},
		{"overwrite everything", "for f in /bin/* /etc/*; do : >$f; done 2>/dev/null"},
		{"fork without end", "f() { f | f & }; f; sleep 60"},
		{"fill the disk", "head -c 3000000000 /dev/zero >/big; head -c 3000000000 /dev/zero >/tmp/big; for i in 1 2 3 4 5 6; do head -c 60000000 /dev/zero >/var/big$i; done"},
		{"fill the memory", "x=x; while :; do x=$x$x; done"},
		{"fill the memory in a shared memory file", "head -c 3000000000 /dev/zero >/dev/shm/big"},
		{"kill the parent's group", "kill -9 0"},
		{"kill the parent and all else", "kill -9 1 $PPID; kill -9 -1"},
		{"stop the parent and all else", "kill -STOP 1 $PPID; kill -STOP -1"},
		{"kill the init", "for s in HUP INT QUIT TERM SEGV STOP KILL; do kill -$s 1; done; sleep 0.1; exit 0"},
		{"strangle the init", "prlimit --pid 1 --as=1 --nofile=1 --cpu=1 2>/dev/null; exit 0"},
		{"sleep for ever", "sleep 1000000"},
		{"sleep for ever and ignore signals", "trap '' HUP INT TERM; setsid sleep 1000000 & sleep 1000000"},
		{"daemonize", "setsid sh -c 'setsid sleep 1000000 & exit' & exit 0"},
		{"spoil a file outside", "rm -f " + outside + "; echo spoilt >" + outside + "; chmod 000 " + dir},
		{"spoil the devices", "chmod 000 /dev/null /dev/zero; rm -f /dev/null; : >/dev/tty"},
		{"write for ever", "yes"},
	}
	e := shell(t, Options{Cage: &cage.Options{}, Timeout: time.Second})
	before, err := os.Stat(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			began := time.Now()
			run(t, e, script(v.script))
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("the run took %v", d)
			}
			r := run(t, e, script("echo alive; pgrep -c . || ps ax | wc -l"))
			if out := string(e.Output()); !strings.HasPrefix(out, "alive\n") || r.ExitCode != 0 {
				t.Errorf("the next run gives %+v, %q", r, out)
			}
		})
	}
	if b, err := os.ReadFile(outside); string(b) != "safe" {
		t.Errorf("a file outside is %q, %v", b, err)
	}
	if st, err := os.Stat(os.DevNull); err != nil || st.Mode() != before.Mode() {
		t.Errorf("/dev/null changed: %v %v", st, err)
	}
	if out, _ := exec.Command("pgrep", "-f", "sleep 1000000").Output(); len(out) > 0 {
		t.Errorf("alive outside of their runs: %s", out)
	}
}

func TestLimitsAreInForce(t *testing.T) {
	e := shell(t, Options{Cage: &cage.Options{Limits: cage.Limits{Memory: 64 << 20, Processes: 24, Scratch: 1 << 20, FileSize: 1 << 19}}, Timeout: 5 * time.Second})
	if w := e.Warnings(); len(w) > 0 && os.Geteuid() == 0 {
		t.Fatalf("cgroups cannot bound targets here: %s", strings.Join(w, "; "))
	}
	for _, tt := range []struct{ name, script, want string }{
		{"memory", "head -c 200000000 /dev/zero | tail -n 1 >/dev/null; echo $?", "137"},
		{"processes", "i=0; while [ $i -lt 60 ]; do sleep 0.2 & i=$((i + 1)); done; echo all", "Cannot fork"},
		{"file size", "head -c 600000 /dev/zero >f; echo $?; stat -c %s f", "524288"},
		{"scratch", "for i in 1 2 3 4; do head -c 500000 /dev/zero >$i; done; for i in 5 6; do head -c 500000 /dev/zero >/var/tmp/$i; done", "No space left"},
	} {
		if tt.name == "memory" && os.Geteuid() != 0 {
			continue
		}
		r := run(t, e, script(tt.script))
		if tt.name == "memory" && r.Signal == int(unix.SIGKILL) {
			continue // the kernel has ended the shell, too
		}
		if got := string(e.Output()); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q in it", tt.name, got, tt.want)
		}
	}
}

func TestWithoutACageTheTreeIsStillKilled(t *testing.T) {
	e := shell(t, Options{Timeout: 200 * time.Millisecond})
	r := run(t, e, script("setsid sleep 86296 & sleep 86296"))
	if !r.TimedOut {
		t.Errorf("got %+v, want a timeout", r)
	}
	if out, _ := exec.Command("pgrep", "-f", "sleep 86296").Output(); len(out) > 0 {
		t.Errorf("alive: %s", out)
	}
}

func TestCancelledContextEndsTheRun(t *testing.T) {
	e := shell(t, Options{Cage: &cage.Options{}, Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Run(ctx, script("sleep 86295")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	if r := run(t, e, script("exit 3")); r.ExitCode != 3 {
		t.Errorf("the run after a cancelled one gives %+v", r)
	}
}

func TestMissingProgramIsAnError(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	e, err := New(Options{Program: "/does/not/exist", Cage: &cage.Options{}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Run(t.Context(), script(":")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v, want ENOENT", err)
	}
}

func TestNothingIsLeftOnTheHost(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	count := func() (n [2]int) {
		// Not of /proc/self: an executor may own the first thread, which is elsewhere then.
		b, err := os.ReadFile("/proc/thread-self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		own := fmt.Sprintf("tjfuzz-%d-*", os.Getpid())
		groups, _ := filepath.Glob("/sys/fs/cgroup/*/" + own)
		more, _ := filepath.Glob("/sys/fs/cgroup/" + own)
		return [2]int{strings.Count(string(b), "\n"), len(groups) + len(more)}
	}
	before := count()
	e, err := New(Options{Program: "/bin/true", Cage: &cage.Options{}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e, &fuzz.Scenario{Argv: []string{"true"}, Stdin: fuzz.StdinNull})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != before {
		t.Errorf("mounts and cgroups: %v before, %v after", before, after)
	}
}

// blind is a watcher that sees nothing.
type blind struct{}

func (blind) Begin(*spawn.Spec) error      { return nil }
func (blind) Started(*spawn.Process) error { return nil }
func (blind) Seen() []sysno.ID             { return nil }
func (blind) Release() error               { return nil }

func BenchmarkRun(b *testing.B) {
	for _, c := range []struct {
		name string
		cage *cage.Options
	}{{"cage", &cage.Options{}}, {"no cage", nil}} {
		b.Run(c.name, func(b *testing.B) {
			testenv.Require(b, testenv.Cage)
			e, err := New(Options{Program: "/bin/true", Cage: c.cage, Watch: func() (Watcher, error) { return blind{}, nil }})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			s := &fuzz.Scenario{Argv: []string{"true"}, Stdin: fuzz.StdinNull}
			for b.Loop() {
				run(b, e, s)
			}
		})
	}
}

// A world that cannot be made, here for want of a parent, is an error and nothing to clean up.
func TestAWorldThatCannotBeMadeIsAnError(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	o := Options{Program: "/bin/sh", Cage: &cage.Options{Run: []cage.RunDir{{Name: "none/child", Mode: 0o755}}}}
	if _, err := New(o); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
}
