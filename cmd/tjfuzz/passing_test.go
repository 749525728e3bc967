package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// permissive writes a profile that refuses next to nothing.
func permissive(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(path, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
		"syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// passThrough are the commands that run a program in the world of their caller,
// for a shell to execute.
func passThrough(t *testing.T) map[string]string {
	return map[string]string{
		"enforce": "tjfuzz enforce --log-source none --policy " + permissive(t) + " --",
		"become":  "tjfuzz enforce --quiet --policy " + permissive(t) + " --",
		"trace":   "tjfuzz trace --quiet --",
		"ptrace":  "tjfuzz trace --quiet --backend ptrace --",
	}
}

// talk is a program with somebody at the other end of its streams.
type talk struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// begin starts a shell command in a session of its own and waits for its first
// line, which is "ready".
func begin(t *testing.T, command string) *talk {
	t.Helper()
	c := &talk{Cmd: exec.CommandContext(t.Context(), "sh", "-c", command)}
	c.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	c.hear(t, "ready")
	return c
}

func (c *talk) hear(t *testing.T, want string) {
	t.Helper()
	if got, err := c.out.ReadString('\n'); strings.TrimRight(got, "\r\n") != want {
		t.Fatalf("the program says %q, %v, want %q", got, err, want)
	}
}

func (c *talk) signal(t *testing.T, s unix.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end waits for the end and demands the exit code.
func (c *talk) end(t *testing.T, want int) {
	t.Helper()
	if _ = c.Wait(); shellStatus(c.ProcessState) != want {
		t.Errorf("%v, want exit status %d", c.ProcessState, want)
	}
}

// Go raises the limit, and sets handlers for most signals.
func TestAProgramInheritsLimitsAndIgnoredSignalsAsWithoutTjfuzz(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	setting := `ulimit -Sn 512; exec env --ignore-signal=HUP,QUIT,PIPE,USR1,CHLD,TSTP,RTMIN,RTMAX `
	look := ` grep -h '^Max open files\|^Sig[BIC]' /proc/self/limits /proc/self/status`
	want, err := exec.Command("sh", "-c", setting+look).Output()
	if err != nil {
		t.Fatal(err)
	}
	// More may be ignored, by whoever runs the tests.
	const ignored = 0x8000000200091205
	parts := regexp.MustCompile(`(?s)open files +512 .*SigIgn:\t([0-9a-f]+)\n`).FindSubmatch(want)
	if parts == nil {
		t.Fatalf("the shell did not do its part:\n%s", want)
	}
	if set, err := strconv.ParseUint(string(parts[1]), 16, 64); err != nil || set&ignored != ignored {
		t.Fatalf("the shell did not do its part:\n%s", want)
	}
	for name, command := range passThrough(t) {
		got, err := exec.Command("sh", "-c", setting+command+look).CombinedOutput()
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %v\n%swant\n%s", name, err, got, want)
		}
	}
}

func TestIgnoredSignalsEndNeitherTjfuzzNorTheProgram(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for name, command := range passThrough(t) {
		t.Run(name, func(t *testing.T) {
			c := begin(t, `trap '' HUP INT QUIT TERM; exec `+command+` sh -c 'echo ready; read code; exit $code'`)
			for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
				c.signal(t, s)
			}
			if _, err := io.WriteString(c.in, "7\n"); err != nil {
				t.Fatal(err)
			}
			c.end(t, 7)
		})
	}
}

// The policy comes from a pipe, so that the signals come while nobody is there yet to whom
// they could be passed on.
func TestASignalBeforeTheProgramBeginsEndsTjfuzzByIt(t *testing.T) {
	for _, flag := range []string{"--log-source=none", "--quiet"} {
		for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
			t.Run(flag+" "+unix.SignalName(s), func(t *testing.T) {
				t.Parallel()
				policy, err := os.ReadFile(permissive(t))
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				pipe := filepath.Join(dir, "policy")
				if err := unix.Mkfifo(pipe, 0o600); err != nil {
					t.Fatal(err)
				}
				p := start(t, dir, "enforce", flag, "--policy", pipe, "--", "touch", "made")
				w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for who reads it
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // for tjfuzz to look at it, or there is nothing to lose
				_, _ = w.Write(policy)  // who has died already does not read it
				_ = w.Close()
				p.wait(t, 128+int(s))
				if status := p.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
					t.Errorf("it has exited: %v", p.ProcessState)
				}
				if _, err := os.Lstat(filepath.Join(dir, "made")); err == nil {
					t.Error("the program has run")
				}
			})
		}
	}
}

