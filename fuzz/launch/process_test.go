package launch

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestProcessesAreWhatTheScenarioSays(t *testing.T)             { processesAre(t, &cage.Options{}) }
func TestProcessesAreWhatTheScenarioSaysWithoutACage(t *testing.T) { processesAre(t, nil) }

func processesAre(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c})
	limit := func(r fuzz.Resource, v uint64) fuzz.World {
		return fuzz.World{Limits: []fuzz.Limit{{Resource: r, Value: v}}}
	}
	for _, tt := range []struct {
		script string
		world  fuzz.World
		want   string
		signal unix.Signal
	}{
		{"ulimit -n; ulimit -Hn; exec 3</dev/null; exec 4</dev/null", limit(fuzz.ResourceFiles, 4), "4\n4\nsh: 1: cannot open /dev/null: Too many open files\n", 0},
		{"ulimit -v; exec head -c 1 /etc/passwd >/dev/null", limit(fuzz.ResourceMemory, 64<<20), "65536\n", 0},
		{"exec cat /etc/passwd >f", limit(fuzz.ResourceFile, 0), "", unix.SIGXFSZ},
		{"ulimit -s", limit(fuzz.ResourceStack, 256<<10), "256\n", 0},
		{"ulimit -l", limit(fuzz.ResourceLocked, 0), "0\n", 0},
		{"ulimit -n; ulimit -s", fuzz.World{Limits: []fuzz.Limit{{Resource: fuzz.ResourceFiles, Value: 16}, {Resource: fuzz.ResourceStack, Value: 1 << 20}}}, "16\n1024\n", 0},
	} {
		s := script(tt.script)
		s.World = tt.world
		r := run(t, e, s)
		if got := string(e.Output()); got != tt.want || r.Signal != int(tt.signal) {
			t.Errorf("cage %v, %v: got %q, want %q; %+v", c != nil, tt.world.Limits, got, tt.want, r)
		}
	}
}

func TestNobodyIsNobody(t *testing.T)             { nobodyIs(t, &cage.Options{}) }
func TestNobodyIsNobodyWithoutACage(t *testing.T) { nobodyIs(t, nil) }

func nobodyIs(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c})
	if root := os.Geteuid() == 0; e.Can().User != root {
		t.Fatalf("able to be another user: %v, and root: %v", e.Can().User, root)
	} else if !root {
		return
	}
	s := script("id -u; id -g; id -G; grep -h Cap /proc/self/status | sort -u | grep -v Bnd | tr -d '\\n\\t'; cat $1 ro unreadable 2>&1; echo x 2>&1 >ro; echo; ulimit -n")
	s.Argv, s.Input = append(s.Argv, "sh", "@@"), []byte("in ")
	s.Files = []fuzz.File{{Name: "ro", Data: []byte("data\n"), Kind: fuzz.FileReadOnly}, {Name: "unreadable", Kind: fuzz.FileUnreadable}}
	s.World = fuzz.World{User: fuzz.UserNobody, Limits: []fuzz.Limit{{Resource: fuzz.ResourceFiles, Value: 16}}, Faults: fault(t, "statx:ENOSYS")}
	run(t, e, s)
	const zero = "0000000000000000"
	want := "65534\n65534\n65534\nCapAmb:" + zero + "CapEff:" + zero + "CapInh:" + zero + "CapPrm:" + zero +
		"in data\ncat: unreadable: Permission denied\n"
	if got := string(e.Output()); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\n16\n") || !strings.Contains(got, "cannot create ro: Permission denied") {
		t.Errorf("cage %v: got %q, want %q", c != nil, got, want)
	}
}

