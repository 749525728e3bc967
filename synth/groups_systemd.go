package synth

// systemdGroups are the groups of systemd 252 that are literal lists; @known is
// computed. Members come from "systemd-analyze syscall-filter" of that version,
// without those of ABIs that have no table here. A syscall that is younger than
// the version stands beside its closest older sibling: setxattrat with setxattr,
// futex_wait with futex, open_tree_attr with open_tree, statmount with statfs.
func systemdGroups() []GroupDef {
	return []GroupDef{
		{
			Name: "@aio", Description: "asynchronous input and output, io_uring included", Kind: Systemd,
			Members: words(`
			io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
			io_uring_enter io_uring_register io_uring_setup`),
		},
		{
			Name: "@basic-io", Description: "reading, writing and positioning on open descriptors", Kind: Systemd,
			Members: words(`
			_llseek close close_range dup dup2 dup3 lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
			readv write writev`),
		},
		{
			Name: "@chown", Description: "changing the owner of files", Kind: Systemd,
			Members: words(`
			chown chown32 fchown fchown32 fchownat lchown lchown32`),
		},
		{
			Name: "@clock", Description: "setting the system time", Kind: Systemd,
			Members: words(`
			adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 settimeofday`),
		},
		{
			Name: "@cpu-emulation", Description: "emulating older modes of the processor", Kind: Systemd,
			Members: words(`
			modify_ldt vm86 vm86old`),
		},
		{
			Name: "@debug", Description: "debugging, profiling and tracing", Kind: Systemd,
			Members: words(`
			lookup_dcookie perf_event_open pidfd_getfd ptrace`),
		},
		{
			Name: "@default", Description: "what nearly every program needs to start, wait and end", Kind: Systemd,
			Members: words(`
			arch_prctl brk clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
			clock_nanosleep_time64 execve exit exit_group futex futex_requeue futex_time64 futex_wait
			futex_waitv futex_wake get_robust_list get_thread_area getegid getegid32 geteuid geteuid32 getgid
			getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getrandom getresgid getresgid32
			getresuid getresuid32 getrlimit getsid gettid gettimeofday getuid getuid32 map_shadow_stack
			membarrier mmap mmap2 mprotect mseal munmap nanosleep pause prlimit64 restart_syscall rseq
			rseq_slice_yield rt_sigreturn sched_getaffinity sched_yield set_robust_list set_thread_area
			set_tid_address sigreturn time ugetrlimit uprobe uretprobe`),
		},
		{
			Name: "@file-system", Description: "opening, creating, inspecting and changing files", Kind: Systemd,
			Members: words(`
			access chdir chmod close creat faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2 fcntl
			fcntl64 fgetxattr file_getattr file_setattr flistxattr fremovexattr fsetxattr fstat fstat64
			fstatat64 fstatfs fstatfs64 ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr
			getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lgetxattr link linkat
			listmount listxattr listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod
			mknodat newfstatat oldfstat oldlstat oldstat open openat openat2 readlink readlinkat removexattr
			removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64
			statmount statx symlink symlinkat truncate truncate64 unlink unlinkat utime utimensat
			utimensat_time64 utimes`),
		},
		{
			Name: "@io-event", Description: "waiting for events on descriptors", Kind: Systemd,
			Members: words(`
			_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
			epoll_wait_old eventfd eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select`),
		},
		{
			Name: "@ipc", Description: "pipes, System V IPC, message queues and the memory of other processes", Kind: Systemd,
			Members: words(`
			ipc memfd_create mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
			mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 process_madvise
			process_vm_readv process_vm_writev semctl semget semop semtimedop semtimedop_time64 shmat shmctl
			shmdt shmget`),
		},
		{
			Name: "@keyring", Description: "the kernel's key store", Kind: Systemd,
			Members: words(`
			add_key keyctl request_key`),
		},
		{
			Name: "@memlock", Description: "keeping memory from being swapped", Kind: Systemd,
			Members: words(`
			mlock mlock2 mlockall munlock munlockall`),
		},
		{
			Name: "@module", Description: "loading and unloading kernel modules", Kind: Systemd,
			Members: words(`
			delete_module finit_module init_module`),
		},
		{
			Name: "@mount", Description: "changing the tree of mounted file systems", Kind: Systemd,
			Members: words(`
			chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree open_tree_attr
			pivot_root umount umount2`),
		},
		{
			Name: "@network-io", Description: "sockets of every family", Kind: Systemd,
			Members: words(`
			accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg
			recvmmsg_time64 recvmsg sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair`),
		},
		{
			Name: "@obsolete", Description: "old, unusual or never implemented calls", Kind: Systemd,
			Members: words(`
			_sysctl afs_syscall bdflush break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx
			prof profil putpmsg query_module security sgetmask ssetmask stime stty sysfs tuxcall ulimit uselib
			ustat vserver`),
		},
		{
			Name: "@pkey", Description: "memory protection keys", Kind: Systemd,
			Members: words(`
			pkey_alloc pkey_free pkey_mprotect`),
		},
		{
			Name: "@privileged", Description: "calls that a capability guards", Kind: Systemd,
			Nested: words(`
			@chown @clock @module @raw-io @reboot @swap`),
			Members: words(`
			_sysctl acct bpf capset chroot fanotify_init fanotify_mark nfsservctl open_by_handle_at pivot_root
			quotactl quotactl_fd setdomainname setfsuid setfsuid32 setgroups setgroups32 sethostname setresuid
			setresuid32 setreuid setreuid32 setuid setuid32 vhangup`),
		},
		{
			Name: "@process", Description: "creating, controlling and signalling processes, namespaces included", Kind: Systemd,
			Members: words(`
			capget clone clone3 execveat fork getrusage kill pidfd_open pidfd_send_signal prctl rt_sigqueueinfo
			rt_tgsigqueueinfo setns tgkill times tkill unshare vfork wait4 waitid waitpid`),
		},
		{
			Name: "@raw-io", Description: "access to input/output ports", Kind: Systemd,
			Members: words(`
			ioperm iopl`),
		},
		{
			Name: "@reboot", Description: "restarting the machine or replacing its kernel", Kind: Systemd,
			Members: words(`
			kexec_file_load kexec_load reboot`),
		},
		{
			Name: "@resources", Description: "priorities, limits and the placement of memory", Kind: Systemd,
			Members: words(`
			ioprio_set mbind migrate_pages move_pages nice sched_setaffinity sched_setattr sched_setparam
			sched_setscheduler set_mempolicy set_mempolicy_home_node setpriority setrlimit`),
		},
		{
			Name: "@setuid", Description: "changing user and group identities", Kind: Systemd,
			Members: words(`
			setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid
			setresuid32 setreuid setreuid32 setuid setuid32`),
		},
		{
			Name: "@signal", Description: "handling and waiting for signals", Kind: Systemd,
			Members: words(`
			rt_sigaction rt_sigpending rt_sigprocmask rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
			sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigsuspend`),
		},
		{
			Name: "@swap", Description: "turning swap areas on and off", Kind: Systemd,
			Members: words(`
			swapoff swapon`),
		},
		{
			Name: "@sync", Description: "forcing data to storage", Kind: Systemd,
			Members: words(`
			fdatasync fsync msync sync sync_file_range syncfs`),
		},
		{
			Name: "@system-service", Description: "a sensible allow list for an ordinary service", Kind: Systemd,
			Nested: words(`
			@aio @basic-io @chown @default @file-system @io-event @ipc @keyring @memlock @network-io @process
			@resources @setuid @signal @sync @timer`),
			Members: words(`
			capget capset copy_file_range fadvise64 fadvise64_64 flock get_mempolicy getcpu getpriority ioctl
			ioprio_get kcmp madvise mremap name_to_handle_at oldolduname olduname personality readahead readdir
			remap_file_pages sched_get_priority_max sched_get_priority_min sched_getattr sched_getparam
			sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_yield sendfile
			sendfile64 setfsgid setfsgid32 setfsuid setfsuid32 setpgid setsid splice sysinfo tee umask uname
			userfaultfd vmsplice`),
		},
		{
			Name: "@timer", Description: "timers and alarms", Kind: Systemd,
			Members: words(`
			alarm getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
			timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
			timerfd_settime64 times`),
		},
	}
}
