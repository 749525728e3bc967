/* Three system calls of its own and nothing else: -nostdlib -static. */
#include <sys/syscall.h>

static long call(long nr, long a, long b, long c)
{
#if defined __x86_64__
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
#elif defined __aarch64__
	register long x8 __asm__("x8") = nr, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
#endif
}

__attribute__((noreturn)) void _start(void)
{
	call(SYS_write, 1, (long)"hello\n", 6);
	call(SYS_getpid, 0, 0, 0);
	for (;;)
		call(SYS_exit, 0, 0, 0);
}