func TestAUserByNumbersHasThese(t *testing.T) {
	testenv.Require(t, testenv.Root)
	e := shell(t, Options{Cage: &cage.Options{}})
	s := script("id -u; id -g; id -G")
	s.World.User = fuzz.UserOf(33, 1)
	run(t, e, s)
	if got, want := string(e.Output()), "33\n1\n1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAProgramThatNobodyMayReadIsNotRunAsNobody(t *testing.T) {
	testenv.Require(t, testenv.Root)
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		change os.FileMode
		path   string
		want   bool
	}{{0o700, dir, false}, {0o755, dir, true}, {0o700, program, false}, {0o711, program, false}, {0o755, program, true}} {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(tt.path, tt.change); err != nil {
			t.Fatal(err)
		}
		for _, named := range []struct{ program, dir string }{{program, ""}, {"./program", dir}} {
			if got := canBeNobody(named.program, named.dir); got != tt.want {
				t.Errorf("%s with mode %v: %v, want %v", tt.path, tt.change, got, tt.want)
			}
		}
	}
}

func TestSignalsComeWithReads(t *testing.T)             { signalsCome(t, &cage.Options{}) }
func TestSignalsComeWithReadsWithoutACage(t *testing.T) { signalsCome(t, nil) }

func signalsCome(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c})
	long := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	for _, tt := range []struct {
		name, script string
		input        []byte
		signal       unix.Signal
		want         string
		ends         unix.Signal
	}{
		{"caught", `trap "echo caught; trap : USR1" USR1; read -r x; read -r y; echo "$x.$y"`, []byte("one\ntwo\n"), unix.SIGUSR1, "caught\none.two\n", 0},
		{"of default action", `exec cat`, []byte("one\ntwo\n"), unix.SIGTERM, "", unix.SIGTERM},
		{"ignored by default", `exec cat`, []byte("one\ntwo\n"), unix.SIGWINCH, "one\ntwo\n", 0},
		{"and all is delivered", `exec wc -c`, long, unix.SIGCHLD, "16000\n", 0},
		{"and read by nobody", `echo end`, long, unix.SIGHUP, "end\n", 0},
		{"and read in part", `head -c 10 >/dev/null; echo end`, long, unix.SIGWINCH, "end\n", 0},
	} {
		for range 5 { // it is no matter of luck
			s := script(tt.script)
			s.Stdin, s.Input = fuzz.StdinPipe, tt.input
			s.World.Interruption = fuzz.Interruption{Signal: tt.signal, Moment: fuzz.MomentRead}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			r := run(t, e, s)
			if got := string(e.Output()); got != tt.want || r.Signal != int(tt.ends) || r.TimedOut {
				t.Errorf("cage %v, %s: got %q, want %q; %+v", c != nil, tt.name, got, tt.want, r)
			}
		}
	}
}

func TestSignalsComeWithWrites(t *testing.T) {
	for _, c := range []*cage.Options{{}, nil} {
		e := shell(t, Options{Cage: c})
		for _, tt := range []struct {
			name, script string
			signal       unix.Signal
			want         string
			ends         unix.Signal
		}{
			{"caught", `trap "trap : INT; echo caught" INT; echo one; echo two`, unix.SIGINT, "one\ncaught\ntwo\n", 0},
			{"of default action", `echo one; echo two`, unix.SIGTERM, "one\n", unix.SIGTERM},
			{"ignored", `trap "" HUP; echo one; echo two`, unix.SIGHUP, "one\ntwo\n", 0},
			{"and nothing is written", `:`, unix.SIGTERM, "", 0},
			{"and more is written than a pipe holds", `trap "" HUP; exec head -c 200000 /dev/zero`, unix.SIGHUP, strings.Repeat("\x00", 200000), 0},
		} {
			s := script(tt.script)
			s.World.Stdout, s.World.Interruption = fuzz.OutputPipe, fuzz.Interruption{Signal: tt.signal, Moment: fuzz.MomentWrite}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			r := run(t, e, s)
			if got := string(e.Output()); got != tt.want || r.Signal != int(tt.ends) || r.TimedOut {
				t.Errorf("cage %v, %s: got %.40q, want %.40q; %+v", c != nil, tt.name, got, tt.want, r)
			}
		}
	}
}

