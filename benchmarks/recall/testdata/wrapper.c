/*
 * Stands in a program's place in its test suite. It notes the command line, enters
 * the cgroup that is recorded, loads the policy, and becomes the program. To the
 * program and to the suite nothing else changes: the process, its descriptors and
 * its argv[0] stay, and what is opened here is closed.
 *
 * REAL, LOG, CGROUP and FILTER are the paths, given by -D. An invocation that cannot
 * be recorded, since it runs as another user or without descriptors, is noted as one
 * and runs all the same.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char line[4000];
static size_t length;

/* quoted adds a word to the line, in visible characters only. */
static void quoted(const char *word)
{
	static const char hex[] = "0123456789abcdef";

	for (; *word && length < sizeof line - 8; word++) {
		unsigned char c = *word;

		if (c > ' ' && c != '\\' && c < 0x7f) {
			line[length++] = c;
			continue;
		}
		line[length++] = '\\';
		line[length++] = 'x';
		line[length++] = hex[c >> 4];
		line[length++] = hex[c & 15];
	}
	line[length++] = ' ';
}

static void note(const char *what, char **argv)
{
	char pid[32], dir[1024];
	int fd = open(LOG, O_WRONLY | O_APPEND);

	snprintf(pid, sizeof pid, "%d", getpid());
	length = 0;
	quoted(what);
	quoted(pid);
	quoted(getcwd(dir, sizeof dir) ? dir : "?");
	while (*argv && length < sizeof line - 8)
		quoted(*argv++);
	line[length++] = '\n';
	if (fd < 0)
		return;
	if (write(fd, line, length) < 0)
		perror("recall: note an invocation");
	close(fd);
}

static int enter(void)
{
	int fd = open(CGROUP "/cgroup.procs", O_WRONLY), ok;

	if (fd < 0)
		return 0;
	ok = write(fd, "0", 1) == 1;
	close(fd);
	return ok;
}

static int restrict_self(void)
{
	static struct sock_filter code[BPF_MAXINSNS];
	struct sock_fprog program = { .filter = code };
	int fd = open(FILTER, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, code, sizeof code);
	close(fd);
	if (n <= 0)
		return 0;
	program.len = n / sizeof *code;
	/* Not by seccomp(2), which valgrind does not know: some suites run the program in it. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
		return 1;
	return errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int main(int argc, char **argv)
{
	extern char **environ;

	(void)argc;
	note("run", argv);
	if (!enter())
		note("unrecorded", argv);
	else if (!restrict_self())
		note("unrestricted", argv);
	execve(REAL, argv, environ);
	return 127;
}
