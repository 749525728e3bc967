// Ends by itself in the way that its first argument says; without one, well, after it has written.
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void handler(int sig) {
	(void)sig;
	getppid();
	_exit(7);
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
	if (how != 'q')
		write(1, "x", 1);
	getpgid(0);
	return how == 'e' ? 3 : 0;
}
