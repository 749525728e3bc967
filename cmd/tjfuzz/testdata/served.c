// A service that makes a call of its own for each thing that happens to it: a message, a reset, a
// connection beside another, a signal to read its configuration again, the end.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static volatile sig_atomic_t hup, term;
static void heard(int sig) {
	if (sig == SIGHUP)
		hup = 1;
	else
		term = 1;
}

int main(void) {
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7070)};
	struct sigaction act = {.sa_handler = heard};
	sigaction(SIGHUP, &act, 0);
	sigaction(SIGTERM, &act, 0);
	struct pollfd fds[32] = {{socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0}};
	int n = 1;
	if (bind(fds[0].fd, (struct sockaddr *)&at, sizeof at) || listen(fds[0].fd, 8))
		return 1;
	while (!term) {
		if (hup)
			getsid(0);
		hup = 0;
		if (poll(fds, n, -1) < 0)
			continue;
		if (fds[0].revents && n < 32) {
			if (n > 2) {
				struct sysinfo info;
				sysinfo(&info);
			}
			fds[n++] = (struct pollfd){accept(fds[0].fd, 0, 0), POLLIN, 0};
			continue;
		}
		for (int i = 1; i < n; i++) {
			char text[512];
			if (!fds[i].revents)
				continue;
			ssize_t got = read(fds[i].fd, text, sizeof text);
			if (got < 0 && errno == ECONNRESET)
				getpgid(0);
			if (got <= 0) {
				close(fds[i].fd);
				fds[i--] = fds[--n];
				continue;
			}
			if (!strncmp(text, "status", 6))
				getpriority(PRIO_PROCESS, 0);
			write(fds[i].fd, text, got);
		}
	}
	sched_getscheduler(0);
	return 0;
}
