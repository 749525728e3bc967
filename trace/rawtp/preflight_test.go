package rawtp

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestPreflightNamesWhatIsMissingAndTheMend(t *testing.T) {
	const (
		bpf     = 1 << unix.CAP_BPF
		perfmon = 1 << unix.CAP_PERFMON
		admin   = 1 << unix.CAP_SYS_ADMIN
	)
	good := host{release: "6.18.44-generic", btf: true, caps: bpf | perfmon, initialUser: true, unprivileged: "2", lockdown: "integrity"}
	for _, c := range []struct {
		name    string
		change  func(*host)
		missing string // empty: nothing is
		mend    string
	}{
		{"both capabilities", func(h *host) {}, "", ""},
		{"admin instead of them", func(h *host) { h.caps = admin }, "", ""},
		{"a filter that permits bpf", func(h *host) { h.filtered = true }, "", ""},
		{"least kernel", func(h *host) { h.release = "5.12.0" }, "", ""},
		{"a release that is no number", func(h *host) { h.release = "next" }, "", ""},
		{"no BTF", func(h *host) { h.btf = false }, "/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"},
		{"CAP_BPF alone", func(h *host) { h.caps = bpf }, "CAP_PERFMON is missing", "cap_bpf,cap_perfmon+ep"},
		{"CAP_PERFMON alone", func(h *host) { h.caps = perfmon }, "CAP_BPF is missing", "cap_bpf,cap_perfmon+ep"},
		{"no capability", func(h *host) { h.caps, h.bpf = 0, unix.EPERM }, "CAP_BPF and CAP_PERFMON are missing", "unprivileged_bpf_disabled is 2, and setting it to 0 would not help"},
		{"no capability, sysctl open", func(h *host) { h.caps, h.unprivileged = 0, "0" }, "CAP_BPF and CAP_PERFMON are missing", "run as root"},
		{"capabilities of a user namespace", func(h *host) { h.initialUser, h.bpf = false, unix.EPERM }, "user namespace", "root of the host"},
		{"container's filter", func(h *host) { h.filtered, h.bpf = true, unix.EPERM }, "seccomp filter refuses bpf(2)", "allow bpf in that profile"},
		{"container's filter with ENOSYS", func(h *host) { h.filtered, h.bpf = true, unix.ENOSYS }, "seccomp filter refuses bpf(2)", "allow bpf in that profile"},
		{"security module", func(h *host) { h.bpf = unix.EACCES }, "bpf(2) is refused", "security module"},
		{"lockdown", func(h *host) { h.lockdown = "confidentiality" }, "lockdown is at confidentiality", "lockdown=integrity"},
		{"old kernel", func(h *host) { h.release = "5.10.0-28-amd64" }, "Linux 5.10.0-28-amd64", "Linux 5.12"},
		{"very old kernel", func(h *host) { h.release = "4.19.0" }, "Linux 4.19.0", "Linux 5.12"},
		{"kernel without bpf", func(h *host) { h.bpf = unix.ENOSYS }, "without bpf(2)", "CONFIG_BPF_SYSCALL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := good
			c.change(&h)
			err := h.check()
			if c.missing == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Missing, c.missing) || !strings.Contains(err.Mend, c.mend) {
				t.Errorf("got %v, want %q and %q", err, c.missing, c.mend)
			}
		})
	}
}

func TestActiveMode(t *testing.T) {
	for modes, want := range map[string]string{
		"":                                    "",
		"[none] integrity confidentiality":    "none",
		"none [integrity] confidentiality":    "integrity",
		"none integrity [confidentiality]":    "confidentiality",
		"none integrity confidentiality":      "",
		"none integrity [confidentiality] \n": "confidentiality",
	} {
		if got := activeMode(modes); got != want {
			t.Errorf("activeMode(%q) = %q, want %q", modes, got, want)
		}
	}
}

// A thread's capabilities are its own, so this one gives some up for a while.
func TestOpenWithoutCapabilitiesSaysWhichAreMissing(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if err := unix.Capget(&header, &all[0]); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		keep uint32 // of the second word, which begins with capability 32
		want string
	}{
		{"none", 0, "CAP_BPF and CAP_PERFMON are missing"},
		{"bpf", 1 << (unix.CAP_BPF - 32), "CAP_PERFMON is missing"},
		{"perfmon", 1 << (unix.CAP_PERFMON - 32), "CAP_BPF is missing"},
		{"both", 1<<(unix.CAP_BPF-32) | 1<<(unix.CAP_PERFMON-32), ""},
	} {
		few := all
		few[0].Effective, few[1].Effective = 0, c.keep
		if err := unix.Capset(&header, &few[0]); err != nil {
			t.Fatal(err)
		}
		r, err := Open(Options{Denials: true, Events: true})
		if r != nil {
			err = errors.Join(err, r.Close())
		}
		if err2 := unix.Capset(&header, &all[0]); err2 != nil {
			t.Fatal(err2)
		}
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var missing *PreflightError
		if !errors.As(err, &missing) || !strings.Contains(missing.Missing, c.want) {
			t.Errorf("%s: got %v, want a PreflightError with %q", c.name, err, c.want)
		}
	}
}
