// A service for each way to behave, by its first argument; see service_test.go. What it is told it prints.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

static int bound(int kind, int port) {
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	int s = socket(AF_INET, kind, 0), on = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(s, (struct sockaddr *)&at, sizeof at) || (kind == SOCK_STREAM && listen(s, 64)))
		_exit(9);
	return s;
}

static int named(int kind, const char *name) {
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + strlen(name);
	memcpy(at.sun_path, name, strlen(name));
	if (name[0] == '@')
		at.sun_path[0] = 0;
	else
		size++;
	int s = socket(AF_UNIX, kind, 0);
	if (bind(s, (struct sockaddr *)&at, size) || (kind != SOCK_DGRAM && listen(s, 64)))
		_exit(9);
	return s;
}

static void told(int sig) { dprintf(1, "signal %d\n", sig); }

// echo answers each message with itself, until the other end is silent for good.
static void echo(int c) {
	char buf[4096];
	for (;;) {
		ssize_t n = read(c, buf, sizeof buf);
		if (n <= 0) {
			dprintf(1, n < 0 ? "reset\n" : "end\n");
			break;
		}
		dprintf(1, "got %d\n", (int)n);
		if (write(c, buf, n) < 0)
			break;
	}
	close(c);
}

int main(int argc, char **argv) {
	const char *how = argv[1];
	int is(const char *s) { return !strcmp(how, s); }
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, told);
	signal(SIGCHLD, SIG_IGN);
	if (is("nothing"))
		return 0;
	if (is("waits"))
		for (;;)
			pause();
	if (is("udp")) {
		int s = bound(SOCK_DGRAM, 5300);
		struct sockaddr_storage from;
		char buf[4096];
		for (;;) {
			socklen_t size = sizeof from;
			ssize_t n = recvfrom(s, buf, sizeof buf, 0, (struct sockaddr *)&from, &size);
			dprintf(1, "got %d\n", (int)n);
			sendto(s, buf, n, 0, (struct sockaddr *)&from, size);
		}
	}
	if (is("daemon") && fork())
		return 0;
	int child = is("wrapped") ? fork() : 0, status;
	if (child) { // as a script that starts a service: a signal ends it, and nobody else hears of it
		signal(SIGUSR1, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		waitpid(child, &status, 0);
		return status;
	}
	if (is("log"))
		open("service.log", O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (is("log"))
		signal(SIGUSR1, (void (*)(int))exit);
	if (is("late"))
		usleep(300000);
	if (is("ignores"))
		signal(SIGTERM, SIG_IGN);
	if (is("ports"))
		for (int i = 0; i < 100; i++)
			bound(i % 2 ? SOCK_DGRAM : SOCK_STREAM, 6000 + i);
	int s = is("unix") ? named(SOCK_STREAM, "s") : is("abstract") ? named(SOCK_SEQPACKET, "@name") : bound(SOCK_STREAM, 7000);
	if (is("deaf"))
		for (;;)
			pause();
	for (;;) {
		int c = accept(s, 0, 0);
		if (c < 0)
			continue;
		if (is("banner"))
			dprintf(c, "220 hello\r\n");
		if (is("closes")) {
			close(c);
			continue;
		}
		if (is("floods")) {
			static char much[1 << 16];
			while (send(c, much, sizeof much, 0) > 0) {
			}
			continue;
		}
		if (is("busy"))
			for (;;) {
			}
		if (is("forks") || is("bombs")) {
			if (fork()) {
				close(c);
				continue;
			}
			while (is("bombs"))
				if (fork() < 0)
					pause();
			echo(c);
			return 0;
		}
		echo(c);
	}
}
