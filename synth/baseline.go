package synth

import (
	"fmt"
	"slices"
	"strings"
)

// baseline is what an OCI runtime calls between loading the filter and executing the
// program.
type baseline struct {
	name     string
	always   string // with no_new_privs too
	oldPrivs string // in addition where no_new_privs is off: then the filter is loaded earlier
}

// The baselines were measured on Linux 6.18, and benchmarks/runtimes measures them anew.
// The lists are unions: runc 1.1.5 and 1.5-rc1, crun 1.8.1, each with "run" and with
// "create" and "start". futex and rt_sigreturn are runc's because Go's scheduler may park
// a thread or be preempted there; 4 of 30 starts failed without them. Terminals,
// AppArmor, SELinux and user namespaces were not measured.
func baselines() []baseline {
	return []baseline{
		{
			name:   "crun",
			always: `close execve pselect6 read`,
			oldPrivs: `
			capset prctl rt_sigaction rt_sigprocmask setresgid setresuid write`,
		},
		{
			name: "runc",
			always: `
			close epoll_ctl execve fcntl fstat fstatfs futex getdents64 getpid openat openat2 rt_sigreturn statx write`,
			oldPrivs: `
			capget capset chdir close_range faccessat2 fchown getcwd getppid newfstatat prctl read setgid setgroups
			setuid tgkill`,
		},
	}
}

// engines are what people start containers with, and the OCI runtimes that these may
// have for it: docker and containerd runc, podman whichever is installed.
func engines() map[string][]string {
	return map[string][]string{
		"containerd": {"runc"}, "crun": {"crun"}, "docker": {"runc"}, "podman": {"crun", "runc"}, "runc": {"runc"},
	}
}

// Runtimes lists the container runtimes whose needs are known, sorted.
func Runtimes() []string { return sortedKeys(engines()) }

// Loaders lists those of the Runtimes that load the filter themselves, sorted.
func Loaders() []string {
	var names []string
	for _, b := range baselines() {
		names = append(names, b.name)
	}
	return names
}

// RuntimeNeeds lists the syscalls that a runtime makes between loading the filter and
// executing the program, sorted; none for the empty name. noNewPrivs says that the
// container runs so, which needs less; docker and podman run it without unless they
// are told.
func RuntimeNeeds(name string, noNewPrivs bool) ([]string, error) {
	if name == "" {
		return nil, nil
	}
	loaders, ok := engines()[name]
	if !ok {
		return nil, fmt.Errorf("unknown container runtime %q; known are %s", name, strings.Join(Runtimes(), ", "))
	}
	var needs []string
	for _, b := range baselines() {
		if slices.Contains(loaders, b.name) {
			needs = append(needs, words(b.always)...)
			if !noNewPrivs {
				needs = append(needs, words(b.oldPrivs)...)
			}
		}
	}
	slices.Sort(needs)
	return slices.Compact(needs), nil
}
