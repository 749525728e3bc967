package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// workload is something to do, with what came of doing it below each tool.
type workload struct {
	name string
	what string // in the words of the report
	comm string // of the process that does the work
	real bool   // the goals are for it
	need string // the program that it runs

	argv  []string // below the clock
	stdin string   // a file, or none
	reset []string // files to remove before each run

	// A server is asked by clients that no tool watches: what is timed is theirs.
	// The processor time is the server's.
	ready  string   // the words by which the server says that it serves
	client []string // does the asking
	stop   []string // makes the server end
	file   string   // where the clock writes
	clock  string
	idle   func(context.Context, *tool) (*process, error)

	results map[string]*result
}

// chooseWorkloads keeps the workloads that are wanted and can run here, and lays out
// what they work on.
func (b *bench) chooseWorkloads(ctx context.Context, pattern *regexp.Regexp, scale float64) error {
	times := func(n int) string { return strconv.Itoa(max(1, int(float64(n)*scale))) }
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find Go's sources: %w", err)
	}
	socket := b.path("redis.sock")
	database := b.path("inserts.db")
	all := []struct {
		workload
		prepare func() error
	}{
		{workload{
			name: "getpid", what: "getpid in a loop, time for a million calls", comm: "clock", need: "gcc",
			argv: []string{"getpid", strconv.FormatFloat(scale, 'g', -1, 64)},
		}, nil},
		{workload{
			name: "tar", what: "tar -c of Go's sources, " + times(4) + " times", comm: "tar", need: "tar", real: true,
			argv: []string{times(4), "tar", "-cf", b.path("tar.tar"), "-C", filepath.Join(strings.TrimSpace(string(root)), "src"), "."},
		}, nil},
		{workload{
			name: "git", what: "git status in a tree of " + times(20000) + " files, 8 times", comm: "git", need: "git", real: true,
			argv: []string{"8", "git", "-C", b.path("repository"), "status", "--porcelain"},
		}, func() error { return b.repository(ctx, int(20000*scale)) }},
		{workload{
			name: "sqlite", what: times(12000) + " inserts, each a transaction", comm: "sqlite3", need: "sqlite3", real: true,
			argv:  []string{"1", "sqlite3", database},
			stdin: b.path("inserts.sql"), reset: []string{database},
		}, func() error { return b.inserts(int(12000 * scale)) }},
		{workload{
			name: "redis", what: "redis-server, asked by redis-benchmark " + times(60000) + " times to set and to get", comm: "redis-server", need: "redis-server", real: true,
			argv:   []string{"1", "redis-server", b.path("redis.conf")},
			ready:  "eady to accept connections", // with a capital or without,
			client: []string{"redis-benchmark", "-s", socket, "-q", "-t", "set,get", "-n", times(60000)},
			stop:   []string{"redis-cli", "-s", socket, "shutdown", "nosave"},
		}, func() error {
			return os.WriteFile(b.path("redis.conf"), fmt.Appendf(nil, "port 0\nunixsocket %s\nsave \"\"\ndir %s\n", socket, b.dir), 0o644)
		}},
	}
	for _, c := range all {
		w := c.workload
		if !pattern.MatchString(w.name) {
			continue
		}
		if _, err := exec.LookPath(w.need); err != nil {
			b.notes = append(b.notes, fmt.Sprintf("not measured: %s: %s is not installed", w.name, w.need))
			continue
		}
		if c.prepare != nil {
			fmt.Fprintf(b.progress, "overhead: preparing %s\n", w.name)
			if err := c.prepare(); err != nil {
				return fmt.Errorf("prepare %s: %w", w.name, err)
			}
		}
		w.file, w.clock, w.idle = b.path("time"), b.clock, b.idle
		w.results = map[string]*result{}
		for _, t := range b.tools {
			w.results[t.name] = &result{samples: map[int]sample{}}
		}
		b.workloads = append(b.workloads, &w)
	}
	if len(b.workloads) == 0 {
		return errors.New("no workload is left to measure")
	}
	return nil
}

// repository makes a git repository with n files, none of which has changed. The
// files are old, so that git has no reason to read them again.
func (b *bench) repository(ctx context.Context, n int) error {
	dir := b.path("repository")
	past := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("d%d/e%d/f%d", i/1000, i/50, i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(strconv.Itoa(i)), 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(name, past, past); err != nil {
			return err
		}
	}
	for _, args := range []string{"init -q .", "add .", "-c user.name=n -c user.email=e commit -q -m m", "status"} {
		cmd := exec.CommandContext(ctx, "git", strings.Fields(args)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w\n%s", args, err, out)
		}
	}
	return nil
}

func (b *bench) inserts(n int) error {
	var sql strings.Builder
	sql.WriteString("create table t(a integer primary key, b text);\n")
	for i := range n {
		fmt.Fprintf(&sql, "insert into t(b) values('the value of row %d');\n", i)
	}
	return os.WriteFile(b.path("inserts.sql"), []byte(sql.String()), 0o644)
}

// sample is one measurement, in seconds.
type sample struct {
	passed float64
	spent  float64 // of processor time, by the workload's processes
}

// measure does the workload once below the tool.
func (w *workload) measure(ctx context.Context, t *tool) (s sample, err error) {
	for _, name := range append(w.reset, w.file) {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return sample{}, err
		}
	}
	argv := append([]string{w.clock, w.file}, w.argv...)
	switch {
	case t.unrelated:
		other, err := w.idle(ctx, t)
		if err != nil {
			return sample{}, err
		}
		defer func() { err = errors.Join(err, other.end()) }()
	case t.wrap != nil:
		argv = t.wrap(w.comm, argv)
	}
	var asked time.Duration
	if w.client == nil {
		err = w.alone(ctx, argv)
	} else {
		asked, err = w.serve(ctx, argv)
	}
	if err != nil {
		return sample{}, err
	}
	text, err := os.ReadFile(w.file)
	if err != nil {
		return sample{}, err
	}
	if _, err := fmt.Sscan(string(text), &s.passed, &s.spent); err != nil {
		return sample{}, fmt.Errorf("the clock wrote %q: %w", text, err)
	}
	if w.client != nil {
		s.passed = asked.Seconds()
	}
	return s, nil
}

func (w *workload) alone(ctx context.Context, argv []string) error {
	cmd := command(ctx, argv)
	var messages strings.Builder
	cmd.Stderr = &messages
	if w.stdin != "" {
		f, err := os.Open(w.stdin)
		if err != nil {
			return err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	return explained(cmd.Run(), messages.String())
}

// serve runs the server, and returns how long the client had to ask.
func (w *workload) serve(ctx context.Context, argv []string) (time.Duration, error) {
	server, err := begin(ctx, argv, w.ready)
	if err != nil {
		return 0, err
	}
	ask := func(argv []string) error {
		out, err := command(ctx, argv).CombinedOutput()
		return explained(err, string(out))
	}
	start := time.Now()
	err = ask(w.client)
	asked := time.Since(start)
	return asked, errors.Join(err, ask(w.stop), server.end())
}
