/*
 * Submits two operations to io_uring: by a call, or to a thread of the kernel that
 * looks for them. Made with the header of Linux 5.13 alone, without liburing.
 */
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void must(int ok)
{
	if (!ok)
		_exit(99);
}

int main(int argc, char **argv)
{
	int poll = argc > 1 && !strcmp(argv[1], "poll");
	struct io_uring_params p = { .flags = poll ? IORING_SETUP_SQPOLL : 0, .sq_thread_idle = 1000 };
	int fd = syscall(SYS_io_uring_setup, 4, &p);
	unsigned *array, *tail, *head, flags = IORING_ENTER_GETEVENTS;
	struct io_uring_sqe *sqes;
	char *ring, byte;

	must(fd >= 0);
	ring = mmap(0, p.sq_off.array + p.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    IORING_OFF_SQ_RING);
	sqes = mmap(0, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	must(ring != MAP_FAILED && sqes != MAP_FAILED);
	array = (unsigned *)(ring + p.sq_off.array);
	head = (unsigned *)(ring + p.sq_off.head);
	tail = (unsigned *)(ring + p.sq_off.tail);
	sqes[0].opcode = IORING_OP_NOP;
	if (poll) {
		sqes[1].opcode = IORING_OP_READ;
		sqes[1].fd = 0;
		sqes[1].addr = (unsigned long)&byte;
		sqes[1].len = 1;
		flags |= IORING_ENTER_SQ_WAKEUP;
	} else {
		sqes[1].opcode = IORING_OP_CLOSE;
		sqes[1].fd = 0;
	}
	array[0] = 0;
	array[1] = 1;
	__atomic_store_n(tail, 2, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, fd, 2, 2, flags, 0, 0) >= 0);
	must(__atomic_load_n(head, __ATOMIC_ACQUIRE) == 2);
	return 0;
}
