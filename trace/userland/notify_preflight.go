package userland

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// NotifyError says why this process cannot record by seccomp notification on this
// machine.
type NotifyError struct {
	Missing string // the feature that is missing
	Mend    string // what to do about it
}

func (e *NotifyError) Error() string {
	return fmt.Sprintf("notify recorder cannot run: %s; %s", e.Missing, e.Mend)
}

// notifyHost is what decides whether a filter with a listener can be loaded.
type notifyHost struct {
	release   string     // as in uname -r
	filtered  bool       // a seccomp filter is on the thread
	available unix.Errno // the answer to the question whether a filter may notify
}

// NotifyPreflight reports, as a *NotifyError, what is known to keep a filter from
// notifying anybody here.
func NotifyPreflight() error {
	host, err := readNotifyHost()
	if err != nil {
		return fmt.Errorf("read the host's features: %w", err)
	}
	if e := host.check(); e != nil {
		return e
	}
	return nil
}

func readNotifyHost() (notifyHost, error) {
	var h notifyHost
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return h, fmt.Errorf("uname: %w", err)
	}
	h.release = unix.ByteSliceToString(uts.Release[:])
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return h, err
	}
	h.filtered = strings.Contains(string(status), "\nSeccomp:\t2")
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	_, _, h.available = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return h, nil
}

// check names what is missing, nil when nothing is known to be.
func (h notifyHost) check() *NotifyError {
	var major, minor int
	n, _ := fmt.Sscanf(h.release, "%d.%d", &major, &minor)
	switch {
	case h.available == unix.EPERM || h.available == unix.EACCES || h.available == unix.ENOSYS && h.filtered:
		return &NotifyError{
			Missing: fmt.Sprintf("seccomp(2) is refused (%v), probably by the container runtime's profile", h.available),
			Mend:    "allow seccomp in that profile, or run outside the container",
		}
	case h.available == unix.ENOSYS:
		return &NotifyError{Missing: "the kernel was built without seccomp filters", Mend: "use a kernel with CONFIG_SECCOMP_FILTER"}
	// Until 5.9 the kernel does not say when nobody is left whom a filter is on.
	case n == 2 && (major < 5 || major == 5 && minor < 9):
		return &NotifyError{
			Missing: fmt.Sprintf("Linux %s does not say when a filtered program has ended", h.release),
			Mend:    "use Linux 5.9 or newer",
		}
	case h.available != 0:
		return &NotifyError{
			Missing: fmt.Sprintf("the kernel cannot notify anybody of a call (%v)", h.available),
			Mend:    "use Linux 5.9 or newer with CONFIG_SECCOMP_FILTER",
		}
	}
	return nil
}

// refusedListener explains why a filter with a listener was not loaded.
func refusedListener(err error) error {
	var step *spawn.StepError
	if errors.As(err, &step) && errors.Is(err, unix.EBUSY) {
		return &NotifyError{
			Missing: "this process is itself under a seccomp filter that notifies somebody, and there can be only one such",
			Mend:    "run outside of what put it there: another recorder, or a container whose profile notifies an agent",
		}
	}
	return err
}
