package launch

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// reader is an executor whose target is a shell that reads what to do, so that all
// scripts are of one class. Its copies are made in a cage.
func reader(t *testing.T, stdin fuzz.StdinKind) (e *Exec, do func(script string) (*fuzz.Result, string)) {
	t.Helper()
	testenv.Require(t, testenv.Cage)
	return readerIn(t, stdin, &cage.Options{Limits: cage.Limits{Scratch: 8 << 20}})
}

func readerIn(t *testing.T, stdin fuzz.StdinKind, c *cage.Options) (e *Exec, do func(script string) (*fuzz.Result, string)) {
	t.Helper()
	testenv.Require(t, testenv.BPF)
	r, err := rawtp.Open(rawtp.Options{Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	e, err = New(Options{
		Program: "/bin/sh", Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, ForkServer: true,
		Cage: c, Timeout: time.Second,
		Watch: func() (Watcher, error) {
			s, err := r.Launcher(0)
			return recorded{s}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, func(script string) (*fuzz.Result, string) {
		t.Helper()
		r := run(t, e, &fuzz.Scenario{Argv: []string{"sh"}, Stdin: stdin, Input: []byte(script),
			Files: []fuzz.File{{Name: "given", Data: []byte("given\n")}, {Name: "sub/given", Data: []byte("too\n")}}})
		return r, string(e.Output())
	}
}

// served makes sure that the next run of the reader's class is a copy.
func served(t *testing.T, e *Exec, do func(string) (*fuzz.Result, string)) {
	t.Helper()
	for range warmUp + 2 {
		for _, c := range e.copies.classes {
			c.starts = 0 // it is asked for
			if c.server != nil {
				return
			}
			if c.rung == nowhere {
				t.Fatalf("no copies: %v", c.refused)
			}
		}
		do(":")
	}
	t.Fatal("no server was started")
}

// Whatever a copy in a cage does, the next one sees what the first one saw.
func TestCopiesDoNotSeeEachOther(t *testing.T) {
	e, do := reader(t, fuzz.StdinPipe)
	// Its own name: the key of a run of this test that has just ended may vanish during this one.
	key := fmt.Sprintf("tjfuzz-%d", os.Getpid())
	probe := `
		echo $$ $PPID $(sh -c 'echo $$')
		for d in / /tmp /tmp/work /run /dev/shm /etc /var/tmp /root /dev/pts; do ls -A $d; done
		stat -c '%n %a %u:%g %F' / /tmp /tmp/work /run /dev/shm /etc /etc/passwd given /proc/1
		cat given /etc/passwd; cut -d' ' -f2- /proc/keys | grep -c ` + key + `; ipcs -a | wc -l
		ulimit -a; prlimit --pid $$; nice; taskset -p $$; ionice; chrt -p $$; cat /proc/1/oom_score_adj /proc/self/oom_score_adj /proc/self/coredump_filter
		grep -E '^(Cpus_allowed|Sig(Blk|Ign|Cgt)|Cap|Threads)' /proc/self/status; df --output=iused,used /tmp; env`
	served(t, e, do)
	_, want := do(probe)
	for _, spoil := range []string{
		":",
		"touch new", "mkdir -p /tmp/a/b", "echo x >/run/new", "echo x >/dev/shm/new", "echo x >/var/tmp/new; rm /var/tmp/new",
		"echo other >given", "printf 'g' | dd of=given conv=notrunc", "rm given", "mv given moved", "chmod 600 given", "chown 1 given", "ln given again", "ln -s given link", "mkfifo pipe",
		"echo more >>/etc/passwd", "rm /etc/passwd", "chmod 700 /tmp", "chmod 700 /", "rmdir /tmp/work", "rm -rf /root /etc",
		"prlimit --pid 1 --nofile=9:9", "prlimit --pid $PPID --as=1", "renice 5 1", "taskset -p 1 1", "ionice -c3 -p 1", "chrt -b -p 0 1",
		"echo 500 >/proc/1/oom_score_adj", "echo 0 >/proc/1/coredump_filter",
		"ipcmk -M 1; ipcmk -Q", "kill -9 1; kill -TERM 1; kill -CHLD 1", "kill -STOP 1 $PPID; kill -9 -1",
		"for i in 1 2 3 4 5 6 7 8 9; do sh -c :; done", "sleep 86293 & exit", "setsid sleep 86293 & exit", "sleep 86293",
		"(sleep 0.01 &) ; exit 3", "head -c 30000000 /dev/zero >/tmp/full", "cat /dev/ptmx & kill $!",
		// add_key to the session keyring, and let only its possessors see it: what nobody has is removed later.
		`perl -e 'my ($t, $n, $k) = ("user", "` + key + `", "x"); syscall(250, 5, syscall(248, $t, $n, $k, 1, -3), 0x3f000000)'`,
		"ulimit -n 5; ulimit -f 1",
	} {
		t.Run(spoil, func(t *testing.T) {
			served(t, e, do)
			do(spoil)
			if _, got := do(probe); got != want {
				t.Errorf("the next run sees %s", differences(got, want))
			}
			served(t, e, do)
			if _, got := do(probe); got != want {
				t.Errorf("a later copy sees %s", differences(got, want))
			}
		})
	}
	if out, _ := exec.Command("pgrep", "-fx", "sleep 86293").Output(); len(out) > 0 {
		t.Errorf("alive: %s", out)
	}
}

// Without a cage, that holds for the working directory.
func TestCopiesDoNotSeeEachOtherInADirectory(t *testing.T) {
	e, do := readerIn(t, fuzz.StdinPipe, nil)
	const probe = `ls -A . sub; find . ! -name . -exec stat -c '%n %a %u:%g %h %s %F' {} +; stat -c '%a %u:%g' .; cat given sub/given; getfattr -d given 2>&1; find . -newermt 2099-01-01; find . ! -newermt 2000-01-01`
	served(t, e, do)
	_, want := do(probe)
	kept := 0
	for _, spoil := range []string{
		":", "cat given sub/given; ls -la . sub",
		"touch new", "touch sub/new", "mkdir -p a/b", "rmdir a", "echo other >given", "echo other >>sub/given", "printf 'g' | dd of=given conv=notrunc", "printf 'T' | dd of=sub/given conv=notrunc",
		"truncate -s 0 given", "rm given", "mv given moved", "mv sub/given given", "mv sub bus", "mv given ../moved; mv ../moved given", "chmod 600 sub/given", "chmod 700 .", "chmod 700 sub", "chown 1 given",
		"ln given again", "ln given ../again; rm ../again", "ln -s given link", "mkfifo sub/pipe", "touch -d 2100-01-01 given", "touch -d 1999-01-01 sub", "rm -rf ../work", "rm -rf sub", "mv ../work ../krow; rm -rf ../krow",
		`perl -e 'open F, "+<", "given"; syswrite F, "x"; sleep 86294' & exit`,
		`exec 9<>given; exit 1`, `(sleep 0.01; touch late) & exit`,
		":",
	} {
		t.Run(spoil, func(t *testing.T) {
			for _, c := range e.copies.classes {
				if c.server != nil {
					c.server.dir.spoilt = 0 // it is watched
				}
			}
			served(t, e, do)
			do(spoil)
			for range 2 { // by itself, and after one that leaves all as it is
				if _, got := do(probe); got != want {
					t.Errorf("the next run sees %s", differences(got, want))
				}
			}
			for _, c := range e.copies.classes {
				if c.server != nil && c.server.dir.clean {
					kept++
				}
			}
		})
	}
	if kept < 3 {
		t.Errorf("after runs that change nothing the directory was kept %d times", kept)
	}
}

// A program that always changes its directory gets a new one each time, and no one looks for changes.
func TestADirectoryThatAllRunsChangeIsNotWatched(t *testing.T) {
	e, do := readerIn(t, fuzz.StdinPipe, nil)
	served(t, e, do)
	for n := range 3 * futile {
		served(t, e, do)
		if _, got := do("ls new; touch new"); strings.Contains(got, "\nnew") || !strings.Contains(got, "new") {
			t.Errorf("run %d: %s", n, got)
		}
	}
	for _, c := range e.copies.classes {
		if c.server == nil || c.server.dir.spoilt != futile || c.server.dir.clean || c.server.dir.changes >= 0 {
			t.Errorf("the directory is %+v", c.server.dir)
		}
	}
}

// differences are the lines that only one of two texts has.
func differences(got, want string) string {
	only := func(a, b string) (lines []string) {
		has := strings.Split(b, "\n")
		for line := range strings.Lines(a) {
			if !slices.Contains(has, strings.TrimSuffix(line, "\n")) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	return fmt.Sprintf("%q instead of %q", only(got, want), only(want, got))
}

// The server of a cage is confined as its copies are, but that it may number processes.
func TestServersAreConfined(t *testing.T) {
	e, do := reader(t, fuzz.StdinPipe)
	served(t, e, do)
	for _, c := range e.copies.classes {
		dir := fmt.Sprintf("/proc/%d/", c.server.Pid())
		for _, ns := range []string{"mnt", "pid", "net", "ipc", "uts"} {
			own, err := os.Readlink("/proc/self/ns/" + ns)
			if err != nil {
				t.Fatal(err)
			}
			if its, err := os.Readlink(dir + "ns/" + ns); err != nil || its == own {
				t.Errorf("%s namespace is %s, %v, and the host's %s", ns, its, err, own)
			}
		}
		status, err := os.ReadFile(dir + "status")
		if err != nil {
			t.Fatal(err)
		}
		for set, want := range map[string]string{"CapPrm": "00000100800005fb", "CapEff": "00000100800005fb", "CapBnd": "00000000800005fb"} {
			if want := set + ":\t" + want + "\n"; !strings.Contains(string(status), want) {
				t.Errorf("want %q in\n%s", want, status)
			}
		}
	}
}
