package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// whole are the files of a machine that has everything.
func whole() map[string]string {
	files := map[string]string{
		"sys/kernel/btf/vmlinux":                    "",
		"proc/self/status":                          "Name:\ttjfuzz\nCapEff:\t000001ffffffffff\n",
		"sys/fs/cgroup/cgroup.controllers":          "cpu memory pids\n",
		"proc/sys/kernel/unprivileged_userns_clone": "1\n",
		"proc/sys/user/max_user_namespaces":         "96365\n",
		"proc/sys/kernel/yama/ptrace_scope":         "1\n",
		"proc/sys/net/core/bpf_jit_enable":          "1\n",
		"proc/sys/kernel/perf_event_paranoid":       "2\n",
		"proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
	}
	for _, n := range []string{"mnt", "pid", "net", "ipc", "user", "time"} {
		files["proc/self/ns/"+n] = ""
	}
	return files
}

func machineOf(t *testing.T, release string, files map[string]string) machine {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return machine{dir, release}
}

// Each thing that a machine lacks is found, and nothing else, with what that costs and what to do.
func TestDoctorFindsWhatIsMissing(t *testing.T) {
	for _, f := range machineOf(t, "6.18.0", whole()).examine() {
		if !f.OK || len(f.Costs) > 0 || f.Mend != "" {
			t.Errorf("a whole machine: %+v", f)
		}
	}
	for _, c := range []struct {
		what, release string
		change        map[string]string // "-" removes
		detail, cost  string
	}{
		{"kernel", "5.10.0-8-amd64", nil, "Linux 5.10.0-8-amd64", "eBPF"},
		{"btf", "6.1", map[string]string{"sys/kernel/btf/vmlinux": "-"}, "no types", "eBPF"},
		{"rights", "6.1", map[string]string{"proc/self/status": "CapEff:\t0000000000000000\n"}, "without CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN", "no_new_privs"},
		{"rights", "6.1", map[string]string{"proc/self/status": "-"}, "without CAP_BPF", "eBPF"},
		{"namespaces", "6.1", map[string]string{"proc/self/ns/time": "-"}, "none for time", "up is not varied"},
		{"namespaces", "6.1", map[string]string{"proc/self/ns/user": "-", "proc/self/ns/pid": "-"}, "none for pid, user", "no cage"},
		{"cgroups", "6.1", map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpu memory"}, "without a controller", "bounded"},
		{"cgroups", "6.1", map[string]string{"sys/fs/cgroup/cgroup.controllers": "-"}, "none are mounted", "bounded"},
		{"sysctls", "6.1", map[string]string{"proc/sys/kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=0", "no cage"},
		{"sysctls", "6.1", map[string]string{"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, "userns=1", "no cage"},
		{"sysctls", "6.1", map[string]string{"proc/sys/kernel/yama/ptrace_scope": "3"}, "ptrace_scope=3", "ptrace"},
		{"sysctls", "6.1", map[string]string{"proc/sys/net/core/bpf_jit_enable": "0"}, "bpf_jit_enable=0", "slow"},
		{"sysctls", "6.1", map[string]string{"proc/sys/kernel/perf_event_paranoid": "4"}, "paranoid=4", "startup"},
	} {
		files := whole()
		for name, text := range c.change {
			if files[name] = text; text == "-" {
				delete(files, name)
			}
		}
		for _, f := range machineOf(t, c.release, files).examine() {
			if f.What != c.what {
				if !f.OK {
					t.Errorf("%s %v: %+v", c.what, c.change, f)
				}
				continue
			}
			if f.OK || !strings.Contains(f.Detail, c.detail) || !strings.Contains(strings.Join(f.Costs, "\n"), c.cost) || f.Mend == "" {
				t.Errorf("%s %v: %+v", c.what, c.change, f)
			}
		}
	}
}

func TestDoctorNamesTheContainerRuntimes(t *testing.T) {
	only := func(names ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			if slices.Contains(names, name) {
				return "/usr/bin/" + name, nil
			}
			return "", os.ErrNotExist
		}
	}
	got := []finding{examineRuntimes(only("runc", "podman")), examineRuntimes(only())}
	want := []finding{
		{What: "runtimes", OK: true, Choice: true, Detail: "podman, runc; not installed: crun, docker"},
		{What: "runtimes", Choice: true, Detail: "no container runtime is installed", Costs: []string{"verify --against has none to ask"},
			Mend: "install one of crun, docker, podman, runc where profiles are for containers"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
