/* Copies a file, or its standard input, to its standard output, and asks for its process group. */
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char buf[512];
	ssize_t n;
	int in = argc > 1 ? open(argv[1], O_RDONLY) : 0;

	if (in < 0 || getpgid(0) < 0)
		return 2;
	while ((n = read(in, buf, sizeof buf)) > 0)
		if (write(1, buf, n) != n)
			return 3;
	return 0;
}
