package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// A program that was learned on one workload is refused calls on another. What is refused
// corrects the policy, in one run of a trial or in a few runs, and then the workload runs
// clean under it.
func TestAPolicyIsCorrectedByWhatItRefused(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, c := range []struct {
		program string
		learned []string // arguments of the runs that the policy is made from
		other   []string // with which it is to run
		policy  string
	}{
		{"sort", []string{"/etc/passwd"}, []string{"--parallel=4", "-S", "16K", "-T", ".", "-o", "sorted", "numbers"}, "sort.yaml"},
		{"tar", []string{"--version"}, []string{"czf", "packed.tgz", "numbers", "dir"}, "tar.json"},
		{"/usr/bin/python3", []string{"-c", "pass"}, []string{"-c", "import socket, os, subprocess; socket.socketpair(); os.mkdir('made'); subprocess.run(['true'], check=True)"}, "python3.yaml"},
	} {
		t.Run(filepath.Base(c.program), func(t *testing.T) {
			program := testenv.Program(t, c.program)
			dir := t.TempDir()
			var numbers strings.Builder
			for i := range 20000 {
				fmt.Fprintln(&numbers, i*7919%20011)
			}
			if err := os.WriteFile(filepath.Join(dir, "numbers"), []byte(numbers.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			tool := func(args ...string) (string, error) {
				cmd := exec.Command("tjfuzz", args...)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			must := func(args ...string) {
				if out, err := tool(args...); err != nil {
					t.Fatalf("tjfuzz %q: %v\n%s", args, err, out)
				}
			}
			must(append([]string{"trace", "--args", "--quiet", "-o", "evidence", "--", program}, c.learned...)...)
			must("generate", "--args", "strict", "--default", "errno", "-o", c.policy, "evidence")
			run := func(flags ...string) (string, error) {
				return tool(append(append(append([]string{"enforce", "--policy", c.policy}, flags...), "--", program), c.other...)...)
			}
			if out, _ := run(); !strings.Contains(out, "refused: ") {
				t.Fatalf("nothing is refused on another workload:\n%s", out)
			}
			for _, made := range []string{"made", "sorted", "packed.tgz"} {
				_ = os.RemoveAll(filepath.Join(dir, made))
			}
			if out, err := run("--default", "log", "--update", c.policy, "--yes"); err != nil || !strings.Contains(out, "wrote "+c.policy) {
				t.Fatalf("the trial: %v\n%s", err, out)
			}
			// What differs from run to run, such as which thread comes first, may show more.
			for range 3 {
				for _, made := range []string{"made", "sorted", "packed.tgz"} {
					_ = os.RemoveAll(filepath.Join(dir, made))
				}
				out, err := run("--update", c.policy, "--yes")
				if err == nil && !strings.Contains(out, "denied ") {
					return
				}
				t.Logf("corrected once more: %v\n%s", err, out)
			}
			t.Errorf("it does not run clean under the policy that was corrected four times")
		})
	}
}
