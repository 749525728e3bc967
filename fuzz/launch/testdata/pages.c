/* Looks at a page in sixteen of a table, and changes its code: each time as if for the first time. */
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 1024

static const unsigned char table[PAGES][PAGE] __attribute__((aligned(PAGE))) = { [0 ... PAGES - 1] = { 1 } };

static void __attribute__((noinline, aligned(PAGE))) spare(void)
{
	__asm__ volatile(".fill 4096, 1, 0x90");
}

int main(void)
{
	volatile unsigned char *code = (void *)spare;
	unsigned char was = *code;
	volatile unsigned sum = 0;
	char b[64];

	read(0, b, sizeof b);
	for (size_t i = 7; i < PAGES; i += 16)
		sum += table[i][0];
	if (was == 0xcc || sum != PAGES / 16)
		return 3;
	if (mprotect((void *)spare, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
		return 4;
	*code = 0xcc;
	return 0;
}
