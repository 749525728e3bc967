/* What being traced must not change, and what a tracer could miss. Does what its
 * first argument names and exits with 0 if all is as it should be. Built with
 * -static -pthread. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MUST(ok)                                                         \
	do {                                                             \
		if (!(ok)) {                                             \
			dprintf(2, "line %d: errno %d\n", __LINE__, errno); \
			_exit(99);                                       \
		}                                                        \
	} while (0)

static void reap(pid_t pid, int want)
{
	int status;

	MUST(pid > 0 && waitpid(pid, &status, __WALL) == pid && status == want);
}

static volatile sig_atomic_t trapped, value;

static void on_trap(int sig)
{
	trapped++;
}

static void on_queued(int sig, siginfo_t *info, void *context)
{
	value = info->si_code == SI_QUEUE ? info->si_value.sival_int : -1;
}

static void traps(void)
{
	signal(SIGTRAP, on_trap);
	raise(SIGTRAP);
	MUST(trapped == 1);
#if defined(__x86_64__)
	__asm__ volatile("int3");
	MUST(trapped == 2);
#endif
	kill(getpid(), SIGTRAP);
	MUST(trapped >= 2);
}

/* Real-time signals queue, with their values. */
static void queues(void)
{
	struct sigaction action = { .sa_sigaction = on_queued, .sa_flags = SA_SIGINFO };
	sigset_t set, old;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	MUST(sigaction(SIGRTMIN, &action, NULL) == 0);
	MUST(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 4711 }) == 0);
	MUST(value == 4711);
	MUST(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	for (int i = 1; i <= 3; i++)
		MUST(sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }) == 0);
	for (int i = 1; i <= 3; i++) {
		siginfo_t info;

		MUST(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_value.sival_int == i);
	}
}

/* A parent is told of its child's stop and continuation, as a shell is. */
static void job_control(int signal)
{
	int status, go[2];
	pid_t pid;
	char c;

	MUST(pipe(go) == 0);
	pid = fork();
	if (pid == 0) {
		kill(getpid(), signal);
		_exit(read(go[0], &c, 1) == 1 ? 5 : 99);
	}
	MUST(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == signal);
	MUST(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0);
	MUST(kill(pid, SIGCONT) == 0);
	MUST(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
	MUST(write(go[1], "x", 1) == 1);
	reap(pid, 5 << 8);
}

static void *sleeps(void *arg)
{
	pause();
	return arg;
}

/* The threads of a stopped process all stop, and a kill ends them. */
static void stopped_threads(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		pthread_t thread;

		for (int i = 0; i < 4; i++)
			MUST(pthread_create(&thread, NULL, sleeps, NULL) == 0);
		kill(getpid(), SIGSTOP);
		pause();
	}
	MUST(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	MUST(kill(pid, SIGKILL) == 0);
	reap(pid, SIGKILL);
}

static pthread_t leader;

static void *outlives(void *arg)
{
	pthread_join(leader, NULL);
	syscall(SYS_getpgid, 1);
	exit(0);
}

/* A thread goes on when the leader is gone. */
static void leaderless(void)
{
	pthread_t thread;

	leader = pthread_self();
	MUST(pthread_create(&thread, NULL, outlives, NULL) == 0);
	pthread_exit(NULL);
}

static const char *program;

static void *executes(void *arg)
{
	pthread_join(leader, NULL);
	execl(program, program, (char *)NULL);
	_exit(99);
}

static void leaderless_exec(void)
{
	pthread_t thread;

	leader = pthread_self();
	MUST(pthread_create(&thread, NULL, executes, NULL) == 0);
	pthread_exit(NULL);
}

static void new_pids(void)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_NEWPID, .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		MUST(getpid() == 1);
		pid_t inner = fork();
		if (inner == 0) {
			getsid(0);
			_exit(7);
		}
		reap(inner, 7 << 8);
		_exit(0);
	}
	reap(pid, 0);
}