// Whoever has it by then, tjfuzz or the program, ends by it. How long a start takes depends on the machine and its load: the
// signals come over a longer time until the last ones find the program.
func TestNoSignalIsLostWhileAProgramIsStarted(t *testing.T) {
	for _, flag := range []string{"--log-source=none", "--quiet"} {
		for _, s := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
			t.Run(flag+" "+unix.SignalName(s), func(t *testing.T) {
				t.Parallel()
				policy := permissive(t)
				before, after := 0, 0
				for over := 60 * time.Millisecond; over < 30*time.Second && (before == 0 || after == 0); over *= 2 {
					before, after = 0, 0
					for delay := time.Duration(0); delay < over; delay += over / 20 {
						p := start(t, t.TempDir(), "enforce", flag, "--policy", policy, "--", "sh", "-c", ": >made; exec sleep 60")
						time.Sleep(delay)
						if err := p.Process.Signal(s); err != nil {
							t.Fatal(err)
						}
						p.wait(t, 128+int(s))
						if exists(filepath.Join(p.Dir, "made")) {
							after++
						} else {
							before++
						}
					}
				}
				if before == 0 || after == 0 {
					t.Errorf("%d signals come before the program has begun, and %d then", before, after)
				}
			})
		}
	}
}

// The shell runs a trap between two commands; it may sleep through one in read.
func TestSignalsSentToTjfuzzAloneReachTheProgram(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for name, command := range passThrough(t) {
		for signal, s := range map[string]unix.Signal{
			"HUP": unix.SIGHUP, "INT": unix.SIGINT, "QUIT": unix.SIGQUIT, "ABRT": unix.SIGABRT, "ALRM": unix.SIGALRM,
			"TERM": unix.SIGTERM, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2, "WINCH": unix.SIGWINCH,
		} {
			t.Run(name+" "+signal, func(t *testing.T) {
				t.Parallel()
				c := begin(t, fmt.Sprintf(`exec %s sh -c 'trap "exit 42" %s; echo ready; while :; do sleep 0.01; done'`, command, signal))
				c.signal(t, s)
				c.end(t, 42)
			})
		}
	}
}

func TestWhatTheTerminalSendsReachesTheProgramOnce(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for name, command := range passThrough(t) {
		t.Run(name, func(t *testing.T) {
			keyboard, screen := terminal(t)
			c := &talk{Cmd: exec.CommandContext(t.Context(), "sh", "-c",
				`exec `+command+` sh -c 'trap "echo interrupted" INT; trap "exit 42" TERM; echo ready; while :; do sleep 0.01; done'`)}
			c.Stdin, c.Stdout, c.Stderr = screen, screen, screen
			c.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
			c.out = bufio.NewReader(keyboard)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			c.hear(t, "ready")
			if _, err := keyboard.Write([]byte{3}); err != nil { // ctrl-C
				t.Fatal(err)
			}
			c.hear(t, "interrupted")
			// It would arrive before this: signals are passed on in order.
			c.signal(t, unix.SIGTERM)
			c.end(t, 42)
			if err := screen.Close(); err != nil {
				t.Fatal(err)
			}
			if rest, _ := io.ReadAll(c.out); len(rest) > 0 { // EIO: nobody has the terminal open
				t.Errorf("and then it says %q", rest)
			}
		})
	}
}

// A shell that does job control is told of the stop, and its fg continues the job.
//
// The program must not start another one in between: a stop between vfork and exec
// stops the child alone, and the parent waits for it where nothing can stop it.
func TestAStoppedJobGoesOn(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	bash := testenv.Program(t, "bash")
	commands := passThrough(t)
	commands["nothing in between"] = ""
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			keyboard, screen := terminal(t)
			c := &talk{Cmd: exec.CommandContext(t.Context(), bash, "-c", `set -m
`+command+` sh -c 'trap "echo again; exit 42" CONT; echo ready; while :; do :; done'
echo stopped; fg >/dev/null; exit $?`)}
			c.Stdin, c.Stdout, c.Stderr = screen, screen, screen
			c.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
			c.out = bufio.NewReader(keyboard)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			c.hear(t, "ready")
			if _, err := keyboard.Write([]byte{26}); err != nil { // ctrl-Z
				t.Fatal(err)
			}
			for said := ""; said != "stopped\r\n"; {
				var err error
				if said, err = c.out.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			c.hear(t, "again")
			c.end(t, 42)
		})
	}
}

// terminal opens a pseudoterminal that does not echo (pty(7)).
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	mode, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(screen.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	return keyboard, screen
}

