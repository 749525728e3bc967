package synth

import (
	"slices"
	"strings"
	"sync"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// trait is what is known of an argument beyond its type: which of its values need
// trust of their own, and which a program may need although no run showed them.
type trait struct {
	calls string // the calls that have it
	arg   string
	why   string // what the dangerous values do

	// danger are values of the enum, and bits. A number is a bit without a name.
	danger string
	// apart are bits of which each is harmless, but not both at once: "A|B".
	apart []string

	// harmless are the values of the enum that are allowed whether or not they were
	// seen, "*" for all that have a name and are not dangerous. Without any, the enum
	// is not looked at.
	harmless string
	// together are values of the enum, or bits, of which one brings the others.
	together []string
	// named means that bits without a name are not used by any program.
	named bool
}

const namespaceBits = `CLONE_NEWNS CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET`

// traits lists what is known. Sources: the manual pages of the calls; the
// vulnerabilities that went through one argument value (socket: CVE-2015-8543,
// CVE-2016-8655, CVE-2017-7308, CVE-2022-32250; clone and unshare: CVE-2013-1858,
// CVE-2024-1086; madvise: CVE-2012-3511; sendmsg with MSG_OOB: CVE-2025-38236); what
// glibc 2.36 and musl 1.2.3 use without being asked.
func traits() []trait {
	return []trait{
		{
			calls: "mmap mmap2 mprotect pkey_mprotect", arg: "prot",
			danger: "PROT_EXEC", apart: []string{"PROT_WRITE|PROT_EXEC"},
			why: "makes memory executable",
		},
		{
			calls: "shmat", arg: "flags",
			danger: "SHM_EXEC", named: true,
			why: "makes memory executable",
		},
		{
			calls: "clone", arg: "flags",
			danger: namespaceBits + " CLONE_PTRACE CLONE_UNTRACED",
			why:    "creates namespaces, in which a process has rights that reach code written for root",
		},
		{
			calls: "unshare", arg: "flags",
			danger: namespaceBits + " CLONE_NEWTIME", named: true,
			why: "creates namespaces, in which a process has rights that reach code written for root",
		},
		{
			calls: "setns", arg: "flags",
			danger: namespaceBits + " CLONE_NEWTIME", named: true,
			why: "enters other namespaces",
		},
		{
			calls: "socket", arg: "domain",
			danger: `AF_NETLINK AF_PACKET AF_KEY AF_ALG AF_VSOCK AF_BLUETOOTH AF_CAN AF_TIPC AF_RDS AF_XDP AF_RXRPC AF_SMC
				AF_KCM AF_QIPCRTR AF_NFC AF_LLC AF_APPLETALK AF_IPX AF_AX25 AF_X25 AF_NETROM AF_ROSE AF_PPPOX AF_PHONET
				AF_IEEE802154 AF_CAIF AF_MCTP`,
			harmless: "AF_UNIX", together: []string{"AF_INET AF_INET6"},
			why: "reaches protocols that few programs need and that had many holes",
		},
		{
			calls: "socketpair", arg: "domain",
			danger: "AF_TIPC", harmless: "AF_UNIX",
			why: "reaches protocols that few programs need and that had many holes",
		},
		{
			calls: "socket socketpair", arg: "type",
			danger: "SOCK_RAW SOCK_PACKET SOCK_RDM SOCK_DCCP", harmless: "SOCK_STREAM SOCK_DGRAM SOCK_SEQPACKET", named: true,
			why: "sends and receives packets past the protocol",
		},
		{
			calls: "setsockopt getsockopt", arg: "level",
			danger:   "SOL_PACKET SOL_NETLINK SOL_ALG SOL_RDS SOL_TIPC SOL_BLUETOOTH SOL_LLC SOL_XDP SOL_CAN_RAW SOL_ATM SOL_CAIF",
			harmless: "SOL_SOCKET SOL_IP SOL_TCP SOL_UDP SOL_IPV6",
			why:      "sets options of protocols that had many holes",
		},
		{
			calls: "sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg", arg: "flags",
			danger: "MSG_OOB",
			why:    "out-of-band data, for which the kernel has little tested code",
		},
		{
			calls: "accept4", arg: "flags", named: true,
		},
		{calls: "shutdown", arg: "how", harmless: "*"},
		{
			calls: "open openat", arg: "flags",
			danger:   "O_WRONLY O_RDWR O_CREAT O_TRUNC 0x400000",
			harmless: "O_RDONLY", together: []string{"O_WRONLY O_RDWR", "O_CREAT O_TRUNC"},
			why: "creates or changes files",
		},
		{
			calls: "ioctl", arg: "cmd",
			danger: `TIOCSTI TIOCLINUX TIOCCONS TIOCSETD TIOCVHANGUP TIOCSSERIAL FIFREEZE FITHAW FITRIM BLKROSET BLKRRPART
				BLKDISCARD BLKZEROOUT BLKSECDISCARD SIOCADDRT SIOCDELRT SIOCSIFFLAGS SIOCSIFADDR SIOCSIFNAME SIOCSIFHWADDR
				SIOCSIFMTU SIOCBRADDBR SIOCBRDELBR SIOCBRADDIF SIOCBRDELIF SIOCETHTOOL TUNSETIFF RNDADDENTROPY
				RNDADDTOENTCNT LOOP_SET_FD LOOP_CONFIGURE LOOP_CTL_ADD KVM_CREATE_VM UFFDIO_API UFFDIO_REGISTER
				PERF_EVENT_IOC_SET_BPF FS_IOC_SETFLAGS FS_IOC_ENABLE_VERITY`,
			harmless: `TCGETS TCGETS2 TIOCGWINSZ TIOCGPGRP TIOCGSID TIOCOUTQ TIOCGETD TIOCGEXCL FIONREAD FIONBIO FIONCLEX
				FIOCLEX FIOASYNC FIOQSIZE FIGETBSZ FIBMAP FS_IOC_GETFLAGS FS_IOC_FSGETXATTR FS_IOC_FIEMAP BLKGETSIZE
				BLKGETSIZE64 BLKSSZGET BLKBSZGET SIOCATMARK`,
			together: []string{
				"TCSETS TCSETSW TCSETSF TCSETS2 TCSETSW2 TCSETSF2 TCSBRK TCSBRKP TCXONC TCFLSH TIOCSPGRP TIOCSWINSZ",
				"TIOCGPTN TIOCSPTLCK TIOCGPTLCK TIOCGPTPEER TIOCSCTTY TIOCNOTTY",
				"FICLONE FICLONERANGE FIDEDUPERANGE",
				`SIOCGIFCONF SIOCGIFNAME SIOCGIFINDEX SIOCGIFFLAGS SIOCGIFADDR SIOCGIFBRDADDR SIOCGIFNETMASK SIOCGIFMTU
				SIOCGIFHWADDR`,
			},
			why: "types into terminals, or changes devices and networks",
		},
		{
			calls: "fcntl fcntl64", arg: "cmd",
			danger: "F_NOTIFY F_SETSIG F_SETOWN F_SETOWN_EX F_SETLEASE F_SETDELEG",
			harmless: `F_DUPFD F_DUPFD_CLOEXEC F_DUPFD_QUERY F_CREATED_QUERY F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK
				F_SETLKW F_GETLK64 F_SETLK64 F_SETLKW64 F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_GETPIPE_SZ F_SETPIPE_SZ
				F_GET_SEALS F_GETOWN F_GETSIG`,
			together: []string{"F_SETOWN F_SETOWN_EX F_GETOWN_EX F_SETSIG", "F_SETLEASE F_GETLEASE"},
			why:      "makes the kernel send signals, or hold up other programs",
		},
		{
			calls: "prctl", arg: "option",
			danger: `PR_SET_MM PR_SET_PTRACER PR_SET_SECCOMP PR_SET_SECUREBITS PR_SET_KEEPCAPS PR_CAP_AMBIENT PR_SET_DUMPABLE
				PR_SET_SYSCALL_USER_DISPATCH PR_SET_SPECULATION_CTRL PR_SET_TSC PR_MCE_KILL PR_SCHED_CORE PR_SET_IO_FLUSHER
				PR_TASK_PERF_EVENTS_ENABLE`,
			harmless: `PR_SET_NAME PR_GET_NAME PR_SET_VMA PR_GET_DUMPABLE PR_GET_PDEATHSIG PR_GET_KEEPCAPS PR_GET_SECCOMP
				PR_GET_SECUREBITS PR_CAPBSET_READ PR_GET_TIMERSLACK PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_GET_AUXV
				PR_GET_THP_DISABLE PR_GET_TAGGED_ADDR_CTRL PR_GET_SHADOW_STACK_STATUS PR_SET_MDWE PR_GET_MDWE`,
			together: []string{"PR_SET_KEEPCAPS PR_SET_SECUREBITS PR_CAPBSET_DROP PR_CAP_AMBIENT"},
			why:      "changes what the process is to the kernel and to others",
		},
		{
			calls: "arch_prctl", arg: "option",
			danger: "ARCH_SET_GS ARCH_SET_CPUID ARCH_MAP_VDSO_32 ARCH_MAP_VDSO_64 ARCH_MAP_VDSO_X32",
			harmless: `ARCH_SET_FS ARCH_GET_FS 0x3001 ARCH_SHSTK_STATUS ARCH_SHSTK_ENABLE ARCH_SHSTK_DISABLE ARCH_SHSTK_LOCK
				ARCH_GET_XCOMP_SUPP ARCH_GET_XCOMP_PERM ARCH_REQ_XCOMP_PERM`,
			why: "changes segments and maps code at chosen addresses",
		},
		{
			calls: "personality", arg: "personality",
			danger: "ADDR_NO_RANDOMIZE READ_IMPLIES_EXEC MMAP_PAGE_ZERO ADDR_COMPAT_LAYOUT", named: true,
			why: "weakens the protection of memory",
		},
		{
			calls: "madvise", arg: "advice",
			danger: "MADV_HWPOISON MADV_SOFT_OFFLINE MADV_MERGEABLE MADV_UNMERGEABLE MADV_REMOVE",
			harmless: `MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_DONTFORK MADV_DOFORK
				MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK MADV_POPULATE_READ
				MADV_POPULATE_WRITE MADV_COLLAPSE MADV_GUARD_INSTALL MADV_GUARD_REMOVE`,
			why: "punches holes into files, takes pages out of use or shares them with others",
		},
		{
			calls: "futex futex_time64", arg: "op",
			danger:   "FUTEX_FD FUTEX_LOCK_PI FUTEX_LOCK_PI2 FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_REQUEUE_PI FUTEX_CMP_REQUEUE_PI",
			harmless: "FUTEX_WAIT FUTEX_WAKE FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET",
			together: []string{"FUTEX_LOCK_PI FUTEX_LOCK_PI2 FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI", "FUTEX_WAIT_REQUEUE_PI FUTEX_CMP_REQUEUE_PI"},
			why:      "locks with priority inheritance, the kernel's most intricate locks",
		},
		{
			calls: "execveat", arg: "flags",
			danger: "AT_EMPTY_PATH", named: true,
			why: "executes a file without a name, such as one in memory",
		},
		{calls: "memfd_create", arg: "flags", danger: "MFD_EXEC", why: "makes a file in memory that may be executed"},
		{calls: "getrandom", arg: "flags", named: true},
		{calls: "pipe2", arg: "flags", danger: "0x80", named: true, why: "makes a queue of notifications"},
		{calls: "dup3", arg: "flags", named: true},
		{calls: "epoll_create1", arg: "flags", named: true},
		{calls: "epoll_ctl", arg: "op", harmless: "*"},
		{calls: "eventfd2", arg: "flags", named: true},
		{calls: "mremap", arg: "flags", named: true},
		{calls: "msync", arg: "flags", named: true},
		{calls: "mlock2", arg: "flags", named: true},
		{calls: "mlockall", arg: "flags", named: true},
		{calls: "flock", arg: "cmd", named: true},
		{calls: "wait4 waitid", arg: "options", named: true},
		{calls: "lseek _llseek", arg: "whence", harmless: "*"},
		{calls: "access faccessat", arg: "mode", named: true},
		{calls: "newfstatat fstatat64 statx faccessat2 fchownat fchmodat2 linkat utimensat utimensat_time64 unlinkat", arg: "flags", named: true},
		{calls: "rt_sigprocmask", arg: "how", harmless: "*"},
		{calls: "fadvise64 fadvise64_64", arg: "advice", harmless: "*"},
		{calls: "getrusage", arg: "who", harmless: "*"},
		{calls: "getpriority setpriority", arg: "which", harmless: "*"},
		{calls: "getitimer setitimer", arg: "which", harmless: "*"},
		{calls: "fallocate", arg: "mode", named: true},
		{calls: "splice tee vmsplice", arg: "flags", named: true},
		{calls: "signalfd4 inotify_init1 timerfd_create timerfd_settime timerfd_settime64 close_range sync_file_range", arg: "flags", named: true},
		{calls: "renameat2", arg: "flags", named: true},
	}
}

// traitsByCall finds what is known of a call's arguments.
var traitsByCall = sync.OnceValue(func() map[string][]trait {
	byCall := map[string][]trait{}
	for _, tr := range traits() {
		for _, call := range words(tr.calls) {
			byCall[call] = append(byCall[call], tr)
		}
	}
	return byCall
})

// traitOf is what is known of an argument.
func traitOf(id sysno.ID, arg sysno.Arg) (trait, bool) {
	name, _ := id.Name()
	for _, tr := range traitsByCall()[name] {
		if tr.arg == arg.Name {
			return tr, true
		}
	}
	return trait{}, false
}

// values finds the values of words. One that only other ABIs have is left out.
func (tr trait) values(arg sysno.Arg, list string) []uint64 {
	var values []uint64
	for _, word := range words(list) {
		if v, err := valueOf(arg, word); err == nil {
			values = append(values, v)
		}
	}
	return values
}

// dangers splits the dangerous values into those of the enum and bits.
func (tr trait) dangers(arg sysno.Arg) (enum []uint64, flags uint64) {
	for _, v := range tr.values(arg, tr.danger) {
		if v&^arg.Set.Mask == 0 {
			enum = append(enum, v)
		} else {
			flags |= v
		}
	}
	return enum, flags
}

// companionBits are the bits that come with those that were seen.
func (tr trait) companionBits(arg sysno.Arg, seen uint64) uint64 {
	for _, family := range tr.together {
		var members uint64
		for _, v := range tr.values(arg, family) {
			members |= v &^ arg.Set.Mask
		}
		if members&seen != 0 {
			seen |= members
		}
	}
	return seen
}

// companions are the values of the enum that come with those that were seen, sorted.
func (tr trait) companions(arg sysno.Arg, seen []uint64) []uint64 {
	all := slices.Concat(seen, tr.values(arg, tr.harmless))
	if tr.harmless == "*" {
		dangerous, _ := tr.dangers(arg)
		for _, v := range arg.Set.Enum {
			if n := v.Value & arg.Mask(); !slices.Contains(dangerous, n) {
				all = append(all, n)
			}
		}
	}
	for _, family := range tr.together {
		members := tr.values(arg, family)
		if slices.ContainsFunc(members, func(v uint64) bool { return slices.Contains(all, v) }) {
			all = append(all, members...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Dangers names the dangerous values that the conditions on an argument let through,
// and what they do. No conditions let everything through.
func Dangers(id sysno.ID, index uint8, oneOf []Cond) (names []string, why string) {
	arg := argumentAt(id, index)
	tr, ok := traitOf(id, arg)
	if !ok || arg.Set == nil {
		return nil, ""
	}
	for _, word := range words(tr.danger) {
		v, err := valueOf(arg, word)
		if err != nil || v == 0 {
			continue
		}
		mask := v // bits
		if v&^arg.Set.Mask == 0 {
			mask = arg.Set.Mask & arg.Mask()
		}
		possible := func(c Cond) bool { return admits(c, arg, mask, v) }
		if len(oneOf) == 0 || slices.ContainsFunc(oneOf, possible) {
			names = append(names, word)
		}
	}
	return names, strings.TrimSpace(tr.why)
}

// admits reports whether some value that has v under mask satisfies the condition.
// Of an ordering it may say so without cause.
func admits(c Cond, arg sysno.Arg, mask, v uint64) bool {
	switch c.Op {
	case MaskedEqual:
		return (c.Value^v)&c.Mask&mask == 0
	case Equal:
		return c.Value&mask == v
	case NotEqual:
		return mask != arg.Mask() || c.Value != v
	}
	return true
}
