/*
 * victim single|threads FILE
 *
 * Makes one call that its policy speaks of and one that it does not, and writes into
 * FILE what came of them. With threads, three others wait until the call was made, in
 * a thread of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int out;
static int ended; /* the call returned */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void say(const char *what, long value)
{
	char line[64];
	int n = snprintf(line, sizeof line, "%s %ld\n", what, value);
	if (write(out, line, n) != n)
		_exit(3);
}

static void trapped(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	say("trapped", info->si_syscall == SYS_sched_get_priority_max);
	_exit(0);
}

static void *spoken_of(void *unused)
{
	long r = syscall(SYS_sched_get_priority_max, SCHED_FIFO);
	if (r < 0)
		say("errno", errno);
	else
		say("call", r);
	__atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
	return unused;
}

static void *other(void *unused)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	return unused;
}

int main(int argc, char **argv)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = trapped;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGSYS, &sa, NULL);
	if (argc != 3 || (out = open(argv[2], O_WRONLY | O_APPEND | O_CREAT, 0644)) < 0)
		return 3;
	say("other", syscall(SYS_sched_get_priority_min, SCHED_FIFO));
	if (strcmp(argv[1], "threads")) {
		spoken_of(NULL);
	} else {
		pthread_t others[3], one;
		pthread_mutex_lock(&gate);
		for (int i = 0; i < 3; i++)
			if (pthread_create(&others[i], NULL, other, NULL))
				return 3;
		if (pthread_create(&one, NULL, spoken_of, NULL))
			return 3;
		pthread_join(one, NULL);
		if (!__atomic_load_n(&ended, __ATOMIC_SEQ_CST))
			say("thread gone", 1);
		pthread_mutex_unlock(&gate);
		for (int i = 0; i < 3; i++)
			pthread_join(others[i], NULL);
	}
	say("end", 0);
	return 0;
}
