package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// compiled returns a directory with the programs of testdata. Other users may
// read it.
func compiled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, flags := range map[string][]string{
		"filter":   nil,
		"fallback": nil,
		"served":   nil,
		"unseen":   {"-static"},
		"clock":    nil,
		"secret":   nil,
		"aimed":    nil,
		"options":  nil,
		"exact":    {"-nostdlib", "-static"},
	} {
		program := testenv.Compile(t, filepath.Join("testdata", name+".c"), flags...)
		if err := os.Rename(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// script writes an executable shell script and returns its path.
func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// tool is a started tjfuzz.
type tool struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// start starts tjfuzz in dir. It is killed at the end of the test at the latest.
func start(t *testing.T, dir string, args ...string) *tool {
	t.Helper()
	return startAs(t, "", dir, args...)
}

// startAs starts tjfuzz through a command that becomes it, such as nobody.
func startAs(t *testing.T, become, dir string, args ...string) *tool {
	t.Helper()
	if become != "" {
		return startProgram(t, dir, become, append([]string{"tjfuzz"}, args...)...)
	}
	return startProgram(t, dir, "tjfuzz", args...)
}

func startProgram(t *testing.T, dir, program string, args ...string) *tool {
	t.Helper()
	p := &tool{Cmd: exec.CommandContext(t.Context(), program, args...)}
	p.Dir, p.Stdout, p.Stderr = dir, &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// wait waits for the end and demands the exit code, which is 128 more than a signal.
func (p *tool) wait(t *testing.T, want int) {
	t.Helper()
	err := p.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := shellStatus(p.ProcessState); got != want {
		t.Fatalf("tjfuzz %q: exit code %d, want %d\n%s", p.Args[1:], got, want, &p.stderr)
	}
}

// eventually waits until a condition that other processes bring about holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("30 s later still not: %s", what)
		case <-tick.C:
		}
	}
}

// running lists the processes of the machine whose command line has the word.
func running(t *testing.T, word string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		b, _ := os.ReadFile(f) // it may have ended
		if strings.Contains(string(b), word) && filepath.Base(filepath.Dir(f)) != strconv.Itoa(os.Getpid()) {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

// controlGroups lists the cgroups that a tjfuzz made.
func controlGroups(t *testing.T, pid int) []string {
	t.Helper()
	var out []string
	for _, tree := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(filepath.Join(tree, "tjfuzz-"+strconv.Itoa(pid)+"-*"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	return out
}

// mounts is the list of mounts that this process sees.
func mounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	// Other tests mount below their own temporary directories meanwhile.
	var kept []string
	for _, line := range strings.Split(string(b), "\n") {
		if fields := strings.Fields(line); len(fields) < 5 || !strings.HasPrefix(fields[4], filepath.Join(os.TempDir(), "Test")) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
