/* The same as guarded.c, with guards of other shapes and words: to which nothing in tjfuzz is
 * tuned. Options are parsed by hand, words are looked up in tables of functions, settings come
 * from the home directory, handlers are those of sigaction(2), tags are told apart by switch. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
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
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/xattr.h>
#include <unistd.h>

struct settings {
	int quick, depth, trace, raw, colour;
	const char *engine, *target;
};

static struct settings set;
static int pending;

/* 1-6: options */

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		if (a[0] != '-') {
			set.target = a;
			continue;
		}
		if (!strcmp(a, "-quick"))
			set.quick = 1;
		else if (!strcmp(a, "-depth") && i + 1 < argc)
			set.depth = strtol(argv[++i], NULL, 0);
		else if (!strncmp(a, "--engine=", 9))
			set.engine = a + 9;
		else if (!strncmp(a, "--colour=", 9))
			set.colour = strcmp(a + 9, "always") == 0;
		else if (!strcmp(a, "--raw"))
			set.raw = 1;
		else if (a[1] == 'v' && a[2] == 'v' && a[3] == 'v')
			set.trace = 3;
	}
}

static void chosen(void)
{
	struct sched_param p;
	if (set.quick)
		sched_getparam(0, &p); /* 1 options */
	if (set.depth == 77)
		getpriority(PRIO_PGRP, 0); /* 2 options */
	if (set.engine && !strcasecmp(set.engine, "hyper"))
		syscall(SYS_membarrier, 0, 0, 0); /* 3 options */
	if (set.colour && set.raw)
		getsid(0); /* 4 options */
	if (set.trace == 3)
		times(NULL); /* 5 options */
	if (set.target && !strncmp(set.target, "mem:", 4))
		close(memfd_create("target", 0)); /* 6 options */
}

/* 7-10: environment */

static void surroundings(char **envp)
{
	const char *v = secure_getenv("HELDTRACE");
	if (v && *v == '2')
		close(timerfd_create(CLOCK_MONOTONIC, 0)); /* 7 environment */
	for (char **e = envp; *e; e++)
		if (!strncmp(*e, "HELD_OPT_", 9))
			syscall(SYS_ioprio_get, 1, 0); /* 8 environment */
	if ((v = getenv("HELD_FLAGS"))) {
		char list[128];
		snprintf(list, sizeof list, "%s", v);
		for (char *w = strtok(list, ","); w; w = strtok(NULL, ","))
			if (!strcmp(w, "nocache"))
				sched_getscheduler(0); /* 9 environment */
	}
	if ((v = getenv("TERM")) && !strcmp(v, "dumb"))
		getpgid(0); /* 10 environment */
}

/* 11-14: what the input holds */

static void open_box(char *rest) { (void)rest; close(eventfd(0, 0)); /* 11 contents */ }
static void guard_box(char *rest)
{
	if (rest && !strcmp(rest, "all"))
		flock(1, LOCK_UN); /* 12 contents */
}
static void empty_box(char *rest)
{
	if (rest && atoi(rest) == 42)
		munlock(&set, 1); /* 13 contents */
}

static const struct { const char *word; void (*run)(char *); } commands[] = {
	{"open", open_box}, {"guard", guard_box}, {"empty", empty_box},
};

static void commanded(char *text)
{
	char *save;
	int depth = 0;
	for (char *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		char *rest = strchr(s, ' ');
		if (rest)
			*rest++ = 0;
		for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
			if (!strcmp(commands[i].word, s))
				commands[i].run(rest);
		if (!strcmp(s, "{"))
			depth++;
		else if (!strcmp(s, "}") && --depth < 0) {
			unsigned char vec[1];
			mincore((void *)((uintptr_t)&vec & ~4095ul), 1, vec); /* 14 contents */
		}
	}
}

/* 15-18: errors */

static int opened(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	switch (errno) {
	case EMFILE: {
		struct rusage r;
		getrusage(RUSAGE_SELF, &r); /* 15 errno */
		break;
	}
	case ELOOP: {
		char b[8];
		lgetxattr(name, "user.x", b, sizeof b); /* 16 errno */
		break;
	}
	}
	return -1;
}

