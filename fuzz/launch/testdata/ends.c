// Ends by itself in the way that its first argument says; without one, well, after it has written. With a k, a child
// kills it so many rounds of a loop later as the second one says.
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void handler(int sig) {
	(void)sig;
	getppid();
	_exit(7);
}

static volatile int *written;

static void kills(int rounds)
{
	written = mmap(0, sizeof *written, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fork())
		return;
	while (!*written)
		;
	for (volatile int n = 0; n < rounds; n++)
		;
	kill(getppid(), SIGKILL);
	_exit(0);
}

int main(int n, char **v) {
	char how = n > 1 ? v[1][0] : 0;
#ifdef BREAKABLE
	if (how == 'a')
		abort();
	assert(how != 's');
#endif
	if (how == 'h')
		signal(SIGABRT, handler);
	if (how == 'k') {
		kills(atoi(v[2]));
		*written = 1;
	}
	if (how != 'q')
		write(1, "x", 1);
	getpgid(0);
	return how == 'e' ? 3 : 0;
}
