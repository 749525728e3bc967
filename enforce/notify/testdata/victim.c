/* Makes calls that are answered in user space, and tells by its exit status what came of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long count;

/* Each answer is to be 42. */
static void *calls(void *unused)
{
	for (long i = 0; i < count; i++)
		if (syscall(SYS_getpgid, 7) != 42)
			exit(1);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];
	char byte;
	int fd;

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "calls")) {
		count = atol(argv[2]);
		for (int i = 0; i < 4; i++)
			if (pthread_create(&threads[i], NULL, calls, NULL))
				return 3;
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		return 0;
	}
	if (!strcmp(argv[1], "once"))
		return syscall(SYS_getpgid, atoi(argv[2])) < 0 ? errno : 0;
	if (chdir("/"))
		return 2;
	fd = openat(AT_FDCWD, argv[2], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	return read(fd, &byte, 1) == 1 && fcntl(fd, F_GETFD) == FD_CLOEXEC ? byte : 4;
}
