/* Calls from places, with arguments and results that the tests know. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(int ok)
{
	if (!ok)
		_exit(99);
}

#define CALL(nr, first)                                                                    \
	({                                                                                 \
		long ret;                                                                  \
		__asm__ volatile("syscall"                                                 \
				 : "=a"(ret)                                               \
				 : "a"(nr), "D"(first)                                     \
				 : "rcx", "r11", "memory");                                \
		ret;                                                                       \
	})

__attribute__((noinline)) long here(void) { return CALL(SYS_getsid, 0); }
__attribute__((noinline)) long there(void) { return CALL(SYS_getsid, 0); }

#define FOUR CALL(SYS_getpgid, 0); CALL(SYS_getpgid, 0); CALL(SYS_getpgid, 0); CALL(SYS_getpgid, 0);

static void handler(int signal) { }

static void *busy(void *arg)
{
	for (int i = 0; i < 300; i++) {
		void *p = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(p != MAP_FAILED && munmap(p, 4096) == 0);
	}
	return arg;
}

static void returns(void)
{
	struct itimerval soon = { .it_value = { .tv_usec = 1000 } };
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	int fds[2], status;
	char byte;

	must(close(-1) == -1 && close(100) == -1);
	must(getsid(0) >= 0 && getsid(-1) == -1);
	/* A read that a signal interrupts, and that is made again, has no result yet. */
	must(sigaction(SIGALRM, &action, 0) == 0 && pipe(fds) == 0 && setitimer(ITIMER_REAL, &soon, 0) == 0);
	if (fork() == 0) {
		must(getppid() > 0);
		usleep(20000);
		must(write(fds[1], "x", 1) == 1);
		_exit(0);
	}
	must(read(fds[0], &byte, 1) == 1);
	must(wait(&status) > 0 && status == 0);
}

static void arguments(const char *many)
{
	must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	must(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
	/* Of an int the upper half of the register is not the kernel's business. */
	must(syscall(SYS_socket, 0xdeadbeef00000000 | AF_UNIX, SOCK_DGRAM, 0) >= 0);
	ioctl(0, 0x5401, 0);
	ioctl(0, 0xdead, 0);
	for (int i = 0; many && i < 40; i++)
		fcntl(0, 1000 + i, 0);
	for (int i = 0; i < 32; i++)
		madvise(0, 0, 1000 + i);
}

static long int80(long nr, long first, long second, long third)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(first), "c"(0xdeadbeef00000000 | second), "d"(third)
			 : "r8", "r9", "r10", "r11", "memory");
	return ret;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "sites")) {
		must(here() >= 0 && there() >= 0 && here() >= 0);
	} else if (!strcmp(mode, "many")) {
		FOUR FOUR FOUR FOUR FOUR
	} else if (!strcmp(mode, "vdso")) {
		struct timespec now;
		must(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
	} else if (!strcmp(mode, "vsyscall")) {
		must(((long (*)(long *))0xffffffffff600400)(NULL) > 0);
	} else if (!strcmp(mode, "anonymous")) {
		static const char code[] = "\xb8\x7c\x00\x00\x00\x31\xff\x0f\x05\xc3"; /* getsid(0) */
		char *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(page != MAP_FAILED);
		memcpy(page, code, sizeof(code));
		must(((long (*)(void))page)() >= 0);
	} else if (!strcmp(mode, "threads")) {
		pthread_t thread[4];
		for (int i = 0; i < 4; i++)
			must(pthread_create(&thread[i], 0, busy, 0) == 0);
		for (int i = 0; i < 4; i++)
			must(pthread_join(thread[i], 0) == 0);
	} else if (!strcmp(mode, "returns")) {
		returns();
	} else if (!strcmp(mode, "arguments")) {
		arguments(argv[2]);
	} else if (!strcmp(mode, "odds")) {
		for (int i = 0; i < 20; i++)
			syscall(1000 + i);
	} else if (!strcmp(mode, "i386")) {
		int80(54, 0, 0x5401, 0); /* ioctl */
		int80(6, 100, 0, 0);     /* close */
	} else if (!strcmp(mode, "x32")) {
		CALL(0x40000000 | 514, 0); /* ioctl */
	} else {
		return 99;
	}
	return 0;
}
