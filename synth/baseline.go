package synth

import (
	"fmt"
	"slices"
	"strings"
)

// Runtimes lists the container runtimes whose needs are known, sorted.
func Runtimes() []string { return []string{"crun", "runc"} }

// The syscalls that a runtime makes between loading the filter and executing the
// program, measured on Linux 6.18 with no_new_privs on and, as docker and podman
// have it by default, off. The lists are unions: runc 1.1.5 and 1.5-rc1, crun 1.8.1,
// each with "run" and with "create" and "start". futex and rt_sigreturn are runc's
// because Go's scheduler may park a thread or be preempted there; 4 of 30 starts
// failed without them. Terminals, AppArmor, SELinux and user namespaces were not
// measured.
const (
	runcNeeds = `
		capget capset chdir close close_range epoll_ctl execve faccessat2 fchown fcntl fstat fstatfs futex getcwd
		getdents64 getpid getppid newfstatat openat openat2 prctl read rt_sigreturn setgid setgroups setuid statx
		tgkill write`
	crunNeeds = `
		capset close execve prctl pselect6 read rt_sigaction rt_sigprocmask setresgid setresuid write`
)

// runtimeNeeds lists the syscall names that a runtime needs; none for no runtime.
func runtimeNeeds(name string) ([]string, error) {
	switch name {
	case "":
		return nil, nil
	case "crun":
		return words(crunNeeds), nil
	case "runc":
		return words(runcNeeds), nil
	}
	known := Runtimes()
	slices.Sort(known)
	return nil, fmt.Errorf("unknown container runtime %q; known are %s", name, strings.Join(known, ", "))
}
