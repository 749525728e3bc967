package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/synth"
)

// A profile with the runtime's baseline starts a container every time, though
// everything that it does not name kills. The baseline is what is tested: without
// it no start succeeds.
func TestProfilesRunUnchangedUnderRuntimes(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	busybox := testenv.Program(t, "busybox")
	testenv.FewFiles(t)

	dir := t.TempDir()
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	ls := filepath.Join(root, "bin/ls")
	if err := os.WriteFile(ls, program, 0o755); err != nil {
		t.Fatal(err)
	}
	profile, state := filepath.Join(dir, "ls.json"), filepath.Join(dir, "state")
	mustRun(t, "learn", "--execs", "300", "--seed", "1", "--jobs", "1", "-o", profile, "--state", state, "--", ls)

	const starts = 20
	for _, runtime := range synth.Loaders() {
		t.Run(runtime, func(t *testing.T) {
			path := testenv.Program(t, runtime)
			for _, tt := range []struct {
				baseline  string
				fewer     bool // only what no_new_privs needs
				noNewPriv bool
				want      int
			}{{runtime, true, true, starts}, {runtime, false, false, starts}, {"none", false, false, 0}} {
				withBase := filepath.Join(dir, runtime+".json")
				mustRun(t, "generate", "--runtime", tt.baseline, fmt.Sprintf("--no-new-privs=%v", tt.fewer), "--default", "kill", "-o", withBase, filepath.Join(state, evidenceName))
				writeBundle(t, dir, path, withBase, tt.noNewPriv)
				started, last := 0, []byte(nil)
				for i := range starts {
					if tt.want == 0 && i == 3 {
						break
					}
					out, err := contain(path, dir, fmt.Sprintf("tjfuzz-%d-%s-%d", os.Getpid(), runtime, i))
					if err == nil && bytes.Contains(out, []byte("proc")) {
						started++
					} else {
						last = out
					}
				}
				if started != tt.want {
					t.Errorf("baseline %s, no_new_privs %v: %d of %d starts succeeded; the last failure said: %s",
						tt.baseline, tt.noNewPriv, started, tt.want, last)
				}
			}
		})
	}
}

// mustRun runs a command of tjfuzz in this process.
func mustRun(t *testing.T, args ...string) {
	t.Helper()
	var stderr bytes.Buffer
	if code := run(args, nil, &stderr, &stderr); code != 0 {
		t.Fatalf("tjfuzz %v: exit code %d\n%s", args, code, stderr.Bytes())
	}
}

// contain runs the bundle in dir. crun cannot use a mix of cgroup v1 and v2, so
// the unified tree is hidden from it.
func contain(runtime, dir, id string) ([]byte, error) {
	script := `if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi; exec "$0" run --bundle "$1" "$2"`
	return exec.Command("unshare", "-m", "sh", "-c", script, runtime, dir, id).CombinedOutput()
}

// writeBundle makes dir an OCI bundle that lists its root directory under a profile.
func writeBundle(t *testing.T, dir, runtime, profile string, noNewPrivs bool) {
	t.Helper()
	config := filepath.Join(dir, "config.json")
	if err := os.RemoveAll(config); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(runtime, "spec")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s spec: %v\n%s", runtime, err, out)
	}
	read := func(path string) (v map[string]any) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return v
	}
	spec := read(config)
	process := spec["process"].(map[string]any)
	process["terminal"] = false
	process["noNewPrivileges"] = noNewPrivs
	process["args"] = []string{"/bin/ls", "/"}
	spec["root"] = map[string]any{"path": "rootfs", "readonly": true}
	spec["linux"].(map[string]any)["seccomp"] = read(profile)
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
