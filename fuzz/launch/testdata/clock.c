// What time it is, by each way to ask.
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void ask(const char *name, clockid_t clock)
{
	struct timespec t = {0};
	int failed = clock_gettime(clock, &t);
	printf("%s %d %lld\n", name, failed, (long long)t.tv_sec);
}

int main(int argc, char **argv)
{
	struct timeval v = {0};
	struct timezone zone;
	struct timespec t = {0};
	struct sysinfo info;
	time_t same;

	time_t now = time(&same);
	printf("time %d %lld\n", now != same, (long long)time(NULL));
	int failed = gettimeofday(&v, NULL);
	printf("gettimeofday %d %lld\n", failed, (long long)v.tv_sec);
	printf("zone %d 0\n", gettimeofday(NULL, &zone));
	ask("realtime", CLOCK_REALTIME);
	ask("coarse", CLOCK_REALTIME_COARSE);
	ask("alarm", CLOCK_REALTIME_ALARM);
	ask("tai", CLOCK_TAI);
	ask("monotonic", CLOCK_MONOTONIC);
	ask("monotonic_coarse", CLOCK_MONOTONIC_COARSE);
	ask("monotonic_raw", CLOCK_MONOTONIC_RAW);
	ask("boottime", CLOCK_BOOTTIME);
	ask("wrong", 12345);
	ask("cputime", CLOCK_PROCESS_CPUTIME_ID);
	failed = sysinfo(&info);
	printf("sysinfo %d %ld\n", failed, info.uptime);
	failed = (int)syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
	printf("syscall %d %lld\n", failed, (long long)t.tv_sec);
	for (int i = 1; i < argc; i++) {
		struct stat s;
		failed = lstat(argv[i], &s);
		printf("file %d %lld\n", failed, (long long)s.st_mtime);
	}
	return 0;
}
