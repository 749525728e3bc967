/*
 * Asks the running kernel what filters decide. Reads cases from stdin until its
 * end, each in a child of its own, and writes a line for each:
 *
 *	refused ERRNO	seccomp(2) did not take the filter
 *	value N		the call returned N
 *	signal N	the child died of the signal before the call returned
 *
 * A case is: u32 count, count struct sock_filter, the same for a second filter that
 * is loaded after the first unless its count is 0, struct call.
 *
 * Once the filter is on, the child makes no call but that of the case: it reports
 * in shared memory and ends by an illegal instruction.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct call {
	uint32_t int80; /* through int $0x80, with the first five arguments */
	uint32_t nr;
	uint64_t args[6];
};

struct report {
	enum { NOTHING, REFUSED, RETURNED } what;
	long value;
};

static long make(const struct call *c)
{
	long ret;

	if (c->int80) {
		__asm__ volatile("int $0x80"
				 : "=a"(ret)
				 : "a"(c->nr), "b"(c->args[0]), "c"(c->args[1]), "d"(c->args[2]), "S"(c->args[3]),
				   "D"(c->args[4])
				 : "r8", "r9", "r10", "r11", "memory");
		return (int)ret;
	}
	register uint64_t r10 __asm__("r10") = c->args[3];
	register uint64_t r8 __asm__("r8") = c->args[4];
	register uint64_t r9 __asm__("r9") = c->args[5];
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"((uint64_t)c->nr), "D"(c->args[0]), "S"(c->args[1]), "d"(c->args[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

static void child(struct sock_fprog *prog, struct sock_fprog *second, const struct call *c,
		  volatile struct report *report)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, prog) ||
	    (second->len && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, second))) {
		report->value = errno;
		report->what = REFUSED;
		_exit(0);
	}
	report->value = make(c);
	report->what = RETURNED;
	__builtin_trap();
}

int main(void)
{
	struct rlimit no_core = {0, 0};
	struct report *report =
		mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sock_filter *insns = calloc(UINT16_MAX, sizeof *insns);
	struct sock_filter *more = calloc(UINT16_MAX, sizeof *more);
	uint32_t count, second_count;

	if (report == MAP_FAILED || !insns || !more || setrlimit(RLIMIT_CORE, &no_core))
		return 1;
	while (fread(&count, sizeof count, 1, stdin) == 1) {
		struct call c;
		int status;

		if (count > UINT16_MAX || fread(insns, sizeof *insns, count, stdin) != count ||
		    fread(&second_count, sizeof second_count, 1, stdin) != 1 || second_count > UINT16_MAX ||
		    fread(more, sizeof *more, second_count, stdin) != second_count ||
		    fread(&c, sizeof c, 1, stdin) != 1)
			return 1;
		struct sock_fprog prog = {.len = count, .filter = insns};
		struct sock_fprog second = {.len = second_count, .filter = more};
		*report = (struct report){NOTHING, 0};
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0)
			child(&prog, &second, &c, report);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		if (report->what == REFUSED)
			printf("refused %ld\n", report->value);
		else if (report->what == RETURNED)
			printf("value %ld\n", report->value);
		else if (WIFSIGNALED(status))
			printf("signal %d\n", WTERMSIG(status));
		else
			return 1;
	}
	return ferror(stdin) || fflush(stdout);
}
