// The address of syscall(2) is in a register for several calls, as code of Rust has it.
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
	long (*f)(long, ...) = syscall;
	__asm__ volatile("" : "+r"(f)); // not a call of the name any more
	for (int i = 0; i < argc; i++)
		f(i ? SYS_acct : SYS_sysfs, i, 0, 0);
	return f(SYS_quotactl, 0, 0, 0, 0);
}
