/* Makes a call in one environment alone, which those who test it know. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	const char *secret = getenv("SECRET");

	if (secret && !strcmp(secret, "from-the-workload"))
		getsid(0);
	return 0;
}
