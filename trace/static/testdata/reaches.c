/* Reaches some syscalls in each of the ways that compilers and people have. What is never
 * called is reached by nothing. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long enter(long nr) {
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr) : "rcx", "r11", "memory");
	return r;
}

/* A wrapper: the number is the caller's. */
__attribute__((noinline)) long wrapper(long nr) { return enter(nr); }

/* By a second one, and on the stack. */
__attribute__((noinline)) long outer(int a, int b, int c, int d, int e, int f, long nr) {
	__asm__ volatile("" ::"r"(a), "r"(b), "r"(c), "r"(d), "r"(e), "r"(f));
	return wrapper(nr);
}

/* By a structure. */
struct request { long other, nr; };
__attribute__((noinline)) long by_structure(struct request *r) { return enter(r->nr); }

/* By pointers in data, and in code. */
__attribute__((noinline)) static void in_data(void) { enter(SYS_sched_rr_get_interval); }
__attribute__((noinline)) static void in_code(void) { enter(SYS_vhangup); }
void (*volatile table[])(void) = {in_data};
void (*volatile hook)(void);

/* By a switch, that is by a table of jumps. */
__attribute__((noinline)) long choose(int which) {
	switch (which) {
	case 0: return enter(SYS_getsid);
	case 1: return enter(SYS_getpgid) + 1;
	case 2: return enter(SYS_personality) + 2;
	case 3: return enter(SYS_sysfs) + 3;
	case 4: return enter(SYS_ustat) + 4;
	case 5: return enter(SYS_syslog) + 5;
	}
	return 0;
}

/* Reached by nothing, though anybody could call it. */
__attribute__((noinline)) long forgotten(void) { return wrapper(SYS_reboot) + enter(SYS_swapon); }

__attribute__((noinline, noreturn)) static void end(void) {
	for (;;)
		enter(SYS_exit_group);
}

int main(int argc, char **argv) {
	hook = in_code;
	table[argc - 1]();
	hook();
	wrapper(SYS_acct);
	outer(1, 2, 3, 4, 5, 6, SYS_quotactl);
	struct request r;
	r.other = argc;
	r.nr = SYS_mincore;
	by_structure(&r);
	choose(argc);
	syscall(SYS_ioprio_get, 1, 0);
	wrapper(argc > 1 ? SYS_io_setup : SYS_io_destroy);
	if (argc > 10)
		end();
	return argv == NULL;
}
