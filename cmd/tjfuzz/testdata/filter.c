/* Copies input to output; where the input has a brace it also asks for its
 * parent's id, and where it has two, for its session's. */
#include <unistd.h>

int main(void)
{
	char b[4096];
	int braces = 0;
	for (ssize_t n; (n = read(0, b, sizeof b)) > 0;) {
		for (ssize_t i = 0; i < n; i++)
			braces += b[i] == '{';
		if (write(1, b, n) != n)
			return 1;
	}
	if (braces > 0)
		getppid();
	if (braces > 1)
		getsid(0);
	return 0;
}
