/* Has its input, which is its argument or standard input, mapped when main() begins, and ends with
 * the first byte of that if it is the one that a read finds. WRITTEN makes it write beside that byte. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile char *mapped;

__attribute__((constructor)) static void before(int argc, char **argv)
{
	int fd = argc > 1 ? open(argv[1], O_RDONLY) : 0;
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	if (argc > 1)
		close(fd);
	mapped = p == MAP_FAILED ? 0 : p;
}

int main(int argc, char **argv)
{
	int fd = argc > 1 ? open(argv[1], O_RDONLY) : 0;
	char b;

	if (!mapped || pread(fd, &b, 1, 0) != 1)
		return 1;
#ifdef WRITTEN
	mapped[1] = 1;
#endif
	return mapped[0] == b ? b : 2;
}
