package rawtp

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PreflightError says why this process cannot record on this machine. What the
// kernel and the BPF library say in these cases misleads: "prealloc maps not
// supported" without CAP_BPF, "MEMLOCK may be too low" without either capability.
type PreflightError struct {
	Missing string // the right or the feature that is missing
	Mend    string // what to do about it
}

func (e *PreflightError) Error() string {
	return fmt.Sprintf("recorder cannot run: %s; %s", e.Missing, e.Mend)
}

// Preflight reports as a *PreflightError what keeps Open from working here, or nil
// when nothing is known to. It looks at the kernel's release and BTF, at the
// capabilities of the calling thread and its user namespace, at lockdown, and at
// whether bpf(2) is answered at all. RLIMIT_MEMLOCK does not matter: since Linux
// 5.11 it does not bound what BPF uses. Another error says that these could not be
// read.
func Preflight() error {
	h, err := readHost()
	if err != nil {
		return fmt.Errorf("read the host's features: %w", err)
	}
	// A nil *PreflightError in an error would not be nil.
	if e := h.check(); e != nil {
		return e
	}
	return nil
}

// host is what check knows of a machine and of this process on it.
type host struct {
	release      string // as in uname -r
	btf          error  // why the kernel's description of its types cannot be read
	caps         uint64 // effective, a bit each
	bounding     uint64 // those that a program file could give
	noNewPrivs   bool   // program files give none
	initialUser  bool   // the user namespace is the initial one
	unprivileged string // kernel.unprivileged_bpf_disabled, empty without the sysctl
	lockdown     string // the active mode, empty without lockdown
	filtered     bool   // a seccomp filter is on the thread
	bpf          error  // the answer to bpf(2) with a command that does not exist
}

const btfPath = "/sys/kernel/btf/vmlinux"

func readHost() (host, error) {
	var h host
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return h, fmt.Errorf("uname: %w", err)
	}
	h.release = unix.ByteSliceToString(uts.Release[:])
	btf, err := os.Open(btfPath)
	if h.btf = err; err == nil {
		btf.Close()
	}

	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return h, err
	}
	if err := h.readStatus(string(status)); err != nil {
		return h, fmt.Errorf("read /proc/thread-self/status: %w", err)
	}

	// The initial user namespace has a fixed inode (PROC_USER_INIT_INO).
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &ns); err != nil {
		return h, fmt.Errorf("stat /proc/self/ns/user: %w", err)
	}
	h.initialUser = ns.Ino == 0xeffffffd

	if h.unprivileged, err = readOptional("/proc/sys/kernel/unprivileged_bpf_disabled"); err != nil {
		return h, err
	}
	modes, err := readOptional("/sys/kernel/security/lockdown")
	if err != nil {
		return h, err
	}
	h.lockdown = activeMode(modes)

	// No command has this number. The kernel answers EINVAL, or EPERM where
	// unprivileged_bpf_disabled keeps the process out.
	const noCommand = 1 << 30
	if _, _, errno := unix.Syscall(unix.SYS_BPF, noCommand, 0, 0); errno != unix.EINVAL {
		h.bpf = errno
	}
	return h, nil
}

