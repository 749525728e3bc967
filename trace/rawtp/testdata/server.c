/*
 * Makes a copy of itself for each byte from descriptor 3, and tells of its end on 4. A copy
 * calls getsid before it closes 4, and getpriority afterwards.
 */
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	char byte = 0;
	int status;
	pid_t copy;

	syscall(SYS_getpgid, 0);
	if (write(4, &byte, 1) != 1)
		return 1;
	while (read(3, &byte, 1) == 1) {
		copy = fork();
		if (copy == 0) {
			syscall(SYS_getsid, 0);
			close(3);
			close(4);
			syscall(SYS_getpriority, PRIO_PROCESS, 0);
			_exit(0);
		}
		if (copy < 0 || waitpid(copy, &status, 0) != copy || status != 0 || write(4, &byte, 1) != 1)
			return 1;
	}
	return 0;
}
