package victims

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// way is a way into the recording of what runs already.
type way struct {
	what string // in the words of the document

	// start starts the service that is recorded, and returns the flags that name it.
	start func(t *testing.T, v *victims) (services []*service, flags []string)

	// later, when not nil, starts something that is to be recorded too.
	later func(t *testing.T, v *victims, flags []string)

	// end makes the recording end; nil: it ends with what is recorded.
	end func(t *testing.T, recording *exec.Cmd)

	cannot map[string]string
}

func ways() []way {
	const later = "its filter has to be loaded before the program starts"
	notify := map[string]string{"notify": later}
	pid := func(t *testing.T, v *victims) ([]*service, []string) {
		s := serve(t, v.native, "serve")
		return []*service{s}, []string{"--pid", strconv.Itoa(s.cmd.Process.Pid)}
	}
	in := func(dir func(*testing.T) string) func(*testing.T, *victims) ([]*service, []string) {
		return func(t *testing.T, v *victims) ([]*service, []string) {
			group := dir(t)
			return []*service{serve(t, inside(group, v.native, "serve")...)}, []string{"--cgroup", group}
		}
	}
	enter := func(t *testing.T, v *victims, flags []string) {
		argv := inside(flags[1], v.native, "execveat")
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", argv, err, out)
		}
	}
	const enters = ", and what enters it later"
	return []way{
		{what: "`--pid`, with its threads and children", start: pid, cannot: notify},
		{what: "`--cgroup`, version 1", start: in(cgroupV1), cannot: notify},
		{what: "`--cgroup`, version 2", start: in(cgroupV2), cannot: notify},
		{what: "`--cgroup`, version 1" + enters, start: in(cgroupV1), later: enter, cannot: map[string]string{
			"notify": later, "ptrace": "nothing tells it who enters"}},
		{what: "`--cgroup`, version 2" + enters, start: in(cgroupV2), later: enter, cannot: map[string]string{
			"notify": later, "ptrace": "nothing tells it who enters"}},
		{what: "`--container`, of runc", start: container("runc"), cannot: notify},
		{what: "`--container`, of crun", start: container("crun"), cannot: notify},
		{what: "`--duration`, while the service goes on", start: func(t *testing.T, v *victims) ([]*service, []string) {
			services, flags := pid(t, v)
			return services, append(flags, "--duration", "3s")
		}, end: func(*testing.T, *exec.Cmd) {}, cannot: notify},
		{what: "an interrupt, while the service goes on", start: pid, end: func(t *testing.T, recording *exec.Cmd) {
			if err := recording.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}, cannot: notify},
		{what: "several at once, each with its own evidence", start: func(t *testing.T, v *victims) ([]*service, []string) {
			one, flags := pid(t, v)
			other, more := pid(t, v)
			return append(one, other...), append(flags, more...)
		}, cannot: notify},
	}
}

func TestEachWayInRecordsTheWholeService(t *testing.T) {
	v := prepare(t)
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			for _, w := range ways() {
				t.Run(w.what, func(t *testing.T) {
					t.Parallel()
					w.test(t, &v, backend)
				})
			}
		})
	}
}

func (w *way) test(t *testing.T, v *victims, backend string) {
	services, flags := w.start(t, v)
	out := filepath.Join(t.TempDir(), "evidence")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	recording := exec.CommandContext(ctx, v.tool, slices.Concat([]string{"trace", "--backend", backend, "-o", out}, flags)...)
	messages, err := recording.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := recording.Start(); err != nil {
		t.Fatal(err)
	}
	why, cannot := w.cannot[backend]
	said := bufio.NewScanner(messages)
	var text strings.Builder
	for n := 0; n < len(services) && said.Scan(); {
		fmt.Fprintln(&text, said.Text())
		if strings.HasPrefix(said.Text(), "tjfuzz: recording ") {
			n++
		}
	}
	attached := strings.Count(text.String(), "tjfuzz: recording ") == len(services)
	if attached {
		if w.later != nil {
			w.later(t, v, flags)
		}
		for _, s := range services {
			s.work(t)
		}
		if w.end != nil {
			w.end(t, recording)
		} else {
			for _, s := range services {
				s.finish(t)
			}
		}
	}
	for said.Scan() {
		fmt.Fprintln(&text, said.Text())
	}
	failed := recording.Wait()
	if attached && w.end != nil {
		for _, s := range services {
			s.work(t) // it goes on as before
			s.finish(t)
		}
	}
	missing := ""
	if failed != nil {
		missing = failed.Error()
	} else {
		missing = w.missing(t, out, services)
	}
	switch {
	case missing == "" && cannot:
		t.Errorf("all was recorded; the table says that it cannot be: %s", why)
	case missing != "" && !cannot:
		t.Errorf("%s; tjfuzz said:\n%s", missing, &text)
	}
}

