/* Calls that are made before main, by it, by a handler, at the end, and by both. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long enter(long nr)
{
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr) : "rcx", "r11", "memory");
	return r;
}

__attribute__((noinline)) static long wrapper(long nr) { return enter(nr); }
__attribute__((noinline)) static long own(long nr) { return enter(nr); }
static long kept;

__attribute__((constructor)) static void before(void)
{
	enter(SYS_personality);
	own(SYS_sysfs);
	wrapper(SYS_ustat);
	enter(SYS_getsid);
	kept = SYS_acct;
}

__attribute__((destructor)) static void after(void) { enter(SYS_getpgid); }
static void handler(int sig) { enter(SYS_quotactl + 0 * sig); }
static void registered(void) { enter(SYS_vhangup); }

int main(void)
{
	signal(SIGHUP, handler);
	atexit(registered);
	wrapper(SYS_ioprio_get);
	enter(SYS_getsid);
	enter(kept);
	return 0;
}
