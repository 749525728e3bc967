package synth

import (
	"slices"
	"sync"
)

// Risk says why a syscall needs more trust than others.
type Risk struct {
	Calls string // names, separated by blanks
	What  string // what whoever takes over the program does with them, or has done
	Grave bool   // no program should have it without a reason of its own
	CVEs  []string
}

// risks is the risk table: the calls by which programs have been made to do what they
// should not, and by which kernels were taken over. A call may be in several rows.
func risks() []Risk {
	return []Risk{
		{Calls: "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise", Grave: true,
			What: "reads and changes other processes", CVEs: []string{"CVE-2019-13272", "CVE-2018-1000199"}},
		{Calls: "bpf", Grave: true,
			What: "loads programs into the kernel", CVEs: []string{"CVE-2016-2383"}},
		{Calls: "io_uring_setup io_uring_enter io_uring_register", Grave: true,
			What: "makes calls of every kind that no filter sees", CVEs: []string{"CVE-2022-29582"}},
		{Calls: "unshare setns", Grave: true,
			What: "enters namespaces, in which code written for root is reached", CVEs: []string{"CVE-2019-11815", "CVE-2013-1858", "CVE-2024-1086"}},
		{Calls: "clone3", Grave: true,
			What: "creates namespaces that no filter sees, because the flags lie in memory"},
		{Calls: "mount umount umount2 pivot_root chroot move_mount open_tree open_tree_attr mount_setattr fsopen fsconfig fsmount fspick", Grave: true,
			What: "changes what files the names lead to", CVEs: []string{"CVE-2014-5207", "CVE-2014-7970", "CVE-2022-0185", "CVE-2023-0386"}},
		{Calls: "init_module finit_module delete_module create_module kexec_load kexec_file_load", Grave: true,
			What: "replaces code of the kernel"},
		{Calls: "perf_event_open lookup_dcookie", Grave: true,
			What: "watches the kernel and other processes", CVEs: []string{"CVE-2017-6001"}},
		{Calls: "add_key request_key keyctl", Grave: true,
			What: "uses the kernel's key store", CVEs: []string{"CVE-2016-0728", "CVE-2014-9529"}},
		{Calls: "userfaultfd", Grave: true,
			What: "holds the kernel up in the middle of an access, which makes races easy to win"},
		{Calls: "open_by_handle_at name_to_handle_at", Grave: true,
			What: "opens files past the directories that lead to them"},
		{Calls: "reboot swapon swapoff acct quotactl quotactl_fd sethostname setdomainname syslog vhangup", Grave: true,
			What: "changes the machine"},
		{Calls: "iopl ioperm modify_ldt vm86 vm86old", Grave: true,
			What: "reaches devices and modes of the processor past the kernel"},
		{Calls: "settimeofday clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex stime", Grave: true,
			What: "sets the clock", CVEs: []string{"CVE-2018-11508"}},
		{Calls: "move_pages migrate_pages mbind set_mempolicy", Grave: true,
			What: "moves memory between nodes", CVEs: []string{"CVE-2017-14140"}},
		{Calls: "personality", Grave: true,
			What: "weakens the protection of memory"},
		{Calls: "setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32 setgroups setgroups32 setfsuid setfsuid32 setfsgid setfsgid32 capset", Grave: true,
			What: "becomes another user where it may"},
		{Calls: "execve execveat", What: "executes programs: the payload of most exploits"},
		{Calls: "fork vfork clone", What: "creates processes", CVEs: []string{"CVE-2019-11815", "CVE-2013-1858"}},
		{Calls: "mprotect pkey_mprotect", What: "makes memory executable: the payload brings its own code"},
		{Calls: "socket socketcall connect", What: "reaches the network: a shell that calls back", CVEs: []string{"CVE-2015-8543"}},
		{Calls: "bind listen accept accept4", What: "offers a service: a shell that waits"},
		{Calls: "setsockopt", What: "sets options that few programs need", CVEs: []string{"CVE-2016-8655", "CVE-2017-7308", "CVE-2016-4997", "CVE-2017-18509"}},
		{Calls: "chmod fchmod fchmodat fchmodat2", What: "makes files executable or set-user-id"},
		{Calls: "chown chown32 fchown fchown32 fchownat lchown lchown32", What: "gives files away"},
		{Calls: "setxattr lsetxattr fsetxattr setxattrat", What: "gives files capabilities", CVEs: []string{"CVE-2018-12233"}},
		{Calls: "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal", What: "ends other processes"},
		{Calls: "splice tee vmsplice", What: "moves pages between files", CVEs: []string{"CVE-2022-0847"}},
		{Calls: "waitid", What: "waits for children", CVEs: []string{"CVE-2017-14954", "CVE-2017-5123"}},
		{Calls: "io_submit io_setup", What: "submits reads and writes", CVEs: []string{"CVE-2019-10125"}},
		{Calls: "epoll_ctl", What: "registers descriptors with each other", CVEs: []string{"CVE-2012-3375", "CVE-2011-1082"}},
		{Calls: "shmget semget msgget", What: "System V objects, which outlive the program", CVEs: []string{"CVE-2015-7613"}},
		{Calls: "madvise", What: "changes how memory is kept", CVEs: []string{"CVE-2012-3511", "CVE-2017-18208"}},
		{Calls: "recvfrom", What: "receives messages"},
		{Calls: "memfd_create memfd_secret", What: "makes files without a name, which can be executed"},
		{Calls: "ioctl", What: "reaches every device driver, and types into terminals"},
		{Calls: "seccomp", What: "adds filters, and may become the supervisor of its children"},
	}
}

var risksByCall = sync.OnceValue(func() map[string][]Risk {
	byCall := map[string][]Risk{}
	for _, r := range risks() {
		for _, name := range words(r.Calls) {
			byCall[name] = append(byCall[name], r)
		}
	}
	return byCall
})

// RisksOf lists why a syscall needs trust; none for most.
func RisksOf(name string) []Risk { return slices.Clone(risksByCall()[name]) }

// Dangerous reports whether the risk table has the call at all: such a call never comes
// into a policy in the company of others.
func Dangerous(name string) bool { return len(risksByCall()[name]) > 0 }
