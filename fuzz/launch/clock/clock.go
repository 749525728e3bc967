// Package clock decides how one program gets another time than the machine has. What
// counts from the start of the machine is shifted by a time namespace. The time of day
// is one for all of the machine, and the machine's is never touched: programs read it
// through code that the kernel maps into each of them, the vDSO, and in the memory of one
// program that code can be made to add something. No syscall is made for it that the
// program would not have made. The package knows no scenarios. Its main hazard is a
// clock that only seems to be shifted; see [Shift] for what remains as it is.
package clock

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// ErrFixed says that a program's time of day cannot be shifted here.
var ErrFixed = errors.New("the time of day cannot be shifted")

func fixed(why string) error { return fmt.Errorf("%w: %s", ErrFixed, why) }

// Uptime makes the machine have been up for so many seconds, for what the process starts
// that carries the script out: CLOCK_MONOTONIC, CLOCK_BOOTTIME, /proc/uptime and
// sysinfo(2). The process itself stays where it is. Needs Linux 5.6, CAP_SYS_ADMIN and
// CAP_SYS_TIME in the process's user namespace, and its /proc.
func Uptime(s *spawn.Script, seconds int64) error {
	// Both clocks get the time, though one of them does not count while the machine sleeps.
	text := ""
	for _, c := range []struct {
		name  string
		clock int32
	}{{"monotonic", unix.CLOCK_MONOTONIC}, {"boottime", unix.CLOCK_BOOTTIME}} {
		var now unix.Timespec
		if err := unix.ClockGettime(c.clock, &now); err != nil {
			return fmt.Errorf("read the %s clock: %w", c.name, err)
		}
		text += fmt.Sprintf("%s %d 0\n", c.name, seconds-int64(now.Sec))
	}
	const atCWD = ^uintptr(99) // AT_FDCWD
	s.Call("make a time namespace", unix.SYS_UNSHARE, unix.CLONE_NEWTIME)
	s.Call("open timens_offsets", unix.SYS_OPENAT, atCWD, s.String("/proc/self/timens_offsets"), unix.O_WRONLY|unix.O_CLOEXEC)
	s.Call("write timens_offsets", unix.SYS_WRITE, spawn.Last, s.String(text), uintptr(len(text)))
	return nil
}
