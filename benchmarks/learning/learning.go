// Package learning has what the benchmarks of learning share: it builds the tjfuzz of
// this tree, and learns with it. It knows tjfuzz by its command line
// only, and refuses to know what is measured. Its hazard is a result of another build
// than one believes: whoever keeps results also keeps when they were made.
package learning

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Build makes tjfuzz in a directory and returns its path.
func Build(ctx context.Context, dir string) (tjfuzz string, err error) {
	tjfuzz = filepath.Join(dir, "tjfuzz")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", tjfuzz, "github.com/tjfuzz/tjfuzz/cmd/tjfuzz").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build tjfuzz: %w\n%s", err, out)
	}
	return tjfuzz, nil
}

// Result is what `tjfuzz learn --json` tells at the end of a session, as far as it is used here.
type Result struct {
	Stop     string  `json:"stop"`
	Runs     uint64  `json:"runs"`
	Seconds  float64 `json:"seconds"`
	Observed int     `json:"syscalls_observed"`
	Allowed  int     `json:"syscalls_allowed"`
	Chance   float64 `json:"chance_of_another"`
	Found    []Found `json:"found"` // in the order of the runs
	Service  []Said  `json:"service"`
}

// Said is what was said at one socket of a service.
type Said struct {
	Socket   string `json:"socket"`
	Messages uint64 `json:"messages"`
	Answered uint64 `json:"answered"`
}

// Messages counts what was said at all sockets.
func (r *Result) Messages() (n uint64) {
	for _, s := range r.Service {
		n += s.Messages
	}
	return n
}

// Found says which run was first to show a syscall.
type Found struct {
	Syscall string   `json:"syscall"`
	Run     uint64   `json:"run"`
	Seconds float64  `json:"seconds"`
	Phase   string   `json:"phase"`
	Varied  []string `json:"varied"`
}

// Learn learns a program by its command line, with nothing but the flags that are given, and returns the
// result that learn printed. The profile, profile.json, and the state directory are in dir.
func Learn(ctx context.Context, tjfuzz, dir string, target []string, flags ...string) ([]byte, error) {
	argv := slices.Concat([]string{"learn", "--quiet", "--json", "--state", filepath.Join(dir, "state"),
		"-o", filepath.Join(dir, "profile.json")}, flags, []string{"--"}, target)
	cmd := exec.CommandContext(ctx, tjfuzz, argv...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("learn %s: %w\n%s", target[0], err, stderr.String())
	}
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:], nil // after the other events
}

// Parse reads what Learn returns.
func Parse(result []byte) (*Result, error) {
	var r Result
	if err := json.Unmarshal(result, &r); err != nil {
		return nil, fmt.Errorf("read the result of learn: %w", err)
	}
	return &r, nil
}
