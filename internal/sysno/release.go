package sysno

import "fmt"

// Release is a release of Linux, as in 5.4.
type Release struct{ Major, Minor int }

func (r Release) String() string { return fmt.Sprintf("%d.%d", r.Major, r.Minor) }

// Before reports whether r is older than o.
func (r Release) Before(o Release) bool {
	return r.Major < o.Major || r.Major == o.Major && r.Minor < o.Minor
}

// since makes the table of the releases in which syscalls appeared after Linux 3.10, up to 5.17, on
// x86-64 or arm64. The source is syscalls(2), man-pages 6.03; for what it lacks or where
// it disagrees with the page of the call itself (membarrier, pkey_*), that page and the
// release whose tables are the first to have the number. From 5.1 on, numbers are given
// out in the same order on all ABIs.
func since() map[string]Release {
	return map[string]Release{
		"sched_setattr": {3, 14}, "sched_getattr": {3, 14}, "renameat2": {3, 15},
		"getrandom": {3, 17}, "seccomp": {3, 17}, "memfd_create": {3, 17}, "kexec_file_load": {3, 17},
		"bpf": {3, 18}, "execveat": {3, 19},
		"userfaultfd": {4, 3}, "membarrier": {4, 3}, "mlock2": {4, 4}, "copy_file_range": {4, 5},
		"preadv2": {4, 6}, "pwritev2": {4, 6}, "pkey_mprotect": {4, 9}, "pkey_alloc": {4, 9}, "pkey_free": {4, 9},
		"statx": {4, 11}, "io_pgetevents": {4, 18}, "rseq": {4, 18},
		"pidfd_send_signal": {5, 1}, "io_uring_setup": {5, 1}, "io_uring_enter": {5, 1}, "io_uring_register": {5, 1},
		"open_tree": {5, 2}, "move_mount": {5, 2}, "fsopen": {5, 2}, "fsconfig": {5, 2}, "fsmount": {5, 2}, "fspick": {5, 2},
		"pidfd_open": {5, 3}, "clone3": {5, 3}, "close_range": {5, 9}, "openat2": {5, 6}, "pidfd_getfd": {5, 6},
		"faccessat2": {5, 8}, "process_madvise": {5, 10}, "epoll_pwait2": {5, 11}, "mount_setattr": {5, 12},
		"quotactl_fd": {5, 14}, "landlock_create_ruleset": {5, 13}, "landlock_add_rule": {5, 13}, "landlock_restrict_self": {5, 13},
		"memfd_secret": {5, 14}, "process_mrelease": {5, 15}, "futex_waitv": {5, 16}, "set_mempolicy_home_node": {5, 17},
	}
}

// lastSince is the last number of since: what comes later is of Linux 6.5 (cachestat) or newer.
const lastSince = 450

// NewerThan lists the syscalls of an ABI that a release from 3.10 to 5.17 does not have
// yet, sorted.
func NewerThan(a Arch, r Release) []ID {
	var ids []ID
	table := since()
	for _, id := range All(a) {
		name, _ := id.Name()
		if s, ok := table[name]; ok && r.Before(s) || !ok && lastSince < id.NR && id.NR < 512 { // x32 has calls of its own from 512 on
			ids = append(ids, id)
		}
	}
	return ids
}
