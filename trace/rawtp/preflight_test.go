package rawtp

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// The words are compared whole: people search for them, and act on them.
func TestPreflightNamesWhatIsMissingAndTheMend(t *testing.T) {
	const (
		bpf     = 1 << unix.CAP_BPF
		perfmon = 1 << unix.CAP_PERFMON
		admin   = 1 << unix.CAP_SYS_ADMIN
		sysctl  = " (kernel.unprivileged_bpf_disabled is 2; setting it to 0 would not help)"
		setcap  = "run as root, or give the program both: setcap cap_bpf,cap_perfmon+ep $(command -v tjfuzz)"
		capAdd  = "start the container with --cap-add BPF --cap-add PERFMON; nothing inside of it can get them"
		profile = "allow bpf in that profile, or run outside the container"
	)
	good := host{release: "6.18.44-generic", caps: bpf | perfmon, bounding: 1<<41 - 1, initialUser: true, unprivileged: "2", lockdown: "integrity"}
	for _, c := range []struct {
		name    string
		change  func(*host)
		missing string // empty: nothing is
		mend    string
	}{
		{"both capabilities", func(h *host) {}, "", ""},
		{"admin instead of them", func(h *host) { h.caps = admin }, "", ""},
		{"a filter that permits bpf", func(h *host) { h.filtered = true }, "", ""},
		{"least kernel", func(h *host) { h.release = "5.15.0" }, "", ""},
		{"a release that is no number", func(h *host) { h.release = "next" }, "", ""},
		{"no BTF", func(h *host) { h.btf = &os.PathError{Op: "open", Path: btfPath, Err: unix.ENOENT} },
			"the kernel describes no types (BTF): there is no /sys/kernel/btf/vmlinux",
			"use a kernel with CONFIG_DEBUG_INFO_BTF, or mount /sys if this is a container"},
		{"hidden BTF", func(h *host) { h.btf = &os.PathError{Op: "open", Path: btfPath, Err: unix.EACCES} },
			"the kernel's types (BTF) cannot be read: open /sys/kernel/btf/vmlinux: permission denied",
			"let this process read /sys/kernel/btf/vmlinux"},
		{"CAP_BPF alone", func(h *host) { h.caps = bpf }, "CAP_PERFMON is missing beside CAP_BPF", setcap + sysctl},
		{"CAP_PERFMON alone", func(h *host) { h.caps = perfmon }, "CAP_BPF is missing beside CAP_PERFMON", setcap + sysctl},
		{"no capability", func(h *host) { h.caps, h.bpf = 0, unix.EPERM }, "CAP_BPF and CAP_PERFMON are missing", setcap + sysctl},
		{"no capability, sysctl open", func(h *host) { h.caps, h.unprivileged = 0, "0" }, "CAP_BPF and CAP_PERFMON are missing", setcap},
		{"no capability, no sysctl", func(h *host) { h.caps, h.unprivileged = 0, "" }, "CAP_BPF and CAP_PERFMON are missing", setcap},
		{"container without them", func(h *host) { h.caps, h.bounding, h.filtered = 0, 0xa80425fb, true }, "CAP_BPF and CAP_PERFMON are missing", capAdd + sysctl},
		{"container without one", func(h *host) { h.caps, h.bounding = bpf, 0xa80425fb|bpf }, "CAP_PERFMON is missing beside CAP_BPF", capAdd + sysctl},
		{"no_new_privs", func(h *host) { h.caps, h.noNewPrivs = 0, true }, "CAP_BPF and CAP_PERFMON are missing",
			"run as root where no_new_privs is not set; under it no program file gives capabilities" + sysctl},
		{"capabilities of a user namespace", func(h *host) { h.initialUser, h.bpf = false, unix.EPERM },
			"the process is in a user namespace, as in a rootless container, and capabilities do not reach out of it",
			"run outside of it, as root of the host"},
		{"no capabilities in a user namespace", func(h *host) { h.initialUser, h.caps = false, 0 },
			"the process is in a user namespace, as in a rootless container, and capabilities do not reach out of it",
			"run outside of it, as root of the host"},
		{"container's filter", func(h *host) { h.filtered, h.bpf = true, unix.EPERM },
			"a seccomp filter refuses bpf(2) (operation not permitted), probably the container runtime's profile", profile},
		{"container's filter with ENOSYS", func(h *host) { h.filtered, h.bpf = true, unix.ENOSYS },
			"a seccomp filter refuses bpf(2) (function not implemented), probably the container runtime's profile", profile},
		{"security module", func(h *host) { h.bpf = unix.EACCES },
			"bpf(2) is refused (permission denied) although the capabilities are there", "look for a security module's denial in the kernel log"},
		{"lockdown", func(h *host) { h.lockdown = "confidentiality" },
			"kernel lockdown is at confidentiality, which forbids tracing programs to read kernel memory", "boot with lockdown=integrity or lower"},
		{"old kernel", func(h *host) { h.release = "5.10.0-28-amd64" },
			"Linux 5.10.0-28-amd64 lacks what the recorder's BPF programs call", "use Linux 5.15 or newer"},
		{"very old kernel", func(h *host) { h.release = "4.19.0" },
			"Linux 4.19.0 lacks what the recorder's BPF programs call", "use Linux 5.15 or newer"},
		{"kernel without bpf", func(h *host) { h.bpf = unix.ENOSYS },
			"the kernel was built without bpf(2)", "use a kernel with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS"},
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
			if err == nil || err.Missing != c.missing || err.Mend != c.mend {
				t.Errorf("\n got %v\nwant %v", err, &PreflightError{c.missing, c.mend})
			}
		})
	}
}

func TestStatusSaysWhatAThreadMayDo(t *testing.T) {
	var got host
	err := got.readStatus("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000000c000000000\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n")
	want := host{caps: 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON, bounding: 1<<41 - 1, noNewPrivs: true, filtered: true}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if err := got.readStatus("CapEff:\tmany\n"); err == nil {
		t.Error("capabilities that are no number are no error")
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
		keep uint64
		want string
	}{
		{"none", 0, "CAP_BPF and CAP_PERFMON are missing"},
		{"bpf", 1 << unix.CAP_BPF, "CAP_PERFMON is missing beside CAP_BPF"},
		{"perfmon", 1 << unix.CAP_PERFMON, "CAP_BPF is missing beside CAP_PERFMON"},
		{"both", 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON, ""},
		{"admin", 1 << unix.CAP_SYS_ADMIN, ""},
	} {
		few := all
		few[0].Effective, few[1].Effective = uint32(c.keep), uint32(c.keep>>32)
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
		if !errors.As(err, &missing) || missing.Missing != c.want {
			t.Errorf("%s: got %v, want a PreflightError with %q", c.name, err, c.want)
		}
	}
}

// A filter stays on its thread for good, so the thread ends with the goroutine.
func TestOpenUnderAFilterSaysThatItRefusesBPF(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		const nr = 0 // offset in struct seccomp_data
		code := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_BPF, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
		if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); errno != 0 {
			failed <- errno
			return
		}
		r, err := Open(Options{})
		if r != nil {
			err = errors.Join(err, r.Close())
		}
		failed <- err
	}()
	want := PreflightError{
		Missing: "a seccomp filter refuses bpf(2) (operation not permitted), probably the container runtime's profile",
		Mend:    "allow bpf in that profile, or run outside the container",
	}
	var got *PreflightError
	if err := <-failed; !errors.As(err, &got) || *got != want {
		t.Errorf("\n got %v\nwant %v", err, &want)
	}
}
