/* It makes calls behind guards that only its code tells of; the last one behind what no run
 * can bring about. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
	const char *mode = getenv("AIMED");
	if (mode && !strcmp(mode, "sideways"))
		getpgid(0);
	FILE *f = fopen("aimed.conf", "r");
	char line[64];
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "priority", 8))
			syscall(SYS_ioprio_get, 1, 0);
	if (getppid() == 0x7fffffff)
		getsid(0);
	return 0;
}
