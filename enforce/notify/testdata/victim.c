/* Makes calls that are answered in user space, and tells by its exit status what came of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long count;
static char path[4096]; /* at the same address in each process, where linked so */

/* Each answer is to be 42. */
static void *calls(void *unused)
{
	for (long i = 0; i < count; i++)
		if (syscall(SYS_getpgid, 7) != 42)
			exit(1);
	return NULL;
}

/* Tells what one call came to. */
static void *tell(void *unused)
{
	char line[32];
	long r = syscall(SYS_getpgid, 7);
	int n = snprintf(line, sizeof line, "%ld\n", r < 0 ? -(long)errno : r);
	if (write(1, line, n) != n)
		_exit(5);
	return unused;
}

/*
 * Has a process that has a given number, and says when it is there. That ends with exit
 * status 7 when it reads nothing any more.
 */
static int impostor(pid_t number)
{
	struct clone_args args;
	char byte;
	int status;
	pid_t child;

	memset(&args, 0, sizeof args);
	args.exit_signal = SIGCHLD;
	args.set_tid = (unsigned long)&number;
	args.set_tid_size = 1;
	child = syscall(SYS_clone3, &args, sizeof args);
	if (child == 0) {
		if (write(1, "here\n", 5) != 5)
			_exit(5);
		while (read(0, &byte, 1) > 0)
			;
		_exit(7);
	}
	if (child != number) {
		perror("clone3 with set_tid");
		return 6;
	}
	if (waitpid(child, &status, 0) != child)
		return 6;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	static pthread_t threads[400];
	char byte;
	int fd;

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "calls")) {
		int n = argc > 3 ? atoi(argv[3]) : 4;
		count = atol(argv[2]);
		for (int i = 0; i < n; i++)
			if (pthread_create(&threads[i], NULL, calls, NULL))
				return 3;
		for (int i = 0; i < n; i++)
			pthread_join(threads[i], NULL);
		return 0;
	}
	if (!strcmp(argv[1], "tell")) {
		int n = atoi(argv[2]);
		for (int i = 0; i < n; i++)
			if (pthread_create(&threads[i], NULL, tell, NULL))
				return 3;
		for (int i = 0; i < n; i++)
			pthread_join(threads[i], NULL);
		return 0;
	}
	if (!strcmp(argv[1], "impostor")) {
		strcpy(path, "/of/the/impostor");
		return impostor(atoi(argv[2]));
	}
	if (!strcmp(argv[1], "once"))
		return syscall(SYS_getpgid, atoi(argv[2])) < 0 ? errno : 0;
	if (chdir("/"))
		return 2;
	strncpy(path, argv[2], sizeof path - 1);
	fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	return read(fd, &byte, 1) == 1 && fcntl(fd, F_GETFD) == FD_CLOEXEC ? byte : 4;
}
