package sysno

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func formatDecimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func TestCallsReadAsStraceWritesThem(t *testing.T) {
	const fdcwd = 0xffffff9c // as a 32-bit program leaves it in the register
	for _, tt := range []struct {
		arch Arch
		call string
		args [6]uint64
		want string
	}{
		{AMD64, "openat", [6]uint64{fdcwd, 0x7f00, 0x80000}, "openat(AT_FDCWD, 0x7f00, O_RDONLY|O_CLOEXEC)"},
		{AMD64, "openat", [6]uint64{1<<64 - 100, 0x7f00, 0x80000}, "openat(AT_FDCWD, 0x7f00, O_RDONLY|O_CLOEXEC)"},
		{AMD64, "openat", [6]uint64{3, 0x7f00, 0x241, 0o644}, "openat(3, 0x7f00, O_WRONLY|O_CREAT|O_TRUNC, 0644)"},
		{AMD64, "open", [6]uint64{0, 0x10000, 0o644}, "open(NULL, O_RDONLY|O_DIRECTORY)"},
		{AMD64, "open", [6]uint64{1, 0x410002, 0o600}, "open(0x1, O_RDWR|O_TMPFILE, 0600)"},
		{AMD64, "open", [6]uint64{1, 0x101001}, "open(0x1, O_WRONLY|O_SYNC)"},
		{AMD64, "open", [6]uint64{1, 0x1001}, "open(0x1, O_WRONLY|O_DSYNC)"},
		{AMD64, "open", [6]uint64{1, 0x8003}, "open(0x1, O_LARGEFILE|0x3)"},
		{ARM64, "openat", [6]uint64{fdcwd, 1, 0x4000}, "openat(AT_FDCWD, 0x1, O_RDONLY|O_DIRECTORY)"},
		{ARM64, "openat", [6]uint64{fdcwd, 1, 0x20000}, "openat(AT_FDCWD, 0x1, O_RDONLY|O_LARGEFILE)"},
		{AMD64, "socket", [6]uint64{2, 0x80801, 6}, "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC|SOCK_NONBLOCK, IPPROTO_TCP)"},
		{AMD64, "socket", [6]uint64{16, 3, 15}, "socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)"},
		{AMD64, "socket", [6]uint64{1, 15, 0}, "socket(AF_UNIX, 0xf, 0)"},
		{AMD64, "mmap", [6]uint64{0, 4096, 0, 0x22, 0xffffffff, 0}, "mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)"},
		{AMD64, "mmap", [6]uint64{0, 4096, 5, 0x812, 3, 0x28000}, "mmap(NULL, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE|MAP_FIXED|MAP_DENYWRITE, 3, 0x28000)"},
		{I386, "mmap", [6]uint64{0xffd0}, "mmap(0xffd0)"},
		{AMD64, "mprotect", [6]uint64{0x1000, 4096, 1}, "mprotect(0x1000, 4096, PROT_READ)"},
		{AMD64, "clone", [6]uint64{0x01200011, 0, 0, 0x7f10, 0}, "clone(SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID, NULL, NULL, 0x7f10, NULL)"},
		{AMD64, "clone", [6]uint64{0x10000}, "clone(CLONE_THREAD, NULL, NULL, NULL, NULL)"},
		{AMD64, "setsockopt", [6]uint64{3, 1, 2, 0x7f00, 4}, "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, 0x7f00, 4)"},
		{AMD64, "setsockopt", [6]uint64{3, 6, 1, 0x7f00, 4}, "setsockopt(3, SOL_TCP, TCP_NODELAY, 0x7f00, 4)"},
		{AMD64, "setsockopt", [6]uint64{3, 41, 26, 0x7f00, 4}, "setsockopt(3, SOL_IPV6, IPV6_V6ONLY, 0x7f00, 4)"},
		{AMD64, "getsockopt", [6]uint64{3, 9999, 26, 0x7f00, 0x7f08}, "getsockopt(3, 9999, 26, 0x7f00, 0x7f08)"},
		{AMD64, "fcntl", [6]uint64{3, 1, 0xdead}, "fcntl(3, F_GETFD)"},
		{AMD64, "fcntl", [6]uint64{3, 2, 1}, "fcntl(3, F_SETFD, FD_CLOEXEC)"},
		{AMD64, "fcntl", [6]uint64{3, 4, 0x802}, "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK)"},
		{AMD64, "fcntl", [6]uint64{3, 6, 0x7f00}, "fcntl(3, F_SETLK, 0x7f00)"},
		{I386, "fcntl64", [6]uint64{3, 13, 0x7f00}, "fcntl64(3, F_SETLK64, 0x7f00)"},
		{AMD64, "futex", [6]uint64{0x10, 0x80}, "futex(0x10, FUTEX_WAIT|FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0)"},
		{AMD64, "futex", [6]uint64{0x10, 0x189, 1}, "futex(0x10, FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG|FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0)"},
		{AMD64, "personality", [6]uint64{0xffffffff}, "personality(-1)"},
		{AMD64, "personality", [6]uint64{0x40000}, "personality(PER_LINUX|ADDR_NO_RANDOMIZE)"},
		{AMD64, "ioctl", [6]uint64{1, 0x5401, 0x7ffc0000}, "ioctl(1, TCGETS, 0x7ffc0000)"},
		{AMD64, "ioctl", [6]uint64{1, 0xdeadbeef, 0}, "ioctl(1, 0xdeadbeef, 0)"},
		{I386, "ioctl", [6]uint64{1, 0x80046601, 0}, "ioctl(1, FS_IOC_GETFLAGS, 0)"},
		{AMD64, "kill", [6]uint64{0xffffffff, 9}, "kill(-1, SIGKILL)"},
		{AMD64, "kill", [6]uint64{1, 0}, "kill(1, 0)"},
		{AMD64, "tgkill", [6]uint64{1, 1, 33}, "tgkill(1, 1, 33)"},
		{AMD64, "wait4", [6]uint64{0xffffffff, 0, 0x40000001, 0}, "wait4(-1, NULL, WNOHANG|__WALL, NULL)"},
		{AMD64, "getrusage", [6]uint64{0xffffffff, 0x10}, "getrusage(RUSAGE_CHILDREN, 0x10)"},
		{AMD64, "fchownat", [6]uint64{4, 0x10, 0, 0xffffffff, 0x1100}, "fchownat(4, 0x10, 0, -1, AT_SYMLINK_NOFOLLOW|AT_EMPTY_PATH)"},
		{AMD64, "lseek", [6]uint64{4, 1<<64 - 512, 2}, "lseek(4, -512, SEEK_END)"},
		{AMD64, "flock", [6]uint64{4, 6}, "flock(4, LOCK_EX|LOCK_NB)"},
		{AMD64, "access", [6]uint64{0x10, 0}, "access(0x10, F_OK)"},
		{AMD64, "access", [6]uint64{0x10, 5}, "access(0x10, R_OK|X_OK)"},
		{AMD64, "statx", [6]uint64{3, 0x10, 0x1000, 0xfff, 0x20}, "statx(3, 0x10, AT_EMPTY_PATH, STATX_ALL, 0x20)"},
		{AMD64, "mkdir", [6]uint64{0x10, 0xffff0000000001ed}, "mkdir(0x10, 0755)"},
		{AMD64, "prctl", [6]uint64{38, 1}, "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)"},
		{AMD64, "prctl", [6]uint64{1, 9}, "prctl(PR_SET_PDEATHSIG, SIGKILL)"},
		{AMD64, "getpid", [6]uint64{1, 2, 3}, "getpid()"},
		{AMD64, "vserver", [6]uint64{1}, "vserver(0x1, 0x0, 0x0, 0x0, 0x0, 0x0)"},
	} {
		got := FormatCall(must(t, tt.arch, tt.call), tt.args)
		if tt.arch != Native() {
			got = strings.TrimPrefix(got, tt.arch.String()+":")
		}
		if got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestUnknownSyscallsShowAllRegisters(t *testing.T) {
	id := ID{Native(), 5000}
	asked := false
	got := FormatCallFunc(id, [6]uint64{1, 2, 3, 4, 5, 1 << 63}, func(Arg, uint64) (string, bool) { asked = true; return "", true })
	if want := "syscall_5000(0x1, 0x2, 0x3, 0x4, 0x5, 0x8000000000000000)"; got != want || asked {
		t.Errorf("got %s (asked: %v), want %s", got, asked, want)
	}
}

func TestTheCallerMayWriteArguments(t *testing.T) {
	id := must(t, AMD64, "openat")
	got := FormatCallFunc(id, [6]uint64{5, 0x7f00, 0}, func(a Arg, v uint64) (string, bool) {
		if a.Kind != KindPath {
			return "never seen", false
		}
		return fmt.Sprintf("%q", fmt.Sprintf("/at/%#x", v)), true
	})
	if want := `openat(5, "/at/0x7f00", O_RDONLY)`; strings.TrimPrefix(got, "x86_64:") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBitsThatTheKernelDoesNotReadChangeNothing(t *testing.T) {
	for _, a := range Archs() {
		for _, id := range All(a) {
			for _, arg := range id.Args() {
				for _, v := range []uint64{0, 1, 0x80002, 1<<64 - 1} {
					noisy := v&arg.Mask() | 0xa5a5a5a5a5a5a5a5&^arg.Mask()
					if got, want := arg.Format(noisy), arg.Format(v&arg.Mask()); got != want || got == "" {
						t.Errorf("%s: %s of %#x is %q, of %#x %q", id, arg.Name, noisy, got, v, want)
					}
				}
			}
		}
	}
}

func TestCallersCannotChangeTheTable(t *testing.T) {
	id := must(t, AMD64, "read")
	id.Args()[0].Name = "changed"
	id.ArgsOf([6]uint64{})[0].Name = "changed"
	if got := id.Args()[0].Name; got != "fd" {
		t.Errorf("the first argument of read is now %q", got)
	}
}
