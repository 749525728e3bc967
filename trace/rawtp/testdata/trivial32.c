/* exit(0) of a 32-bit program. Built with -m32 -nostdlib -static. */
__attribute__((noreturn)) void _start(void)
{
	for (;;)
		__asm__ volatile("int $0x80" : : "a"(1), "b"(0) : "memory");
}
