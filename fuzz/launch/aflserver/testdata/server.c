/*
 * A fork server that speaks as the words of its arguments say: numbers are written, "?" is an
 * answer of four bytes that is told on standard error, "dict" is four bytes of a dictionary. Then it serves, if
 * the last word is "serve". A copy counts in the map at the number that was asked for, and
 * exits with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static void word(unsigned w)
{
	if (write(199, &w, 4) != 4)
		exit(1);
}

int main(int argc, char **argv)
{
	unsigned char *area = shmat(atoi(getenv("__AFL_SHM_ID")), 0, 0);
	unsigned w, n = 0;
	int status;
	pid_t pid;

	if (area == (void *)-1)
		return 2;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "?")) {
			if (read(198, &w, 4) != 4)
				return 3;
			dprintf(2, "%08x\n", w);
		} else if (!strcmp(argv[i], "dict")) {
			if (write(199, "dict", 4) != 4)
				return 3;
		} else if (!strcmp(argv[i], "sleep")) {
			pause();
		} else if (strcmp(argv[i], "serve")) {
			word(strtoul(argv[i], 0, 0));
		}
	}
	if (strcmp(argv[argc - 1], "serve"))
		return 0;
	while (read(198, &w, 4) == 4) {
		n++;
		pid = fork();
		if (pid == 0) {
			close(198);
			close(199);
			area[n] = n;
			if (n == 3 && fork() == 0)
				sleep(1000); /* it is left behind */
			_exit(n);
		}
		word(pid);
		if (waitpid(pid, &status, 0) != pid)
			return 4;
		word(status);
	}
	return 0;
}
