package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce/container"
)

// machine is what doctor reads in files: what the kernel says of itself.
type machine struct {
	root    string // of /proc and /sys; empty for this machine's own
	release string // of the kernel
}

func thisMachine() machine { return machine{release: kernelRelease()} }

// examine looks at what the kernel has and permits. Whether that is enough, those find out who try it.
func (m machine) examine() []finding {
	return []finding{m.kernel(), m.types(), m.rights(), m.namespaces(), m.cgroups(), m.sysctls()}
}

// read is what a file says, without the space around it.
func (m machine) read(path string) (string, bool) {
	b, err := os.ReadFile(filepath.Join("/", m.root, path))
	return strings.TrimSpace(string(b)), err == nil
}

func (m machine) has(path string) bool {
	_, err := os.Stat(filepath.Join("/", m.root, path))
	return err == nil
}

func (m machine) kernel() finding {
	f := finding{What: "kernel", OK: true, Detail: "Linux " + m.release}
	var major, minor int
	if _, err := fmt.Sscanf(m.release, "%d.%d", &major, &minor); err == nil && (major < 5 || major == 5 && minor < 15) {
		f.OK, f.Choice = false, true
		f.Costs, f.Mend = []string{"the eBPF recorder cannot be used"}, "Linux 5.15 or newer"
	}
	return f
}

func (m machine) types() finding {
	if m.has("sys/kernel/btf/vmlinux") {
		return finding{What: "btf", OK: true, Detail: "the kernel describes its types in /sys/kernel/btf/vmlinux"}
	}
	return finding{What: "btf", Choice: true, Detail: "the kernel describes no types", Costs: []string{"the eBPF recorder cannot be used"},
		Mend: "a kernel with CONFIG_DEBUG_INFO_BTF; in a container, mount /sys"}
}

// useful are the capabilities that make a difference, and what for.
var useful = []struct {
	bit  int
	name string
	cost string
}{
	{unix.CAP_BPF, "CAP_BPF", "the eBPF recorder cannot be used"},
	{unix.CAP_PERFMON, "CAP_PERFMON", "the eBPF recorder cannot be used"},
	{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "a cage is made in a user namespace, and programs under a policy get no_new_privs"},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "names and addresses do not answer in the cage"},
	{unix.CAP_AUDIT_READ, "CAP_AUDIT_READ", "without eBPF, enforce does not tell of refused calls by audit records"},
}

// rights are the capabilities of this process.
func (m machine) rights() finding {
	status, _ := m.read("proc/self/status")
	var have uint64
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			have, _ = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	var missing, costs []string
	for _, c := range useful {
		if have&(1<<c.bit) == 0 {
			missing = append(missing, c.name)
			costs = append(costs, c.cost)
		}
	}
	if len(missing) == 0 {
		return finding{What: "rights", OK: true, Detail: "all capabilities that tjfuzz has a use for"}
	}
	return finding{What: "rights", Choice: true, Detail: "without " + strings.Join(missing, ", "), Costs: slices.Compact(costs),
		Mend: "run as root; in a container, --cap-add gives them"}
}

// namespaces are what a cage is made of.
func (m machine) namespaces() finding {
	var missing, costs []string
	for _, n := range []struct{ file, name, cost string }{
		{"mnt", "mount", "there is no cage"},
		{"pid", "pid", "there is no cage"},
		{"net", "network", "there is no cage"},
		{"ipc", "ipc", "there is no cage"},
		{"user", "user", "ordinary users have no cage"},
		{"time", "time", "for how long the machine is up is not varied"},
	} {
		if !m.has("proc/self/ns/" + n.file) {
			missing = append(missing, n.name)
			costs = append(costs, n.cost)
		}
	}
	if len(missing) == 0 {
		return finding{What: "namespaces", OK: true, Detail: "mount, pid, network, ipc, user and time"}
	}
	return finding{What: "namespaces", Choice: true, Detail: "this kernel has none for " + strings.Join(missing, ", "), Costs: slices.Compact(costs),
		Mend: "a kernel with CONFIG_NAMESPACES and all below it"}
}

