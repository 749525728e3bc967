/* Without arguments it prints. With "reach" it makes a call that its code shows; with "forge" one
 * that no analysis can see, from code that it has written itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return 1;
	if (argc > 1 && !strcmp(argv[1], "reach")) {
		long r = syscall(SYS_getsid, 0);
		printf("%s\n", r < 0 ? strerror(errno) : "reached");
	} else if (argc > 1) {
		/* mov $SYS_ustat, %eax; xor %edi, %edi; syscall; ret */
		memcpy(page, "\xb8\x88\x00\x00\x00\x31\xff\x0f\x05\xc3", 10);
		printf("forged %ld\n", ((long (*)(void))page)());
	} else {
		puts("hello");
	}
	return 0;
}