static void store(int fd, const void *data, size_t n)
{
	struct stat st;
	if (fstat(fd, &st) < 0) {
		getgid();
		syscall(SYS_getresgid, &set, &set, &set); /* 17 errno */
		return;
	}
	if (write(fd, data, n) != (ssize_t)n && errno == EPIPE)
		sched_rr_get_interval(0, &(struct timespec){0}); /* 18 errno */
}

/* 19-21: signals */

static void on_winch(int sig, siginfo_t *i, void *c)
{
	(void)sig, (void)i, (void)c;
	struct itimerval t;
	getitimer(ITIMER_REAL, &t); /* 19 signal */
}

static void on_any(int sig) { pending |= 1 << sig; }

static void handlers(void)
{
	struct sigaction a = {.sa_sigaction = on_winch, .sa_flags = SA_SIGINFO}, b = {.sa_handler = on_any};
	sigaction(SIGWINCH, &a, NULL);
	int all[] = {SIGINT, SIGUSR2, SIGPIPE};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		sigaction(all[i], &b, NULL);
}

static void signalled(void)
{
	if (pending & 1 << SIGUSR2)
		umask(022); /* 20 signal */
	if (pending & 1 << SIGINT)
		close(epoll_create1(0)); /* 21 signal */
}

/* 22-25: settings */

static void settings(void)
{
	char path[256], key[64], value[128], line[256];
	const char *home = getenv("HOME");
	snprintf(path, sizeof path, "%s/.heldoutrc", home ? home : ".");
	FILE *f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%63[a-z.] : %127s", key, value) != 2)
			continue;
		if (!strcmp(key, "queue") && !strcmp(value, "kernel"))
			msgget(IPC_PRIVATE, 0); /* 22 config */
		if (!strcmp(key, "cache.size") && strtoul(value, NULL, 10) > 1000)
			mlock(line, 1); /* 23 config */
		if (!strcmp(key, "notify") && !strcmp(value, "on"))
			close(inotify_init1(0)); /* 24 config */
		if (!strcmp(key, "bind") && value[0] == '/')
			close(socket(AF_UNIX, SOCK_DGRAM, 0)); /* 25 config */
	}
	fclose(f);
}

/* 26-30: magic values */

static uint32_t be32(const unsigned char *b) { return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]; }

static void chunks(const unsigned char *b, size_t n)
{
	if (n >= 2 && b[0] == 0x1f && b[1] == 0x9d)
		syscall(SYS_getpgrp); /* 26 magic */
	for (size_t at = 0; at + 8 <= n;) {
		switch (be32(b + at)) {
		case 0x464f524d: /* FORM */
			semget(IPC_PRIVATE, 1, 0); /* 27 magic */
			break;
		case 0x89abcdef:
			posix_fadvise(0, 0, 0, POSIX_FADV_RANDOM); /* 28 magic */
			break;
		case 0x54414758: /* TAGX */
			if (be32(b + at + 4) == 4)
				fdatasync(1); /* 29 magic */
			break;
		}
		at += 8;
	}
	if (n >= 12 && (b[n - 1] << 8 | b[n - 2]) == 0xaa55)
		syscall(SYS_capget, &(struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 0}, NULL); /* 30 magic */
}

int main(int argc, char **argv, char **envp)
{
	static char data[1 << 16];
	size_t n = 0;
	parse(argc, argv);
	surroundings(envp);
	settings();
	handlers();
	chosen();
	int fd = 0;
	if (set.target && strncmp(set.target, "mem:", 4) && (fd = opened(set.target)) < 0) {
		fprintf(stderr, "heldout: cannot open %s\n", set.target);
		return 1;
	}
	for (ssize_t got; n < sizeof data - 1;) {
		got = read(fd, data + n, sizeof data - 1 - n);
		signalled();
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += got;
	}
	chunks((unsigned char *)data, n);
	store(1, data, n);
	commanded(data);
	return 0;
}
