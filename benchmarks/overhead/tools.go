package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

//go:embed testdata/clock.c
var clockSource []byte

// untraced is the name of the run that all others are compared with.
const untraced = "untraced"

// tool is a way to run a workload.
type tool struct {
	name string
	goal float64 // for real workloads, 0 without one

	// wrap is the command line that runs argv under the tool. What does the
	// work has the command name comm. A nil wrap runs it as it is.
	wrap func(comm string, argv []string) []string

	// unrelated says that the workload runs as it is, while the tool watches
	// another program that sleeps.
	unrelated bool
}

// build makes the tool that is measured, and what measures.
func (b *bench) build(ctx context.Context) error {
	b.tjfuzz, b.clock = b.path("tjfuzz"), b.path("clock")
	if err := os.WriteFile(b.path("clock.c"), clockSource, 0o644); err != nil {
		return err
	}
	for _, argv := range [][]string{
		{"go", "build", "-o", b.tjfuzz, "github.com/tjfuzz/tjfuzz/cmd/tjfuzz"},
		{"gcc", "-O2", "-o", b.clock, b.path("clock.c")},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
		}
	}
	return nil
}

// all are the ways to run a workload.
func (b *bench) all() []tool {
	tjfuzz := func(flags ...string) func(string, []string) []string {
		return func(_ string, argv []string) []string {
			return slices.Concat([]string{b.tjfuzz, "trace", "--quiet", "-o", b.path("evidence")}, flags, []string{"--"}, argv)
		}
	}
	before := func(words ...string) func(string, []string) []string {
		return func(_ string, argv []string) []string { return slices.Concat(words, argv) }
	}
	perf := before("perf", "trace", "-s", "-o", b.path("perf"), "--")
	bpftrace := func(comm string, argv []string) []string {
		return []string{"bpftrace", "-o", b.path("bpftrace"), "-c", strings.Join(argv, " "), "-e",
			fmt.Sprintf(`tracepoint:raw_syscalls:sys_enter /comm == "%s"/ { @[args->id] = count(); }`, comm)}
	}
	return []tool{
		{name: untraced},
		{name: "untraced, again"},
		{name: "tjfuzz trace", wrap: tjfuzz("--backend", "ebpf"), goal: goal},
		{name: "tjfuzz trace --results --args --sites", wrap: tjfuzz("--backend", "ebpf", "--results", "--args", "--sites")},
		{name: "tjfuzz trace --backend notify", wrap: tjfuzz("--backend", "notify")},
		{name: "tjfuzz trace --backend ptrace", wrap: tjfuzz("--backend", "ptrace")},
		{name: "strace -f -c", wrap: before("strace", "-f", "-c", "-o", b.path("strace"), "--")},
		{name: "strace -f --seccomp-bpf -c", wrap: before("strace", "-f", "--seccomp-bpf", "-c", "-o", b.path("strace"), "--")},
		{name: "perf trace -s", wrap: perf},
		{name: "bpftrace, counts by number", wrap: bpftrace},
		{name: "unrelated, tjfuzz trace", wrap: tjfuzz("--backend", "ebpf"), unrelated: true, goal: goalUnrelated},
		{name: "unrelated, perf trace -s", wrap: perf, unrelated: true},
		{name: "unrelated, bpftrace", wrap: bpftrace, unrelated: true},
	}
}

// chooseTools keeps the tools that are wanted and work here.
func (b *bench) chooseTools(ctx context.Context, pattern *regexp.Regexp) error {
	for _, t := range b.all() {
		if t.name != untraced && !pattern.MatchString(t.name) {
			continue
		}
		if t.wrap != nil {
			if why := b.broken(ctx, &t); why != "" {
				b.notes = append(b.notes, fmt.Sprintf("not measured: %s: %s", t.name, why))
				continue
			}
		}
		b.tools = append(b.tools, t)
	}
	return ctx.Err()
}

// broken says why a tool cannot be used here, "" when it can.
func (b *bench) broken(ctx context.Context, t *tool) string {
	argv := t.wrap("clock", []string{b.clock, "idle"})
	if _, err := exec.LookPath(argv[0]); err != nil {
		return "it is not installed"
	}
	p, err := b.idle(ctx, t)
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return "it does not work here: " + err.Error()
	}
	return ""
}

// idle starts a program below the tool that does nothing, and returns when it does.
func (b *bench) idle(ctx context.Context, t *tool) (*process, error) {
	return begin(ctx, t.wrap("clock", []string{b.clock, "idle"}), "ready")
}

// process is a running command.
type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	errors  bytes.Buffer
	drained chan struct{}
}

// begin starts a command in a process group of its own, which is killed with it,
// and waits until it has written a line with the words ready.
func begin(ctx context.Context, argv []string, ready string) (*process, error) {
	p := &process{cmd: command(ctx, argv), drained: make(chan struct{})}
	p.cmd.Stderr = &p.errors
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	is := false
	lines := bufio.NewScanner(out)
	for !is && lines.Scan() {
		is = strings.Contains(lines.Text(), ready)
	}
	go func() {
		defer close(p.drained)
		for lines.Scan() {
		}
	}()
	if !is {
		return nil, cmp.Or(p.end(), fmt.Errorf("%s ended early", argv[0]))
	}
	return p, nil
}

// end closes the command's input and waits for its end.
func (p *process) end() error {
	p.stdin.Close()
	<-p.drained
	return explained(p.cmd.Wait(), p.errors.String())
}

func command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// explained is err with the last line that the command wrote.
func explained(err error, output string) error {
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
}
