/*
 * A program, and with -DLIBRARY what is preloaded into one: each part calls what
 * no other does, and both a number without a name. The library's constructor runs in the dynamic loader, before the
 * program's entry point.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef LIBRARY

static void *thread(void *arg)
{
	syscall(SYS_getitimer, 9, 0);
	return arg;
}

__attribute__((constructor)) static void startup(void)
{
	pthread_t id;
	pid_t child;

	syscall(SYS_getpgid, -1);
	syscall(1000);
	child = fork();
	if (child == 0) {
		syscall(SYS_getpriority, 9, 0);
		_exit(0);
	}
	if (child < 0 || waitpid(child, 0, 0) != child)
		_exit(99);
	if (pthread_create(&id, 0, thread, 0) || pthread_join(id, 0))
		_exit(99);
}

#else

int main(int argc, char **argv)
{
	syscall(SYS_getsid, -1);
	syscall(1000);
	if (argc > 1) {
		execv(argv[1], argv + 1);
		return 99;
	}
	return 0;
}

#endif
