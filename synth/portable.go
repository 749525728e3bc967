package synth

import (
	"fmt"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// equivalents are calls that do the same thing for different C libraries, kernels and
// architectures. Sources: the calls that glibc 2.17 to 2.36, musl 1.1 to 1.2 and bionic
// make for one function, and their fall-backs on ENOSYS. clone3 is missing: it is
// answered ENOSYS, whereupon all of them use clone.
func equivalents() [][]string {
	lists := []string{
		"open openat openat2 creat",
		"stat lstat newfstatat statx stat64 lstat64 fstatat64 oldstat oldlstat",
		"fstat newfstatat statx fstat64 fstatat64 oldfstat",
		"access faccessat faccessat2",
		"fork vfork clone",
		"select pselect6 poll ppoll _newselect pselect6_time64 ppoll_time64",
		"epoll_create epoll_create1",
		"epoll_wait epoll_pwait epoll_pwait2",
		"dup2 dup3",
		"pipe pipe2",
		"getdents getdents64",
		"utime utimes futimesat utimensat utimensat_time64",
		"rename renameat renameat2",
		"unlink unlinkat",
		"rmdir unlinkat",
		"mkdir mkdirat",
		"link linkat",
		"symlink symlinkat",
		"readlink readlinkat",
		"mknod mknodat",
		"chmod fchmodat fchmodat2",
		"chown lchown fchownat chown32 lchown32",
		"fchown fchown32",
		"eventfd eventfd2",
		"signalfd signalfd4",
		"inotify_init inotify_init1",
		"accept accept4",
		"getrlimit prlimit64 ugetrlimit",
		"setrlimit prlimit64",
		"wait4 waitid waitpid",
		"nanosleep clock_nanosleep clock_nanosleep_time64",
		"alarm setitimer",
		"tkill tgkill",
		"getpgrp getpgid",
		"preadv preadv2",
		"pwritev pwritev2",
		"sendfile sendfile64",
		"mmap mmap2",
		"lseek _llseek",
		"fcntl fcntl64",
		"truncate truncate64",
		"ftruncate ftruncate64",
		"statfs statfs64",
		"fstatfs fstatfs64",
		"futex futex_time64",
		"time gettimeofday clock_gettime clock_gettime64",
		"sched_rr_get_interval sched_rr_get_interval_time64",
		"semop semtimedop semtimedop_time64",
		"recvmmsg recvmmsg_time64",
		"rt_sigtimedwait rt_sigtimedwait_time64",
		// What the start of one C library needs and that of another does not.
		"execve set_tid_address set_robust_list rseq arch_prctl set_thread_area getrandom prlimit64 mprotect brk readlink",
	}
	classes := make([][]string, len(lists))
	for i, list := range lists {
		classes[i] = words(list)
	}
	return classes
}

// portable adds to rules what the same program calls with another C library or kernel.
// A rule with conditions gives them to those of the others that have the same
// arguments; those that have them in memory, like openat2, stay out, for they would go
// round the conditions.
func portable(rules []Rule, archs []sysno.Arch) ([]Rule, error) {
	have := map[sysno.ID]bool{}
	for _, r := range rules {
		have[r.ID] = true
	}
	added := map[sysno.ID]bool{}
	out := slices.Clone(rules)
	for _, c := range Clauses(rules) {
		name, named := c.ID.Name()
		if !named || c.Verdict.Action != Allow {
			continue
		}
		for _, class := range equivalents() {
			if !slices.Contains(class, name) || class[0] == "execve" && name != "execve" {
				continue
			}
			for _, other := range class {
				id, ok := sysno.Lookup(c.ID.Arch, other)
				if !ok || have[id] || added[id] && len(c.Args) == 0 {
					continue
				}
				args, same := translate(c, id)
				if !same {
					continue
				}
				more := Clause{ID: id, Verdict: c.Verdict, Args: args, Tier: Portable,
					Reason: fmt.Sprintf("does for another C library or kernel what %s does here", name)}
				alternatives, err := more.Rules()
				if err != nil {
					return nil, err
				}
				out = append(out, alternatives...)
				added[id] = true
			}
		}
	}
	return absorb(out), nil
}

// translate is the conditions of a clause for another call; false where that has other
// arguments.
func translate(c Clause, id sysno.ID) ([]Choice, bool) {
	var args []Choice
	for _, choice := range c.Args {
		from := argumentAt(c.ID, choice.Index)
		index, to, err := argument(id, from.Name)
		if err != nil || to.Set != from.Set || to.Bits != from.Bits {
			return nil, false
		}
		moved := Choice{Index: index}
		for _, cond := range choice.OneOf {
			cond.Index = index
			moved.OneOf = append(moved.OneOf, cond)
		}
		args = append(args, moved)
	}
	return args, true
}

// absorb removes rules with conditions beside one without that does the same.
func absorb(rules []Rule) []Rule {
	free := map[sysno.ID]Verdict{}
	for _, r := range rules {
		if len(r.Args) == 0 {
			free[r.ID] = r.Verdict
		}
	}
	return slices.DeleteFunc(rules, func(r Rule) bool {
		v, ok := free[r.ID]
		return ok && len(r.Args) > 0 && r.Verdict == v
	})
}

// tolerated adds to rules the calls that make their description shorter: at most
// budget, none of which is Dangerous.
func tolerated(rules []Rule, archs []sysno.Arch, budget int) []Rule {
	var calls []string
	conditional := map[string]bool{}
	have := map[sysno.ID]bool{}
	for _, r := range rules {
		have[r.ID] = true
		if name, ok := r.ID.Name(); ok && r.Verdict.Action == Allow {
			calls = append(calls, name)
			conditional[name] = conditional[name] || len(r.Args) > 0
		}
	}
	calls = slices.DeleteFunc(calls, func(name string) bool { return conditional[name] })
	d := Describe(calls, archs, budget)
	out := slices.Clone(rules)
	for _, name := range d.Extra {
		for _, a := range archs {
			if id, ok := sysno.Lookup(a, name); ok && !have[id] {
				out = append(out, Rule{ID: id, Verdict: Verdict{Action: Allow}, Tier: Tolerated,
					Reason: "completes " + groupOfExtra(d.Groups, name)})
			}
		}
	}
	return out
}

// groupOfExtra is the first of the groups that has the call.
func groupOfExtra(groups []string, name string) string {
	for _, g := range groups {
		if slices.Contains(Expand(g), name) {
			return g
		}
	}
	return "no group"
}

// Rollout is the policy for the time before it is trusted: what it would refuse is
// logged instead and carried out. A call that is answered ENOSYS so that programs fall
// back stays so.
func (p *Policy) Rollout() *Policy {
	q := *p
	q.Default = Verdict{Action: Log}
	var rules []Rule
	for _, r := range p.Rules() {
		if r.Verdict != q.Default {
			rules = append(rules, r)
		}
	}
	q.Groups = Arrange(rules)
	return &q
}
