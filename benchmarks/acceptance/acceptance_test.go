// Package acceptance holds tjfuzz to what people want of it: that a program which
// was learned by nothing but its name then does its everyday work under the
// policy, and that the recorder sees what strace sees. It decides which programs
// and which invocations stand for everyday work; it knows tjfuzz by its command
// line only. Its main hazard is an invocation that finds its way into learning:
// all are kept out of the command lines and files that learn is given.
//
// TJFUZZ_LEARN is the time that each program is learned for; without it each is learned
// for a few runs, however fast the machine is. From a minute on, every invocation must be
// unchanged; below, only the first of each program, and -v shows what is missing:
//
//	TJFUZZ_LEARN=60s go test -v -timeout 40m -run 'Learned/tar$' ./benchmarks/acceptance
package acceptance

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// everything is the least time of learning after which every invocation must be
// unchanged; few are the runs for tests that are run often.
const (
	everything = time.Minute
	few        = 150
)

// kinds are the programs of tests that are run often: dynamic, static, of Go, of an interpreter and of a shell.
var kinds = []string{"jq", "sort", "static C", "Go", "Python", "shell"}

func TestLearnedProgramsDoTheirEverydayWork(t *testing.T) {
	if testing.Short() {
		t.Skip("learns 6 programs at the least")
	}
	testenv.Require(t, testenv.BPF)
	tool := build(t)
	budget := budget(t, 0)
	for _, p := range programs() {
		if budget == 0 && !slices.Contains(kinds, p.name) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			r := accept(t, tool, p, budget)
			t.Log(r.text())
			for i, v := range r.verdicts {
				if v.change != "" && (i == 0 || budget >= everything) {
					t.Errorf("%s is not what it was under the policy: %s", v.command, v.change)
				}
			}
		})
	}
}

// BenchmarkLearnedPrograms measures how fast each program is learned, how many
// syscalls are found and how many of the invocations are unchanged.
func BenchmarkLearnedPrograms(b *testing.B) {
	testenv.Require(b, testenv.BPF)
	tool := build(b)
	budget := budget(b, everything)
	for _, p := range programs() {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				r := accept(b, tool, p, budget)
				b.Log(r.text())
				unchanged := 0
				for _, v := range r.verdicts {
					if v.change == "" {
						unchanged++
					}
				}
				b.ReportMetric(r.rate, "runs/s")
				b.ReportMetric(float64(r.syscalls), "syscalls")
				b.ReportMetric(100*float64(unchanged)/float64(len(r.verdicts)), "%unchanged")
				b.ReportMetric(0, "ns/op") // it is what was asked for
			}
		})
	}
}

func budget(t testing.TB, otherwise time.Duration) time.Duration {
	t.Helper()
	s := os.Getenv("TJFUZZ_LEARN")
	if s == "" {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("TJFUZZ_LEARN: %v", err)
	}
	return d
}

// build makes the tool that is tested.
func build(t testing.TB) string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "tjfuzz")
	if out, err := exec.Command("go", "build", "-o", tool, "../../cmd/tjfuzz").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return tool
}

// result is what came of one program.
type result struct {
	program  string
	rate     float64 // runs a second
	syscalls int
	verdicts []verdict // parallel to the uses
}

// verdict is what the policy did to an invocation.
type verdict struct {
	command string
	change  string   // empty: none
	denied  []string // syscalls, sorted
}

// text is a table of the invocations that were changed, and of those that were
// not though a call was refused.
func (r *result) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %.0f runs/s, %d syscalls observed\n", r.program, r.rate, r.syscalls)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range r.verdicts {
		if v.change != "" || len(v.denied) > 0 {
			fmt.Fprintf(w, "  %s\tdenied: %s\t%s\n", v.command, cmp.Or(strings.Join(v.denied, " "), "nothing"), cmp.Or(v.change, "unchanged"))
		}
	}
	_ = w.Flush()
	return b.String()
}

var (
	rateLine     = regexp.MustCompile(`(?m)^tjfuzz: \d+ runs in \S+ \((\d+)/s\)`)
	observedLine = regexp.MustCompile(`(?m)^tjfuzz: (\d+) observed`)
	verifyLine   = regexp.MustCompile(`: (\d+) scenarios replayed, (\d+) violations`)
	deniedLine   = regexp.MustCompile(`(?m)^tjfuzz: denied ([a-z0-9_]+)`)
	ownLine      = regexp.MustCompile(`(?m)^tjfuzz: .*\n`)
)

