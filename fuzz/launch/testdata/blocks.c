/* What breakpoints could change, one way a letter of the input. Each way runs code that
 * the others do not, and calls getpriority only when something has changed. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern int library(int);

static volatile int n;

static void changed(void)
{
	getpriority(PRIO_PROCESS, 0);
	_exit(99);
}

/* Code that is new for each k. */
static int work(int k)
{
	switch (k) {
	case '0': n += 3; if (n & 1) n ^= 5; break;
	case '1': n *= 7; if (n & 2) n ^= 9; break;
	case '2': n -= 2; if (n & 4) n ^= 8; break;
	case '3': n ^= 4; if (n & 8) n ^= 3; break;
	case '4': n |= 6; if (n & 3) n ^= 2; break;
	case '5': n &= 1; if (n & 5) n ^= 7; break;
	}
	return n & 7;
}

static void handler(int sig)
{
	if (sig == SIGTRAP)
		changed();
}

static void *thread(void *k)
{
	work(*(char *)k);
	return 0;
}

static int child(pid_t pid, int k)
{
	int status;

	if (pid < 0)
		return 98;
	if (!pid) {
		work(k);
		_exit(3);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		changed();
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	char in[2] = "";
	pthread_t t[4];
	sigset_t set;

	if (read(0, in, 2) < 1)
		return 1;
	switch (in[0]) {
	case 'w': /* work */
		return work(in[1]);
	case 'l':
		return library(in[1]);
	case 'f':
		return child(fork(), in[1]);
	case 'v':
		return child(vfork(), in[1]);
	case 't':
		for (int i = 0; i < 4; i++)
			if (pthread_create(&t[i], 0, thread, &in[1]))
				return 97;
		for (int i = 0; i < 4; i++)
			pthread_join(t[i], 0);
		return 0;
	/* By the very same code for each letter, so that no breakpoint tells of it. */
	case 'g': { /* forks if the letter is odd */
		pid_t (*how[])(void) = { getpid, fork };
		int (*then[])(int, int) = { kill, (int (*)(int, int))getpriority };
		int status = 3 << 8;
		pid_t pid = how[in[1] & 1]();

		if (!pid) {
			work(in[1]);
			_exit(3);
		}
		waitpid(pid, &status, 0);
		then[!WIFEXITED(status)](0, 0);
		return status >> 8 | (status & 127);
	}
	case 'h': { /* has a handler, of the C library's, if the letter is odd */
		void *how[] = { abs, signal };

		((sighandler_t (*)(int, sighandler_t))how[in[1] & 1])(SIGTRAP, (sighandler_t)_exit);
		return work(in[1]);
	}
	case 'u': /* has one for something else */
		signal(SIGUSR1, handler);
		raise(SIGUSR1);
		return work(in[1]);
	case 'b': /* blocks it */
		sigemptyset(&set);
		sigaddset(&set, SIGTRAP);
		sigprocmask(SIG_BLOCK, &set, 0);
		return work(in[1]);
	case 'i': /* has a breakpoint of its own */
		work(in[1]);
		__asm__ volatile("int3");
		return 0;
	case 'k':
		work(in[1]);
		kill(getpid(), SIGTRAP);
		return 0;
	case 'd': /* is a debugger's */
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			changed();
		return work(in[1]);
	case 's':
		work(in[1]);
		raise(SIGSEGV);
		return 0;
	case 'x':
		work(in[1]);
		execl("/bin/sh", "sh", "-c", "exit 5", (char *)0);
		return 96;
	case 'e': /* ends in the midst of the work of a thread */
		pthread_create(&t[0], 0, thread, &in[1]);
		return 4;
	case 'p': /* hangs */
		work(in[1]);
		for (;;)
			pause();
	}
	return 2;
}
