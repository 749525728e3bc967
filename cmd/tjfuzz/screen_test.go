package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// halfway is a session in its middle.
func halfway() fuzz.Progress {
	p := fuzz.Progress{
		Stats: fuzz.Stats{Phase: fuzz.PhaseExplore, Runs: 5231, CleanRuns: 4702, Corpus: 112, Chance: 0.0123, Syscalls: 13,
			Crashes: 1, Hangs: 5, Elapsed: 72 * time.Second, LastNew: 60 * time.Second},
		Session: 72 * time.Second, Observed: 12,
		Varied: []fuzz.Varied{{Dimension: "bytes", Found: 2}, {Dimension: "argv", Found: 1}, {Dimension: "env"}, {Dimension: "streams"}, {Dimension: "files"}},
	}
	for nr := range uint32(13) {
		f := fuzz.Found{ID: sysno.ID{Arch: sysno.AMD64, NR: nr}, Run: uint64(nr), At: time.Duration(nr) * 5 * time.Second, Phase: fuzz.PhaseBase}
		if nr > 10 {
			f.Phase, f.Varied = fuzz.PhaseExplore, []string{"argv", "files"}
		}
		s := fuzz.Scenario{Argv: []string{"jq", "--option-" + strconv.Itoa(int(nr)), "two words", "@@"}, Stdin: fuzz.StdinFile}
		if nr == 12 {
			s.Argv[1] = "\x1b[31mred 日本語 and very much more than fits into one row of any screen, as inputs have it"
		}
		p.Found = append(p.Found, fuzz.Shown{Found: f, Scenario: s})
	}
	return p
}

// After a draw or two, the bound says no more than that there were so few.
func TestABoundThatSaysNothingIsNotShown(t *testing.T) {
	for chance, shown := range map[float64]bool{1: false, 0.632: false, 0.5: false, 0.12: true} {
		p := halfway()
		p.Chance = chance
		var out bytes.Buffer
		(&lines{v: voice{w: &out}}).show(p)
		varied := (&learned{outcome: &fuzz.Outcome{Varied: []fuzz.Varied{{Dimension: "argv", Chance: chance}}}}).varied()
		for where, text := range map[string]string{"screen": bound(p.Stats), "lines": out.String(), "end": varied} {
			if strings.Contains(text, " %") != shown {
				t.Errorf("a bound of %g, %s: %q", chance, where, text)
			}
		}
	}
}

// docs/formats.md describes the events.
func TestEventsAreJSONLines(t *testing.T) {
	var out bytes.Buffer
	e := newEvents(&out)
	e.begin(&learning{learnOptions: learnOptions{runFlags: runFlags{jobs: 2}, seed: 1}, args: []string{"jq", "."}})
	early, late := halfway(), halfway()
	early.Found, early.Observed, early.Elapsed = early.Found[:2], 2, 10*time.Second
	e.show(early)
	early.Elapsed += second / 2 // too early for numbers, and nothing was found
	e.show(early)
	e.show(late)
	if err := e.result(sessionSummary{Profile: "jq.seccomp.json", Runs: 5231}); err != nil {
		t.Fatal(err)
	}
	testenv.Golden(t, "testdata/screen/events.jsonl", out.String(), *anew)
}

// What a screen shows fits into it, whatever its size.
func TestTheScreenFits(t *testing.T) {
	v := view{program: "jq", duration: 5 * time.Minute}
	for _, size := range [][2]int{{80, 23}, {40, 19}, {30, 5}} {
		width, height := size[0], size[1]
		var got strings.Builder
		for _, r := range v.rows(halfway(), width, height) {
			got.WriteString(r.title + r.label + r.text + "\n")
		}
		testenv.Golden(t, fmt.Sprintf("testdata/screen/%dx%d.txt", width, height), got.String(), *anew)
	}
	for width := range 100 {
		for height := range 30 {
			rows := v.rows(halfway(), width, height)
			if len(rows) > height {
				t.Fatalf("%d rows on %d×%d", len(rows), width, height)
			}
			for _, r := range rows {
				if r.width() > width {
					t.Fatalf("%q has %d columns on %d×%d", r, r.width(), width, height)
				}
				if strings.Contains(r.text, "\x1b") {
					t.Fatalf("%q would be obeyed", r)
				}
			}
		}
	}
}

