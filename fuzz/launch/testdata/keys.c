// Reads keys from its terminal one by one, having waited for each in the way that its argument names,
// and says which; "sleeps" takes a nap before each, in which it does not wait for keys.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>

static int fd, ep;
static const char *how;

static void resized(int sig) { (void)sig; }

static int wait_for_key(void)
{
	if (!strcmp(how, "poll")) {
		struct pollfd p[2] = {{.fd = -1}, {.fd = fd, .events = POLLIN}};
		return poll(p, 2, -1);
	}
	if (!strcmp(how, "select")) {
		fd_set set;
		FD_ZERO(&set);
		FD_SET(fd, &set);
		struct timeval long_time = {100, 0};
		return select(fd + 1, &set, 0, 0, &long_time);
	}
	if (!strcmp(how, "epoll")) {
		struct epoll_event e;
		return epoll_wait(ep, &e, 1, -1);
	}
	if (!strcmp(how, "sleeps"))
		usleep(10000);
	return 0;
}

int main(int argc, char **argv)
{
	how = argc > 1 ? argv[1] : "read";
	fd = open("/dev/tty", O_RDONLY);
	struct termios t;
	tcgetattr(fd, &t);
	cfmakeraw(&t);
	tcsetattr(fd, TCSANOW, &t);
	struct sigaction sa = {.sa_handler = resized};
	sigaction(SIGWINCH, &sa, 0);
	sigaction(SIGCONT, &sa, 0);
	if (!strcmp(how, "stubborn"))
		signal(SIGHUP, SIG_IGN), signal(SIGTERM, SIG_IGN);
	ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN};
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	setvbuf(stdout, 0, _IONBF, 0);
	for (;;) {
		char c;
		ssize_t n = wait_for_key() < 0 ? -1 : read(fd, &c, 1);
		if (n < 0 && errno == EINTR) {
			struct winsize w;
			ioctl(fd, TIOCGWINSZ, &w);
			printf("woken at %dx%d\n", w.ws_col, w.ws_row);
			continue;
		}
		while (n <= 0 && !strcmp(how, "stubborn"))
			pause(); // which the SIGCONT that comes with a hang-up ends
		if (n <= 0)
			break;
		printf("key %d\n", c);
		if (c == 'q')
			exit(3);
		if (c == 'z')
			sleep(100); // nobody waits so long
	}
	printf("end\n");
	return 0;
}
