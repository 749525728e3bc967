package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// step is what a person waits for, and what they type then.
type step struct{ see, send string }

// Programs that have the terminal to themselves work under what a session with them has
// shown, and nothing else: the policy kills.
func TestInteractiveProgramsWorkUnderTheirPolicy(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	dir := t.TempDir()
	text, written := filepath.Join(dir, "text"), filepath.Join(dir, "written")
	if err := os.WriteFile(text, []byte(strings.Repeat("a line\n", 500)+"the last one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const ctrlZ, ctrlC, escape = "\x1a", "\x03", "\x1b"
	for _, c := range []struct {
		name  string
		argv  []string
		steps []step
		check func() bool
		flags []string // of enforce
	}{
		{"bash", []string{"bash", "--norc", "--noprofile", "-i"}, []step{
			{"$ ", "echo $((6*7))4 | cat\n"},
			{"424", `sh -c 'trap "echo con""tinued" CONT; echo run""ning; while :; do :; done'` + "\n"},
			{"running", ctrlZ},
			{"Stopped", "fg\n"},
			{"continued", ctrlC},
			{"$ ", "for i in 1 2; do echo again$i; done\n"},
			{"again2", "exit 0\n"}, // what is not read when the leader of a session ends is lost
		}, nil, nil},
		{"vim", []string{"vim", "-u", "NONE", "-i", "NONE", "-N", written}, []step{
			{"~", "ihello" + escape + ":wq\r"},
		}, func() bool {
			b, err := os.ReadFile(written)
			return err == nil && string(b) == "hello\n"
		}, nil},
		{"less", []string{"less", text}, []step{
			{"a line", " "},
			{"a line", "G"},
			{"the last one", "q"},
		}, nil, nil},
		{"top", []string{"top"}, []step{
			{"load average", "q"},
		}, nil, []string{"--allow", "sysinfo"}}, // qsort asks for the size of memory, where there are many processes
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.Program(t, c.argv[0])
			profile := filepath.Join(dir, c.name+".json")
			generate := []string{"generate", "--default", "kill", "-o", profile}
			for i := range 2 { // no two sessions meet in all points
				evidence := filepath.Join(dir, fmt.Sprintf("%s.%d", c.name, i))
				converse(t, c.steps, append([]string{"trace", "--quiet", "-o", evidence, "--"}, c.argv...))
				generate = append(generate, evidence)
				os.Remove(written)
			}
			if out, err := exec.Command("tjfuzz", generate...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			converse(t, c.steps, slices.Concat([]string{"enforce", "--policy", profile}, c.flags, []string{"--"}, c.argv))
			if c.check != nil && !c.check() {
				t.Error("the program did not do its work")
			}
		})
	}
}

// What is learned by pressing keys is enough for people who press others: no run of learn has typed these.
func TestInteractiveProgramsWorkUnderALearnedPolicy(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	testenv.Require(t, testenv.Cage)
	if os.Getenv("TJFUZZ_LONG") == "" {
		t.Skip("set TJFUZZ_LONG to learn each program for minutes")
	}
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("a line\n", 500)+"the last one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const escape = "\x1b"
	for _, c := range []struct {
		name  string
		learn []string // the command line that is learned
		use   []string // the one that is used
		steps []step
		flags []string // of enforce
	}{
		{"bash", []string{"bash"}, []string{"bash", "--norc", "-i"}, []step{
			{"$ ", "echo $((6*7))4 | cat\n"}, {"424", `sh -c 'trap "echo con""tinued" CONT; echo run""ning; while :; do :; done'` + "\n"}, {"running", "\x1a"}, {"Stopped", "fg\n"}, {"continued", "\x03"},
			{"$ ", "for i in 1 2; do echo again$i; done\n"}, {"again2", "exit 0\n"}}, nil},
		{"vim", []string{"vim"}, []string{"vim", "-u", "NONE", "-N", filepath.Join(dir, "written")}, []step{{"~", "ihello" + escape + ":wq\r"}}, nil},
		{"less", []string{"less", text}, []string{"less", text}, []step{{"a line", " "}, {"a line", "/last\r"}, {"last", "q"}}, nil}, // what is found is highlighted
		// qsort asks for the size of memory where there are many processes, which a cage does not have.
		{"top", []string{"top"}, []string{"top"}, []step{{"load average", "M"}, {"load average", "q"}}, []string{"--allow", "sysinfo"}},
		{"nano", []string{"nano"}, []string{"nano", filepath.Join(dir, "noted")}, []step{{"Exit", "hello\x0f\r"}, {"Wrote", "\x18"}}, nil},
		{"sqlite3", []string{"sqlite3"}, []string{"sqlite3"}, []step{{"sqlite>", "select 6*7;\n"}, {"42", ".quit\n"}}, nil},
		{"dc", []string{"dc"}, []string{"dc"}, []step{{"", "6 7 * p\n"}, {"42", "\x04"}}, nil},
		{"ed", []string{"ed"}, []string{"ed"}, []step{{"", "a\nhello\n.\n1p\nQ\n"}}, nil},
		{"htop", []string{"htop"}, []string{"htop"}, []step{{"Quit", "q"}}, []string{"--allow", "sysinfo"}},
		{"dialog", []string{"dialog", "--msgbox", "some words", "8", "40"}, []string{"dialog", "--msgbox", "some words", "8", "40"}, []step{{"some words", "\r"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			testenv.Program(t, c.learn[0])
			profile := filepath.Join(dir, c.name+".json")
			learn := append([]string{"learn", "--quiet", "--execs", "1500", "--duration", "10m", "--seed", "1", "--state", filepath.Join(dir, c.name), "-o", profile, "--"}, c.learn...)
			if out, err := exec.Command("tjfuzz", learn...).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			converse(t, c.steps, slices.Concat([]string{"enforce", "--policy", profile}, c.flags, []string{"--"}, c.use))
		})
	}
}

// converse runs tjfuzz on a terminal of its own, and demands that it end with 0.
func converse(t *testing.T, steps []step, args []string) {
	t.Helper()
	keyboard, screen := terminal(t)
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // what waits for other keys would wait for ever
	defer cancel()
	cmd := exec.CommandContext(ctx, "tjfuzz", args...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "HOME="+t.TempDir(), "HISTFILE=", "LESSHISTFILE=-", "PS1=$ ", "LC_ALL=C")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close() // so that the end of all who have it is seen
	shown := ""
	buf := make([]byte, 4096)
	for _, s := range steps {
		for !strings.Contains(shown, s.see) {
			n, err := keyboard.Read(buf)
			shown += string(buf[:n])
			if err != nil {
				_ = cmd.Wait()
				t.Fatalf("%v: %v before %q: %v; it shows\n%s", args, cmd.ProcessState, s.see, err, shown)
			}
		}
		_, shown, _ = strings.Cut(shown, s.see)
		if _, err := keyboard.WriteString(s.send); err != nil {
			t.Fatal(err)
		}
	}
	for {
		n, err := keyboard.Read(buf)
		shown += string(buf[:n])
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %v; it shows\n%s", args, err, shown)
	}
}
