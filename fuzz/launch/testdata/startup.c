/* A library whose constructor, which runs before the program's entry point, leaves
 * what a copy would not have or would share. WHAT says what. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int pid;

static void *thread(void *arg)
{
	pause();
	return arg;
}

__attribute__((constructor)) static void before(void)
{
	const char *what = getenv("WHAT");
	pthread_t t;

	if (!strcmp(what, "thread"))
		pthread_create(&t, 0, thread, 0);
	if (!strcmp(what, "child") && !fork()) {
		alarm(5);
		pause();
	}
	if (!strcmp(what, "epoll"))
		epoll_create1(0);
	if (!strcmp(what, "memory"))
		mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!strcmp(what, "end"))
		_exit(5);
	if (!strcmp(what, "signals")) {
		sigset_t s;

		signal(SIGCHLD, SIG_IGN);
		sigemptyset(&s);
		sigaddset(&s, SIGUSR2);
		sigprocmask(SIG_BLOCK, &s, 0);
	}
	if (!strcmp(what, "pid"))
		pid = getpid();
}

__attribute__((destructor)) static void after(void)
{
	if (pid && pid != getpid())
		getpriority(PRIO_PROCESS, 0);
}
