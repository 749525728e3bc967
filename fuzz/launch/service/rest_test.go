package service

import (
	"maps"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A program that was killed has ended before the init has reaped it, and nothing more can be said to it. What a service
// does not reap is its own affair.
func TestWhatTheInitIsAboutToReapDoesNotRest(t *testing.T) {
	for _, tt := range []struct {
		name, script string // whose process is the init, and never reaps
		rests        bool
	}{
		{"the first process", "true & exec sleep 1000", false},
		{"a child of it", "sh -c 'true & exec sleep 1000' & exec sleep 1000", true},
	} {
		init := exec.CommandContext(t.Context(), "sh", "-c", tt.script)
		init.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := init.Start(); err != nil {
			t.Fatal(err)
		}
		k := &talker{init: init.Process.Pid, threads: make(map[int]*thread), tasks: make(map[int][]int)}
		dead, rests := false, false
		for tries := 0; tries < 5000 && !rests; tries++ {
			threads, asleep := k.look()
			all := slices.Collect(maps.Values(threads))
			if dead = slices.ContainsFunc(all, func(p pulse) bool { return p.dead }); dead {
				rests = asleep
			}
			if dead && !tt.rests && tries > 500 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if !dead || rests != tt.rests {
			t.Errorf("%s is dead (%v): at rest %v, want %v", tt.name, dead, rests, tt.rests)
		}
		k.forget(nil)
		_ = syscall.Kill(-init.Process.Pid, syscall.SIGKILL)
		_ = init.Wait()
	}
}
