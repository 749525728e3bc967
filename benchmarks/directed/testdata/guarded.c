/* A program with 30 guarded system calls, none of which it makes otherwise: what a directed
 * fuzzer is measured by. The guards are of the kinds that programs have: options, variables,
 * what a file holds, errors, signals, a configuration, magic values. Each call is marked by a
 * comment with the number and the kind of its guard; main.go lists them. heldout.c has other guards. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *class, *format, *output, *config;
static int statistics, flush, force, level;
static volatile sig_atomic_t wake, stop;

static void reload(int sig)
{
	(void)sig;
	umask(077); /* 19 signal */
}

static void note(int sig)
{
	if (sig == SIGUSR1)
		wake = 1;
	else
		stop = 1;
}

static void usage(FILE *f)
{
	fputs("Usage: guarded [OPTION]... [watch] [FILE]\n"
	      "  -s, --stats          print what was used\n"
	      "  -c, --class=NAME     scheduling class\n"
	      "  -l, --level=N        compression level\n"
	      "      --flush          write through\n"
	      "      --force          do not ask\n"
	      "      --format=FORMAT  format of the output\n"
	      "  -o, --output=FILE    write to FILE\n"
	      "  -C, --config=FILE    read settings from FILE\n"
	      "  -h, --help           print this\n", f);
}

