/*
 * The process that every workload runs below. It measures from inside, so that
 * what a tool does before it starts a program and after the program's end counts
 * for nothing.
 *
 *   clock FILE N PROGRAM [ARG...]  runs the program N times, one after the other
 *   clock FILE getpid SECONDS      calls getpid for so long
 *   clock idle                     says so, and waits for the end of its input
 *
 * FILE gets two numbers: seconds that passed, and seconds of processor time. Those
 * of getpid are for a million calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static double processor(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int run(char **argv)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 0;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
	double start = now(), spent = processor(RUSAGE_SELF), passed;
	long done = 0;
	FILE *out;
	char c;

	if (argc == 2 && strcmp(argv[1], "idle") == 0) {
		puts("ready");
		fflush(stdout);
		while (read(0, &c, 1) > 0)
			;
		return 0;
	}
	if (argc < 4)
		return 2;
	if (strcmp(argv[2], "getpid") == 0) {
		do { /* the clock is read without a system call */
			for (int i = 0; i < 1000; i++)
				syscall(SYS_getpid);
			done += 1000;
			passed = now() - start;
		} while (passed < atof(argv[3]));
		passed *= 1e6 / done;
		spent = (processor(RUSAGE_SELF) - spent) * 1e6 / done;
	} else {
		for (; done < atol(argv[2]); done++)
			if (!run(argv + 3))
				return 1;
		passed = now() - start;
		spent = processor(RUSAGE_CHILDREN);
	}
	out = fopen(argv[1], "w");
	if (!out || fprintf(out, "%.9f %.9f\n", passed, spent) < 0 || fclose(out))
		return 1;
	return 0;
}
