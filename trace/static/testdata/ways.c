/* Calls behind guards of several kinds, for what a chart tells of the ways to them. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <unistd.h>

static int verbose;

__attribute__((noinline)) static void hidden(void) { getsid(0); }

static void handler(int sig) { (void)sig; getpgid(0); }

static void dig(void) { syscall(SYS_ioprio_get, 1, 0); }
static void fill(void) { puts("fill"); }
static const struct { const char *name; void (*run)(void); } commands[] = {{"excavate", dig}, {"backfill", fill}};

int main(int argc, char **argv)
{
	char data[64];
	const char *mode = getenv("WAYS_MODE");
	if (mode && strcmp(mode, "turbo") == 0)
		hidden();
	signal(SIGUSR1, handler);
	if (argc > 1 && strcmp(argv[1], "loquacious") == 0)
		verbose = 1;
	for (int i = 0; argc > 1 && i < 2; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			commands[i].run();
	size_t n = fread(data, 1, sizeof data, stdin);
	uint64_t word;
	memcpy(&word, data, 8);
	if (n >= 8 && word == 0x1122334455667788)
		getpriority(PRIO_PROCESS, 0);
	if (verbose)
		times(NULL);
	static const char levels[] = "quiet\0normal\0verbose\0";
	int level = 0;
	for (const char *l = levels; argc > 2 && *l; l += strlen(l) + 1, level++)
		if (strcmp(l, argv[2]) == 0 && level == 2)
			getpgrp();
	if (rename("a", "b") < 0 && errno == EXDEV)
		syscall(SYS_membarrier, 0, 0, 0);
	return 0;
}
