package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/synth"
)

// startAgent starts the agent and returns when it listens. stop ends it and returns what
// it said.
func startAgent(t *testing.T, socket, rules string) (stop func() string) {
	t.Helper()
	c := exec.Command("tjfuzz", "agent", "--listen", socket, "--answers", rules)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	lines := bufio.NewReader(stderr)
	var said bytes.Buffer
	for !strings.Contains(said.String(), "listening on") {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			t.Fatalf("the agent does not listen: %v: %s", err, said.String())
		}
	}
	read := make(chan struct{})
	go func() { // an agent that says more than a pipe holds would wait for whoever reads that, and all whom it answers for it
		defer close(read)
		_, _ = io.Copy(&said, lines)
	}()
	return func() string {
		_ = c.Process.Signal(unix.SIGTERM)
		<-read
		if err := c.Wait(); err != nil {
			t.Errorf("the agent ended with %v", err)
		}
		return said.String()
	}
}

const agentRules = `version: 1
rules:
  - {syscall: [mkdir, mkdirat], path: /granted*, answer: value 0}
  - {syscall: [mkdir, mkdirat], path: /none/**, answer: continue}
otherwise: errno EXDEV
`

// The agent answers the calls of a container as its rules say, for each runtime.
func TestTheAgentServesRuntimes(t *testing.T) {
	testenv.Require(t, testenv.Root)
	busybox := testenv.Program(t, "busybox")
	testenv.FewFiles(t)
	dir := t.TempDir()
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "rootfs", d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sh", "mkdir"} {
		if err := os.WriteFile(filepath.Join(dir, "rootfs/bin", name), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	socket, rules, profile := filepath.Join(dir, "agent.sock"), filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "profile.json")
	if err := os.WriteFile(rules, []byte(agentRules), 0o644); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": %q, "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}`, socket)
	if err := os.WriteFile(profile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, runtime := range synth.Loaders() {
		t.Run(runtime, func(t *testing.T) {
			path := testenv.Program(t, runtime)
			stop := startAgent(t, socket, rules)
			writeBundle(t, dir, path, profile, true)
			config := filepath.Join(dir, "config.json")
			b, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			var spec map[string]any
			if err := json.Unmarshal(b, &spec); err != nil {
				t.Fatal(err)
			}
			spec["process"].(map[string]any)["args"] = []string{"/bin/sh", "-c", "/bin/mkdir /granted1 && /bin/mkdir /granted2 && ! /bin/mkdir /none/x && ! /bin/mkdir /other"}
			if b, err = json.Marshal(spec); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(config, b, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := contain(path, dir, fmt.Sprintf("tjfuzz-agent-%d-%s", os.Getpid(), runtime))
			said := stop()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			for want, in := range map[string]string{
				"o such file or directory": string(out), // of /none/x, which the kernel has answered
				"ross-device link":         string(out),
				`answered mkdir("/granted1", 0777): value 0 [mkdir, pid `:  said,
				`answered mkdir("/none/x", 0777): continue [mkdir, pid `:   said,
				`answered mkdir("/other", 0777): errno EXDEV [mkdir, pid `: said,
				": ended; 4 calls answered, 0 callers gone":                said,
				"warning: where calls go on because of a path":             said,
			} {
				if !strings.Contains(in, want) {
					t.Errorf("%q is not in:\n%s", want, in)
				}
			}
		})
	}
}

// enforce answers by itself, or hands the listener to an agent as a runtime does; and
// where that goes away, calls fail and nothing hangs.
func TestEnforceAnswersOrHasAnAgentAnswer(t *testing.T) {
	dir := t.TempDir()
	socket, rules := filepath.Join(dir, "agent.sock"), filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rules, []byte(agentRules), 0o644); err != nil {
		t.Fatal(err)
	}
	enforce := func(program []string, flags ...string) (string, error) {
		out, err := exec.Command("tjfuzz", append(append(append([]string{"enforce", "--policy", "none", "--default", "allow", "--notify", "mkdir,mkdirat"}, flags...), "--"), program...)...).CombinedOutput()
		return string(out), err
	}
	stop := startAgent(t, socket, rules)
	for _, flags := range [][]string{{"--answers", rules}, {"--answers", rules, "--log-source", "notify"}, {"--agent", socket}} {
		if out, err := enforce([]string{"mkdir", "/granted"}, flags...); err != nil {
			t.Errorf("%v: %v: %s", flags, err, out)
		}
		if out, err := enforce([]string{"mkdir", "/other"}, flags...); err == nil || !strings.Contains(out, "ross-device link") || !strings.Contains(out, "1 call refused by whom the policy asks: mkdir ×1") {
			t.Errorf("%v: %v: %s", flags, err, out)
		}
	}
	if said := stop(); strings.Count(said, ": ended; 1 calls answered") != 2 {
		t.Errorf("the agent said: %s", said)
	}
	if out, err := enforce([]string{"mkdir", "/other"}, "--agent", socket); err == nil || !strings.Contains(out, "unction not implemented") || !strings.Contains(out, "connect to the agent") {
		t.Errorf("without the agent: %v: %s", err, out)
	}
	if out, err := enforce([]string{"mkdir", "/other"}); err == nil || !strings.Contains(out, "--answers FILE") {
		t.Errorf("with nobody to answer: %v: %s", err, out)
	}
}
