package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// engine starts containers that see this machine's programs, under a profile.
type engine struct {
	name    string // of a runtime that generate knows
	command func(t *testing.T, profile string, argv []string) *exec.Cmd
}

// hostRoot makes a root directory whose programs and settings are those of this
// machine once its /usr and /etc are mounted there.
func hostRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "rootfs")
	for _, d := range []string{"usr", "etc", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib32", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// seesHost is what shows the programs of this machine to a container on hostRoot.
func seesHost() []string {
	return []string{"-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro", "--network=none"}
}

// shortDir is a temporary directory for engines, whose paths must be short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tjfuzz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// podman starts containers with an OCI runtime of its choice. crun cannot use a mix of
// cgroup v1 and v2, so the unified tree is hidden from it.
func podman(t *testing.T, runtime string) engine {
	podman, runtime, root := testenv.Program(t, "podman"), testenv.Program(t, runtime), hostRoot(t)
	storage := shortDir(t)
	return engine{"podman", func(_ *testing.T, profile string, argv []string) *exec.Cmd {
		args := []string{"-c", `if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi; exec "$0" "$@"`, podman,
			"--root", storage, "--runroot", storage + "/run", "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime", runtime, "run", "--rm"}
		args = append(args, seesHost()...)
		// runc 1.1 fails with more descriptors than it expects, and a container cannot have more than its host.
		args = append(args, "--ulimit=nofile=1024:1024", "--ulimit=nproc=100:100", "--security-opt=seccomp="+profile, "--rootfs", root)
		return exec.Command("unshare", append([]string{"-m", "sh"}, append(args, argv...)...)...)
	}}
}

// dockerDaemon starts a daemon, which does not touch the machine's network or its images.
// It returns where it listens, as DOCKER_HOST has it.
func dockerDaemon(t *testing.T) string {
	daemon := testenv.Program(t, "dockerd")
	dir := shortDir(t)
	socket, log := filepath.Join(dir, "s"), filepath.Join(dir, "log")
	d := exec.Command(daemon, "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
		"--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--host", "unix://"+socket)
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	d.Stdout, d.Stderr = out, out
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Wait() }()
	t.Cleanup(func() {
		_ = d.Process.Signal(os.Interrupt)
		<-ended
	})
	for {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(log)
			t.Fatalf("dockerd: %v\n%s", err, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return "unix://" + socket
}

// docker starts containers by a daemon of its own.
func docker(t *testing.T) engine {
	client, host := testenv.Program(t, "docker"), dockerDaemon(t)
	tar := exec.Command("sh", "-c", `tar -C "$0" -c . | "$1" --host "$2" import - tjfuzz-host`, hostRoot(t), client, host)
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("docker import: %v\n%s", err, out)
	}
	return engine{"docker", func(_ *testing.T, profile string, argv []string) *exec.Cmd {
		args := append([]string{"--host", host, "run", "--rm"}, seesHost()...)
		return exec.Command(client, append(append(args, "--security-opt=seccomp="+profile, "tjfuzz-host"), argv...)...)
	}}
}

// A profile as it is written starts a program under docker and podman every time, though
// everything that it does not name kills; without the runtime's needs it never does.
func TestProfilesRunUnchangedUnderEngines(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	programs, starts := starters()
	engines := map[string]func(*testing.T) engine{
		"docker":      docker,
		"podman-crun": func(t *testing.T) engine { return podman(t, "crun") },
		"podman-runc": func(t *testing.T) engine { return podman(t, "runc") },
	}
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			for _, argv := range programs {
				for runtime, want := range map[string]int{e.name: starts, "none": 0} {
					profile := tracedProfile(t, argv, "--runtime", runtime)
					started, last := 0, ""
					for range max(want, 1) {
						out, err := e.command(t, profile, argv).CombinedOutput()
						if err == nil && len(out) > 0 {
							started++
						} else {
							last = fmt.Sprintf("%v: %s", err, out)
						}
					}
					if started != want {
						t.Errorf("%s, --runtime %s: %d starts succeeded, want %d; the last failure: %s", strings.Join(argv, " "), runtime, started, want, last)
					}
				}
			}
		})
	}
}

// tracedProfile is a profile that kills whatever a program did not call in two runs, one
// that wrote to a pipe and one that wrote to /dev/null.
func tracedProfile(t *testing.T, argv []string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	profile := filepath.Join(dir, "profile.json")
	args := append([]string{"generate", "--default", "kill", "-o", profile}, flags...)
	for _, out := range []io.Writer{new(bytes.Buffer), nil} {
		evidence := filepath.Join(dir, fmt.Sprintf("%v.json", out == nil))
		c := exec.Command("tjfuzz", append([]string{"trace", "--quiet", "-o", evidence, "--", testenv.Program(t, argv[0])}, argv[1:]...)...)
		c.Stdout = out
		if err := c.Run(); err != nil {
			t.Fatalf("trace %v: %v", argv, err)
		}
		args = append(args, evidence)
	}
	mustRun(t, args...)
	return profile
}
