/*
 * denials single|threads EACH KILLS [SIGNAL]
 *
 * Makes calls that a policy answers with an error, logs, traps, or kills a thread or a
 * process for, and demands that it does: alone, or in four threads at once. A call that
 * kills is made in a thread or a process of its own. A process ends by SIGSYS, unless
 * another signal is given for sched_getparam.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long each, kills;
static int threads, deadly = SIGSYS;
static __thread volatile long trapped;

static void demand(int holds, int status)
{
	if (!holds)
		_exit(status);
}

static void trap(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	demand(info->si_code == 1 /* SYS_SECCOMP */ && info->si_syscall == SYS_sched_get_priority_max, 10);
	trapped++;
}

struct fatal {
	long nr, arg;
	volatile int survived;
};

static void *die(void *arg)
{
	struct fatal *d = arg;
	syscall(d->nr, d->arg, 0);
	d->survived = 1;
	return NULL;
}

/* in_thread reports whether the call ended a thread of its own. */
static int in_thread(long nr, long arg)
{
	struct fatal d = {nr, arg, 0};
	pthread_t t;
	demand(pthread_create(&t, NULL, die, &d) == 0, 11);
	pthread_join(t, NULL);
	return !d.survived;
}

/* in_process demands that the call ends a process of its own by the signal. */
static void in_process(long nr, long arg, int signal)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		if (threads)
			in_thread(nr, arg);
		else
			syscall(nr, arg, 0);
		_exit(0);
	}
	demand(child > 0 && waitpid(child, &status, 0) == child, 12);
	demand(WIFSIGNALED(status) && WTERMSIG(status) == signal, 13);
}

static void *calls(void *thread)
{
	for (long i = 0; i < each; i++) {
		demand(syscall(SYS_getpgid, 1) == -1 && errno == EACCES, 1);
		demand(syscall(SYS_getpgid, (long)thread * 500000000 + i) == -1 && errno == EACCES, 1);
		demand(syscall(SYS_getsid, 0) >= 0, 2);
		syscall(SYS_sched_get_priority_max, i);
		demand(trapped == i + 1, 3);
	}
	for (long i = 0; i < kills; i++) {
		if (threads)
			demand(in_thread(SYS_sched_get_priority_min, i), 4);
		else
			in_process(SYS_sched_get_priority_min, i, SIGSYS);
		in_process(SYS_sched_getparam, i, deadly);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};
	struct sigaction action;
	pthread_t t[4];

	if (argc < 4)
		return 20;
	if (argc > 4)
		deadly = atoi(argv[4]);
	threads = !strcmp(argv[1], "threads");
	each = atol(argv[2]);
	kills = atol(argv[3]);
	setrlimit(RLIMIT_CORE, &none);
	memset(&action, 0, sizeof action);
	action.sa_sigaction = trap;
	action.sa_flags = SA_SIGINFO;
	sigaction(SIGSYS, &action, NULL);
	for (long i = 0; threads && i < 4; i++)
		demand(pthread_create(&t[i], NULL, calls, (void *)(i + 1)) == 0, 11);
	for (long i = 0; i < each; i++)
		demand(mkdir("/no/such/directory", 0700) == -1 && errno == ENOSPC, 5);
	if (!threads)
		calls(0);
	for (int i = 0; threads && i < 4; i++)
		pthread_join(t[i], NULL);
	return 0;
}
