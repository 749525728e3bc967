// Functions that hand the numbers of syscalls on are called by pointers in data, as in libcap.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long three(long nr, long a, long b, long c) { return syscall(nr, a, b, c); }
static long six(long nr, long a, long b, long c, long d, long e, long f) { return syscall(nr, a, b, c, d, e, f); }

struct calls {
	long (*three)(long, long, long, long);
	long (*six)(long, long, long, long, long, long, long);
};

static struct calls one = {three, six}, other = {three, six};
static int counted;

__attribute__((noinline)) static long set(struct calls *c, long a) {
	if (counted++ > 2)
		return c->six(SYS_quotactl, a, 0, 0, 0, 0, 0);
	return c->three(SYS_acct, a, 0, 0);
}

__attribute__((noinline)) static long both(struct calls *c, long a) {
	long r = set(c, a);
	return r + set(c, r);
}

// What may put others there, whose numbers are known too.
__attribute__((noinline)) void replace(long (*new)(long, long, long, long)) { other.three = new; }

static long none(long nr, long a, long b, long c) { return nr; }

#ifdef AWAY
struct calls *away;
__attribute__((noinline)) long unknown(long nr) { return away->three(nr, 0, 0, 0); }
#endif

int main(int argc, char **argv) {
#ifdef AWAY
	away = &other;
	return unknown(atoi(argv[1]));
#endif
	if (argc > 5)
		replace(none);
	if (argc > 4)
		return other.three(SYS_sysfs, 0, 0, 0);
	return both(argc > 3 ? &one : &other, 0);
}
