package testenv

import (
	"testing"

	"golang.org/x/sys/unix"
)

// FewFiles bounds the open files of the test and of what it starts by 20,000 until it ends:
// runc 1.1 fails with more descriptors than it expects in its own /proc/self/fd.
func FewFiles(t testing.TB) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) })
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(limit.Cur, 20000), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
}
