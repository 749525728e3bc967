package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/synth"
)

func TestCallsCountFromTheLoadOfTheFilterToTheExecve(t *testing.T) {
	for _, c := range []struct {
		name, log string
		want      []string
		err       string
	}{
		{"one thread", `1 read(3, "", 1) = 0
1 seccomp(SECCOMP_GET_ACTION_AVAIL, 0, [SECCOMP_RET_LOG]) = 0
1 seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=8, filter=0x1}) = 0
1 close(3) = 0
1 execve("/bin/true", ["true"], 0x7 /* 3 vars */) = 0
1 brk(NULL) = 0x5
`, []string{"close", "execve"}, ""},
		{"a load that fails, and an execve that fails", `1 seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, NULL) = -1 EFAULT (Bad address)
1 dup(3) = 4
1 prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, {len=8, filter=0x1}) = 0
1 execve("/usr/bin/true", [], 0x7 /* 3 vars */) = -1 ENOENT (No such file or directory)
1 getpid() = 1
1 execve("/bin/true", [], 0x7 /* 3 vars */) = 0
`, []string{"execve", "getpid"}, ""},
		{"other threads and processes", `1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD <unfinished ...>
2 getppid() = 1
1 <... clone resumed>, tls=0) = 2
9 dup2(1, 2) = 2
1 seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, {len=8, filter=0x1}) = 0
2 futex(0x1, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 3
3 tgkill(1, 1, SIGURG) = 0
9 dup(1) = 3
1 execve("/bin/true", [], 0x7 /* 3 vars */ <unfinished ...>
1 <... execve resumed>) = 0
3 close(1) = 0
`, []string{"clone", "execve", "futex", "tgkill"}, ""},
		{"no synchronization", `1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD) = 2
1 seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=8, filter=0x1}) = 0
2 futex(0x1, FUTEX_WAIT_PRIVATE, 0, NULL) = 0
1 execve("/bin/true", [], 0x7 /* 3 vars */) = 0
`, []string{"execve"}, ""},
		{"no filter", "1 execve(\"/bin/true\", [], 0x7) = 0\n", nil, "no program was executed under a filter"},
		{"two programs", `1 seccomp(SECCOMP_SET_MODE_FILTER, 0, {len=8, filter=0x1}) = 0
1 fork() = 2
2 execve("/bin/true", [], 0x7 /* 3 vars */) = 0
1 execve("/bin/true", [], 0x7 /* 3 vars */) = 0
`, nil, "2 programs were executed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls, err := between(strings.NewReader(c.log))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for call := range calls {
				got = append(got, call)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestABaselineThatLacksACallFails(t *testing.T) {
	calls := map[string]int{}
	needs, err := synth.RuntimeNeeds("crun", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range needs[1:] {
		calls[call] = 3
	}
	m := measured{runtime: "crun", version: "crun 1", noNewPrivs: true, starts: 3, calls: calls}
	var b bytes.Buffer
	if err := report(&b, []measured{m}, "x"); err != nil || !strings.Contains(b.String(), "-                    "+needs[0]) {
		t.Errorf("%v\n%s", err, b.String())
	}
	calls["mount"] = 1
	if err := report(&b, []measured{m}, "x"); err == nil || !strings.Contains(b.String(), "mount (1)") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
