/*
 * calls NR COUNT FILE: makes a call COUNT times, with zeros for arguments, and writes into
 * FILE how many nanoseconds of CPU time one took, in the best of 20 parts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec a, b;
	char line[64];

	if (argc == 1)
		return 0; /* only to be started */
	if (argc != 4)
		return 2;
	long nr = atol(argv[1]), count = atol(argv[2]);
	int out = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	double best = 1e9;
	for (int part = 0; part < 20; part++) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
		for (long i = 0; i < count / 20; i++)
			syscall(nr, 0, 0, 0);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
		double took = ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / (count / 20);
		if (took < best)
			best = took;
	}
	int n = snprintf(line, sizeof line, "%.3f", best);
	return write(out, line, n) != n;
}
