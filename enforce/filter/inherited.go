//go:build cgo

package filter

/*
#include <malloc.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct inherited {
	struct rlimit files;
	uint64_t ignored; // signal n is bit n-1
	int known;
};

static struct inherited at_start;

// glibc would make an arena for each thread of the Go runtime, which takes longer than to
// make the thread, and only libseccomp allocates from any.
__attribute__((constructor)) static void share_arenas(void) {
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 1);
#endif
}

// The C library's sigaction hides two signals, so this asks the kernel.
__attribute__((constructor)) static void look(void) {
	struct { uintptr_t handler; unsigned long flags; uintptr_t restorer; uint64_t mask; } action;
	const uintptr_t ignore = 1; // SIG_IGN
	at_start.known = getrlimit(RLIMIT_NOFILE, &at_start.files) == 0;
	for (int n = 1; n <= 64; n++) {
		if (syscall(SYS_rt_sigaction, n, 0, &action, sizeof action.mask)) at_start.known = 0;
		else if (action.handler == ignore) at_start.ignored |= UINT64_C(1) << (n - 1);
	}
}

static struct inherited look_back(void) { return at_start; }
*/
import "C"

import "golang.org/x/sys/unix"

// Inherited returns what this process was started with and the Go runtime changes
// for its own ends before any Go code can look: the soft limit of open files, which
// it raises, and the signals that were ignored, for most of which it sets a handler.
// A program that is to run as if no Go program stood in between needs both back. A
// C constructor has noted them, hence their place in the one package with cgo;
// without cgo they are not known, and ok is false.
func Inherited() (files uint64, ignored []unix.Signal, ok bool) {
	was := C.look_back()
	for n := range 64 {
		if was.ignored&(1<<n) != 0 {
			ignored = append(ignored, unix.Signal(n+1))
		}
	}
	return uint64(was.files.rlim_cur), ignored, was.known != 0
}
