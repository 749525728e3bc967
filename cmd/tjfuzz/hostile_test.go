package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// Every victim is learned to the end, and the host does not notice.
func TestLearnSurvivesHostileTargets(t *testing.T) { surviveHostile(t, "") }

func TestAnOrdinaryUsersLearnSurvivesHostileTargets(t *testing.T) { surviveHostile(t, "nobody") }

func surviveHostile(t *testing.T, user string) {
	t.Helper()
	testenv.Require(t, testenv.BPF)
	here, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name, shows string
		mark        string // an argument of what it leaves in the background
		script      string
	}{
		{"removes-everything", "unlinkat", "", `rm -rf --no-preserve-root / /tmp/* /var/tmp/* "$0" 2>/dev/null; exit 0`},
		{"forks-without-end", "clone", "", `f() { f | f & f; }; f`},
		{"fills-the-disk", "write", "", `for d in . / /tmp /var/tmp /home /root /dev/shm /run; do cat /dev/zero >$d/filled-by-a-victim & done; wait`},
		{"kills-its-group", "kill", "", `kill -9 0`},
		{"kills-its-parents", "kill", "", `kill -9 1 $PPID; kill -STOP 1 $PPID; kill -9 -1; kill -STOP -1`},
		{"sleeps-for-ever", "clock_nanosleep", "\x0086391\x00", `trap '' HUP INT TERM; sleep 86391`},
		{"daemonizes", "setsid", "\x0086390\x00", `setsid sh -c 'setsid sleep 86390 & exit' & exit 0`},
		{"writes-for-ever", "write", "", `yes`},
		{"spoils-devices", "fchmodat", "", `chmod 000 /dev/null; rm -f /dev/zero; echo 1 >/proc/sys/kernel/panic; mount -t tmpfs none /etc; hostname victim`},
	} {
		// Should there be no cage at all, no harm is done.
		text := fmt.Sprintf("[ \"$(readlink /proc/self/ns/mnt)\" != '%s' ] || exit\n%s", here, v.script)
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			dir := open(t)
			outside, err := os.MkdirTemp("/var/tmp", "tjfuzz-test-") // a place that the cage shows
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(outside) })
			target := script(t, dir, v.name, text)
			marker := filepath.Join(outside, "marker")
			if err := os.WriteFile(marker, []byte("safe"), 0o644); err != nil {
				t.Fatal(err)
			}
			seeds := filepath.Join(outside, "seeds")
			if err := os.Mkdir(seeds, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(seeds, "one"), []byte("1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if user != "" {
				for _, path := range []string{outside, marker, target} { // he may do harm to these
					if err := os.Chown(path, 65534, 65534); err != nil {
						t.Fatal(err)
					}
				}
			}
			host := observe(t)

			timeout, runs := "200ms", "8"
			if user != "" { // each call waits for the recorder
				timeout, runs = "1s", "3"
			}
			p := startAs(t, user, outside, "learn", "--seeds", seeds, "--duration", "5s", "--execs", runs, "--timeout", timeout, "--jobs", "1", "--seed", "1", "--", target)
			p.wait(t, 0)

			profile, err := os.ReadFile(filepath.Join(outside, v.name+".seccomp.json"))
			if err != nil || !json.Valid(profile) || !strings.Contains(string(profile), strconv.Quote(v.shows)) {
				t.Errorf("no %s in the profile %s, %v", v.shows, profile, err)
			}
			for path, want := range map[string]string{marker: "safe", target: "#!/bin/sh\n" + text + "\n"} {
				if b, err := os.ReadFile(path); string(b) != want {
					t.Errorf("%s is %q, %v", path, b, err)
				}
			}
			for _, mark := range []string{target, v.mark} {
				if got := running(t, mark); mark != "" && len(got) > 0 {
					t.Errorf("still running: %q", got)
				}
			}
			if got := controlGroups(t, p.ProcessState.Pid()); len(got) > 0 {
				t.Errorf("still there: %q", got)
			}
			if got := observe(t); got != host {
				t.Errorf("the host is %+v, was %+v", got, host)
			}
		})
	}
}

// host is what a victim might change of the machine.
type host struct {
	mounts, name, panic string
	null, zero          os.FileMode
	filled              int
}

func observe(t *testing.T) host {
	t.Helper()
	h := host{mounts: mounts(t)}
	var err error
	if h.name, err = os.Hostname(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/sys/kernel/panic")
	if err != nil {
		t.Fatal(err)
	}
	h.panic = string(b)
	for path, mode := range map[string]*os.FileMode{"/dev/null": &h.null, "/dev/zero": &h.zero} {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		*mode = st.Mode()
	}
	for _, d := range []string{"/", "/tmp", "/var/tmp", "/home", "/root", "/dev/shm", "/run"} {
		if _, err := os.Lstat(filepath.Join(d, "filled-by-a-victim")); err == nil {
			h.filled++
		}
	}
	return h
}
