/* Hands values to typed arguments in each of the ways that compilers and people have. The
 * calls and what is known of them stand in arguments_test.go. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The number and the arguments are the caller's, and of two callers. */
__attribute__((noinline)) static long enter(long nr, long a, long b, long c) {
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}
__attribute__((noinline)) static long through(long nr, long a) { return enter(nr, a, 0, 0); }
__attribute__((noinline)) static long further(long nr, long a) { return through(nr, a) + 1; }

/* One value or another, put together from a condition. */
__attribute__((noinline)) static int choose(int n) {
	return syscall(SYS_unshare, n > 3 ? CLONE_NEWNS : CLONE_NEWIPC);
}
__attribute__((noinline)) static int combine(int fd, int n) {
	int flags = SOCK_CLOEXEC;
	if (n > 5)
		flags |= SOCK_NONBLOCK;
	return syscall(SYS_accept4, fd, 0, 0, flags);
}
__attribute__((noinline)) static long flagged(int n) { return enter(SYS_userfaultfd, 0x800 | (n == 7), 0, 0); }

/* Another function may write it: it is not what was put there last. */
__attribute__((noinline)) static void fill(int *value, const char *text) {
	if (text)
		*value = atoi(text);
}
__attribute__((noinline)) static long by_pointer(char *text) {
	int advice = 3;
	fill(&advice, text);
	return enter(SYS_madvise, 0, 0, advice);
}
struct options { int other, how; } options = {0, 1};
void (*volatile setter)(int *, const char *) = fill;
__attribute__((noinline)) static long by_global(char *text) {
	setter(&options.other, text);
	return enter(SYS_shutdown, 0, options.how, 0);
}
__attribute__((noinline)) static long by_array(int n, char *text) {
	volatile int all[4] = {0, 0, 0, 0};
	all[n & 3] = text ? 1 : 2;
	return enter(SYS_timerfd_create, all[1], 0, 0);
}
__attribute__((noinline)) static long by_argument(char *text) { return enter(SYS_setns, 0, atoi(text), 0); }
/* Calls of it are not all known. */
__attribute__((noinline)) static long pointed(int flags) { return enter(SYS_memfd_create, 0, flags, 0); }
long (*volatile pointer)(int) = pointed;

int main(int argc, char **argv) {
	enter(SYS_ptrace, PTRACE_TRACEME, 0, 0);
	enter(SYS_flock, 0, 2, 0);
	enter(SYS_getrandom, 0, 0, 1);
	through(SYS_epoll_create1, 0x80000);
	further(SYS_inotify_init1, 0x800);
	further(SYS_inotify_init1, 0);
	choose(argc);
	combine(0, argc);
	flagged(argc);
	by_pointer(argv[1]);
	by_global(argv[1]);
	by_array(argc, argv[1]);
	by_argument(argv[0]);
	pointer(argc);
	pointed(1);
	socket(AF_UNIX, SOCK_STREAM, 0);
	socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return 0;
}
