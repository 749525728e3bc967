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
	out := slices.Clone(p)
	for i, in := range out {
		if in.Code != retK {
			continue
		}
		switch in.K & unix.SECCOMP_RET_ACTION_FULL {
		case unix.SECCOMP_RET_ERRNO, unix.SECCOMP_RET_LOG, unix.SECCOMP_RET_KILL_PROCESS:
			out[i].K = unix.SECCOMP_RET_USER_NOTIF
		}
	}
	return out
}
