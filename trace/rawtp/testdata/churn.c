// A tree of processes and threads that never holds still, for the tests of Attach.
//
//   churn FILE FIRST COUNT tree|all
//
// FILE is memory that it shares with the test. While its epoch is RECORDED, each task
// makes calls of numbers that no other task makes, from FIRST on, and writes into the
// log that it made them. It says "w" when all kinds of tasks have been about, and "k"
// when it has made COUNT calls.
//
// "tree": those who are no descendants of the first process make none. Who those are
// is known: a process says when it is about to exit. The test says it, too, when it
// begins to attach.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDLE, ATTACHING, RECORDED, OVER };
enum { HERE, LEFT_EARLY, LEFT_LATE };
enum { ROUNDS = 24, NODES = 1 << 20, CALLS = 1 << 16, ORPHANS = 48, ENOUGH = 16 };

// The test knows this layout.
struct shared {
	atomic_uint epoch;
	atomic_uint made; // calls
	atomic_uint log[CALLS]; // the kind of task that made the call
	atomic_uint nodes, orphans, rounds;
	struct {
		atomic_uint parent, state;
	} node[NODES];
};

static struct shared *sh;
static unsigned first, count, all;
static char **words;

static unsigned new_node(unsigned parent)
{
	unsigned n = atomic_fetch_add(&sh->nodes, 1);

	if (n >= NODES)
		_exit(3);
	sh->node[n].parent = parent;
	return n;
}

static int in_tree(unsigned n)
{
	for (; n; n = sh->node[n].parent)
		if (sh->node[sh->node[n].parent].state == LEFT_EARLY)
			return 0;
	return 1;
}

static int over(void) { return sh->epoch == OVER; }

static void leave(unsigned node)
{
	sh->node[node].state = sh->epoch == IDLE ? LEFT_EARLY : LEFT_LATE;
	_exit(0);
}

static void call(unsigned node, unsigned kind)
{
	unsigned n;

	if (sh->epoch != RECORDED || (!all && !in_tree(node))) {
		sched_yield();
		return;
	}
	n = atomic_fetch_add(&sh->made, 1);
	if (n < count) {
		syscall(first + n);
		sh->log[n] = kind;
	} else if (n < count + ENOUGH) {
		// An exec may end the thread that is to say it.
		(void)!write(1, "k", 1);
	}
}

static void calls(unsigned node, unsigned kind)
{
	for (int i = 0; i < 3; i++)
		call(node, kind);
}

// Each makes the next one and exits at once.
static void chain(unsigned node, int left)
{
	if (left) {
		unsigned next = new_node(node);

		if (!fork()) {
			setsid();
			chain(next, left - 1);
		}
		calls(node, 2);
		leave(node);
	}
	for (int i = 0; i < 20; i++)
		call(node, 3);
	atomic_fetch_sub(&sh->orphans, 1);
	leave(node);
}

static void *thread(void *arg)
{
	calls((unsigned long)arg, 4);
	return 0;
}

static void *exec_thread(void *arg)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", (unsigned long)arg);
	execl("/proc/self/exe", words[0], words[1], words[2], words[3], words[4], text, (char *)0);
	_exit(4);
}

static void spin(unsigned node)
{
	for (unsigned round = 0; !over(); round++) {
		pthread_t t;
		unsigned child = new_node(node);
		pid_t pid = 0;

		call(node, 1);
		switch (round % 6) {
		case 0:
			pid = fork();
			if (!pid) {
				calls(child, 5);
				leave(child);
			}
			break;
		case 1:
		case 2:
			if (atomic_fetch_add(&sh->orphans, 1) >= ORPHANS) {
				atomic_fetch_sub(&sh->orphans, 1);
				break;
			}
			pid = fork();
			if (!pid)
				chain(child, round % 6 == 1 ? 1 : 4);
			break;
		case 3:
			if (!pthread_create(&t, 0, thread, (void *)(unsigned long)node))
				pthread_join(t, 0);
			break;
		case 4:
			pid = vfork();
			if (!pid) {
				calls(child, 6);
				_exit(0);
			}
			break;
		case 5:
			pid = fork();
			if (!pid) {
				pthread_create(&t, 0, exec_thread, (void *)(unsigned long)child);
				for (;;)
					call(child, 7);
			}
			break;
		}
		if (pid > 0)
			waitpid(pid, 0, 0);
		if (atomic_fetch_add(&sh->rounds, 1) == ROUNDS)
			(void)!write(1, "w", 1);
	}
}

static void *spin_thread(void *arg)
{
	spin((unsigned long)arg);
	return 0;
}

int main(int argc, char **argv)
{
	int fd = open(argv[1], O_RDWR);

	words = argv;
	first = atoi(argv[2]);
	count = atoi(argv[3]);
	all = !strcmp(argv[4], "all");
	sh = mmap(0, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || sh == MAP_FAILED)
		return 1;
	if (argc > 5) {
		unsigned node = atoi(argv[5]);

		calls(node, 8);
		leave(node);
	}
	new_node(0); // the first process is node 0
	for (int i = 0; i < 2; i++) {
		unsigned child = new_node(0);

		if (!fork()) {
			spin(child);
			leave(child);
		}
	}
	pthread_t t;
	pthread_create(&t, 0, spin_thread, (void *)0ul);
	spin(0);
	pthread_join(t, 0);
	while (wait(0) > 0)
		;
	return 0;
}
