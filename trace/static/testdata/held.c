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

// The ways below are those by which a number arrives that is not known.
static volatile long number;

#if defined(AWAY) || defined(BASE) || defined(ABOVE)
struct calls *away;
#endif

#if defined(INDEX) || defined(BASE) || defined(ABOVE)
static long nothing(long nr, long a, long b, long c, long d, long e, long f) { return nr; }
static struct calls table[] = {{none, nothing}, {three, six}, {none, nothing}};
#endif

#ifdef AWAY
__attribute__((noinline)) long unknown(void) {
	away = &other;
	return away->three(number, 0, 0, 0);
}
#elif defined(ATOMIC)
#include <stdatomic.h>
_Atomic(struct calls *) away;
__attribute__((noipa)) void keep(void) { away = &other; }
__attribute__((noinline)) long unknown(void) {
	keep();
	struct calls *c = away;
	return c->three(number, 0, 0, 0);
}
#elif defined(EXCHANGE)
struct calls *away;
__attribute__((noipa)) void keep(void) {
	struct calls *old = away;
	while (!__atomic_compare_exchange_n(&away, &old, &other, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	long nothing = 0;
	__asm__ volatile("" : "+d"(nothing)); // the register is used again
}
__attribute__((noinline)) long unknown(void) {
	keep();
	return away->three(number, 0, 0, 0);
}
#elif defined(INDEX)
__attribute__((noinline)) long unknown(void) {
	struct calls *c = table;
	long i = number;
	__asm__("add %1, %0" : "+r"(c) : "r"(i));
	return c->three(number, 0, 0, 0);
}
#elif defined(TAIL)
__attribute__((noipa)) static long call(struct calls *c) { return c->three(number, 0, 0, 0); }
__attribute__((noipa)) long run(struct calls *c, long (*by)(struct calls *)) { return by(c); }
__attribute__((noinline)) long unknown(void) { return run(&other, call); }
#elif defined(SEVENTH)
__attribute__((noipa)) long seventh(long a, long b, long c, long d, long e, long f, struct calls *g) { return g->three(number, b, c, d); }
__attribute__((noinline)) long unknown(void) { return seventh(1, 2, 3, 4, 5, 6, &other) + 1; }
#elif defined(FIXED)
static struct { long (*any)(long, ...); } direct = {syscall};
__typeof__(direct) *away;
__attribute__((noipa)) void keep(void) { away = &direct; }
__attribute__((noinline)) long unknown(void) {
	keep();
	return away->any(number, 0, 0, 0);
}
#elif defined(BASE)
__attribute__((noipa)) void keep(void) { away = table; }
__attribute__((noinline)) long unknown(void) {
	keep();
	return set(&table[1], 0) + away[number].three(number, 0, 0, 0);
}
#elif defined(ABOVE)
__attribute__((noipa)) void keep(void) { away = &table[2]; }
__attribute__((noinline)) long unknown(void) {
	keep();
	return set(&table[1], 0) + away[number].three(number, 0, 0, 0);
}
#elif defined(COPIED)
#include <string.h>
struct calls copy;
__attribute__((noinline)) long unknown(void) {
	memcpy(&copy, &other, number);
	return copy.three(number, 0, 0, 0);
}
#elif defined(MOVES)
struct calls copy;
__attribute__((noinline)) long unknown(void) {
	void *to = &copy, *from = &other;
	long n = 2;
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return copy.three(number, 0, 0, 0);
}
#else
#define KNOWN
#endif

int main(int argc, char **argv) {
#ifndef KNOWN
	number = atoi(argv[1]);
	return unknown();
#endif
	if (argc > 5)
		replace(none);
	if (argc > 4)
		return other.three(SYS_sysfs, 0, 0, 0);
	return both(argc > 3 ? &one : &other, 0);
}