static void options(int argc, char **argv)
{
	static const struct option table[] = {
		{"stats", no_argument, 0, 's'}, {"class", required_argument, 0, 'c'}, {"level", required_argument, 0, 'l'},
		{"flush", no_argument, 0, 'F'}, {"force", no_argument, 0, 'f'}, {"format", required_argument, 0, 'm'},
		{"output", required_argument, 0, 'o'}, {"config", required_argument, 0, 'C'}, {"help", no_argument, 0, 'h'}, {0, 0, 0, 0}};
	int c;
	while ((c = getopt_long(argc, argv, "sc:l:o:C:h", table, NULL)) != -1) {
		switch (c) {
		case 's': statistics = 1; break;
		case 'c': class = optarg; break;
		case 'l': level = atoi(optarg); break;
		case 'F': flush = 1; break;
		case 'f': force = 1; break;
		case 'm': format = optarg; break;
		case 'o': output = optarg; break;
		case 'C': config = optarg; break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
}

static void environment(void)
{
	const char *v;
	if (getenv("GUARDED_TRACE")) {
		int fd = timerfd_create(CLOCK_MONOTONIC, 0); /* 7 environment */
		close(fd);
	}
	if ((v = getenv("GUARDED_MODE")) && strcmp(v, "turbo") == 0)
		syscall(SYS_membarrier, 0, 0, 0); /* 8 environment */
	if ((v = getenv("VERBOSITY")) && atoi(v) >= 7) {
		struct tms t;
		times(&t); /* 9 environment */
	}
	if (!getenv("HOME")) {
		uid_t r, e, s;
		getresuid(&r, &e, &s); /* 10 environment */
	}
}

static char *trim(char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	size_t n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = 0;
	return s;
}

static void configure(const char *name)
{
	char line[256], section[64] = "";
	FILE *f = fopen(name, "r");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		char *s = trim(line);
		if (*s == '#' || !*s)
			continue;
		if (*s == '[') {
			sscanf(s, "[%63[^]]", section);
			continue;
		}
		if (strncmp(s, "include ", 8) == 0) {
			int fd = open(trim(s + 8), O_RDONLY);
			if (fd >= 0) {
				readahead(fd, 0, 4096); /* 25 config */
				close(fd);
			}
			continue;
		}
		char *eq = strchr(s, '=');
		if (!eq)
			continue;
		*eq = 0;
		char *key = trim(s), *value = trim(eq + 1);
		if (strcmp(key, "pool") == 0 && strcasecmp(value, "shared") == 0)
			shmget(IPC_PRIVATE, 4096, 0); /* 22 config */
		else if (strcmp(key, "limit") == 0) {
			long n = strtol(value, NULL, 10);
			if (n >= 200 && n <= 300)
				getpriority(PRIO_PROCESS, 0); /* 23 config */
		} else if (strcmp(section, "network") == 0 && strcmp(key, "listen") == 0 && strcmp(value, "yes") == 0) {
			int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* 24 config */
			close(fd);
		}
	}
	fclose(f);
}

static void lines(char *text)
{
	int items = 0;
	for (char *s = strtok(text, "\n"); s; s = strtok(NULL, "\n")) {
		int size;
		if (strncmp(s, "BEGIN SECTION", 13) == 0) {
			int fd = eventfd(0, 0); /* 11 contents */
			close(fd);
		}
		if (strstr(s, "<lock>"))
			flock(1, LOCK_UN); /* 12 contents */
		if (sscanf(s, " \"size\": %d", &size) == 1 && size > 65536)
			munlock(s, 1); /* 13 contents */
		if (strncmp(s, "item", 4) == 0 && ++items == 3) {
			unsigned char vec[1];
			mincore((void *)((uintptr_t)&vec & ~4095ul), 1, vec); /* 14 contents */
		}
	}
}

static void binary(const unsigned char *b, size_t n)
{
	uint32_t word;
	uint64_t quad;
	if (n < 4)
		return;
	memcpy(&word, b, 4);
	if (word == 0xfeedc0de)
		sched_getscheduler(0); /* 26 magic */
	if (n > 4 && memcmp(b, "\x7fPKX", 4) == 0 && b[4] == 2) {
		sigset_t set;
		sigemptyset(&set);
		int fd = signalfd(-1, &set, 0); /* 27 magic */
		close(fd);
	}
	if (n >= 10 && (b[8] << 8 | b[9]) == 0x1234) {
		struct timespec t;
		sched_rr_get_interval(0, &t); /* 28 magic */
	}
	if (n >= 24) {
		memcpy(&quad, b + 16, 8);
		if (quad == 0x1122334455667788)
			getsid(0); /* 29 magic */
	}
	if (n >= 8 && b[0] == 'C' && b[1] == 'K') {
		unsigned sum = 0;
		for (int i = 0; i < 8; i++)
			sum ^= b[i];
		if (sum == 0x5a)
			getpgid(0); /* 30 magic */
	}
}

static void save(const char *data, size_t n)
{
	char name[300];
	snprintf(name, sizeof name, "%.250s.tmp", output);
	FILE *f = fopen(name, "w");
	if (!f)
		return;
	fwrite(data, 1, n, f);
	if (flush && force)
		fdatasync(fileno(f)); /* 4 options */
	fclose(f);
	if (rename(name, output) < 0 && errno == EXDEV) {
		int in = open(name, O_RDONLY), out = open(output, O_WRONLY | O_CREAT, 0600);
		copy_file_range(in, NULL, out, NULL, n, 0); /* 18 errno */
		close(in);
		close(out);
	}
}

int main(int argc, char **argv)
{
	static char data[1 << 16];
	size_t n = 0;
	ssize_t got;
	int fd = 0;
	options(argc, argv);
	environment();
	configure(config ? config : "guarded.conf");
	signal(SIGHUP, reload);
	signal(SIGUSR1, note);
	signal(SIGTERM, note);
	if (statistics) {
		struct rusage r;
		getrusage(RUSAGE_SELF, &r); /* 1 options */
		printf("%ld\n", r.ru_maxrss);
	}
	if (class && strcmp(class, "batch") == 0)
		syscall(SYS_ioprio_get, 1, 0); /* 2 options */
	if (level == 4711)
		mlock(data, 1); /* 3 options */
	if (optind < argc && strcmp(argv[optind], "watch") == 0) {
		int w = inotify_init1(0); /* 5 options */
		close(w);
		optind++;
	}
	if (format && strcmp(format, "binary") == 0) {
		int m = memfd_create("out", 0); /* 6 options */
		close(m);
	}
	if (optind < argc && strcmp(argv[optind], "-") != 0) {
		fd = open(argv[optind], O_RDONLY);
		if (fd < 0 && errno == EACCES) {
			struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
			struct __user_cap_data_struct d[2];
			syscall(SYS_capget, &h, d); /* 15 errno */
		}
		if (fd < 0) {
			perror(argv[optind]);
			return 1;
		}
	}
	while ((got = read(fd, data + n, sizeof data - 1 - n)) > 0 || (got < 0 && errno == EINTR)) {
		if (got > 0)
			n += got;
		if (wake) {
			struct itimerval t;
			getitimer(ITIMER_REAL, &t); /* 20 signal */
			wake = 0;
		}
		if (stop) {
			int e = epoll_create1(0); /* 21 signal */
			close(e);
			break;
		}
		if (n == sizeof data - 1)
			break;
	}
	if (got < 0 && errno == EIO)
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* 17 errno */
	binary((unsigned char *)data, n);
	if (output)
		save(data, n);
	if (write(1, data, n) < 0 && errno == ENOSPC) {
		struct statfs fs;
		fstatfs(1, &fs); /* 16 errno */
	}
	lines(data);
	return 0;
}