// cgroups bound the memory and the processes of a target.
func (m machine) cgroups() finding {
	if controllers, ok := m.read("sys/fs/cgroup/cgroup.controllers"); ok {
		f := finding{What: "cgroups", OK: true, Detail: "version 2 with " + strings.Join(strings.Fields(controllers), ", ")}
		have := strings.Fields(controllers)
		if !slices.Contains(have, "memory") || !slices.Contains(have, "pids") {
			return unbounded("version 2 without a controller of memory and one of pids")
		}
		return f
	}
	if m.has("sys/fs/cgroup/memory") && m.has("sys/fs/cgroup/pids") {
		return finding{What: "cgroups", OK: true, Detail: "version 1 with memory and pids"}
	}
	return unbounded("none are mounted at /sys/fs/cgroup")
}

func unbounded(why string) finding {
	return finding{What: "cgroups", Choice: true, Detail: why, Costs: []string{"the memory and the processes of a target are bounded less"},
		Mend: "mount cgroups writable at /sys/fs/cgroup"}
}

// forbidding are the sysctls that forbid something at some value.
var forbidding = []struct {
	path    string
	forbids func(int) bool
	cost    string
	value   string // that permits it
}{
	{"kernel/unprivileged_userns_clone", func(v int) bool { return v == 0 }, "ordinary users have no cage", "1"},
	{"kernel/apparmor_restrict_unprivileged_userns", func(v int) bool { return v != 0 }, "ordinary users have no cage", "0"},
	{"user/max_user_namespaces", func(v int) bool { return v == 0 }, "ordinary users have no cage", "16384"},
	{"kernel/yama/ptrace_scope", func(v int) bool { return v >= 2 }, "ordinary users cannot record by ptrace", "1"},
	{"net/core/bpf_jit_enable", func(v int) bool { return v == 0 }, "filters and recorders are interpreted, which is slow", "1"},
	{"kernel/perf_event_paranoid", func(v int) bool { return v > 2 }, "without CAP_PERFMON, startup is not told from main", "2"},
}

// harmless are the sysctls that are shown too, and forbid nothing that tjfuzz does.
var harmless = []string{"kernel/unprivileged_bpf_disabled", "kernel/kptr_restrict"}

func (m machine) sysctls() finding {
	var values, costs, mends []string
	name := func(path string) string { return strings.ReplaceAll(path, "/", ".") }
	for _, s := range forbidding {
		text, ok := m.read("proc/sys/" + s.path)
		if !ok {
			continue
		}
		values = append(values, name(s.path)+"="+text)
		if v, err := strconv.Atoi(text); err == nil && s.forbids(v) {
			costs = append(costs, s.cost)
			mends = append(mends, "sysctl "+name(s.path)+"="+s.value)
		}
	}
	for _, path := range harmless {
		if text, ok := m.read("proc/sys/" + path); ok {
			values = append(values, name(path)+"="+text)
		}
	}
	f := finding{What: "sysctls", OK: len(costs) == 0, Choice: true, Detail: strings.Join(values, ", "), Costs: slices.Compact(costs), Mend: strings.Join(mends, "; ")}
	if f.Detail == "" {
		f.Detail = "none that tjfuzz knows of can be read"
	}
	return f
}

// examineRuntimes says which container runtimes verify can start programs with.
func examineRuntimes(look func(string) (string, error)) finding {
	var have, missing []string
	for _, name := range container.Engines() {
		if _, err := look(name); err == nil {
			have = append(have, name)
		} else {
			missing = append(missing, name)
		}
	}
	if len(have) == 0 {
		return finding{What: "runtimes", Choice: true, Detail: "no container runtime is installed", Costs: []string{"verify --against has none to ask"},
			Mend: "install one of " + strings.Join(missing, ", ") + " where profiles are for containers"}
	}
	detail := strings.Join(have, ", ")
	if len(missing) > 0 {
		detail += "; not installed: " + strings.Join(missing, ", ")
	}
	return finding{What: "runtimes", OK: true, Choice: true, Detail: detail}
}
