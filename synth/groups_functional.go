package synth

// functionalGroups partition the syscall tables: every name of every ABI is in
// exactly one of them. A group holds the ways of doing one thing, whatever the age
// or width of the call, so that a profile reads as a list of abilities. Calls that
// need different trust are apart even where they are cousins (@identity-read and
// @identity-change, @time-read and @time-set).
func functionalGroups() []GroupDef {
	return []GroupDef{
		// Files by descriptor.
		functional("@file-read", "read from descriptors and move their position",
			`read readv pread64 preadv preadv2 lseek _llseek`),
		functional("@file-write", "write to descriptors",
			`write writev pwrite64 pwritev pwritev2`),
		functional("@file-copy", "move data between descriptors inside the kernel",
			`copy_file_range sendfile sendfile64 splice tee vmsplice`),
		functional("@file-size", "set the length of files and reserve their space",
			`truncate truncate64 ftruncate ftruncate64 fallocate`),
		functional("@file-flush", "force files and mappings to storage",
			`fsync fdatasync sync syncfs sync_file_range msync`),
		functional("@file-cache", "give advice to the page cache and ask about it",
			`readahead fadvise64 fadvise64_64 cachestat mincore`),
		functional("@file-lock", "lock whole files; record locks go through @fd-control",
			`flock`),
		functional("@fd", "close and duplicate descriptors",
			`close close_range dup dup2 dup3`),
		functional("@fd-control", "descriptor flags, record locks, leases and owners",
			`fcntl fcntl64`),
		functional("@device-control", "ioctl: terminals, devices and all else that has no call of its own",
			`ioctl`),
		functional("@pipe", "create pipes",
			`pipe pipe2`),

		// Files by name.
		functional("@file-open", "open or create files by name",
			`open openat openat2 creat`),
		functional("@file-handle", "name files by handle instead of path",
			`name_to_handle_at open_by_handle_at`),
		functional("@file-status", "ask for type, size, owner and times of files",
			`stat fstat lstat stat64 fstat64 lstat64 fstatat64 newfstatat statx oldstat oldfstat oldlstat`),
		functional("@file-access", "ask whether a file may be accessed",
			`access faccessat faccessat2`),
		functional("@file-permissions", "change permission bits and the mask for new files",
			`chmod fchmod fchmodat fchmodat2 umask`),
		functional("@file-owner", "change the owner of files",
			`chown chown32 fchown fchown32 fchownat lchown lchown32`),
		functional("@file-times", "change the times of files",
			`utime utimes futimesat utimensat utimensat_time64`),
		functional("@file-attributes", "read extended and file system attributes",
			`getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat file_getattr`),
		functional("@file-attributes-change", "set and remove extended and file system attributes",
			`setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr`),
		functional("@file-watch", "be told of changes to files",
			`inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_init fanotify_mark`),
		functional("@directory", "list directories",
			`getdents getdents64 readdir`),
		functional("@working-directory", "read and change the working directory",
			`getcwd chdir fchdir`),
		functional("@link-read", "read where symbolic links point",
			`readlink readlinkat`),
		functional("@path-create", "create directories, links and special files",
			`mkdir mkdirat mknod mknodat link linkat symlink symlinkat`),
		functional("@path-change", "rename and remove files and directories",
			`rename renameat renameat2 unlink unlinkat rmdir`),
		functional("@filesystem-status", "ask for size, type and place of mounted file systems",
			`statfs statfs64 fstatfs fstatfs64 ustat sysfs statmount listmount`),
		functional("@filesystem-mount", "mount, unmount and change the root directory",
			`mount umount umount2 move_mount mount_setattr open_tree open_tree_attr fsopen fsconfig fsmount fspick
			pivot_root chroot`),
		functional("@quota", "disk quotas",
			`quotactl quotactl_fd`),

		// Waiting for descriptors.
		functional("@poll", "wait for a set of descriptors",
			`poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64`),
		functional("@epoll", "wait for a registered set of descriptors",
			`epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 epoll_ctl_old epoll_wait_old`),
		functional("@event-fd", "descriptors that count events",
			`eventfd eventfd2`),
		functional("@timer-fd", "descriptors that become readable at a time",
			`timerfd_create timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64`),
		functional("@async-io", "submit reads and writes and collect them later",
			`io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64`),
		functional("@io-uring", "submit operations of every kind through rings; a filter cannot see them",
			`io_uring_setup io_uring_enter io_uring_register`),

		// Memory.
		functional("@memory", "map, unmap and resize memory",
			`brk mmap mmap2 munmap mremap remap_file_pages`),
		functional("@memory-protect", "change, tag and seal the protection of memory",
			`mprotect pkey_mprotect pkey_alloc pkey_free mseal map_shadow_stack`),
		functional("@memory-advice", "tell the kernel how memory will be used",
			`madvise`),
		functional("@memory-lock", "keep memory from being swapped",
			`mlock mlock2 mlockall munlock munlockall`),
		functional("@memory-policy", "choose the memory node and move pages between nodes",
			`mbind set_mempolicy get_mempolicy set_mempolicy_home_node migrate_pages move_pages`),
		functional("@memory-file", "files that exist in memory only",
			`memfd_create memfd_secret`),
		functional("@memory-fault", "handle page faults in user space",
			`userfaultfd`),

		// Processes and threads.
		functional("@thread", "set up what the kernel keeps for each thread",
			`set_tid_address set_robust_list get_robust_list set_thread_area get_thread_area arch_prctl rseq
			rseq_slice_yield membarrier`),
		functional("@futex", "wait for and wake other threads",
			`futex futex_time64 futex_wait futex_wake futex_requeue futex_waitv`),
		functional("@process-create", "create processes and threads",
			`clone clone3 fork vfork`),
		functional("@process-exec", "replace the program",
			`execve execveat uselib`),
		functional("@process-exit", "end the thread or the process",
			`exit exit_group`),
		functional("@process-wait", "wait for children",
			`wait4 waitid waitpid`),
		functional("@process-info", "read process, group and session numbers",
			`getpid getppid gettid getpgid getpgrp getsid`),
		functional("@process-group", "change process group and session",
			`setpgid setsid`),
		functional("@process-control", "prctl and personality: traits of the calling process",
			`prctl personality`),
		functional("@process-inspect", "trace, read, write and compare other processes",
			`ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd`),
		functional("@process-fd", "name a process by a descriptor",
			`pidfd_open`),
		functional("@namespaces", "create, enter and list namespaces",
			`unshare setns listns`),
		functional("@sandbox", "restrict the calling process: seccomp, Landlock, security modules",
			`seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self lsm_get_self_attr
			lsm_set_self_attr lsm_list_modules`),

		// Identity.
		functional("@identity-read", "read user, group and capability sets",
			`getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getgroups getgroups32 getresuid
			getresuid32 getresgid getresgid32 capget`),
		functional("@identity-change", "change user, group and capability sets",
			`setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid
			setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capset`),
		functional("@key-store", "the kernel's key store",
			`add_key request_key keyctl`),

		// Signals.
		functional("@signal-handle", "install handlers, mask signals and return from handlers",
			`rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending sigaltstack sigaction signal sigprocmask
			sigreturn sigpending sgetmask ssetmask restart_syscall`),
		functional("@signal-wait", "wait for signals",
			`rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 sigsuspend pause signalfd signalfd4`),
		functional("@signal-send", "send signals",
			`kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal`),

		// Time.
		functional("@time-read", "read clocks",
			`clock_gettime clock_gettime64 clock_getres clock_getres_time64 gettimeofday time`),
		functional("@time-set", "set and tune clocks",
			`clock_settime clock_settime64 clock_adjtime clock_adjtime64 adjtimex settimeofday stime`),
		functional("@sleep", "sleep or give up the processor",
			`nanosleep clock_nanosleep clock_nanosleep_time64 sched_yield`),
		functional("@interval-timer", "timers that send signals",
			`alarm getitimer setitimer timer_create timer_settime timer_settime64 timer_gettime timer_gettime64
			timer_getoverrun timer_delete`),

		// Network.
		functional("@socket-create", "create sockets of any family",
			`socket socketpair socketcall`),
		functional("@socket-client", "connect to a peer",
			`connect`),
		functional("@socket-server", "bind to an address and accept peers",
			`bind listen accept accept4`),
		functional("@socket-data", "send and receive messages, shut connections down",
			`sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown`),
		functional("@socket-options", "read and set socket options",
			`getsockopt setsockopt`),
		functional("@socket-names", "read the addresses of a socket",
			`getsockname getpeername`),

		// Communication between processes.
		functional("@shared-memory", "System V shared memory",
			`shmget shmat shmdt shmctl`),
		functional("@semaphore", "System V semaphores, and the i386 multiplexer of all System V calls",
			`semget semop semctl semtimedop semtimedop_time64 ipc`),
		functional("@message-queue", "System V and POSIX message queues",
			`msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedsend_time64 mq_timedreceive
			mq_timedreceive_time64 mq_notify mq_getsetattr`),

		// Resources.
		functional("@scheduling-read", "ask for priority, policy and processor",
			`getpriority sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_get_priority_max
			sched_get_priority_min sched_rr_get_interval sched_rr_get_interval_time64 ioprio_get getcpu`),
		functional("@scheduling", "change priority, policy and processors",
			`nice setpriority sched_setaffinity sched_setattr sched_setparam sched_setscheduler ioprio_set`),
		functional("@limits", "read and set resource limits",
			`getrlimit ugetrlimit setrlimit prlimit64`),
		functional("@usage", "read consumed time and memory",
			`getrusage times sysinfo`),
		functional("@random", "read random bytes",
			`getrandom`),

		// The machine.
		functional("@system-name", "read the name and release of the system",
			`uname olduname oldolduname`),
		functional("@system-name-change", "set the host and domain name",
			`sethostname setdomainname`),
		functional("@kernel-log", "read and control the kernel's log",
			`syslog`),
		functional("@kernel-modules", "load and unload kernel modules",
			`init_module finit_module delete_module`),
		functional("@kernel-restart", "restart the machine or replace its kernel",
			`reboot kexec_load kexec_file_load`),
		functional("@bpf", "load and use eBPF programs and maps",
			`bpf`),
		functional("@perf", "count and sample performance events",
			`perf_event_open lookup_dcookie`),
		functional("@probes", "trampolines of user-space probes; only the kernel's own code makes them",
			`uprobe uretprobe`),
		functional("@accounting", "write a record for every process that ends",
			`acct`),
		functional("@swap-area", "turn swap areas on and off",
			`swapon swapoff`),
		functional("@terminal-hangup", "hang up the controlling terminal",
			`vhangup`),
		functional("@port-access", "access to input/output ports",
			`ioperm iopl`),
		functional("@processor-modes", "segments and virtual 8086 mode",
			`modify_ldt vm86 vm86old`),
		functional("@unimplemented", "numbers that current kernels answer with ENOSYS",
			`_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx nfsservctl
			prof profil putpmsg query_module security stty tuxcall ulimit vserver`),
	}
}

func functional(name, description, members string) GroupDef {
	return GroupDef{Name: name, Description: description, Kind: Functional, Members: words(members)}
}
