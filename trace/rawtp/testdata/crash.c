/* Ends by a fault of its own, in a place that the first argument names. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int zero;
static char *volatile nowhere;
static sigset_t nothing;

__attribute__((noinline)) static void stores(void)
{
	*nowhere = 1;
	zero++; /* no tail call, no jump */
}

__attribute__((noinline)) static void divides(void)
{
	zero = 100 / zero;
	zero++;
}

__attribute__((noinline)) static void aborts(void)
{
	abort();
}

__attribute__((noinline)) static void aborts_elsewhere(void)
{
	if (!zero)
		abort();
}

__attribute__((noinline)) static void copies(void)
{
	memset(nowhere, 1, 100 + zero);
	zero++;
}

__attribute__((noinline)) static void pauses(void)
{
	sigsuspend(&nothing); /* not pause(2), which new architectures have not */
	zero++;
}

__attribute__((noinline)) static void reads(void)
{
	char byte;

	zero += read(0, &byte, 1);
}

__attribute__((noinline)) static void spins(void)
{
	while (!zero)
		;
}

static void leave(int sig)
{
	(void)sig;
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (!strcmp(mode, "handled")) {
		signal(SIGSEGV, leave);
		stores();
	} else if (!strcmp(mode, "killed")) {
		kill(getpid(), SIGTERM);
	} else if (!strcmp(mode, "pauses")) {
		pauses();
	} else if (!strcmp(mode, "reads")) {
		reads();
	} else if (!strcmp(mode, "spins")) {
		spins();
	} else if (!strcmp(mode, "stores")) {
		stores();
	} else if (!strcmp(mode, "divides")) {
		divides();
	} else if (!strcmp(mode, "aborts")) {
		aborts();
	} else if (!strcmp(mode, "aborts_elsewhere")) {
		aborts_elsewhere();
	} else if (!strcmp(mode, "copies")) {
		copies();
	}
	return 0;
}
