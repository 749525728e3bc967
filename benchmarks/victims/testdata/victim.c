/*
 * Does what its first argument names, and in the course of it makes one call that
 * nothing else in it makes: sched_get_priority_max. Built with -static -pthread.
 *
 * Exit codes: 77 where the kernel does not offer what is named, 99 where a call
 * failed that should not, 98 for a name that is none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UNAVAILABLE = 77, UNKNOWN = 98, FAILED = 99 };

static char **arguments;

static void must(int ok)
{
	if (!ok)
		_exit(FAILED);
}

static void must_offer(int ok)
{
	if (!ok)
		_exit(errno == ENOSYS || errno == EPERM || errno == EINVAL || errno == ENOSPC ? UNAVAILABLE : FAILED);
}

static long mark(void)
{
	return syscall(SYS_sched_get_priority_max, SCHED_OTHER);
}

static void reap(pid_t pid)
{
	int status;

	must(pid > 0 && waitpid(pid, &status, 0) == pid);
	must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void plain(void) { mark(); }

static void *marks(void *arg)
{
	mark();
	return arg;
}

static void in_thread(void *(*f)(void *))
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, f, NULL) == 0);
	must(pthread_join(thread, NULL) == 0);
}

static void thread(void) { in_thread(marks); }

static void by_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		mark();
		_exit(0);
	}
	reap(pid);
}

static void by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		mark();
		_exit(0);
	}
	reap(pid);
}

/* The child's parent is whoever started this program. */
static void by_clone_parent(void)
{
	int done[2];
	pid_t pid;
	char c;

	must(pipe(done) == 0);
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		mark();
		_exit(0);
	}
	must(pid > 0 && close(done[1]) == 0);
	must(read(done[0], &c, 1) == 0);
}

static void clone_into(__u64 flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		mark();
		_exit(0);
	}
	must_offer(pid > 0);
	reap(pid);
}

static void by_clone3(void) { clone_into(0); }
static void by_namespaces(void) { clone_into(CLONE_NEWPID | CLONE_NEWUSER); }

/* The grandchild calls when its parent is gone, in a session of its own. */
static void by_daemon(void)
{
	int parent[2], done[2];
	pid_t pid;
	char c;

	must(pipe(parent) == 0 && pipe(done) == 0);
	pid = fork();
	if (pid == 0) {
		must(setsid() > 0);
		if (fork() == 0) {
			close(parent[1]);
			must(read(parent[0], &c, 1) == 0);
			mark();
		}
		_exit(0);
	}
	must(close(parent[1]) == 0 && close(done[1]) == 0);
	reap(pid);
	must(read(done[0], &c, 1) == 0);
}

static void *execs(void *arg)
{
	execl("/proc/self/exe", "victim", "itself", (char *)NULL);
	_exit(FAILED);
}

static void exec_by_thread(void) { in_thread(execs); }

static void by_execveat(void)
{
	char *argv[] = { "victim", "itself", NULL };
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	must(fd >= 0);
	syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	_exit(FAILED);
}

/* The program of another ABI is the second argument. */
static void by_exec_of(void)
{
	execl(arguments[2], arguments[2], "itself", (char *)NULL);
	_exit(errno == ENOEXEC ? UNAVAILABLE : FAILED);
}

/* Unshares all that it can, and takes another name, before it calls. */
static void by_disguise(void)
{
	must_offer(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) == 0);
	must(prctl(PR_SET_NAME, "kworker/0:1") == 0);
	strcpy(arguments[0], "-");
	by_fork();
}

static void by_own_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_get_priority_max, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = 4, .filter = code };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
	must(mark() == -1 && errno == EACCES);
}

/* Beside a filter there is no strict mode: then the call is made like any other. */
static void by_strict(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		mark();
		_exit(0);
	}
	must(waitpid(pid, NULL, 0) == pid);
}

static void by_tracee(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		must_offer(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
		raise(SIGSTOP);
		mark();
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNAVAILABLE)
		_exit(UNAVAILABLE);
	must(WIFSTOPPED(status) && ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
	reap(pid);
}

static void by_sigkill(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		mark();
		kill(getpid(), SIGKILL);
	}
	must(waitpid(pid, NULL, 0) == pid);
}

/* A sleep that a stop interrupts is resumed by restart_syscall. */
static void by_restart(void)
{
	struct timespec time = { .tv_nsec = 300000000 };
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(syscall(SYS_nanosleep, &time, NULL) == 0 ? 0 : FAILED);
	do {
		must(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid);
		if (!WIFSTOPPED(status))
			break;
		must(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, WCONTINUED) == pid);
	} while (WIFCONTINUED(status));
	must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void by_number(void) { must(syscall(1000) == -1 && errno == ENOSYS); }
static void by_minus_one(void) { must(syscall(-1) == -1); }

