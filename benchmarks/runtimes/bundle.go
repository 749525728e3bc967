package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// writeBundle makes an OCI bundle of busybox, which does nothing and exits, under a
// filter that refuses nothing that anybody here calls.
func writeBundle(ctx context.Context, bundle, runtime string, noNewPrivs bool) error {
	root := filepath.Join(bundle, "rootfs")
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/true"), program, 0o755); err != nil {
		return err
	}
	spec := exec.CommandContext(ctx, runtime, "spec")
	spec.Dir = bundle
	if out, err := spec.CombinedOutput(); err != nil {
		return fmt.Errorf("spec: %w: %s", err, out)
	}
	path := filepath.Join(bundle, "config.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config struct {
		Process map[string]any `json:"process"`
		Linux   map[string]any `json:"linux"`
	}
	var whole map[string]any
	if err := json.Unmarshal(b, &config); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(b, &whole); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if config.Process == nil || config.Linux == nil {
		return fmt.Errorf("%s has no process or no linux", path)
	}
	config.Process["terminal"] = false
	config.Process["noNewPrivileges"] = noNewPrivs
	config.Process["args"] = []string{"/bin/true"}
	config.Linux["seccomp"] = map[string]any{
		"defaultAction": "SCMP_ACT_ALLOW",
		"syscalls":      []any{map[string]any{"names": []string{"swapon"}, "action": "SCMP_ACT_ERRNO"}},
	}
	whole["process"], whole["linux"] = config.Process, config.Linux
	if b, err = json.Marshal(whole); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}
