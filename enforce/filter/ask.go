package filter

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Ask is a filter that hands to its listener what another one refuses with an errno, logs,
// or kills the process for. The listener has to answer as the policy says. Everything
// else stays with the kernel: a trap and the end of a single thread are nothing that a
// listener could bring about.
func Ask(p Program) Program {
	return handOver(p, unix.SECCOMP_RET_ERRNO, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_KILL_PROCESS)
}

// Untraced is a filter that hands to its listener what another one hands to a tracer.
func Untraced(p Program) Program { return handOver(p, unix.SECCOMP_RET_TRACE) }

// handOver makes the listener the one who says what becomes of calls for which the filter
// takes one of these actions.
func handOver(p Program, actions ...uint32) Program {
	out := slices.Clone(p)
	for i, in := range out {
		if in.Code == retK && slices.Contains(actions, in.K&unix.SECCOMP_RET_ACTION_FULL) {
			out[i].K = unix.SECCOMP_RET_USER_NOTIF
		}
	}
	return out
}
