package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// contained is a service that runs in a container.
type contained struct {
	name string // for --container
	pid  int    // of its first process, on the host
	env  []string
}

// inRunc starts a service of this machine by runc; data is what it sees as /data.
func inRunc(t *testing.T, data string, argv []string) contained {
	runc, root := testenv.Program(t, "runc"), hostRoot(t)
	testenv.FewFiles(t)
	dir := filepath.Dir(root)
	c := exec.Command(runc, "spec")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("runc spec: %v\n%s", err, out)
	}
	var spec map[string]any
	if err := json.Unmarshal([]byte(read(t, dir, "config.json")), &spec); err != nil {
		t.Fatal(err)
	}
	process := spec["process"].(map[string]any)
	process["terminal"], process["args"] = false, argv
	for at, from := range map[string]string{"/usr": "/usr", "/etc": "/etc", "/data": data} {
		options := []string{"bind", "ro"}
		if at == "/data" {
			options[1] = "rw"
		}
		spec["mounts"] = append(spec["mounts"].([]any), map[string]any{"destination": at, "type": "bind", "source": from, "options": options})
	}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("tjfuzz-service-%d", os.Getpid())
	t.Cleanup(func() { _ = exec.Command(runc, "delete", "--force", id).Run() })
	if err := exec.Command(runc, "run", "--detach", "--bundle", dir, id).Run(); err != nil { // it keeps the streams
		t.Fatalf("runc run: %v", err)
	}
	out, err := exec.Command(runc, "state", id).Output()
	var state struct{ PID int }
	if err != nil || json.Unmarshal(out, &state) != nil {
		t.Fatalf("runc state: %v\n%s", err, out)
	}
	return contained{"runc:" + id, state.PID, nil}
}

// inPodman does so by podman, with a storage of its own.
func inPodman(t *testing.T, data string, argv []string) contained {
	podman, runtime, root, storage := testenv.Program(t, "podman"), testenv.Program(t, "runc"), hostRoot(t), shortDir(t)
	if err := os.Mkdir(filepath.Join(root, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(storage, "storage.conf")
	if err := os.WriteFile(settings, fmt.Appendf(nil, "[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", storage+"/graph", storage+"/run"), 0o644); err != nil {
		t.Fatal(err)
	}
	name, env := fmt.Sprintf("tjfuzz-service-%d", os.Getpid()), []string{"CONTAINERS_STORAGE_CONF=" + settings}
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(podman, append([]string{"--cgroup-manager=cgroupfs", "--runtime", runtime}, args...)...)
		c.Env = append(os.Environ(), env...)
		return c
	}
	args := append([]string{"run", "--detach", "--name", name, "-v", data + ":/data"}, seesHost()...)
	args = append(args, "--ulimit=nofile=1024:1024", "--ulimit=nproc=100:100", "--rootfs", root)
	t.Cleanup(func() { _ = command("rm", "--force", "--time=1", name).Run() })
	if out, err := command(append(args, argv...)...).CombinedOutput(); err != nil {
		t.Fatalf("podman run: %v\n%s", err, out)
	}
	out, err := command("container", "inspect", "--format", "{{.State.Pid}}", name).Output()
	pid, e := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || e != nil {
		t.Fatalf("podman inspect: %v\n%s", err, out)
	}
	return contained{"podman:" + name, pid, env}
}

// straced starts strace in the namespaces of a container, but not in its cgroup, which is recorded. What it returns
// stops it, and says which calls it has seen.
func (c contained) straced(t *testing.T, data string) func() []string {
	strace := exec.Command("nsenter", "--target", strconv.Itoa(c.pid), "--pid", "--mount", testenv.Program(t, "strace"), "-f", "-o", "/data/strace", "-p", "1")
	strace.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	stderr, err := strace.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	if said, err := bufio.NewReader(stderr).ReadString('\n'); !strings.Contains(said, " attached") {
		t.Fatalf("strace said %q, %v", said, err)
	}
	return func() []string {
		_ = unix.Kill(-strace.Process.Pid, unix.SIGINT)
		_ = strace.Wait() // it ends by the signal
		var names []string
		for _, m := range regexp.MustCompile(`(?m)^\d+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)`).FindAllStringSubmatch(read(t, data, "strace"), -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
}

// What is recorded of a service that runs in a container, while somebody uses it, is what strace in the container sees.
func TestAServiceInAContainerIsRecordedWhole(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	redis, client := testenv.Program(t, "redis-server"), testenv.Program(t, "redis-cli")
	for name, start := range map[string]func(*testing.T, string, []string) contained{"runc": inRunc, "podman": inPodman} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			service := start(t, data, []string{redis, "--port", "0", "--unixsocket", "/data/s", "--dir", "/data", "--save", ""})
			socket := filepath.Join(data, "s")
			ask := func(commands string, args ...string) string {
				c := exec.Command(client, append([]string{"-s", socket}, args...)...)
				c.Stdin = strings.NewReader(commands)
				out, err := c.CombinedOutput()
				if err != nil {
					t.Fatalf("redis-cli: %v\n%s", err, out)
				}
				return string(out)
			}
			eventually(t, "the service listens", func() bool { return exec.Command(client, "-s", socket, "ping").Run() == nil })

			seen := service.straced(t, data)
			dir := t.TempDir()
			said, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer said.Close()
			cmd := exec.CommandContext(t.Context(), "tjfuzz", "trace", "--container", service.name, "-o", "e.json")
			cmd.Dir, cmd.Stderr, cmd.Env = dir, w, append(os.Environ(), service.env...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			if line, err := bufio.NewReader(said).ReadString('\n'); !strings.Contains(line, "recording ") {
				t.Fatalf("tjfuzz said %q, %v", line, err)
			}
			ask("SET a 1\nLPUSH l 1 2 3\nEVAL \"for i=1,1000 do redis.call('set','k'..i,i) end\" 0\nCONFIG SET appendonly yes\n")
			eventually(t, "the rewriting has ended", func() bool { return strings.Contains(ask("INFO persistence\n"), "aof_rewrite_in_progress:0\r\n") })
			ask("BGSAVE\nFLUSHALL ASYNC\nCONFIG GET *\n")
			eventually(t, "the saving has ended", func() bool { return strings.Contains(ask("INFO persistence\n"), "rdb_bgsave_in_progress:0\r\n") })
			if got := ask("", "-r", "20", "-i", "0.05", "ping"); strings.Count(got, "PONG") != 20 { // its timers go off meanwhile
				t.Errorf("the service said %q", got)
			}
			if err := cmd.Process.Signal(unix.SIGINT); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("tjfuzz: %v", err)
			}
			e := evidence(t, filepath.Join(dir, "e.json"))
			got, want := calls(e), seen()
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("recorded %v\nstrace   %v", got, want)
			}
			if len(got) < 20 || !e.Lost.Complete() {
				t.Errorf("%d syscalls, lost %v", len(got), e.Lost)
			}
			if strings.TrimSpace(ask("PING\n")) != "PONG" {
				t.Error("the service does not go on")
			}
		})
	}
}