static void untraced(void)
{
	reap(fork() ?: (_exit(0), 0), 0);
	pid_t pid = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	reap(pid, 0);
}

static void untraced3(void)
{
	struct clone_args args = { .flags = CLONE_UNTRACED, .exit_signal = SIGCHLD };
	pid_t pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	reap(pid, 0);
}

/* Asks for one that the kernel does not make. */
static void untraced_in_vain(void)
{
	struct clone_args args = { .flags = CLONE_UNTRACED | CLONE_SIGHAND, .exit_signal = SIGCHLD };

	MUST(syscall(SYS_clone3, &args, sizeof(args)) == -1);
	MUST(syscall(SYS_clone3, 1, sizeof(args)) == -1);
	MUST(syscall(SYS_clone, CLONE_UNTRACED | CLONE_SIGHAND, 0, 0, 0, 0) == -1);
}

/* A tracer of its own finds its child traced. */
static void tracer(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 && errno == EPERM ? 0 : 1);
	reap(pid, 0);
}

/* A signal that is ignored does not end a sleep, traced or not. */
static void sleeper(void)
{
	struct timespec half = { .tv_nsec = 300 * 1000 * 1000 };
	pid_t pid;

	signal(SIGUSR1, SIG_IGN);
	pid = fork();
	if (pid == 0) {
		struct timespec little = { .tv_nsec = 30 * 1000 * 1000 };

		nanosleep(&little, NULL);
		kill(getppid(), SIGUSR1);
		_exit(0);
	}
	MUST(syscall(SYS_nanosleep, &half, NULL) == 0);
	reap(pid, 0);
}

/* A parent that is killed right after it has made a child. */
static void killed_parents(void)
{
	for (int i = 0; i < 50; i++) {
		int end[2];
		char c;
		pid_t pid;

		MUST(pipe(end) == 0);
		pid = fork();
		if (pid == 0) {
			pid_t parent = getpid();

			close(end[0]);
			for (;;)
				if (fork() == 0) {
					if (getppid() == parent)
						kill(parent, SIGKILL);
					getsid(0);
					_exit(0);
				}
		}
		close(end[1]);
		reap(pid, SIGKILL);
		MUST(read(end[0], &c, 1) == 0); /* all of them are gone */
		close(end[0]);
	}
}

/* In the background for as long as its standard input is open. */
static void daemonizes(void)
{
	if (fork() == 0) {
		char c;

		setsid();
		MUST(write(1, "d", 1) == 1);
		MUST(read(0, &c, 1) == 0);
		MUST(write(1, "e", 1) == 1);
		_exit(0);
	}
}

static void details(void)
{
	int fd;

	MUST(open("/no/such/file", O_RDONLY | O_CLOEXEC) == -1);
	fd = open("/dev/null", O_WRONLY);
	MUST(fd >= 0);
	MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
	for (int whence = 0; whence < 40; whence++)
		lseek(fd, 0, whence);
	MUST(close(fd) == 0);
	MUST(close(fd) == -1);
}

static volatile sig_atomic_t told;

static void on_usr1(int sig)
{
	told = 1;
}

static void *forks(void *arg)
{
	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			if (told) {
				syscall(SYS_getpriority, 0, 0);
				MUST(write(1, "p", 1) == 1);
			}
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	return arg;
}

static void *ends(void *arg)
{
	if (told) {
		syscall(SYS_getitimer, 0, NULL);
		MUST(write(1, "i", 1) == 1);
	}
	return arg;
}

/* Threads and processes come and go until it is killed. Once it has got SIGUSR1,
 * the new ones make calls of their own, and say so. */
static void churn(void)
{
	pthread_t thread;

	signal(SIGUSR1, on_usr1);
	for (int i = 0; i < 2; i++)
		MUST(pthread_create(&thread, NULL, forks, NULL) == 0);
	MUST(write(1, "c", 1) == 1);
	for (;;) {
		MUST(pthread_create(&thread, NULL, ends, NULL) == 0);
		MUST(pthread_join(thread, NULL) == 0);
	}
}