/* One operation, nop, by io_uring; with flags, by a thread of the kernel. */
static void uring(unsigned flags)
{
	struct io_uring_params p = { .flags = flags, .sq_thread_idle = 1000 };
	int fd = syscall(SYS_io_uring_setup, 4, &p);
	struct io_uring_sqe *sqes;
	unsigned *head, *tail;
	char *sq, *cq;

	must_offer(fd >= 0);
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_CQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	must(sq != MAP_FAILED && cq != MAP_FAILED && sqes != MAP_FAILED);
	memset(&sqes[0], 0, sizeof(sqes[0]));
	sqes[0].opcode = IORING_OP_NOP;
	((unsigned *)(sq + p.sq_off.array))[0] = 0;
	tail = (unsigned *)(sq + p.sq_off.tail);
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (flags & IORING_SETUP_SQPOLL)
		must(syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0) >= 0);
	else
		must(syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	head = (unsigned *)(cq + p.cq_off.head);
	must(__atomic_load_n((unsigned *)(cq + p.cq_off.tail), __ATOMIC_ACQUIRE) == *head + 1);
}

static void by_uring(void) { uring(0); }
static void by_sqpoll(void) { uring(IORING_SETUP_SQPOLL); }

#ifdef __x86_64__
static void by_int80(void)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(159), "b"(0) : "r8", "r9", "r10", "r11", "memory");
}

static void by_x32(void) { syscall(0x40000000 | SYS_sched_get_priority_max, SCHED_OTHER); }

/* time, in the page that old static programs call */
static void by_vsyscall(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[256];
	int there = 0;

	must(maps != NULL);
	while (fgets(line, sizeof(line), maps))
		there |= strstr(line, "[vsyscall]") != NULL;
	if (!there)
		_exit(UNAVAILABLE);
	must(((long (*)(long *))0xffffffffff600400)(NULL) > 0);
}
#endif

static int to_thread[2], to_child[2], done[2];

/* The calls of a thread and of a child that were there before. */
static void *serves(void *arg)
{
	char c;

	while (read(to_thread[0], &c, 1) == 1) {
		syscall(SYS_sched_get_priority_min, SCHED_OTHER);
		must(write(done[1], &c, 1) == 1);
	}
	return arg;
}

static void child_serves(void)
{
	struct timespec time;
	char c;

	while (read(to_child[0], &c, 1) == 1) {
		syscall(SYS_sched_rr_get_interval, 0, &time);
		must(write(done[1], &c, 1) == 1);
	}
}

/* For each byte of its input it calls in an old thread, in an old child and in a new one. */
static void serve(void)
{
	pthread_t thread;
	pid_t child;
	char c;

	must(pipe(to_thread) == 0 && pipe(to_child) == 0 && pipe(done) == 0);
	child = fork();
	if (child == 0) {
		close(to_child[1]);
		child_serves();
		_exit(0);
	}
	must(pthread_create(&thread, NULL, serves, NULL) == 0);
	must(write(1, "ready\n", 6) == 6);
	while (read(0, &c, 1) == 1) {
		by_fork();
		must(write(to_thread[1], &c, 1) == 1 && read(done[0], &c, 1) == 1);
		must(write(to_child[1], &c, 1) == 1 && read(done[0], &c, 1) == 1);
		must(write(1, "done\n", 5) == 5);
	}
	close(to_thread[1]);
	close(to_child[1]);
	must(pthread_join(thread, NULL) == 0);
	reap(child);
}

static void nothing(void) {}

static const struct { const char *name; void (*does)(void); } all[] = {
	{ "nothing", nothing },
	{ "serve", serve },
	{ "itself", plain },
	{ "thread", thread },
	{ "fork", by_fork },
	{ "vfork", by_vfork },
	{ "clone-parent", by_clone_parent },
	{ "clone3", by_clone3 },
	{ "namespaces", by_namespaces },
	{ "daemon", by_daemon },
	{ "exec-by-thread", exec_by_thread },
	{ "execveat", by_execveat },
	{ "exec-of", by_exec_of },
	{ "disguise", by_disguise },
	{ "own-filter", by_own_filter },
	{ "strict", by_strict },
	{ "tracee", by_tracee },
	{ "sigkill", by_sigkill },
	{ "restart", by_restart },
	{ "number", by_number },
	{ "minus-one", by_minus_one },
	{ "uring", by_uring },
	{ "sqpoll", by_sqpoll },
#ifdef __x86_64__
	{ "int80", by_int80 },
	{ "x32", by_x32 },
	{ "vsyscall", by_vsyscall },
#endif
};

int main(int argc, char **argv)
{
	arguments = argv;
	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(argv[1], all[i].name) == 0) {
			all[i].does();
			return 0;
		}
	return UNKNOWN;
}
