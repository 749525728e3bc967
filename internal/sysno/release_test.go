package sysno

import (
	"slices"
	"testing"
)

// Since 5.1 numbers are given out in the order of time, with the exceptions that the
// kernel's syscall_64.tbl has.
func TestReleasesRiseWithTheNumbers(t *testing.T) {
	for _, a := range []Arch{AMD64, ARM64} {
		last, lastName := Release{5, 1}, ""
		for _, id := range All(a) {
			name, _ := id.Name()
			s, ok := since()[name]
			if id.NR < 424 || id.NR > lastSince {
				if ok && !s.Before(Release{5, 1}) {
					t.Errorf("%v: %s of Linux %v has number %d", a, name, s, id.NR)
				}
				continue
			}
			if !ok {
				t.Errorf("%v: nothing says since when there is %s, number %d", a, name, id.NR)
			}
			// close_range had its number before openat2 and was merged later, landlock before quotactl_fd.
			if name == "close_range" || name == "quotactl_fd" {
				continue
			}
			if s.Before(last) {
				t.Errorf("%v: %s is of Linux %v, and %s before it of %v", a, name, s, lastName, last)
			}
			last, lastName = s, name
		}
	}
}

func TestEachSyscallWithAReleaseIsInATable(t *testing.T) {
	for name := range since() {
		if _, ok := Lookup(AMD64, name); !ok {
			t.Errorf("x86-64 has no %s", name)
		}
	}
}

func TestAnOldKernelLacksWhatIsNewer(t *testing.T) {
	for _, tt := range []struct {
		r          Release
		lacks, has []string
	}{
		{Release{5, 10}, []string{"epoll_pwait2", "futex_waitv", "cachestat", "mseal"}, []string{"openat2", "process_madvise", "clone3"}},
		{Release{5, 4}, []string{"close_range", "faccessat2", "openat2"}, []string{"clone3", "pidfd_open", "statx"}},
		{Release{4, 18}, []string{"clone3", "io_uring_setup"}, []string{"rseq", "statx", "seccomp"}},
		{Release{3, 10}, []string{"getrandom", "statx", "renameat2", "bpf"}, []string{"openat", "epoll_pwait", "finit_module", "prlimit64", "setns"}},
	} {
		for _, a := range []Arch{AMD64, ARM64} {
			ids := NewerThan(a, tt.r)
			if !slices.IsSortedFunc(ids, ID.Compare) {
				t.Errorf("%v: not sorted", a)
			}
			for i, list := range [][]string{tt.lacks, tt.has} {
				for _, name := range list {
					id, ok := Lookup(a, name)
					if got := slices.Contains(ids, id); !ok || got != (i == 0) {
						t.Errorf("Linux %v on %v lacks %s: %v", tt.r, a, name, got)
					}
				}
			}
		}
	}
}