// missing says what is not in the evidence of some service, "" for nothing.
func (w *way) missing(t *testing.T, out string, services []*service) string {
	t.Helper()
	files := []string{out}
	if len(services) > 1 {
		files = nil
		for _, s := range services {
			files = append(files, filepath.Join(out, fmt.Sprintf("pid-%d.json", s.cmd.Process.Pid)))
		}
	}
	calls := []string{mark, "sched_get_priority_min", "sched_rr_get_interval"}
	if w.later != nil {
		calls = append(calls, "execveat")
	}
	for _, file := range files {
		evidence := read(t, file)
		for _, call := range calls {
			id, ok := sysno.Lookup(sysno.Native(), call)
			if !ok {
				t.Fatalf("no syscall %s", call)
			}
			if !slices.ContainsFunc(evidence.Observations, func(o trace.Observation) bool { return o.ID == id }) {
				return fmt.Sprintf("%s was not found among %v", call, ids(evidence))
			}
		}
	}
	return ""
}

// service is a running victim that works when it is told to.
type service struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	said  bytes.Buffer
	ended bool
}

// serve starts a victim, or something that becomes one, and waits until it is ready.
func serve(t *testing.T, argv ...string) *service {
	t.Helper()
	s := &service{cmd: exec.Command(argv[0], argv[1:]...)}
	s.cmd.Stderr = &s.said
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.finish(t) })
	s.await(t, "ready")
	return s
}

func (s *service) await(t *testing.T, line string) {
	t.Helper()
	if !s.lines.Scan() || s.lines.Text() != line {
		t.Fatalf("%q said %q, want %q\n%s", s.cmd.Args, s.lines.Text(), line, &s.said)
	}
}

func (s *service) work(t *testing.T) {
	t.Helper()
	if _, err := s.stdin.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.await(t, "done")
}

func (s *service) finish(t *testing.T) {
	t.Helper()
	if s.ended {
		return
	}
	s.ended = true
	s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%q: %v\n%s", s.cmd.Args, err, &s.said)
	}
}

// inside is the command line that executes argv in a cgroup.
func inside(group string, argv ...string) []string {
	return append([]string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group}, argv...)
}

// cgroupV1 makes a cgroup of a hierarchy of version 1, whichever there is.
func cgroupV1(t *testing.T) string {
	t.Helper()
	for _, m := range mounts(t, "cgroup") {
		if group, err := os.MkdirTemp(m, "tjfuzz-victims-"); err == nil {
			// A new cpuset has no processors, and takes no process.
			if _, err := os.Stat(filepath.Join(group, "cpuset.cpus")); err != nil {
				t.Cleanup(func() { remove(t, group) })
				return group
			}
			remove(t, group)
		}
	}
	unoffered(t)
	return ""
}

// cgroupV2 makes a cgroup of the unified hierarchy, which any Linux has, mounted
// or not.
func cgroupV2(t *testing.T) string {
	t.Helper()
	found := mounts(t, "cgroup2")
	if len(found) == 0 {
		dir := t.TempDir()
		if err := unix.Mount("none", dir, "cgroup2", 0, ""); err != nil {
			t.Skipf("mount cgroup2: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		found = []string{dir}
	}
	group, err := os.MkdirTemp(found[0], "tjfuzz-victims-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, group) })
	return group
}

func remove(t *testing.T, group string) {
	t.Helper()
	if err := unix.Rmdir(group); err != nil {
		t.Errorf("remove %s: %v", group, err)
	}
}

// mounts are the places where file systems of a type are mounted.
func mounts(t *testing.T, kind string) []string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == kind {
			dirs = append(dirs, f[1])
		}
	}
	return dirs
}

// container starts the service in a container of a runtime. crun cannot use a mix
// of both versions of cgroups, so the unified hierarchy is hidden from it.
func container(runtime string) func(*testing.T, *victims) ([]*service, []string) {
	return func(t *testing.T, v *victims) ([]*service, []string) {
		path := testenv.Program(t, runtime)
		bundle := t.TempDir()
		root := filepath.Join(bundle, "rootfs")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(v.native, filepath.Join(root, "victim")); err != nil {
			t.Fatal(err)
		}
		spec := exec.Command(path, "spec")
		spec.Dir = bundle
		if out, err := spec.CombinedOutput(); err != nil {
			t.Fatalf("%s spec: %v\n%s", runtime, err, out)
		}
		config := filepath.Join(bundle, "config.json")
		data, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		var c map[string]any
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		process := c["process"].(map[string]any)
		process["terminal"], process["args"] = false, []string{"/victim", "serve"}
		c["root"] = map[string]any{"path": "rootfs", "readonly": true}
		if data, err = json.Marshal(c); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, data, 0o644); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("tjfuzz-victims-%d-%s", os.Getpid(), runtime)
		const script = `if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi; exec "$0" run --bundle "$1" "$2"`
		return []*service{serve(t, "unshare", "-m", "sh", "-c", script, path, bundle, id)}, []string{"--container", id}
	}
}