// accept learns p, checks that the profile is proven, and makes all invocations
// plainly and under it.
func accept(t testing.TB, tool string, p program, budget time.Duration) *result {
	t.Helper()
	// Where learning takes place there is nothing but the program itself.
	home, materials := t.TempDir(), t.TempDir()
	furnish(t, p, materials)
	for _, name := range p.own() {
		if err := os.Link(filepath.Join(materials, name), filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}

	profile, state := filepath.Join(home, "p.json"), filepath.Join(home, "state")
	enough := []string{"--duration", budget.String()}
	if budget == 0 {
		enough = []string{"--execs", strconv.Itoa(few)}
	}
	o := command{dir: home, limit: 2*budget + 6*time.Minute, argv: slices.Concat([]string{tool, "learn"}, enough, []string{
		"--jobs", "2", "-o", profile, "--state", state, "--"}, p.learn)}.run(t)
	if o.code != 0 {
		t.Fatalf("tjfuzz learn -- %s ended with %d:\n%s", strings.Join(p.learn, " "), o.code, o.stderr)
	}
	if st, err := os.Stat(profile); err != nil || st.Size() == 0 {
		t.Fatalf("learn wrote no profile: %v\n%s", err, o.stderr)
	}
	r := &result{program: p.name}
	scan(t, rateLine, o.stderr, &r.rate)
	scan(t, observedLine, o.stderr, &r.syscalls)

	o = command{dir: home, limit: 5 * time.Minute, argv: append([]string{
		tool, "verify", "--policy", profile, "--state", state, "--"}, p.learn...)}.run(t)
	var replayed, violations int
	scan(t, verifyLine, o.stdout, &replayed, &violations)
	if o.code != 0 || replayed == 0 || violations != 0 {
		t.Errorf("tjfuzz verify ended with %d, want 0 and no violations:\n%s%s", o.code, o.stdout, o.stderr)
	}

	for _, u := range p.uses {
		r.verdicts = append(r.verdicts, compare(t, tool, profile, materials, p.learn[0], u))
	}
	return r
}

// furnish puts the files of p, and the program itself when it is our own, into dir.
func furnish(t testing.TB, p program, dir string) {
	t.Helper()
	if p.own() == nil {
		testenv.Program(t, p.learn[0])
	}
	for name, data := range p.files {
		write(t, filepath.Join(dir, name), data)
	}
	if p.build != nil {
		p.build(t, dir)
	}
}

// compare makes one invocation plainly and under the profile, each in a directory
// of its own, and says what differs.
func compare(t testing.TB, tool, profile, materials, name string, u use) verdict {
	t.Helper()
	argv := append([]string{name}, words(u.args)...)
	var results [2]outcome
	for i, prefix := range [][]string{nil, {tool, "enforce", "--policy", profile, "--"}} {
		dir := t.TempDir()
		lay(t, materials, dir, u.files)
		c := command{argv: slices.Concat(prefix, argv), dir: dir, stdin: u.stdin, limit: time.Minute,
			env: "TMPDIR=" + filepath.Join(dir, temporary)}
		if u.from != "" {
			c.from = filepath.Join(dir, u.from)
		}
		results[i] = c.run(t)
		results[i].files = tree(t, dir)
	}
	v := verdict{command: strings.TrimSpace(filepath.Base(name) + " " + u.args)}
	switch {
	case u.stdin != "":
		v.command += " (pipe)"
	case u.from != "":
		v.command += " <" + u.from
	}
	for _, d := range deniedLine.FindAllStringSubmatch(results[1].stderr, -1) {
		v.denied = append(v.denied, d[1])
	}
	slices.Sort(v.denied)
	v.denied = slices.Compact(v.denied)
	results[1].stderr = ownLine.ReplaceAllString(results[1].stderr, "")
	v.change = results[0].differs(results[1], u.random)
	return v
}

// outcome is what an invocation left behind.
type outcome struct {
	stdout, stderr string
	code           int // or timedOut, or -1 for a signal
	files          map[string]string
}

// differs says what in b is not as in a, "" when nothing is.
func (a outcome) differs(b outcome, random bool) string {
	if a.code != b.code {
		return fmt.Sprintf("exit code %d, want %d", b.code, a.code)
	}
	if random {
		if (a.stdout == "") != (b.stdout == "") {
			return fmt.Sprintf("%d bytes of output, want %d", len(b.stdout), len(a.stdout))
		}
		for _, o := range []outcome{a, b} {
			for name, s := range o.files {
				o.files[name], _, _ = strings.Cut(s, "\n") // without its content
			}
		}
	} else if a.stdout != b.stdout {
		return fmt.Sprintf("output %q, want %q", clip(b.stdout), clip(a.stdout))
	} else if x, y := opensslThread.ReplaceAllString(a.stderr, ""), opensslThread.ReplaceAllString(b.stderr, ""); x != y {
		return fmt.Sprintf("messages %q, want %q", clip(y), clip(x))
	}
	for _, name := range slices.Sorted(keys(a.files, b.files)) {
		if x, y := a.files[name], b.files[name]; x != y {
			return fmt.Sprintf("file %s is %q, want %q", name, clip(y), clip(x))
		}
	}
	return ""
}

// opensslThread is the number of the thread with which OpenSSL starts messages.
var opensslThread = regexp.MustCompile(`(?m)^[0-9A-F]{16}:`)

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

func keys(maps ...map[string]string) iter.Seq[string] {
	return func(yield func(string) bool) {
		seen := map[string]bool{}
		for _, m := range maps {
			for k := range m {
				if !seen[k] && !yield(k) {
					return
				}
				seen[k] = true
			}
		}
	}
}

// past is the age of all materials: a time that a program copies is told from
// the time at which it ran.
var past = time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)