func TestTraceWaitsForWhatAProgramLeavesBehind(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	const (
		daemon  = "exec >/dev/null 2>&1; setsid sh -c 'read x <fifo; mkdir made' & exit 4"
		goesOn  = "tjfuzz: the program left processes behind; recording until they end or an interrupt comes\n"
		warning = "tjfuzz: warning: the program left processes behind; what they do from now on is not recorded\n"
	)
	for _, c := range []struct {
		name, backend, script, want string
		signal                      unix.Signal
		code                        int
		recorded                    bool // mkdir
	}{
		{"a daemon", "ebpf", daemon, goesOn, 0, 4, true},
		{"a daemon, until an interrupt", "ebpf", daemon, goesOn + warning, unix.SIGINT, 4, false},
		{"a daemon, until the terminal is gone", "ebpf", daemon, goesOn + warning, unix.SIGHUP, 4, false},
		{"a daemon, by ptrace", "ptrace", daemon, warning, 0, 3, false},
		{"a child that is waited for", "ebpf", "mkdir made & wait; exit 4", "", 0, 4, true},
		// The loop ends when somebody has waited for the orphan.
		{"an orphan that has ended", "ebpf", "(mkdir made <fifo & echo $! >pid); : >fifo; read pid <pid; while kill -0 $pid; do :; done 2>/dev/null; exit 4", "", 0, 4, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			fifo := filepath.Join(dir, "fifo")
			if err := unix.Mkfifo(fifo, 0o644); err != nil {
				t.Fatal(err)
			}
			p := startAs(t, script(t, dir, "logged", `exec "$@" 2>said`), dir, "trace", "--backend", c.backend, "-o", "out.json", "--", "sh", "-c", c.script)
			// What is left waits until somebody writes, who waits for it.
			release := func() {
				if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
					t.Fatal(err)
				}
				eventually(t, "what the daemon makes", func() bool { return exists(filepath.Join(dir, "made")) })
			}
			said := func() string {
				text, err := os.ReadFile(filepath.Join(dir, "said"))
				if err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				return string(text)
			}
			switch {
			case c.signal != 0:
				eventually(t, "the message that it goes on", func() bool { return said() == goesOn })
				if err := p.Process.Signal(c.signal); err != nil {
					t.Fatal(err)
				}
				p.wait(t, c.code)
				release()
			case c.want == warning:
				p.wait(t, c.code)
				release()
			case c.want != "":
				release()
				p.wait(t, c.code)
			default:
				p.wait(t, c.code)
			}
			got := said()
			if c.backend == "ptrace" {
				got, _, _ = strings.Cut(got, "tjfuzz: error: the recording is incomplete\n")
			}
			if got != c.want {
				t.Errorf("says %q, want %q", got, c.want)
			}
			evidence, err := os.ReadFile(filepath.Join(dir, "out.json"))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(evidence), `"mkdir"`); got != c.recorded {
				t.Errorf("mkdir is recorded: %t, want %t", got, c.recorded)
			}
		})
	}
}

// Who waits for tjfuzz is told of the signal, not of a number that stands for it.
func TestTheSignalThatEndsAProgramEndsTjfuzz(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for name, command := range passThrough(t) {
		if name == "ptrace" { // its end is another one where the tracer ends with it
			continue
		}
		for _, sig := range []unix.Signal{unix.SIGINT, unix.SIGSEGV, unix.SIGKILL, unix.SIGSYS, unix.SIGPIPE, unix.SIGURG + 20} {
			cmd := exec.Command("sh", "-c", fmt.Sprintf("exec %s sh -c 'ulimit -c unlimited; kill -%d $$'", command, sig))
			cmd.Dir = t.TempDir()
			_ = cmd.Run()
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != sig {
				t.Errorf("%s: %v, want signal %d", name, cmd.ProcessState, sig)
			}
			if cores, _ := filepath.Glob(filepath.Join(cmd.Dir, "core*")); len(cores) > 1 {
				t.Errorf("%s: dumped %v", name, cores)
			}
		}
	}
}

// A shell in a group of its own stops itself, and the shell outside gets the terminal.
func TestAShellUnderAPolicyCanBeSuspended(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	bash := testenv.Program(t, "bash")
	for _, command := range []string{"", passThrough(t)["enforce"]} {
		keyboard, screen := terminal(t)
		c := &talk{Cmd: exec.CommandContext(t.Context(), bash, "-c", `set -m
`+command+` bash --norc --noprofile -i -c 'PS1=; echo ready; suspend; echo again; read x; exit 42'
echo stopped; fg >/dev/null; exit $?`)}
		c.Stdin, c.Stdout, c.Stderr = screen, screen, screen
		c.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
		c.out = bufio.NewReader(keyboard)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// A shell that is never continued would be waited for without end.
		defer time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() }).Stop()
		for _, want := range []string{"ready", "stopped", "again"} {
			for said := ""; strings.TrimRight(said, "\r\n") != want; {
				var err error
				if said, err = c.out.ReadString('\n'); err != nil {
					t.Fatalf("%q: never says %s: %v", command, want, err)
				}
			}
		}
		// What is not read when the leader of the session ends is lost.
		if _, err := keyboard.WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		c.end(t, 42)
	}
}

// The program does not outlive tjfuzz, whoever it runs as.
func TestAProgramEndsWithTjfuzz(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	policy := permissive(t)
	for _, path := range []string{policy, filepath.Dir(policy)} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, flags := range []string{"", "--user nobody", "--user nobody --no-new-privs"} {
		c := begin(t, "exec tjfuzz enforce "+flags+" --policy "+policy+" -- sh -c 'echo ready; read forever'")
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// The program has the other end too.
		if _, err := io.ReadAll(c.out); err != nil {
			t.Errorf("%s: %v", flags, err)
		}
		_ = c.Wait()
	}
}
