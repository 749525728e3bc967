/* Looks at a page in sixteen of a table, writes to each of two others, and changes its code: each time as if for the first time.
 * Has its first argument mapped when main() begins, and puts the second in the place of a part of that. */
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 1024

static const unsigned char table[PAGES][PAGE] __attribute__((aligned(PAGE))) = { [0 ... PAGES - 1] = { 1 } };

#define OWN 64

static volatile unsigned char zeros[OWN][PAGE] __attribute__((aligned(PAGE)));
static volatile unsigned char ones[OWN][PAGE] __attribute__((aligned(PAGE))) = { [0 ... OWN - 1] = { 1 } };

static volatile const char *mapped;

static volatile const char *map(const char *file, volatile const char *at, int fixed)
{
	int fd = open(file, O_RDONLY);
	void *p = mmap((void *)at, fixed ? PAGE : 2 * PAGE, PROT_READ, MAP_PRIVATE | fixed, fd, 0);

	close(fd);
	return p == MAP_FAILED ? 0 : p;
}

static void __attribute__((constructor)) before(int argc, char **argv)
{
	if (argc == 3)
		mapped = map(argv[1], 0, 0);
}

static void __attribute__((noinline, aligned(PAGE))) spare(void)
{
	__asm__ volatile(".fill 4096, 1, 0x90");
}

int main(int argc, char **argv)
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
	for (size_t i = 0; i < OWN; i++)
		if (zeros[i][0]++ != 0 || ones[i][0]++ != 1)
			return 7;
	if (mprotect((void *)spare, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
		return 4;
	*code = 0xcc;
	if (!mapped || mapped[0] != 'a' || mapped[PAGE] != 'a')
		return 5;
	if (munmap((void *)(mapped + PAGE), PAGE) || !map(argv[2], mapped + PAGE, MAP_FIXED) || mapped[PAGE] != 'b')
		return 6;
	return 0;
}