// temporary is the directory for temporary files in a working directory: what is
// forgotten there counts as changed.
const temporary = ".tmp"

// lay makes dir a copy of the materials and adds further files.
func lay(t testing.TB, materials, dir string, more map[string]string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(materials)); err != nil {
		t.Fatal(err)
	}
	mustMkdir(t, filepath.Join(dir, temporary))
	for name, data := range more {
		write(t, filepath.Join(dir, name), data)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, past, past)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tree is every file below dir: its mode, whether its time is of the past, and
// in the lines that follow its content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		about := info.Mode().String()
		if age := time.Since(info.ModTime()); age > time.Hour && !info.IsDir() {
			about += " " + info.ModTime().UTC().Format(time.DateTime)
		}
		var data []byte
		switch {
		case info.Mode().IsRegular():
			data, err = os.ReadFile(path)
		case info.Mode()&fs.ModeSymlink != 0:
			var target string
			target, err = os.Readlink(path)
			data = []byte(target)
		}
		files[name] = about + "\n" + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func write(t testing.TB, path, data string) {
	t.Helper()
	mustMkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustMkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// words splits a command line at blanks outside of single quotes.
func words(line string) []string {
	var out []string
	word, quoted, started := "", false, false
	for _, c := range line {
		switch {
		case c == '\'':
			quoted, started = !quoted, true
		case c == ' ' && !quoted:
			if started {
				out = append(out, word)
			}
			word, started = "", false
		default:
			word, started = word+string(c), true
		}
	}
	if started {
		out = append(out, word)
	}
	return out
}

// command is something to run.
type command struct {
	argv  []string
	dir   string
	stdin string // through a pipe; when empty there is nothing to read
	from  string // a file as standard input instead
	env   string // one more variable of the environment, when not empty
	limit time.Duration
}

func (c command) run(t testing.TB) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir = c.dir
	cmd.WaitDelay = time.Second
	if c.env != "" {
		cmd.Env = append(os.Environ(), c.env)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	switch {
	case c.from != "":
		f, err := os.Open(c.from)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.Stdin = f
	case c.stdin != "":
		cmd.Stdin = strings.NewReader(c.stdin)
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("%s: %v", strings.Join(c.argv, " "), err)
	}
	code := cmd.ProcessState.ExitCode()
	if ctx.Err() != nil {
		code = timedOut
	}
	return outcome{stdout: stdout.String(), stderr: stderr.String(), code: code}
}

// timedOut stands for the exit code of what was ended by its limit; -1 is what
// [os.ProcessState] has for a signal.
const timedOut = -2

// scan reads the groups of the pattern, which must be in text, into values.
func scan(t testing.TB, pattern *regexp.Regexp, text string, values ...any) {
	t.Helper()
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no line matches %s in:\n%s", pattern, text)
	}
	for i, v := range values {
		if _, err := fmt.Sscan(m[i+1], v); err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
	}
}
