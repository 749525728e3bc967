/* Makes calls that a policy refuses or logs, and demands that it does. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long each;

static void *calls(void *thread)
{
	for (long i = 0; i < each; i++) {
		if (syscall(SYS_getpgid, 1) != -1 || errno != EACCES)
			_exit(1);
		if (syscall(SYS_getpgid, (long)thread * 1000000000 + i) != -1 || errno != EACCES)
			_exit(1);
		if (syscall(SYS_getsid, 0) < 0)
			_exit(2);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];

	if (argc < 2)
		return 3;
	each = atol(argv[1]);
	for (long i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, calls, (void *)(i + 1)))
			return 3;
	for (long i = 0; i < each; i++)
		if (mkdir("/no/such/directory", 0700) != -1 || errno != ENOSPC)
			_exit(1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