// The terminal holds less than is written, so the signal comes before all is.
func TestASignalIsTypedWhenMuchIsWrittenToATerminal(t *testing.T) {
	for _, c := range []*cage.Options{{}, nil} {
		e := shell(t, Options{Cage: c})
		for _, tt := range []struct {
			script string
			r      fuzz.Result
		}{
			{`head -c 1000000 /dev/zero; echo`, fuzz.Result{Signal: int(unix.SIGINT)}},
			{`trap "exit 7" INT; head -c 1000000 /dev/zero; sleep 60`, fuzz.Result{ExitCode: 7}},
			{`exec sleep 0`, fuzz.Result{}},
		} {
			s := script(tt.script)
			s.World.Stdout, s.World.Interruption = fuzz.OutputTerminal, fuzz.Interruption{Signal: unix.SIGINT, Moment: fuzz.MomentWrite}
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			r := run(t, e, s)
			if r.ExitCode != tt.r.ExitCode || r.Signal != tt.r.Signal || r.TimedOut {
				t.Errorf("cage %v, %s: %+v, want %+v", c != nil, tt.script, r, tt.r)
			}
		}
	}
}

// What is typed when the time is up reaches those, too, that the program waits for.
func TestAKeyComesWhenTheTimeIsUp(t *testing.T) {
	for _, c := range []*cage.Options{{}, nil} {
		e := shell(t, Options{Cage: c, Timeout: 300 * time.Millisecond})
		for sig, said := range map[unix.Signal]string{unix.SIGINT: "", unix.SIGQUIT: "Quit\n"} { // by the shell, of sleep
			s := script(`trap "echo ends; exit 3" INT QUIT; sh -c 'trap "echo child" INT QUIT; sleep 1000000'`)
			s.World.Stdout, s.World.Interruption = fuzz.OutputTerminal, fuzz.Interruption{Signal: sig, Moment: fuzz.MomentLimit}
			r := run(t, e, s)
			if got := string(e.Output()); got != said+"child\r\nends\r\n" || r.ExitCode != 3 || r.TimedOut || r.Left {
				t.Errorf("cage %v, %v: got %q, %+v", c != nil, sig, got, r)
			}
		}
		// Where there is nobody to get it any more.
		s := script(`exec >/dev/null 2>&1 </dev/null; sleep 1000000`)
		s.World.Stdout, s.World.Interruption = fuzz.OutputTerminal, fuzz.Interruption{Signal: unix.SIGINT, Moment: fuzz.MomentLimit}
		if r := run(t, e, s); !r.TimedOut && r.Signal != int(unix.SIGINT) {
			t.Errorf("cage %v: %+v, want that it ends in any case", c != nil, r)
		}
	}
}

// A server that waits for ever ends as it does when it is told to.
func TestASignalComesWhenTheTimeIsUp(t *testing.T) {
	for _, c := range []*cage.Options{{}, nil} {
		e := shell(t, Options{Cage: c, Timeout: 300 * time.Millisecond})
		for _, tt := range []struct {
			script, want string
			r            fuzz.Result
		}{
			{`trap "echo ends; exit 3" TERM; sleep 1000000 & wait`, "ends\n", fuzz.Result{ExitCode: 3, Left: true}},
			{`exec sleep 1000000`, "", fuzz.Result{Signal: int(unix.SIGTERM)}},
			{`trap "echo no" TERM; while :; do sleep 1000000 & wait; done`, "no\n", fuzz.Result{TimedOut: true}},
			{`while :; do :; done`, "", fuzz.Result{Signal: int(unix.SIGTERM)}},
			{`echo early`, "early\n", fuzz.Result{}},
		} {
			s := script(tt.script)
			s.World.Interruption = fuzz.Interruption{Signal: unix.SIGTERM, Moment: fuzz.MomentLimit}
			r := run(t, e, s)
			if got := string(e.Output()); got != tt.want || r.ExitCode != tt.r.ExitCode || r.Signal != tt.r.Signal || r.TimedOut != tt.r.TimedOut {
				t.Errorf("cage %v, %s: got %q, want %q; %+v, want %+v", c != nil, tt.script, got, tt.want, r, tt.r)
			}
		}
	}
}
