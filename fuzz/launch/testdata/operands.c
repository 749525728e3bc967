/* Hides getpgid behind what the input has to hold, one way a letter. */
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

static char b[64];
extern int library(const char *);

static void found(void) { syscall(SYS_getpgid, 0); }

__attribute__((noinline)) static void number(void)
{
	unsigned x;

	memcpy(&x, b + 1, 4);
	if (x == 0xdeadbeef)
		found();
}

__attribute__((noinline)) static void long_number(void)
{
	unsigned long x;

	memcpy(&x, b + 1, 8);
	if (x == 0x1122334455667788)
		found();
}

int main(void)
{
	long n = read(0, b, sizeof b - 1);
	const char *after = b + 1;
	const char *volatile keywords[] = {"first", "second", "third"};
	volatile size_t size = 5, none = 0;
	char own[8] = {0};

	if (n < 1)
		return 0;
	switch (b[0]) {
	case 'a':
		if (memcmp(after, "MA\1IC", size) == 0)
			found();
		break;
	case 'b':
		number();
		break;
	case 'c':
		for (int i = 0; i < 3; i++)
			if (strcmp(after, keywords[i]) == 0)
				found();
		break;
	case 'd':
		if (strncasecmp(after, "Prefixed", size + 1) == 0)
			found();
		break;
	case 'e':
		long_number();
		break;
	case 'f': /* neither is a constant */
		memcpy(own, after, 4);
		if (strcmp(own, after) == 0)
			found();
		break;
	case 'g':
		return library(after);
	case 'h':
		if (memcmp(after, "EMPTY", none) == 0)
			found();
		break;
	}
	return 0;
}
