package synth

import "strings"

// functionalTable partitions the syscall tables: every name of every ABI is in
// exactly one of them. A group holds the ways of doing one thing, whatever the age
// or width of the call, so that a profile reads as a list of abilities. Calls that
// need different trust are apart even where they are cousins (@identity-read and
// @identity-change, @time-read and @time-set).
//
// The members stand in one text each, which only who needs them as a list takes apart: every
// profile that is read is arranged by these groups.
var functionalTable = [...]struct{ name, description, members string }{
	// Files by descriptor.
	{"@file-read", "read from descriptors and move their position",
		`read readv pread64 preadv preadv2 lseek _llseek`},
	{"@file-write", "write to descriptors",
		`write writev pwrite64 pwritev pwritev2`},
	{"@file-copy", "move data between descriptors inside the kernel",
		`copy_file_range sendfile sendfile64 splice tee vmsplice`},
	{"@file-size", "set the length of files and reserve their space",
		`truncate truncate64 ftruncate ftruncate64 fallocate`},
	{"@file-flush", "force files and mappings to storage",
		`fsync fdatasync sync syncfs sync_file_range msync`},
	{"@file-cache", "give advice to the page cache and ask about it",
		`readahead fadvise64 fadvise64_64 cachestat mincore`},
	{"@file-lock", "lock whole files; record locks go through @fd-control",
		`flock`},
	{"@fd", "close and duplicate descriptors",
		`close close_range dup dup2 dup3`},
	{"@fd-control", "descriptor flags, record locks, leases and owners",
		`fcntl fcntl64`},
	{"@device-control", "ioctl: terminals, devices and all else that has no call of its own",
		`ioctl`},
	{"@pipe", "create pipes",
		`pipe pipe2`},

	// Files by name.
	{"@file-open", "open or create files by name",
		`open openat openat2 creat`},
	{"@file-handle", "name files by handle instead of path",
		`name_to_handle_at open_by_handle_at`},
	{"@file-status", "ask for type, size, owner and times of files",
		`stat fstat lstat stat64 fstat64 lstat64 fstatat64 newfstatat statx oldstat oldfstat oldlstat`},
	{"@file-access", "ask whether a file may be accessed",
		`access faccessat faccessat2`},
	{"@file-permissions", "change permission bits and the mask for new files",
		`chmod fchmod fchmodat fchmodat2 umask`},
	{"@file-owner", "change the owner of files",
		`chown chown32 fchown fchown32 fchownat lchown lchown32`},
	{"@file-times", "change the times of files",
		`utime utimes futimesat utimensat utimensat_time64`},
	{"@file-attributes", "read extended and file system attributes",
		`getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat file_getattr`},
	{"@file-attributes-change", "set and remove extended and file system attributes",
		`setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr`},
	{"@file-watch", "be told of changes to files",
		`inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark`},
	{"@directory", "list directories",
		`getdents getdents64 readdir`},
	{"@working-directory", "read and change the working directory",
		`getcwd chdir fchdir`},
	{"@link-read", "read where symbolic links point",
		`readlink readlinkat`},
	{"@path-create", "create directories, links and special files",
		`mkdir mkdirat mknod mknodat link linkat symlink symlinkat`},
	{"@path-change", "rename and remove files and directories",
		`rename renameat renameat2 unlink unlinkat rmdir`},
	{"@filesystem-status", "ask for size, type and place of mounted file systems",
		`statfs statfs64 fstatfs fstatfs64 ustat sysfs statmount listmount`},
	{"@filesystem-mount", "mount, unmount and change the root directory",
		`mount umount umount2 move_mount mount_setattr open_tree open_tree_attr fsopen fsconfig fsmount fspick
			pivot_root chroot`},
	{"@quota", "disk quotas",
		`quotactl quotactl_fd`},

	// Waiting for descriptors.
	{"@poll", "wait for a set of descriptors",
		`poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64`},
	{"@epoll", "wait for a registered set of descriptors",
		`epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 epoll_ctl_old epoll_wait_old`},
	{"@event-fd", "descriptors that count events",
		`eventfd eventfd2`},
	{"@timer-fd", "descriptors that become readable at a time",
		`timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64`},
	{"@async-io", "submit reads and writes and collect them later",
		`io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64`},
	{"@io-uring", "submit operations of every kind through rings; a filter cannot see them",
		`io_uring_setup io_uring_enter io_uring_register`},

	// Memory.
	{"@memory", "map, unmap and resize memory",
		`brk mmap mmap2 munmap mremap remap_file_pages`},
	{"@memory-protect", "change, tag and seal the protection of memory",
		`mprotect pkey_mprotect pkey_alloc pkey_free mseal map_shadow_stack`},
	{"@memory-advice", "tell the kernel how memory will be used",
		`madvise`},
	{"@memory-lock", "keep memory from being swapped",
		`mlock mlock2 mlockall munlock munlockall`},
	{"@memory-policy", "choose the memory node and move pages between nodes",
		`mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages`},
	{"@memory-file", "files that exist in memory only",
		`memfd_create memfd_secret`},
	{"@memory-fault", "handle page faults in user space",
		`userfaultfd`},

	// Processes and threads.
	{"@thread", "set up what the kernel keeps for each thread",
		`set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area arch_prctl rseq
			rseq_slice_yield membarrier`},
	{"@futex", "wait for and wake other threads",
		`futex futex_time64 futex_wait futex_wake futex_requeue futex_waitv`},
	{"@process-create", "create processes and threads",
		`clone clone3 fork vfork`},
	{"@process-exec", "replace the program",
		`execve execveat uselib`},
	{"@process-exit", "end the thread or the process",
		`exit exit_group`},
	{"@process-wait", "wait for children",
		`wait4 waitid waitpid`},
	{"@process-info", "read process, group and session numbers",
		`getpid getppid gettid getpgid getpgrp getsid`},
	{"@process-group", "change process group and session",
		`setpgid setsid`},
	{"@process-control", "prctl and personality: traits of the calling process",
		`prctl personality`},
	{"@process-inspect", "trace, read, write and compare other processes",
		`ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd`},
	{"@process-fd", "name a process by a descriptor",
		`pidfd_open`},
	{"@namespaces", "create, enter and list namespaces",
		`unshare setns listns`},
	{"@sandbox", "restrict the calling process: seccomp, Landlock, security modules",
		`seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self lsm_get_self_attr
			lsm_set_self_attr lsm_list_modules`},

	// Identity.
	{"@identity-read", "read user, group and capability sets",
		`getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getgroups getgroups32 getresuid
			getresuid32 getresgid getresgid32 capget`},
	{"@identity-change", "change user, group and capability sets",
		`setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid
			setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capset`},
	{"@key-store", "the kernel's key store",
		`add_key request_key keyctl`},

	// Signals.
	{"@signal-handle", "install handlers, mask signals and return from handlers",
		`rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending sigaltstack sigaction signal sigprocmask
			sigreturn sigpending sgetmask ssetmask restart_syscall`},
	{"@signal-wait", "wait for signals",
		`rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 sigsuspend pause signalfd signalfd4`},
	{"@signal-send", "send signals",
		`kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal`},

	// Time.
	{"@time-read", "read clocks",
		`clock_gettime clock_gettime64 clock_getres clock_getres_time64 gettimeofday time`},
	{"@time-set", "set and tune clocks",
		`clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex settimeofday stime`},
	{"@sleep", "sleep or give up the processor",
		`nanosleep clock_nanosleep clock_nanosleep_time64 sched_yield`},
	{"@interval-timer", "timers that send signals",
		`alarm getitimer setitimer timer_create timer_settime timer_settime64 timer_gettime timer_gettime64
			timer_getoverrun timer_delete`},

	// Network.
	{"@socket-create", "create sockets of any family",
		`socket socketpair socketcall`},
	{"@socket-client", "connect to a peer",
		`connect`},
	{"@socket-server", "bind to an address and accept peers",
		`bind listen accept accept4`},
	{"@socket-data", "send and receive messages, shut connections down",
		`sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown`},
	{"@socket-options", "read and set socket options",
		`getsockopt setsockopt`},
	{"@socket-names", "read the addresses of a socket",
		`getsockname getpeername`},

	// Communication between processes.
	{"@shared-memory", "System V shared memory",
		`shmget shmat shmdt shmctl`},
	{"@semaphore", "System V semaphores, and the i386 multiplexer of all System V calls",
		`semget semop semctl semtimedop semtimedop_time64 ipc`},
	{"@message-queue", "System V and POSIX message queues",
		`msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedsend_time64 mq_timedreceive
			mq_timedreceive_time64 mq_notify mq_getsetattr`},

	// Resources.
	{"@scheduling-read", "ask for priority, policy and processor",
		`getpriority sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_get_priority_max
			sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64 ioprio_get getcpu`},
	{"@scheduling", "change priority, policy and processors",
		`nice setpriority sched_setaffinity sched_setattr sched_setparam sched_setscheduler ioprio_set`},
	{"@limits", "read and set resource limits",
		`getrlimit ugetrlimit setrlimit prlimit64`},
	{"@usage", "read consumed time and memory",
		`getrusage times sysinfo`},
	{"@random", "read random bytes",
		`getrandom`},

	// The machine.
	{"@system-name", "read the name and release of the system",
		`uname olduname oldolduname`},
	{"@system-name-change", "set the host and domain name",
		`sethostname setdomainname`},
	{"@kernel-log", "read and control the kernel's log",
		`syslog`},
	{"@kernel-modules", "load and unload kernel modules",
		`init_module finit_module delete_module`},
	{"@kernel-restart", "restart the machine or replace its kernel",
		`reboot kexec_load kexec_file_load`},
	{"@bpf", "load and use eBPF programs and maps",
		`bpf`},
	{"@perf", "count and sample performance events",
		`perf_event_open lookup_dcookie`},
	{"@probes", "trampolines of user-space probes; only the kernel's own code makes them",
		`uprobe uretprobe`},
	{"@accounting", "write a record for every process that ends",
		`acct`},
	{"@swap-area", "turn swap areas on and off",
		`swapon swapoff`},
	{"@terminal-hangup", "hang up the controlling terminal",
		`vhangup`},
	{"@port-access", "access to input/output ports",
		`ioperm iopl`},
	{"@processor-modes", "segments and virtual 8086 mode",
		`modify_ldt vm86 vm86old`},
	{"@unimplemented", "numbers that current kernels answer with ENOSYS",
		`_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx nfsservctl
			prof profil putpmsg query_module security stty tuxcall ulimit vserver`},
}

// functionalGroups are the groups of the table, whose members are in no order.
func functionalGroups() []GroupDef {
	groups := make([]GroupDef, len(functionalTable))
	for i := range groups {
		groups[i] = functionalGroup(i)
	}
	return groups
}

func functionalGroup(i int) GroupDef {
	t := &functionalTable[i]
	return GroupDef{Name: t.name, Description: t.description, Kind: Functional, Members: words(t.members)}
}

// noOwner is the group of a name that is in none.
const noOwner = -1

// findOwners finds the groups of the names that have an entry, which is noOwner. It is asked for
// all of a policy at once: to know those of all syscalls would take longer.
func findOwners(of map[string]int) {
	for i := range functionalTable {
		for name := range strings.FieldsSeq(functionalTable[i].members) {
			if _, asked := of[name]; asked {
				of[name] = i
			}
		}
	}
}
