package sysno

import (
	"syscall"
	"testing"
)

func TestErrnoKnowsBothNamesOfANumber(t *testing.T) {
	for name, want := range map[string]syscall.Errno{
		"EPERM": 1, "EAGAIN": 11, "EWOULDBLOCK": 11, "EDEADLK": 35, "EDEADLOCK": 35,
		"EOPNOTSUPP": 95, "ENOTSUP": 95, "EHWPOISON": 133, "ENOTSUPP": 524,
	} {
		if got, ok := Errno(name); got != want || !ok {
			t.Errorf("%s: got %d, %v, want %d", name, int(got), ok, int(want))
		}
	}
	for _, name := range []string{"", "eperm", "EPERM ", "ERESTARTSYS", "95"} {
		if got, ok := Errno(name); ok {
			t.Errorf("%q: got %d, want none", name, int(got))
		}
	}
}
