/*
 * Does what the first byte of its input says. The input is a file that an argument names, or
 * standard input. With DEFERRED or PERSISTENT, copies begin where it has looked around.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void work(const char *b, long n)
{
	switch (n > 0 ? b[0] : 0) {
	case 'a':
		for (int i = 0; i < n; i++)
			if (b[i] == 'z')
				syscall(SYS_getpgid, 0);
		break;
	case 'b':
		abort();
	case 'c': /* a child, which it waits for */
		if (fork() == 0)
			_exit(0);
		wait(0);
		break;
	case 'd': /* one that it leaves behind */
		if (fork() == 0) {
			pause();
			_exit(0);
		}
		break;
	case 'e':
		puts("text");
		break;
	case 'f': /* what it shares with the next run */
		fcntl(0, F_SETFL, O_NONBLOCK);
		break;
	case 'g':
		kill(getppid(), SIGKILL);
		break;
	case 'n':
		printf("%d\n", fcntl(0, F_GETFL) & O_NONBLOCK);
		break;
	case 's':
		raise(SIGSEGV);
	}
}

int main(int argc, char **argv)
{
	char b[64];
	long n;
	int fd;

	syscall(SYS_getpriority, PRIO_PROCESS, 0);
#ifdef DEFERRED
	__AFL_INIT();
#endif
#ifdef PERSISTENT
	while (__AFL_LOOP(1000))
#endif
	{
		fd = argc > 1 ? open(argv[1], O_RDONLY) : 0;
		n = read(fd, b, sizeof b);
		work(b, n);
	}
	return n > 0 && b[0] == 'x' ? 3 : 0;
}
