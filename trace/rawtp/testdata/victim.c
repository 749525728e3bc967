/* Does what its first argument names. Built with -static -pthread. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program;

static void must(int ok)
{
	if (!ok)
		_exit(99);
}

static void reap(pid_t pid)
{
	must(pid > 0 && waitpid(pid, NULL, 0) == pid);
}

/* The call that filters refuse: getpgid, with something in all six registers. */
static long refused(long first)
{
	return syscall(SYS_getpgid, first, 0x102, 0x103, 0x104, 0x105, 0x106);
}

/* What is in the upper half of a register is none of a 32-bit call's business. */
static long int80(long nr, long first)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(0xdeadbeef00000000 | first), "c"(2), "d"(3), "S"(4), "D"(5)
			 : "r8", "r9", "r10", "r11", "memory");
	return ret;
}

static void *calls_getpgid(void *arg)
{
	refused(1);
	return arg;
}

static void *execs(void *arg)
{
	execl(program, program, (char *)NULL);
	_exit(99);
}

static void *calls_refused_often(void *arg)
{
	for (int i = 0; i < 40; i++)
		refused(i);
	return arg;
}

static void in_thread(void *(*f)(void *))
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, f, NULL) == 0);
	must(pthread_join(thread, NULL) == 0);
}

static void *makes_directory(void *arg)
{
	char path[] = "/no/such/directory";

	syscall(SYS_mkdir, path, 0777);
	return arg;
}

/* Each call but the fourth has arguments of its own. */
static void by_strings(void *arg)
{
	static char same[] = "first", other[] = "a \"b\"\n\xff", empty[1], full[257], longer[258];
	char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	must(pages != MAP_FAILED && low != MAP_FAILED && munmap(pages + 4096, 4096) == 0);
	memset(full, 'f', sizeof(full) - 1);
	memset(longer, 'l', sizeof(longer) - 1);
	memcpy(pages + 4096 - 5, "/end", 5);

	syscall(SYS_rename, other, empty);
	syscall(SYS_rename, NULL, other);
	syscall(SYS_mkdir, same, 0777);
	strcpy(same, "again");
	syscall(SYS_mkdir, same, 0777);
	syscall(SYS_mkdir, full, 0777);
	syscall(SYS_mkdir, longer, 0777);
	syscall(SYS_mkdir, pages + 4096 - 5, 0777);
	pages[4096 - 1] = '!';
	syscall(SYS_mkdir, pages + 4096 - 4, 0777); /* runs into what is not mapped */
	syscall(SYS_mkdir, pages + 2 * 4096, 0777); /* not resident */
	syscall(SYS_mkdir, 0xdeadbeefUL << 32, 0777);
	syscall(SYS_memfd_create, other, 0);
	strcpy(low, "/low");
	if (arg)
		int80(39, (long)low); /* mkdir; in the 64-bit table getpid */
}

static void by_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		getsid(0);
		_exit(0);
	}
	reap(pid);
}

static void by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		syscall(SYS_getpriority, 0, 0);
		_exit(0);
	}
	reap(pid);
}

static void by_clone3(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		syscall(SYS_getitimer, 0, NULL);
		_exit(0);
	}
	reap(pid);
}

/* The grandchild waits for a byte, makes a call of its own, and says so. */
static void by_straggler(void)
{
	pid_t pid = fork();
	char c = 'x';

	if (pid == 0) {
		setsid();
		if (fork() == 0) {
			must(read(0, &c, 1) == 1);
			getsid(0);
			must(write(1, &c, 1) == 1);
		}
		_exit(0);
	}
	reap(pid);
}

static void load_own_filter(int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog) == 0);
}

static void by_own_filter(void)
{
	load_own_filter(0);
	must(refused(1) == -1 && errno == EACCES);
}

static volatile int waits, filtered;

/* The last call before the filter is one that is allowed, and long past. */
static void *waits_for_filter(void *arg)
{
	getppid();
	waits = 1;
	while (!filtered)
		;
	must(refused(1) == -1 && errno == EACCES);
	return arg;
}

static void by_filter_of_another_thread(void)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, waits_for_filter, NULL) == 0);
	while (!waits)
		;
	load_own_filter(SECCOMP_FILTER_FLAG_TSYNC);
	filtered = 1;
	must(pthread_join(thread, NULL) == 0);
}

/* A tracer swallows the child's getpgid: a sys_exit without a sys_enter. */
static void by_emulation(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		must(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
		syscall(SYS_tgkill, getpid(), getpid(), SIGSTOP);
		_exit(refused(1) == -1 ? 0 : 99);
	}
	must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	must(ptrace(PTRACE_SYSEMU, pid, NULL, NULL) == 0);
	must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	must(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
	must(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static volatile int trapped;

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	trapped = info->si_syscall;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	program = argc > 2 ? argv[2] : "";
	if (!strcmp(mode, "thread")) {
		in_thread(calls_getpgid);
	} else if (!strcmp(mode, "fork")) {
		by_fork();
	} else if (!strcmp(mode, "vfork")) {
		by_vfork();
	} else if (!strcmp(mode, "clone3")) {
		by_clone3();
	} else if (!strcmp(mode, "exec")) {
		in_thread(execs);
	} else if (!strcmp(mode, "all")) {
		in_thread(calls_getpgid);
		by_fork();
		by_vfork();
		by_clone3();
		in_thread(execs);
	} else if (!strcmp(mode, "straggler")) {
		by_straggler();
	} else if (!strcmp(mode, "int80")) {
		int80(20, 1); /* getpid; in the 64-bit table writev */
	} else if (!strcmp(mode, "x32")) {
		syscall(0x40000000 | SYS_getpid);
	} else if (!strcmp(mode, "vsyscall")) {
		/* time, in the page that old static programs call */
		must(((long (*)(long *))0xffffffffff600400)(NULL) > 0);
	} else if (!strcmp(mode, "numbers")) {
		syscall(1000);
		syscall(-1);
		syscall(1000);
	} else if (!strcmp(mode, "odds")) {
		for (int i = 0; i < 20; i++)
			syscall(1000 + i);
	} else if (!strcmp(mode, "refused")) {
		for (int i = 0; i < 3; i++)
			refused(0x101);
		refused(0x201);
	} else if (!strcmp(mode, "refused-with-rest")) {
		for (int i = 0; i < 5; i++)
			syscall(SYS_getpgid, 1, i, i, i, i, i);
	} else if (!strcmp(mode, "refused-int80")) {
		int80(132, 1); /* getpgid */
	} else if (!strcmp(mode, "directory")) {
		makes_directory(NULL);
	} else if (!strcmp(mode, "directory-in-thread")) {
		in_thread(makes_directory);
	} else if (!strcmp(mode, "strings")) {
		by_strings(argv[2]);
	} else if (!strcmp(mode, "refused-often")) {
		calls_refused_often(NULL);
	} else if (!strcmp(mode, "trapped")) {
		struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };

		must(sigaction(SIGSYS, &action, NULL) == 0);
		refused(0x101);
		must(trapped == SYS_getpgid);
	} else if (!strcmp(mode, "emulated")) {
		by_emulation();
	} else if (!strcmp(mode, "filter-of-another-thread")) {
		by_filter_of_another_thread();
	} else if (!strcmp(mode, "own-filter")) {
		by_own_filter();
		in_thread(calls_getpgid);
		by_fork();
		by_vfork();
		by_clone3();
		in_thread(execs);
	} else {
		return 98;
	}
	return 0;
}
