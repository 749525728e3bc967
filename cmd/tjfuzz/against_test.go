package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// What was learned runs in containers under the profile that was made for them, though the
// rest kills. What the profile lacks is told of: to the program, or to the runtime.
func TestVerifyAgainstRuntimes(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	testenv.FewFiles(t)
	program := testenv.Compile(t, "testdata/boxed.c", "-static")
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	mustRun(t, "learn", "--quiet", "--execs", "30", "--seed", "1", "--jobs", "1", "-o", filepath.Join(dir, "learned.json"), "--state", state, "--", program)
	runtimes := []string{"runc", "crun"}
	if os.Getenv("TJFUZZ_LONG") != "" {
		runtimes = append(runtimes, "podman", "docker")
	}
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			testenv.Program(t, runtime)
			if runtime == "docker" {
				t.Setenv("DOCKER_HOST", dockerDaemon(t))
			}
			dir := t.TempDir()
			profile := func(name string, flags ...string) string {
				path := filepath.Join(dir, name)
				mustRun(t, append(append([]string{"generate", "--default", "kill", "-o", path}, flags...), filepath.Join(state, evidenceName))...)
				return path
			}
			whole, bare := profile("whole.json", "--runtime", runtime), profile("bare.json", "--runtime", "none")
			narrow := filepath.Join(dir, "narrow.json")
			b, err := os.ReadFile(whole)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(narrow, bytes.Replace(b, []byte(`"getpgid"`), []byte(`"getsid"`), 1), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				profile string
				code    int
				refused []string
				starts  bool
			}{
				{whole, 0, nil, true},
				{narrow, exitViolation, []string{"getpgid"}, true},
				{bare, exitViolation, nil, false},
			} {
				var out, said bytes.Buffer
				code := run([]string{"verify", "--against", runtime, "--json", "--state", state, "--policy", c.profile, "--", program}, nil, &out, &said)
				var got struct {
					Replays    int
					Violations []struct {
						Syscall string
						Killed  bool
					}
					NotStarted int `json:"not_started"`
					Complete   bool
				}
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatalf("%s: exit code %d, %v\n%s%s", c.profile, code, err, &out, &said)
				}
				var refused []string
				for _, v := range got.Violations {
					if refused = append(refused, v.Syscall); !v.Killed {
						t.Errorf("%s: %s did not kill", c.profile, v.Syscall)
					}
				}
				slices.Sort(refused)
				if code != c.code || !slices.Equal(slices.Compact(refused), c.refused) || got.Replays == 0 || !got.Complete || c.starts != (got.NotStarted == 0) || !c.starts && got.NotStarted != got.Replays {
					t.Errorf("%s: exit code %d, want %d, and %v refused\n%s%s", c.profile, code, c.code, c.refused, &out, &said)
				}
			}
		})
	}
	t.Run("what it lacks", func(t *testing.T) {
		bin := t.TempDir()
		for _, tool := range []string{"true", "unshare", "sh", "umount"} {
			if err := os.Symlink(testenv.Program(t, tool), filepath.Join(bin, tool)); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PATH", bin)
		broken := "#!/bin/sh\ncase $1 in --version) echo crun 0;; *) echo out of order >&2; exit 1; esac\n"
		if err := os.WriteFile(filepath.Join(bin, "crun"), []byte(broken), 0o755); err != nil {
			t.Fatal(err)
		}
		for runtime, want := range map[string]string{
			"lxc":    "tjfuzz: error: --against: no such container runtime: lxc\ntjfuzz: hint: known are crun, docker, podman, runc\n",
			"podman": "tjfuzz: error: podman is not installed\ntjfuzz: hint: install it, or name another of crun, docker, podman, runc\n",
			"crun":   "tjfuzz: error: crun starts no container here: out of order\ntjfuzz: hint: see whether it works by itself; 'tjfuzz verify' needs no runtime\n",
		} {
			var said bytes.Buffer
			code := run([]string{"verify", "--against", runtime, "--state", state, "--policy", filepath.Join(dir, "learned.json"), "--", program}, nil, &said, &said)
			if code != exitError || said.String() != want {
				t.Errorf("%s: exit code %d, %s", runtime, code, &said)
			}
		}
	})
}
