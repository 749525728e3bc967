package filter

import (
	"fmt"

	"github.com/tjfuzz/tjfuzz/synth"
	"golang.org/x/sys/unix"
)

// maxErrno is MAX_ERRNO of linux/err.h, to which the kernel cuts larger errnos.
const maxErrno = 4095

// Return is the value that a filter returns for a verdict: SECCOMP_RET_* of
// linux/seccomp.h with the errno, or the message of Trace, in the low 16 bits.
func Return(v synth.Verdict) (uint32, error) {
	if v.Errno != 0 && v.Action != synth.Errno && v.Action != synth.Trace {
		return 0, fmt.Errorf("a value of %d on an action that carries none", v.Errno)
	}
	switch v.Action {
	case synth.Allow:
		return unix.SECCOMP_RET_ALLOW, nil
	case synth.Log:
		return unix.SECCOMP_RET_LOG, nil
	case synth.Notify:
		return unix.SECCOMP_RET_USER_NOTIF, nil
	case synth.Trace:
		return unix.SECCOMP_RET_TRACE | uint32(v.Errno), nil
	case synth.Errno:
		if v.Errno > maxErrno {
			return 0, fmt.Errorf("errno %d is above %d, to which the kernel would cut it", v.Errno, maxErrno)
		}
		return unix.SECCOMP_RET_ERRNO | uint32(v.Errno), nil
	case synth.Trap:
		return unix.SECCOMP_RET_TRAP, nil
	case synth.KillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case synth.KillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	}
	return 0, fmt.Errorf("invalid action %d", v.Action)
}

// ParseReturn is the verdict that the kernel reads in a filter's return value
// (__seccomp_filter in kernel/seccomp.c): the data of actions that carry none is
// dropped, an errno is cut to 4095, and an unknown action kills the process.
func ParseReturn(ret uint32) synth.Verdict {
	data := uint16(ret & unix.SECCOMP_RET_DATA)
	switch ret & unix.SECCOMP_RET_ACTION_FULL {
	case unix.SECCOMP_RET_ALLOW:
		return synth.Verdict{Action: synth.Allow}
	case unix.SECCOMP_RET_LOG:
		return synth.Verdict{Action: synth.Log}
	case unix.SECCOMP_RET_USER_NOTIF:
		return synth.Verdict{Action: synth.Notify}
	case unix.SECCOMP_RET_TRACE:
		return synth.Verdict{Action: synth.Trace, Errno: data}
	case unix.SECCOMP_RET_ERRNO:
		return synth.Verdict{Action: synth.Errno, Errno: min(data, maxErrno)}
	case unix.SECCOMP_RET_TRAP:
		return synth.Verdict{Action: synth.Trap}
	case unix.SECCOMP_RET_KILL_THREAD:
		return synth.Verdict{Action: synth.KillThread}
	}
	return synth.Verdict{Action: synth.KillProcess}
}
