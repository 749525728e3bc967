/* Puts a function of its own where its calls of getppid(2) lead to, the slot that lies as far from the program's beginning as its first
 * argument says, in decimal; and ends with 9 if it was there before. */
#include <stdlib.h>
#include <unistd.h>

extern char __executable_start[];

static pid_t hook(void)
{
	return 0;
}

int main(int argc, char **argv)
{
	void *volatile *slot = (void *)(__executable_start + (argc > 1 ? strtoul(argv[1], 0, 10) : 0));
	char b;

	if (read(0, &b, 1) != 1)
		return 2;
	if (argc < 2)
		return getppid();
	if (*slot == (void *)hook)
		return 9;
	*slot = (void *)hook;
	return getppid() == 0 ? 3 : 4;
}
