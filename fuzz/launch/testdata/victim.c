/* What a copy of a process may get wrong, one way a word. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *thread(void *arg)
{
	write(1, "thread\n", 7);
	return arg;
}

static void handler(int sig)
{
	write(1, "signal\n", 7);
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	char input[64];
	pthread_t t;

	if (!strcmp(mode, "abort"))
		abort();
	if (!strcmp(mode, "trap"))
		__asm__("int3");
	if (!strcmp(mode, "ids"))
		printf("%d %d %d\n", getpid(), getppid(), (int)syscall(SYS_gettid));
	if (!strcmp(mode, "raise")) {
		signal(SIGUSR1, handler);
		raise(SIGUSR1);
	}
	if (!strcmp(mode, "thread"))
		return pthread_create(&t, 0, thread, 0) || pthread_join(t, 0);
	if (!strcmp(mode, "fork")) {
		if (!fork())
			_exit(3);
		int status;
		printf("%d\n", wait(&status));
		return WEXITSTATUS(status);
	}
	if (!strcmp(mode, "stack")) {
		volatile double x = 1.5;
		printf("%.3f %.*s\n", x * argc, (int)read(0, input, sizeof(input)), input);
	}
	return 0;
}