// A terminal that has become narrower has broken rows in two.
func TestWhatIsErasedIsWhatWasShown(t *testing.T) {
	rows := []row{{text: strings.Repeat("x", 70)}, {}, {title: "title", text: "text"}}
	for width, want := range map[int]string{80: "\r\x1b[3A\x1b[J", 35: "\r\x1b[4A\x1b[J", 30: "\r\x1b[5A\x1b[J"} {
		if got := erase(rows, width); got != want {
			t.Errorf("%d columns: got %q, want %q", width, got, want)
		}
	}
}

// emulator is as much of a terminal as learn asks for. Rows that scroll out stay.
type emulator struct {
	width, height int
	rows          [][]rune
	x, y          int
	rest          []byte // of what could not be read yet
	top           int    // the first row that has not scrolled out; what has cannot be reached any more
}

// scroll makes room for what was added.
func (e *emulator) scroll() { e.top = max(e.top, len(e.rows)-e.height, e.y+1-e.height) }

func (e *emulator) cell(r rune) {
	if e.x == e.width {
		e.x, e.y = 0, e.y+1
	}
	for len(e.rows) <= e.y {
		e.rows = append(e.rows, nil)
	}
	for len(e.rows[e.y]) <= e.x {
		e.rows[e.y] = append(e.rows[e.y], ' ')
	}
	e.rows[e.y][e.x] = r
	e.x++
	e.scroll()
}

// resize breaks what has become too long, as most terminals do.
func (e *emulator) resize(width, height int) {
	var rows [][]rune
	y := e.y
	for i, r := range e.rows {
		for ; len(r) > width; r = r[width:] {
			rows = append(rows, r[:width])
			if i < e.y {
				y++
			}
		}
		rows = append(rows, r)
	}
	e.rows, e.y, e.width, e.height, e.top = rows, y, width, height, 0
	e.scroll()
}

// Write takes what a program writes to the terminal; it fails on what it does not know.
func (e *emulator) Write(b []byte) (int, error) {
	e.rest = append(e.rest, b...)
	for len(e.rest) > 0 {
		r, size := utf8.DecodeRune(e.rest)
		switch {
		case r == utf8.RuneError && !utf8.FullRune(e.rest):
			return len(b), nil
		case r == '\r':
			e.x = 0
		case r == '\n':
			e.y++
			e.scroll()
		case r == '\x1b':
			end := bytes.IndexFunc(e.rest, func(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' })
			if end < 0 {
				return len(b), nil
			}
			n, _ := strconv.Atoi(strings.Trim(string(e.rest[:end]), "\x1b["))
			switch e.rest[end] {
			case 'A':
				e.y = max(e.y-max(n, 1), e.top)
			case 'J':
				if e.y < len(e.rows) {
					e.rows = e.rows[:e.y]
				}
			case 'm':
			default:
				return 0, fmt.Errorf("%q is not understood", e.rest[:end+1])
			}
			size = end + 1
		default:
			e.cell(r)
		}
		e.rest = e.rest[size:]
	}
	return len(b), nil
}

func (e *emulator) String() string  { return text(e.rows) }
func (e *emulator) visible() string { return text(e.rows[min(e.top, len(e.rows)):]) }

func text(rows [][]rune) string {
	var out strings.Builder
	for _, r := range rows {
		out.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return out.String()
}

// watchedLearn is learn on a terminal of its own.
type watchedLearn struct {
	t        *testing.T
	keyboard *os.File
	cmd      *exec.Cmd
	seen     emulator
}

func learnOnTerminal(t *testing.T, dir string, width, height int, args ...string) *watchedLearn {
	t.Helper()
	keyboard, screen := terminal(t)
	w := &watchedLearn{t: t, keyboard: keyboard, seen: emulator{width: width, height: height}}
	w.resize(width, height)
	w.cmd = exec.CommandContext(t.Context(), "tjfuzz", args...)
	w.cmd.Dir = dir
	w.cmd.Env = append(os.Environ(), "TERM=xterm")
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = screen, screen, screen
	w.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	screen.Close() // so that the end of all who have it is seen
	return w
}

func (w *watchedLearn) resize(width, height int) {
	w.t.Helper()
	if err := unix.IoctlSetWinsize(int(w.keyboard.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)}); err != nil {
		w.t.Fatal(err)
	}
	w.seen.resize(width, height)
}

// pause stops learn and shows what it has written, as nobody can resize a terminal between a look
// at its size and a write for that size.
func (w *watchedLearn) pause() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		w.t.Fatal(err)
	}
	stat := fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid)
	stopped := func() bool {
		b, err := os.ReadFile(stat)
		if err != nil {
			w.t.Fatal(err)
		}
		return strings.Contains(string(b), ") T ")
	}
	for !stopped() {
		time.Sleep(time.Millisecond)
	}
	pending := func(string) bool {
		n, err := unix.IoctlGetInt(int(w.keyboard.Fd()), unix.TIOCINQ)
		if err != nil {
			w.t.Fatal(err)
		}
		return n == 0
	}
	w.read(pending)
}

