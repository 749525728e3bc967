package userland

import (
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// The words are compared whole: people search for them, and act on them.
func TestNotifyNamesWhatIsMissingAndTheMend(t *testing.T) {
	const profile = "allow seccomp in that profile, or run outside the container"
	for _, c := range []struct {
		name string
		host notifyHost
		want NotifyError // without words: nothing is missing
	}{
		{"all is there", notifyHost{release: "6.1.0"}, NotifyError{}},
		{"a filter that permits it", notifyHost{release: "6.1.0", filtered: true}, NotifyError{}},
		{"least kernel", notifyHost{release: "5.9.0"}, NotifyError{}},
		{"a release that is no number", notifyHost{release: "next"}, NotifyError{}},
		{"old kernel", notifyHost{release: "5.4.0-42-generic"}, NotifyError{"Linux 5.4.0-42-generic does not say when a filtered program has ended", "use Linux 5.9 or newer"}},
		{"very old kernel", notifyHost{release: "4.19.0", available: unix.EOPNOTSUPP}, NotifyError{"Linux 4.19.0 does not say when a filtered program has ended", "use Linux 5.9 or newer"}},
		{"without the action", notifyHost{release: "6.1.0", available: unix.EOPNOTSUPP}, NotifyError{"the kernel cannot notify anybody of a call (operation not supported)", "use Linux 5.9 or newer with CONFIG_SECCOMP_FILTER"}},
		{"without filters", notifyHost{release: "6.1.0", available: unix.ENOSYS}, NotifyError{"the kernel was built without seccomp filters", "use a kernel with CONFIG_SECCOMP_FILTER"}},
		{"container's filter", notifyHost{release: "6.1.0", filtered: true, available: unix.EPERM}, NotifyError{"seccomp(2) is refused (operation not permitted), probably by the container runtime's profile", profile}},
		{"container's filter with ENOSYS", notifyHost{release: "6.1.0", filtered: true, available: unix.ENOSYS}, NotifyError{"seccomp(2) is refused (function not implemented), probably by the container runtime's profile", profile}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got NotifyError
			if e := c.host.check(); e != nil {
				got = *e
			}
			if got != c.want {
				t.Errorf("\n got %v\nwant %v", &got, &c.want)
			}
		})
	}
}

func TestNotifyExplainsAListenerAboveIt(t *testing.T) {
	want := NotifyError{
		"this process is itself under a seccomp filter that notifies somebody, and there can be only one such",
		"run outside of what put it there: another recorder, or a container whose profile notifies an agent",
	}
	var got *NotifyError
	if err := refusedListener(&spawn.StepError{Step: "load the filter with a listener", Errno: unix.EBUSY}); !errors.As(err, &got) || *got != want {
		t.Errorf("\n got %v\nwant %v", err, &want)
	}
	other := errors.New("other")
	if err := refusedListener(other); err != other {
		t.Errorf("got %v, want the error itself", err)
	}
}

// A filter stays on its thread for good, so the thread ends with the goroutine.
func TestOpenNotifyUnderAFilterSaysThatItRefusesSeccomp(t *testing.T) {
	testenv.Require(t, testenv.Root)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		code := []unix.SockFilter{
			{Code: load, K: offsetNR},
			{Code: equal, K: unix.SYS_SECCOMP, Jf: 1},
			{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: answer, K: unix.SECCOMP_RET_ALLOW},
		}
		prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
		if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
			failed <- e
			return
		}
		n, err := OpenNotify(NotifyOptions{})
		if n != nil {
			err = errors.Join(err, n.Close())
		}
		failed <- err
	}()
	want := NotifyError{
		"seccomp(2) is refused (operation not permitted), probably by the container runtime's profile",
		"allow seccomp in that profile, or run outside the container",
	}
	var got *NotifyError
	if err := <-failed; !errors.As(err, &got) || *got != want {
		t.Errorf("\n got %v\nwant %v", err, &want)
	}
}
