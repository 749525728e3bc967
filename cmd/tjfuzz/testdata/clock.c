// A program that does something else at each time.
#define _GNU_SOURCE
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	time_t now = time(NULL);
	struct tm *day = gmtime(&now);
	struct timespec up;
	struct sysinfo info;
	struct stat file, other;
	struct tms used;
	struct sched_param param;
	uid_t id;

	if (day->tm_year == 70)
		getpgrp();
	if (day->tm_year == 128 && day->tm_yday == 365)
		getsid(0);
	if (now >= 1LL << 31 && day->tm_year < 400)
		getresuid(&id, &id, &id);
	if (day->tm_year >= 400)
		getresgid((gid_t *)&id, (gid_t *)&id, (gid_t *)&id);

	clock_gettime(CLOCK_MONOTONIC, &up);
	if (up.tv_sec < 40)
		times(&used);
	sysinfo(&info);
	if (info.uptime > 2L * 365 * 86400)
		sched_yield();

	if (stat("file", &file) || stat("dir/file", &other))
		return 1;
	if (file.st_mtime == 0)
		umask(022);
	if (file.st_mtime > now + 86400)
		getpriority(PRIO_PROCESS, 0);
	if (file.st_mtime > other.st_mtime + 1800)
		sched_getscheduler(0);
	if (file.st_mtime < other.st_mtime - 1800)
		sched_getparam(0, &param);
	return 0;
}
