/* The same again, with guards of yet other shapes, which was written when nothing was changed any more that aims
 * runs. Words are packed into a string and found by their length, settings are nested, states follow one another,
 * errors are told by functions, and numbers are computed before they are compared. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/xattr.h>
#include <unistd.h>

enum mode { PLAIN, PACK, UNPACK, CHECK };
static enum mode mode;
static unsigned flags, width;
static char *script;
static volatile sig_atomic_t children, resized, last;

/* 1-6: options: one word of several letters, sub-commands that may be shortened, lists of values */

static int shortened(const char *word, const char *full, size_t least)
{
	size_t n = strlen(word);
	return n >= least && n <= strlen(full) && memcmp(word, full, n) == 0;
}

static int parse(int argc, char **argv)
{
	int i = 1;
	if (i < argc && shortened(argv[i], "compress", 4))
		mode = PACK, i++;
	else if (i < argc && shortened(argv[i], "inspect", 3))
		mode = CHECK, i++;
	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		if (argv[i][1] != '-') {
			for (char *p = argv[i] + 1; *p; p++) {
				const char *at = strchr("kqrz", *p);
				if (at)
					flags |= 1u << (at - "kqrz");
			}
			continue;
		}
		char *value = strchr(argv[i], '=');
		if (value)
			*value++ = 0;
		if (!strcmp(argv[i], "--width") && value)
			width = strtoul(value, NULL, 10) * 8;
		else if (!strcmp(argv[i], "--script"))
			script = value;
		else if (!strcmp(argv[i], "--with") && value) {
			for (char *w = strsep(&value, ":"); w; w = strsep(&value, ":"))
				if (!strcasecmp(w, "checksums"))
					flags |= 256;
				else if (!strcasecmp(w, "locks"))
					flags |= 512;
		}
	}
	return i;
}

static void chosen(void)
{
	if (mode == PACK)
		close(memfd_create("pack", 0)); /* 1 options */
	if (mode == CHECK && flags & 1)
		getsid(0); /* 2 options */
	if ((flags & 15) == 10)
		times(NULL); /* 3 options */
	if (width == 1024)
		getpriority(PRIO_USER, 0); /* 4 options */
	if (flags & 256)
		syscall(SYS_ioprio_get, 1, 0); /* 5 options */
	if (flags & 512 && mode == PACK)
		sched_getparam(0, &(struct sched_param){0}); /* 6 options */
}

/* 7-10: environment */

static void surroundings(void)
{
	const char *v = getenv("THIRD_LEVEL");
	static const char levels[] = "quiet\0normal\0verbose\0";
	int n = 0;
	for (const char *l = levels; v && *l; l += strlen(l) + 1, n++)
		if (!strcmp(l, v) && n == 2)
			close(timerfd_create(CLOCK_REALTIME, 0)); /* 7 environment */
	if ((v = getenv("COLUMNS")) && atoi(v) > 0 && atoi(v) < 20)
		sched_getscheduler(0); /* 8 environment */
	if ((v = getenv("THIRD_PATH")) && strchr(v, ':') && strstr(v, "/share"))
		getpgid(0); /* 9 environment */
	if ((v = getenv("LANG")) && strlen(v) > 3 && !strcmp(v + strlen(v) - 3, "@eu"))
		syscall(SYS_membarrier, 0, 0, 0); /* 10 environment */
}

/* 11-14: contents: states, and numbers that are summed */

static void lines(char *text)
{
	enum { OUTSIDE, HEAD, BODY } state = OUTSIDE;
	long total = 0;
	for (char *s = strsep(&text, "\n"); s; s = strsep(&text, "\n")) {
		if (state == OUTSIDE && !strcmp(s, "HEAD"))
			state = HEAD;
		else if (state == HEAD && !*s)
			state = BODY;
		else if (state == HEAD && !strncasecmp(s, "encoding:", 9)) {
			for (s += 9; isblank((unsigned char)*s); s++)
				;
			if (!strcasecmp(s, "packed"))
				close(eventfd(0, 0)); /* 11 contents */
		} else if (state == BODY)
			flock(1, LOCK_UN); /* 12 contents */
		if (*s == '+' && (total += atol(s + 1)) > 5000)
			munlock(&total, 1); /* 13 contents */
		size_t n = strlen(s);
		if (n > 4 && s[0] == '"' && s[n - 1] == ';' && s[n - 2] == '"')
			mincore((void *)((uintptr_t)&n & ~4095ul), 1, (unsigned char[2]){0}); /* 14 contents */
	}
}

/* 15-18: errors */

