package synth

import (
	"fmt"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// GroupCall is a call of a group, with what its arguments must be there.
type GroupCall struct {
	Name string
	Args [][]Pattern // for each argument, alternatives; all arguments must fit
}

// abilityGroups are what a program can do, said with conditions on arguments: less
// than the calls that they are made of. They overlap, and Arrange does not use them; a
// person or a description does.
func abilityGroups() []GroupDef {
	readOnly := Pattern{Arg: "flags", Is: "O_RDONLY", Forbid: words("O_CREAT O_TRUNC 0x400000")}
	existing := Pattern{Arg: "flags", Forbid: words("O_CREAT 0x400000")}
	noNamespaces := words(namespaceBits + " CLONE_PTRACE CLONE_UNTRACED")
	stream := []string{"SOCK_STREAM"}
	inet := []string{"AF_INET", "AF_INET6"}
	common := []string{"SOL_SOCKET", "SOL_IP", "SOL_IPV6", "SOL_TCP"}
	const transfer = "read readv write writev sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown getsockname getpeername"
	return []GroupDef{
		// Files.
		ability("@open-read-only", "open existing files for reading",
			when("open openat", oneOf(readOnly))),
		ability("@open-existing", "open existing files for reading and writing",
			when("open openat", oneOf(existing))),
		ability("@open-directory", "open directories",
			when("open openat", oneOf(Pattern{Arg: "flags", Is: "O_RDONLY", Require: words("O_DIRECTORY"), Forbid: words("O_CREAT 0x400000")})),
			when("getdents getdents64 fchdir")),
		ability("@read-files", "open files for reading, read them and ask about them",
			when("open openat", oneOf(readOnly)),
			when("read readv pread64 preadv preadv2 lseek _llseek close fstat fstat64 newfstatat fstatat64 statx stat stat64 lstat lstat64")),
		ability("@descriptor-flags", "read and set the flags of descriptors and files",
			when("fcntl fcntl64", is("cmd", "F_GETFD", "F_SETFD", "F_GETFL", "F_SETFL"))),
		ability("@descriptor-duplicate", "duplicate descriptors, whichever call a library uses",
			when("fcntl fcntl64", is("cmd", "F_DUPFD", "F_DUPFD_CLOEXEC")), when("dup dup2 dup3")),
		ability("@record-locks", "lock parts of files",
			when("fcntl fcntl64", is("cmd", words("F_GETLK F_SETLK F_SETLKW F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW")...))),
		ability("@file-leases", "be told before others open a file",
			when("fcntl fcntl64", is("cmd", "F_SETLEASE", "F_GETLEASE"))),
		ability("@file-signals", "have the kernel send a signal when a descriptor is ready",
			when("fcntl fcntl64", is("cmd", words("F_SETOWN F_GETOWN F_SETOWN_EX F_GETOWN_EX F_SETSIG F_GETSIG")...))),
		ability("@pipe-size", "read and set how much a pipe holds",
			when("fcntl fcntl64", is("cmd", "F_SETPIPE_SZ", "F_GETPIPE_SZ"))),
		ability("@file-seals", "seal files in memory against changes",
			when("fcntl fcntl64", is("cmd", "F_ADD_SEALS", "F_GET_SEALS"))),
		ability("@sealed-memory", "make a file in memory that cannot be executed, fill and seal it",
			when("memfd_create", oneOf(Pattern{Arg: "flags", Forbid: words("MFD_EXEC")})),
			when("fcntl fcntl64", is("cmd", "F_ADD_SEALS", "F_GET_SEALS")), when("ftruncate ftruncate64")),
		ability("@remove-files", "remove files, not directories",
			when("unlink"), when("unlinkat", oneOf(Pattern{Arg: "flags", Forbid: words("AT_REMOVEDIR")}))),
		ability("@rename-without-exchange", "rename files",
			when("rename renameat"), when("renameat2", oneOf(Pattern{Arg: "flags", Only: words("RENAME_NOREPLACE")}))),

		// Terminals and devices.
		ability("@terminal-query", "ask whether something is a terminal, and for its size",
			when("ioctl", is("cmd", words("TCGETS TIOCGWINSZ TIOCGPGRP TIOCGSID")...))),
		ability("@terminal-control", "set modes, size and process group of a terminal",
			when("ioctl", is("cmd", words("TCGETS TCSETS TCSETSW TCSETSF TCSBRK TCXONC TCFLSH TIOCGWINSZ TIOCSWINSZ TIOCGPGRP TIOCSPGRP TIOCSCTTY TIOCNOTTY")...))),
		ability("@pseudo-terminal", "create pseudo terminals",
			when("ioctl", is("cmd", words("TIOCGPTN TIOCSPTLCK TIOCGPTLCK TIOCGPTPEER")...))),
		ability("@descriptor-ioctl", "set descriptors to non-blocking or close-on-exec, and ask what can be read",
			when("ioctl", is("cmd", words("FIONBIO FIONREAD FIOCLEX FIONCLEX FIOASYNC")...))),
		ability("@file-clone", "copy files by sharing their blocks",
			when("ioctl", is("cmd", "FICLONE", "FICLONERANGE", "FIDEDUPERANGE")), when("copy_file_range")),
		ability("@file-flags-read", "read the flags and extents of files",
			when("ioctl", is("cmd", words("FS_IOC_GETFLAGS FS_IOC_FSGETXATTR FS_IOC_FIEMAP FIGETBSZ")...))),
		ability("@block-device-query", "ask for the size of block devices",
			when("ioctl", is("cmd", words("BLKGETSIZE BLKGETSIZE64 BLKSSZGET BLKBSZGET BLKPBSZGET BLKROGET")...))),
		ability("@interface-query", "read the names and addresses of network interfaces",
			when("ioctl", is("cmd", words("SIOCGIFCONF SIOCGIFNAME SIOCGIFINDEX SIOCGIFFLAGS SIOCGIFADDR SIOCGIFBRDADDR SIOCGIFNETMASK SIOCGIFMTU SIOCGIFHWADDR")...))),

		// Network.
		ability("@tcp-client", "connect to TCP servers and talk to them",
			when("socket", is("domain", inet...), is("type", stream...)), when("connect "+transfer),
			when("setsockopt getsockopt", is("level", common...))),
		ability("@tcp-server", "accept TCP connections and talk to them",
			when("socket", is("domain", inet...), is("type", stream...)), when("bind listen accept accept4 "+transfer),
			when("setsockopt getsockopt", is("level", common...))),
		ability("@udp", "send and receive UDP messages",
			when("socket", is("domain", inet...), is("type", "SOCK_DGRAM")), when("bind connect "+transfer),
			when("setsockopt getsockopt", is("level", "SOL_SOCKET", "SOL_IP", "SOL_IPV6", "SOL_UDP"))),
		ability("@unix-client", "connect to servers on this machine",
			when("socket", is("domain", "AF_UNIX")), when("connect "+transfer),
			when("setsockopt getsockopt", is("level", "SOL_SOCKET"))),
		ability("@unix-server", "accept connections from this machine",
			when("socket", is("domain", "AF_UNIX")), when("bind listen accept accept4 "+transfer),
			when("setsockopt getsockopt", is("level", "SOL_SOCKET"))),
		ability("@socket-pair", "a connection between related processes",
			when("socketpair", is("domain", "AF_UNIX")), when(transfer)),
		ability("@netlink-route", "ask the kernel for addresses and routes, as resolvers do",
			when("socket", is("domain", "AF_NETLINK"), is("protocol", "0")), when("bind getsockname sendto sendmsg recvmsg recvfrom")),
		ability("@netlink", "talk to kernel subsystems; many of them had holes",
			when("socket", is("domain", "AF_NETLINK"))),
		ability("@raw-socket", "send and receive packets past the protocol",
			when("socket", is("domain", inet...), is("type", "SOCK_RAW"))),
		ability("@packet-socket", "send and receive all packets of an interface",
			when("socket", is("domain", "AF_PACKET"))),
		ability("@vm-socket", "talk between virtual machines and their host",
			when("socket", is("domain", "AF_VSOCK"))),
		ability("@crypto-socket", "use the kernel's ciphers",
			when("socket", is("domain", "AF_ALG"))),
		ability("@bluetooth-socket", "talk over Bluetooth",
			when("socket", is("domain", "AF_BLUETOOTH"))),
		ability("@can-socket", "talk over a CAN bus",
			when("socket", is("domain", "AF_CAN"))),

		// Memory.
		ability("@memory-data", "map memory that cannot be executed",
			when("mmap mmap2 mprotect pkey_mprotect", oneOf(Pattern{Arg: "prot", Forbid: words("PROT_EXEC")})), when("munmap mremap brk madvise")),
		ability("@memory-w-xor-x", "map memory that is writable or executable, not both, and cannot become executable",
			when("mmap mmap2", oneOf(Pattern{Arg: "prot", Forbid: words("PROT_WRITE")}, Pattern{Arg: "prot", Forbid: words("PROT_EXEC")})),
			when("mprotect pkey_mprotect", oneOf(Pattern{Arg: "prot", Forbid: words("PROT_EXEC")})), when("munmap mremap brk madvise")),
		ability("@memory-free", "give memory back while keeping its addresses, as allocators do",
			when("madvise", is("advice", "MADV_DONTNEED", "MADV_FREE"))),

		// Processes.
		ability("@thread-create", "create threads, without namespaces",
			when("clone", oneOf(Pattern{Arg: "flags", Require: words("CLONE_VM CLONE_SIGHAND CLONE_THREAD"), Forbid: noNamespaces})),
			when("set_robust_list rseq futex futex_time64 exit")),
		ability("@fork", "create processes, without namespaces",
			when("clone", oneOf(Pattern{Arg: "flags", Forbid: slices.Concat(words("CLONE_THREAD"), noNamespaces)})), when("fork vfork wait4 waitid")),
		ability("@futex-plain", "wait for and wake other threads, without priority inheritance",
			when("futex futex_time64", is("op", words("FUTEX_WAIT FUTEX_WAKE FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET")...))),
		ability("@process-name", "name the calling thread and its memory",
			when("prctl", is("option", "PR_SET_NAME", "PR_GET_NAME", "PR_SET_VMA"))),
		ability("@process-traits-read", "ask for traits of the calling process",
			when("prctl", is("option", words("PR_GET_DUMPABLE PR_GET_PDEATHSIG PR_GET_KEEPCAPS PR_GET_SECCOMP PR_GET_SECUREBITS PR_CAPBSET_READ PR_GET_NO_NEW_PRIVS PR_GET_TIMERSLACK")...)),
			when("personality", is("personality", "0xffffffff"))),
		ability("@die-with-parent", "be sent a signal when the parent dies",
			when("prctl", is("option", "PR_SET_PDEATHSIG", "PR_GET_PDEATHSIG"))),
		ability("@drop-privileges", "give up user, groups and capabilities",
			when("prctl", is("option", words("PR_SET_NO_NEW_PRIVS PR_CAPBSET_READ PR_CAPBSET_DROP PR_SET_KEEPCAPS PR_SET_SECUREBITS")...)),
			when("capset capget setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32 setgroups setgroups32")),
		ability("@sandbox-self", "take rights away from the calling process",
			when("prctl", is("option", "PR_SET_NO_NEW_PRIVS", "PR_SET_SECCOMP", "PR_GET_SECCOMP")),
			when("seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self")),
		ability("@thread-pointer", "set and read where a thread keeps its variables",
			when("arch_prctl", is("option", "ARCH_SET_FS", "ARCH_GET_FS")), when("set_thread_area get_thread_area")),
		ability("@signal-probe", "ask whether a process exists",
			when("kill", is("sig", "0"))),
		ability("@signal-abort", "end the calling process with a signal, as abort(3) and raise(3) do",
			when("tgkill tkill", is("sig", "SIGABRT"))),
		ability("@limits-read", "read resource limits of any process, and set none",
			when("getrlimit ugetrlimit"), when("prlimit64", is("new_rlim", "0"))),
		ability("@keys-read", "find and read keys",
			when("keyctl", is("option", words("KEYCTL_GET_KEYRING_ID KEYCTL_DESCRIBE KEYCTL_SEARCH KEYCTL_READ")...))),
	}
}

func ability(name, description string, calls ...[]GroupCall) GroupDef {
	g := GroupDef{Name: name, Description: description, Kind: Ability, Calls: slices.Concat(calls...)}
	for _, c := range g.Calls {
		g.Members = append(g.Members, c.Name)
	}
	return g
}

// when gives calls the same conditions.
func when(calls string, args ...[]Pattern) []GroupCall {
	var list []GroupCall
	for _, name := range words(calls) {
		list = append(list, GroupCall{Name: name, Args: args})
	}
	return list
}

func oneOf(patterns ...Pattern) []Pattern { return patterns }

// is lists values of an argument.
func is(arg string, values ...string) []Pattern {
	var patterns []Pattern
	for _, v := range values {
		patterns = append(patterns, Pattern{Arg: arg, Is: v})
	}
	return patterns
}

// Clauses is what the group says of the calls of an ABI, without verdict, tier and
// reason. A call of which the ABI passes the arguments in memory is left out where the
// group has conditions for it: no filter can check them.
func (g GroupDef) Clauses(arch sysno.Arch) ([]Clause, error) {
	if g.Kind != Ability {
		var clauses []Clause
		for _, name := range Expand(g.Name) {
			if id, ok := sysno.Lookup(arch, name); ok {
				clauses = append(clauses, Clause{ID: id})
			}
		}
		return clauses, nil
	}
	var clauses []Clause
	for _, call := range g.Calls {
		id, ok := sysno.Lookup(arch, call.Name)
		if !ok {
			continue
		}
		c := Clause{ID: id}
		inMemory := false
		for _, patterns := range call.Args {
			choice := Choice{}
			for _, p := range patterns {
				if _, _, err := argument(id, p.Arg); err != nil && id.Described() && arch == sysno.I386 {
					inMemory = true
					break
				}
				cond, err := p.Cond(id)
				if err != nil {
					return nil, fmt.Errorf("group %s: %w", g.Name, err)
				}
				choice.Index = cond.Index
				choice.OneOf = append(choice.OneOf, cond)
			}
			slices.SortFunc(choice.OneOf, Cond.Compare)
			choice.OneOf = slices.Compact(choice.OneOf)
			c.Args = append(c.Args, choice)
		}
		if !inMemory {
			clauses = append(clauses, c)
		}
	}
	return clauses, nil
}
