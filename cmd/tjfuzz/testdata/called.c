/* Makes calls through the C library, from functions of its own, and one by itself. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((noinline)) static int makes(const char *path)
{
	return mkdir(path, 0777) + 1; /* is no jump */
}

__attribute__((noinline)) static int flushes(void)
{
	FILE *f = fopen("/dev/null", "w");

	return fputs("some words", f) + fclose(f);
}

__attribute__((noinline)) static int dies(void)
{
	return getppid() + 1;
}

int main(void)
{
	return makes("/") + flushes() + dies() == 0;
}
