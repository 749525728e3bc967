/* Where there is no pidfd_open, as before Linux 5.3, it asks for its group instead, and
 * where its directory cannot be read, for its session. */
#include <dirent.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	if (syscall(SYS_pidfd_open, getpid(), 0) < 0 && errno == ENOSYS)
		getpgrp();
	DIR *d = opendir(".");
	if (d && !readdir(d))
		getsid(0);
	return 0;
}