static int worth_another(int error) { return error == EINTR || error == EAGAIN || error == ENFILE; }

static int opened(const char *name)
{
	int fd = open(name, O_RDONLY);
	if (fd < 0 && worth_another(errno)) {
		getrusage(RUSAGE_SELF, &(struct rusage){0}); /* 15 errno */
		fd = open(name, O_RDONLY);
	}
	struct stat st;
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		fgetxattr(fd, "user.third", NULL, 0); /* 16 errno */
	return fd;
}

static void store(const char *data, size_t n)
{
	for (ssize_t put; n > 0; data += put, n -= put)
		if ((put = write(1, data, n)) < 0) {
			int e = errno;
			if (e == EIO || e == EDQUOT)
				syscall(SYS_getresgid, &flags, &flags, &flags); /* 17 errno */
			return;
		}
	if (fsync(1) < 0 && errno == EROFS)
		sched_rr_get_interval(0, &(struct timespec){0}); /* 18 errno */
}

/* 19-21: signals */

static void note(int sig)
{
	last = sig;
	*(sig == SIGWINCH ? &resized : &children) = 1;
}

static void signalled(void)
{
	if (resized)
		getitimer(ITIMER_REAL, &(struct itimerval){0}); /* 19 signal */
	if (children)
		umask(022); /* 20 signal */
	if (last == SIGUSR1)
		close(epoll_create1(0)); /* 21 signal */
}

/* 22-25: configuration: nested blocks of words */

static void configure(FILE *f)
{
	char word[64], path[256] = "";
	while (fscanf(f, "%63s", word) == 1) {
		size_t n = strlen(path);
		if (!strcmp(word, "}")) {
			char *slash = strrchr(path, '/');
			*(slash ? slash : path) = 0;
		} else if (word[strlen(word) - 1] == '{') {
			word[strlen(word) - 1] = 0;
			snprintf(path + n, sizeof path - n, "/%.60s", word);
			if (!strcmp(path, "/queue"))
				msgget(IPC_PRIVATE, 0); /* 22 config */
			if (!strcmp(path, "/server/watch"))
				close(inotify_init1(0)); /* 23 config */
		} else if (!strcmp(path, "/server") && !strcmp(word, "local;"))
			close(socket(AF_UNIX, SOCK_DGRAM, 0)); /* 24 config */
		else if (!strncmp(word, "cache=", 6) && strtol(word + 6, NULL, 0) % 1000 == 512)
			mlock(word, 1); /* 25 config */
	}
}

/* 26-30: magic values */

static void binary(const unsigned char *b, size_t n)
{
	uint32_t w[4];
	if (n < sizeof w)
		return;
	memcpy(w, b, sizeof w);
	if ((w[0] & 0xffffff00) == 0x4d4c4b00 && (w[0] & 0xff) > 2)
		syscall(SYS_getpgrp); /* 26 magic */
	if (w[0] == 0x00ff55aa && w[1] == n)
		semget(IPC_PRIVATE, 1, 0); /* 27 magic */
	if (w[1] + 0x1000 == 0xdeadc000)
		posix_fadvise(0, 0, 0, POSIX_FADV_RANDOM); /* 28 magic */
	if (!memcmp(b + 4, "ftypqt", 6))
		fdatasync(1); /* 29 magic */
	if (b[0] == 0xca && b[1] == 0xfe && b[b[2] & 15] == 0x7e)
		syscall(SYS_capget, &(uint32_t[2]){0x20080522, 0}, NULL); /* 30 magic */
}

int main(int argc, char **argv)
{
	static char data[1 << 16];
	size_t n = 0;
	int at = parse(argc, argv), fd = 0;
	struct sigaction a = {.sa_handler = note};
	sigaction(SIGCHLD, &a, NULL);
	sigaction(SIGWINCH, &a, NULL);
	sigaction(SIGUSR1, &a, NULL);
	surroundings();
	chosen();
	FILE *f = fopen(script ? script : "third.cfg", "r");
	if (f) {
		configure(f);
		fclose(f);
	}
	if (at < argc && strcmp(argv[at], "-") && (fd = opened(argv[at])) < 0) {
		perror(argv[at]);
		return 1;
	}
	for (ssize_t got; n < sizeof data - 1; n += got) {
		got = read(fd, data + n, sizeof data - 1 - n);
		signalled();
		if (got < 0 && errno == EINTR)
			got = 0;
		else if (got <= 0)
			break;
	}
	binary((unsigned char *)data, n);
	store(data, n);
	lines(data);
	return 0;
}
