package locate

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// What the real programs leave behind leads to the process that they started, and
// to a cgroup in which it is, unless it has none of its own.
func TestContainersOfRealRuntimes(t *testing.T) {
	testenv.Require(t, testenv.Root)
	busybox := testenv.Program(t, "busybox")
	testenv.FewFiles(t)

	for _, runtime := range []string{"runc", "crun"} {
		for _, cgroups := range []string{"", fmt.Sprintf("/tjfuzz-elsewhere-%d", os.Getpid())} {
			t.Run(fmt.Sprintf("%s chooses %t", runtime, cgroups == ""), func(t *testing.T) {
				program := testenv.Program(t, runtime)
				dir := bundle(t, program, busybox, cgroups)
				id := fmt.Sprintf("tjfuzz-locate-%d", os.Getpid())
				start(t, program, dir, id)

				got, err := System{}.Container(t.Context(), runtime+":"+id)
				if err != nil {
					t.Fatal(err)
				}
				if got.Program != "/bin/busybox" || got.Name != runtime+" container "+id {
					t.Errorf("got %+v, want /bin/busybox as %s container %s", got, runtime, id)
				}
				if len(got.Cgroups) != 1 || len(got.PIDs) != 0 {
					t.Fatalf("got cgroups %q and processes %v, want one cgroup", got.Cgroups, got.PIDs)
				}
				want := "/" + id
				if cgroups != "" {
					want = cgroups
				}
				if !strings.HasSuffix(got.Cgroups[0], want) {
					t.Errorf("cgroup is %s, want one that ends in %s", got.Cgroups[0], want)
				}
				procs, err := os.ReadFile(filepath.Join(got.Cgroups[0], "cgroup.procs"))
				if err != nil {
					t.Fatal(err)
				}
				pid := pidOf(t, program, id)
				if !slices.Contains(strings.Fields(string(procs)), fmt.Sprint(pid)) {
					t.Errorf("processes %q are in %s, want %d among them", procs, got.Cgroups[0], pid)
				}

				kill(t, pid)
				_, err = System{}.Container(t.Context(), id)
				if err == nil || !strings.HasPrefix(err.Error(), runtime+" container "+id+" does not run: ") {
					t.Errorf("of the killed container: %v, want that it does not run", err)
				}
			})
		}
	}
}

// bundle makes an OCI bundle with a program that waits.
func bundle(t *testing.T, runtime, busybox, cgroups string) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(runtime, "spec")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s spec: %v\n%s", runtime, err, out)
	}
	config := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(b, &spec); err != nil {
		t.Fatal(err)
	}
	process := spec["process"].(map[string]any)
	process["terminal"] = false
	process["args"] = []string{"/bin/busybox", "sh", "-c", "echo started; read never"}
	if cgroups != "" {
		spec["linux"].(map[string]any)["cgroupsPath"] = cgroups
	}
	if b, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs a container in the background until the test ends. crun cannot use a
// mix of cgroup v1 and v2, so the unified tree is hidden from it.
func start(t *testing.T, runtime, dir, id string) {
	t.Helper()
	script := `if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi; exec "$0" run --detach --bundle "$1" "$2"`
	t.Cleanup(func() {
		if out, err := exec.Command(runtime, "delete", "--force", id).CombinedOutput(); err != nil {
			t.Errorf("%s delete: %v\n%s", runtime, err, out)
		}
	})
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, runtime, dir, id)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hold.Close() })
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, w, w
	err = cmd.Run()
	in.Close()
	w.Close()
	if err != nil {
		said, _ := io.ReadAll(r)
		t.Fatalf("%s run: %v\n%s", runtime, err, said)
	}
	// The runtime may be gone before the program has taken its place.
	if said, err := bufio.NewReader(r).ReadString('\n'); said != "started\n" {
		t.Fatalf("%s run said %q, %v", runtime, said, err)
	}
}

// pidOf is what the runtime itself says of its container.
func pidOf(t *testing.T, runtime, id string) int {
	t.Helper()
	out, err := exec.Command(runtime, "state", id).Output()
	if err != nil {
		t.Fatalf("%s state: %v", runtime, err)
	}
	var s struct{ PID int }
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatal(err)
	}
	return s.PID
}

// kill ends a process that is no child of this one, and returns when it has ended.
func kill(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n == 1 {
			return
		}
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
	}
}
