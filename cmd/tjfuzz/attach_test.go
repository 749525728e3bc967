package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// evidence reads what trace wrote.
func evidence(t *testing.T, path string) *trace.Trace {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := trace.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// calls are the syscalls in the evidence.
func calls(e *trace.Trace) []string {
	var names []string
	for _, o := range e.Observations {
		names = append(names, o.ID.String())
	}
	return names
}

func TestAnInterruptedRecordingOfWhatRunsIsWritten(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	for _, s := range []unix.Signal{unix.SIGINT, unix.SIGTERM} {
		t.Run(unix.SignalName(s), func(t *testing.T) {
			target := exec.CommandContext(t.Context(), "sleep", "1000")
			if err := target.Start(); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			said, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer said.Close()
			cmd := exec.CommandContext(t.Context(), "tjfuzz", "trace", "--pid", fmt.Sprint(target.Process.Pid), "-o", "e.json")
			cmd.Dir, cmd.Stderr = dir, w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			if _, err := said.Read(make([]byte, 100)); err != nil { // that it records
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("tjfuzz: %v, want exit code 0", err)
			}
			if got, want := calls(evidence(t, filepath.Join(dir, "e.json"))), []string{"clock_nanosleep"}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if err := target.Process.Signal(unix.Signal(0)); err != nil {
				t.Errorf("the target: %v, want that it goes on", err)
			}
		})
	}
}

// A container in all but its name: a cgroup that a set-up enters, and then executes
// a program in.
func TestACgroupIsRecordedWithWhatEntersIt(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	t.Parallel()
	for kind, options := range map[string]string{"cgroup": "none,name=tjfuzz-cmd", "cgroup2": ""} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			mount := filepath.Join(dir, "mount")
			if err := os.Mkdir(mount, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("none", mount, kind, 0, options); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(mount, 0)
			cgroup := filepath.Join(mount, fmt.Sprintf("tjfuzz-cmd-%d", os.Getpid()))
			if err := os.Mkdir(cgroup, 0o755); err != nil {
				t.Fatal(err)
			}
			defer unix.Rmdir(cgroup)
			procs := filepath.Join(cgroup, "cgroup.procs")

			first := exec.CommandContext(t.Context(), "sh", "-c", `echo $$ >"$0" && exec sleep 1000`, procs)
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the cgroup has a process that sleeps", func() bool {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", first.Process.Pid))
				return err == nil && string(text) == "sleep\n"
			})
			said, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer said.Close()
			cmd := exec.CommandContext(t.Context(), "tjfuzz", "trace", "--cgroup", cgroup, "-o", "e.json")
			cmd.Dir, cmd.Stderr = dir, w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			if _, err := said.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			// Its umask is of the set-up.
			second := exec.Command("sh", "-c", `echo $$ >"$0" && umask 077 && exec sync`, procs)
			if out, err := second.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if err := first.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = first.Wait() // killed
			if err := cmd.Wait(); err != nil {
				t.Errorf("tjfuzz: %v, want that it ends with what it records", err)
			}
			e := evidence(t, filepath.Join(dir, "e.json"))
			got := calls(e)
			for _, want := range []string{"execve", "sync", "clock_nanosleep"} {
				if !slices.Contains(got, want) {
					t.Errorf("no %s in %v", want, got)
				}
			}
			if slices.Contains(got, "umask") {
				t.Errorf("a umask in %v, which came before the execve", got)
			}
			if !strings.HasSuffix(e.Target.Path, "/sleep") && !strings.HasSuffix(e.Target.Path, "/coreutils") {
				t.Errorf("the program is %q, want what was in the cgroup at first", e.Target.Path)
			}
		})
	}
}