// readStatus takes what a thread may do from its status in /proc.
func (h *host) readStatus(status string) (err error) {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "CapEff":
			h.caps, err = strconv.ParseUint(value, 16, 64)
		case "CapBnd":
			h.bounding, err = strconv.ParseUint(value, 16, 64)
		case "NoNewPrivs":
			h.noNewPrivs = value == "1"
		case "Seccomp":
			h.filtered = value == "2"
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readOptional reads a file of one line that not every kernel has, or shows.
func readOptional(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// activeMode picks the word in brackets from "none [integrity] confidentiality".
func activeMode(modes string) string {
	_, rest, _ := strings.Cut(modes, "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}

// check names the first thing that is missing, in the order in which a person has
// to mend them: what no right can replace comes first.
func (h host) check() *PreflightError {
	switch {
	case h.before(5, 15): // bpf_task_pt_regs; task storage for tracing programs is of 5.12
		return &PreflightError{
			Missing: fmt.Sprintf("Linux %s lacks what the recorder's BPF programs call", h.release),
			Mend:    "use Linux 5.15 or newer",
		}
	case errors.Is(h.bpf, unix.ENOSYS) && !h.filtered:
		return &PreflightError{
			Missing: "the kernel was built without bpf(2)",
			Mend:    "use a kernel with CONFIG_BPF_SYSCALL and CONFIG_BPF_EVENTS",
		}
	case errors.Is(h.btf, os.ErrNotExist):
		return &PreflightError{
			Missing: "the kernel describes no types (BTF): there is no " + btfPath,
			Mend:    "use a kernel with CONFIG_DEBUG_INFO_BTF, or mount /sys if this is a container",
		}
	case h.btf != nil:
		return &PreflightError{
			Missing: fmt.Sprintf("the kernel's types (BTF) cannot be read: %v", h.btf),
			Mend:    "let this process read " + btfPath,
		}
	case h.lockdown == "confidentiality":
		return &PreflightError{
			Missing: "kernel lockdown is at confidentiality, which forbids tracing programs to read kernel memory",
			Mend:    "boot with lockdown=integrity or lower",
		}
	case !h.initialUser:
		return &PreflightError{
			Missing: "the process is in a user namespace, as in a rootless container, and capabilities do not reach out of it",
			Mend:    "run outside of it, as root of the host",
		}
	}
	if missing := h.missingCaps(); missing != "" {
		return &PreflightError{Missing: missing, Mend: h.capsMend()}
	}
	switch {
	case h.bpf != nil && h.filtered:
		return &PreflightError{
			Missing: fmt.Sprintf("a seccomp filter refuses bpf(2) (%v), probably the container runtime's profile", h.bpf),
			Mend:    "allow bpf in that profile, or run outside the container",
		}
	case h.bpf != nil:
		return &PreflightError{
			Missing: fmt.Sprintf("bpf(2) is refused (%v) although the capabilities are there", h.bpf),
			Mend:    "look for a security module's denial in the kernel log",
		}
	}
	return nil
}

// before compares releases such as "5.10.0-28-amd64". One that cannot be read
// counts as new enough: the load will tell.
func (h host) before(major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(h.release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a < major || a == major && b < minor
}

func (h host) has(capability int) bool { return h.caps&(1<<capability) != 0 }

func (h host) missingCaps() string {
	if h.has(unix.CAP_SYS_ADMIN) || h.has(unix.CAP_BPF) && h.has(unix.CAP_PERFMON) {
		return ""
	}
	switch {
	case h.has(unix.CAP_BPF):
		return "CAP_PERFMON is missing beside CAP_BPF"
	case h.has(unix.CAP_PERFMON):
		return "CAP_BPF is missing beside CAP_PERFMON"
	}
	return "CAP_BPF and CAP_PERFMON are missing"
}

// capsMend says that the sysctl is no way out where a person may try it: it opens
// bpf(2) for socket filters, not for tracing. setcap is one only where a program
// file can give capabilities.
func (h host) capsMend() string {
	var mend string
	switch both := uint64(1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON); {
	case h.bounding&both != both:
		mend = "start the container with --cap-add BPF --cap-add PERFMON; nothing inside of it can get them"
	case h.noNewPrivs:
		mend = "run as root where no_new_privs is not set; under it no program file gives capabilities"
	default:
		mend = "run as root, or give the program both: setcap cap_bpf,cap_perfmon+ep $(command -v tjfuzz)"
	}
	if h.unprivileged != "" && h.unprivileged != "0" {
		mend += fmt.Sprintf(" (kernel.unprivileged_bpf_disabled is %s; setting it to 0 would not help)", h.unprivileged)
	}
	return mend
}