/* Waits for a byte, makes a call in a child and in a thread, and says so. */
static void *in_thread(void *arg)
{
	syscall(SYS_getpgid, 1);
	return arg;
}

static void serves(void)
{
	char c;

	MUST(write(1, "r", 1) == 1);
	while (read(0, &c, 1) == 1) {
		pthread_t thread;
		pid_t pid = fork();

		if (pid == 0) {
			getsid(0);
			_exit(0);
		}
		reap(pid, 0);
		MUST(pthread_create(&thread, NULL, in_thread, NULL) == 0);
		MUST(pthread_join(thread, NULL) == 0);
		MUST(write(1, &c, 1) == 1);
	}
}

static void *busy(void *arg)
{
	for (;;)
		getppid();
	return arg;
}

static void *ends_all(void *arg)
{
	getsid(0);
	_exit(0);
	return arg;
}

/* A tracer that resumes each thread before it looks at the next never comes to the
 * youngest. */
static void crowd(void)
{
	pthread_t thread;
	int i;

	alarm(20);
	for (i = 0; i < 30; i++)
		MUST(pthread_create(&thread, NULL, busy, NULL) == 0);
	MUST(pthread_create(&thread, NULL, ends_all, NULL) == 0);
	busy(NULL);
}

static void *waits(void *arg)
{
	char c;

	MUST(read((intptr_t)arg, &c, 1) == 1); /* never */
	return NULL;
}

/* A tree of processes and threads that is there before anybody attaches: each
 * reads from a pipe and then makes a call of its own. */
static void tree(void)
{
	int end[2], depth;
	pthread_t thread;
	char c;

	MUST(pipe(end) == 0);
	for (depth = 0; depth < 3; depth++) {
		MUST(pthread_create(&thread, NULL, waits, (void *)(intptr_t)end[0]) == 0);
		if (fork() != 0)
			break;
	}
	if (depth == 3)
		MUST(write(1, "t", 1) == 1);
	MUST(read(0, &c, 1) == 0);
	switch (depth) {
	case 0: getsid(0); break;
	case 1: syscall(SYS_getpgid, 1); break;
	case 2: syscall(SYS_getpriority, 0, 0); break;
	case 3: syscall(SYS_getitimer, 0, NULL); break;
	}
	while (wait(NULL) > 0)
		;
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	program = argc > 2 ? argv[2] : "";
	if (!strcmp(mode, "traps"))
		traps();
	else if (!strcmp(mode, "queues"))
		queues();
	else if (!strcmp(mode, "stop"))
		job_control(SIGSTOP);
	else if (!strcmp(mode, "stopped-threads"))
		stopped_threads();
	else if (!strcmp(mode, "leaderless"))
		leaderless();
	else if (!strcmp(mode, "leaderless-exec"))
		leaderless_exec();
	else if (!strcmp(mode, "new-pids"))
		new_pids();
	else if (!strcmp(mode, "untraced"))
		untraced();
	else if (!strcmp(mode, "untraced3"))
		untraced3();
	else if (!strcmp(mode, "untraced-in-vain"))
		untraced_in_vain();
	else if (!strcmp(mode, "tracer"))
		tracer();
	else if (!strcmp(mode, "sleeper"))
		sleeper();
	else if (!strcmp(mode, "killed-parents"))
		killed_parents();
	else if (!strcmp(mode, "daemonizes"))
		daemonizes();
	else if (!strcmp(mode, "details"))
		details();
	else if (!strcmp(mode, "churn"))
		churn();
	else if (!strcmp(mode, "serves"))
		serves();
	else if (!strcmp(mode, "crowd"))
		crowd();
	else if (!strcmp(mode, "tree"))
		tree();
	else
		return 98;
	return 0;
}