// read shows what comes until a condition holds; at the end of all, it reports whether it held.
func (w *watchedLearn) read(until func(shown string) bool) bool {
	w.t.Helper()
	buf := make([]byte, 64<<10)
	for !until(w.seen.String()) {
		n, err := w.keyboard.Read(buf)
		if _, err := w.seen.Write(buf[:n]); err != nil {
			w.t.Fatal(err)
		}
		if got := strings.Count(w.seen.visible(), "newest\n"); got > 1 {
			w.t.Fatalf("progress is there %d times:\n%s", got, w.seen.visible())
		}
		if err != nil {
			return false
		}
	}
	return true
}

// A screen shows how far learn is, follows the size of the terminal, and makes way for the result.
func TestLearnShowsProgressOnAScreen(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := t.TempDir()
	target := script(t, dir, "target", "cat; ls /; sleep 0.01")
	w := learnOnTerminal(t, dir, 80, 24, "learn", "--execs", "200", "--jobs", "1", "--seed", "1", "--", target)
	shows := func(text string) func(string) bool {
		return func(shown string) bool { return strings.Contains(shown, text) }
	}
	if !w.read(shows("\nnewest\n  ")) {
		t.Fatalf("no screen:\n%s", &w.seen)
	}
	t.Logf("at 80×24:\n%s", w.seen.visible())
	for _, row := range []string{"learning target", "runs       ", "syscalls   ", "chance     ", "failures   ", "deliberate ", "random     "} {
		if !strings.Contains(w.seen.String(), "\n"+row) {
			t.Errorf("there is no row %q:\n%s", row, &w.seen)
		}
	}
	w.pause()
	w.resize(40, 20)
	if err := w.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	narrow := func(string) bool { return strings.Contains(w.seen.visible(), "ended\n           normally") }
	if !w.read(narrow) {
		t.Fatalf("no screen of the new size:\n%s", &w.seen)
	}
	t.Logf("at 40×20:\n%s", w.seen.visible())
	w.read(func(string) bool { return false })
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, &w.seen)
	}
	end := w.seen.String()
	t.Logf("at the end:\n%s", end)
	if strings.Contains(w.seen.visible(), "newest\n") || !strings.Contains(end, "tjfuzz: proof: ") || !strings.Contains(end, "\ntjfuzz: learning ") {
		t.Errorf("the screen stays, or the messages do not:\n%s", end)
	}
	if _, err := os.Lstat(filepath.Join(dir, "target.seccomp.json")); err != nil {
		t.Error(err)
	}
}

// Ctrl-C at the terminal interrupts learn, and its screen makes way for what it says.
func TestLearnIsInterruptedFromItsTerminal(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	dir := t.TempDir()
	w := learnOnTerminal(t, dir, 80, 24, "learn", "--jobs", "1", "--confidence", "0", "--", script(t, dir, "target", "cat; sleep 0.01"))
	if !w.read(func(shown string) bool { return strings.Contains(shown, "\nnewest\n  ") }) {
		t.Fatalf("no screen:\n%s", &w.seen)
	}
	if _, err := w.keyboard.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	w.read(func(string) bool { return false })
	if _ = w.cmd.Wait(); w.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1", w.cmd.ProcessState)
	}
	end := w.seen.String()
	if strings.Contains(end, "newest") || !strings.HasSuffix(end, "tjfuzz: error: interrupted; no profile was written\ntjfuzz: hint: the same command goes on where this one stopped\n") {
		t.Errorf("the terminal shows\n%s", end)
	}
}
