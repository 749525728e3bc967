package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

//go:embed testdata/wrapper.c
var wrapperSource []byte

// call is a syscall that the suite made, with the invocation that made it first.
type call struct {
	id      sysno.ID
	comm    string
	command string // empty where a process made it that the program had started
	dir     string
}

// watched is what a suite did under a policy that logs what it does not allow.
type watched struct {
	tally
	group        group // removed by now
	invocations  int
	unrecorded   int // invocations
	unrestricted int // invocations without the policy
	calls        []call
	observed     []trace.Observation
	lost         trace.Lost
	dropped      rawtp.Dropped
}

// missed are the calls that the policy does not allow, and answered those that it
// answers with an error on purpose, which makes the program do something else.
func (w *watched) missed(p *synth.Policy) (missed, answered []call) {
	for _, c := range w.calls {
		switch v := p.Decide(c.id, [6]uint64{}); {
		case v.Action == synth.Allow:
		case v.Action == synth.Errno && v != p.Default:
			answered = append(answered, c)
		default:
			missed = append(missed, c)
		}
	}
	return missed, answered
}

// logging is the policy with the default action log.
func logging(p *synth.Policy) *synth.Policy {
	q := *p
	q.Default = synth.Verdict{Action: synth.Log}
	return &q
}

func readPolicy(path string) (*synth.Policy, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return format.ReadOCI(f)
}

// watch runs the suite with the program replaced by one that enters the cgroup that
// is recorded and loads the policy. dir is for the files of this.
func (s *suite) watch(ctx context.Context, dir string, p *synth.Policy) (_ *watched, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	code, err := filter.Compile(p)
	if err != nil {
		return nil, fmt.Errorf("compile the policy: %w", err)
	}
	program := filepath.Join(dir, "filter")
	log, wrapper := filepath.Join(dir, "invocations"), filepath.Join(dir, "wrapper")
	if err := errors.Join(os.WriteFile(program, code.Bytes(), 0o644), os.WriteFile(log, nil, 0o666), os.Chmod(log, 0o666),
		os.WriteFile(wrapper+".c", wrapperSource, 0o644)); err != nil {
		return nil, err
	}
	group, err := newGroup()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, group.remove()) }()
	define := func(name, value string) string { return "-D" + name + "=" + strconv.Quote(value) }
	out, err := exec.CommandContext(ctx, "gcc", "-O1", "-Wall", define("REAL", s.real), define("LOG", log),
		define("CGROUP", string(group)), define("FILTER", program), "-o", wrapper, wrapper+".c").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("compile the wrapper: %w\n%s", err, out)
	}

	rec, err := rawtp.Open(rawtp.Options{Slots: 1, Events: true, Args: true})
	if err != nil {
		return nil, fmt.Errorf("open the recorder: %w", err)
	}
	defer rec.Close()
	slot, err := group.record(rec)
	if err != nil {
		return nil, err
	}
	w := &watched{group: group}
	firsts := make(map[sysno.ID]call)
	eventsEnd, endEvents := context.WithCancel(context.Background())
	defer endEvents()
	var events sync.WaitGroup
	events.Go(func() {
		_ = rec.Events(eventsEnd, func(e rawtp.Event) {
			if _, ok := firsts[e.ID]; !ok {
				command, in := invocation(log, e.PID)
				firsts[e.ID] = call{e.ID, e.Comm, command, in}
			}
		})
	})
	w.tally, err = s.run(ctx, wrapper, filepath.Join(dir, "output"))
	err = errors.Join(err, group.empty())
	endEvents()
	events.Wait()
	if err != nil {
		return nil, err
	}
	for _, id := range slot.Seen() {
		c, ok := firsts[id]
		if !ok {
			c = call{id: id}
		}
		w.calls = append(w.calls, c)
	}
	w.observed, w.lost, w.dropped = slot.Observations(), rec.Lost(), rec.Dropped()
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	w.invocations = len(regexp.MustCompile(`(?m)^run `).FindAll(text, -1))
	w.unrecorded = len(regexp.MustCompile(`(?m)^unrecorded `).FindAll(text, -1))
	w.unrestricted = len(regexp.MustCompile(`(?m)^unrestricted `).FindAll(text, -1))
	return w, nil
}

// invocation is the last one with this process id in the log of the wrapper: its
// command line and its directory. A process that the program started has none.
func invocation(log string, pid int) (command, dir string) {
	text, err := os.ReadFile(log)
	if err != nil {
		return "", ""
	}
	key := []byte("run " + strconv.Itoa(pid) + " ")
	at := bytes.LastIndex(text, append([]byte("\n"), key...))
	switch {
	case at >= 0:
		text = text[at+1+len(key):]
	case bytes.HasPrefix(text, key):
		text = text[len(key):]
	default:
		return "", ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	dir, command, _ = strings.Cut(strings.TrimSpace(line), " ")
	return command, dir
}

// tally is how the tests of a suite ended.
type tally struct{ passed, failed, skipped int }

func (t tally) String() string {
	s := fmt.Sprintf("%d of %d", t.passed, t.passed+t.failed)
	if t.skipped > 0 {
		s += fmt.Sprintf(" (%d skipped)", t.skipped)
	}
	return s
}

// suite is a test suite that is ready to run.
type suite struct {
	*recipe
	dir   string // the source tree
	real  string // the installed program
	limit time.Duration
}

// run runs the suite with program, a path, in the place of the program.
// What it writes is left in the file output, for who wants to see why a test failed.
func (s *suite) run(ctx context.Context, program, output string) (tally, error) {
	place := filepath.Join(s.dir, s.place)
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return tally{}, err
	}
	if err := os.Remove(place); err != nil && !errors.Is(err, os.ErrNotExist) {
		return tally{}, err
	}
	if err := copyProgram(program, place); err != nil {
		return tally{}, err
	}
	limited, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	out, err := shell(limited, s.dir, s.suite, output)
	if err != nil && ctx.Err() != nil {
		return tally{}, ctx.Err()
	}
	if limited.Err() != nil {
		return tally{}, fmt.Errorf("the suite takes longer than %v", s.limit)
	}
	// The exit code tells only that some test failed, which the count does, too.
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return tally{}, err
	}
	t := s.count(string(out))
	if t.passed == 0 {
		return t, fmt.Errorf("no test of the suite passed\n%s", tail(out))
	}
	return t, nil
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// shell runs a script, and returns what it wrote, which it leaves in the file output.
// The environment is the same everywhere.
func shell(ctx context.Context, dir, script, output string) ([]byte, error) {
	out, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "sh", "-euc", script)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "TERM=dumb", "FORCE_UNSAFE_CONFIGURE=1"}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Run()
	text, e := os.ReadFile(output)
	return text, errors.Join(err, e)
}

// sorted are the calls by name.
func sorted(calls []call) []call {
	return slices.SortedFunc(slices.Values(calls), func(a, b call) int { return strings.Compare(a.id.String(), b.id.String()) })
}
