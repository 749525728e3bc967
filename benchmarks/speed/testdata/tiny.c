/* The smallest program that reads its input and minds what it is. */
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char b[64];
	int fd = argc > 1 ? open(argv[1], O_RDONLY) : 0;
	long n = read(fd, b, sizeof b);

	if (n > 3 && b[0] == 'F' && b[1] == 'U' && b[2] == 'Z' && b[3] == 'Z')
		getppid();
	return n > 0 && b[0] == 'x';
}
