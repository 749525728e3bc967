package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// What keeps a process from recording is made here for real: capability sets, user
// namespaces, filters, limits. The words are compared whole: people search for them,
// and act on them. What a machine cannot be made to lack, such as BTF, is tested
// beside the preflights.
func TestRightsAndWhatTheirAbsenceSays(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	setpriv, unshare, prlimit := testenv.Program(t, "setpriv"), testenv.Program(t, "unshare"), testenv.Program(t, "prlimit")
	// What setpriv executes itself keeps capabilities that a file gives: setpriv has them.
	env := testenv.Program(t, "env")
	dir, program := reachable(t)
	able := filepath.Join(dir, "able", "tjfuzz")
	giveCapabilities(t, program, able)
	filter := func(name string) string {
		path := filepath.Join(dir, name+".json")
		profile := `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
			"syscalls": [{"names": ["` + name + `"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}`
		if err := os.WriteFile(path, []byte(profile), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// capable runs a command as nobody with some capabilities, and others taken from
	// its bounding set.
	capable := func(bounding string, caps ...string) []string {
		given := strings.Join(append([]string{"-all"}, caps...), ",")
		command := []string{setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", given, "--ambient-caps", given}
		if bounding != "" {
			command = append(command, "--bounding-set", bounding)
		}
		return command
	}

	sysctl, err := os.ReadFile("/proc/sys/kernel/unprivileged_bpf_disabled")
	if err != nil {
		t.Fatal(err)
	}
	more := ""
	if value := strings.TrimSpace(string(sysctl)); value != "0" {
		more = " (kernel.unprivileged_bpf_disabled is " + value + "; setting it to 0 would not help)"
	}
	const (
		neither = "CAP_BPF and CAP_PERFMON are missing"
		other   = "\ntjfuzz: hint: --backend notify needs no rights"
		inUser  = "the process is in a user namespace, as in a rootless container, and capabilities do not reach out of it"
	)
	setcap := "run as root, or give the program both: setcap cap_bpf,cap_perfmon+ep $(command -v tjfuzz)" + more + other
	for _, c := range []struct {
		name    string
		world   []string // the command that the recording one is an argument of
		program string
		backend string
		missing string // empty: it records
		mend    string
	}{
		{"root", nil, program, "ebpf", "", ""},
		{"no capability", capable(""), program, "ebpf", neither, setcap},
		{"CAP_BPF", capable("", "+bpf"), program, "ebpf", "CAP_PERFMON is missing beside CAP_BPF", setcap},
		{"CAP_PERFMON", capable("", "+perfmon"), program, "ebpf", "CAP_BPF is missing beside CAP_PERFMON", setcap},
		{"CAP_BPF and CAP_PERFMON", capable("", "+bpf", "+perfmon"), program, "ebpf", "", ""},
		{"CAP_SYS_ADMIN", capable("", "+sys_admin"), program, "ebpf", "", ""},
		{"program file with capabilities", capable(""), able, "ebpf", "", ""},
		{"container without them", capable("-bpf,-perfmon"), program, "ebpf", neither,
			"start the container with --cap-add BPF --cap-add PERFMON; nothing inside of it can get them" + more + other},
		{"no_new_privs", append(capable(""), "--no-new-privs", env), able, "ebpf", neither,
			"run as root where no_new_privs is not set; under it no program file gives capabilities" + more + other},
		{"user namespace as root", []string{unshare, "-Ur"}, program, "ebpf", inUser, "run outside of it, as root of the host" + other},
		{"user namespace as nobody", append(capable(""), unshare, "-U"), program, "ebpf", inUser, "run outside of it, as root of the host" + other},
		{"filter against bpf", []string{program, "enforce", "--quiet", "--policy", filter("bpf"), "--"}, program, "ebpf",
			"a seccomp filter refuses bpf(2) (operation not permitted), probably the container runtime's profile",
			"allow bpf in that profile, or run outside the container" + other},
		{"no locked memory", []string{prlimit, "--memlock=0"}, program, "ebpf", "", ""},

		{"no capability", capable(""), program, "notify", "", ""},
		{"user namespace", append(capable(""), unshare, "-U"), program, "notify", "", ""},
		{"no_new_privs", append(capable(""), "--no-new-privs"), program, "notify", "", ""},
		{"filter against seccomp", []string{program, "enforce", "--quiet", "--policy", filter("seccomp"), "--"}, program, "notify",
			"seccomp(2) is refused (operation not permitted), probably by the container runtime's profile",
			"allow seccomp in that profile, or run outside the container"},
		{"another listener", []string{program, "trace", "--quiet", "--backend", "notify", "--"}, program, "notify",
			"this process is itself under a seccomp filter that notifies somebody, and there can be only one such",
			"run outside of what put it there: another recorder, or a container whose profile notifies an agent"},

		{"no capability", capable(""), program, "ptrace", "", ""},
		{"user namespace", append(capable(""), unshare, "-U"), program, "ptrace", "", ""},
		{"another listener", []string{program, "trace", "--quiet", "--backend", "notify", "--"}, program, "ptrace", "", ""},
		{"filter against ptrace", []string{program, "enforce", "--quiet", "--policy", filter("ptrace"), "--"}, program, "ptrace",
			"ptrace(2) is refused (operation not permitted), probably by the container runtime's profile",
			"allow ptrace in that profile, or run outside the container"},
		{"another tracer", []string{program, "trace", "--quiet", "--backend", "ptrace", "--"}, program, "ptrace",
			"this process is itself traced, and so is what it starts; nothing has two tracers",
			"run outside of what traces it: a debugger, or another recorder"},
	} {
		t.Run(c.backend+" "+c.name, func(t *testing.T) {
			command := append(c.world, c.program, "trace", "--backend", c.backend, "--", "/bin/true")
			code, stderr := said(t, dir, command)
			if c.missing == "" {
				if code != 0 || !strings.HasPrefix(stderr, "tjfuzz: ") || !strings.Contains(stderr, " syscalls: ") {
					t.Errorf("%q: exit code %d, %s; want a recording", command, code, stderr)
				}
				return
			}
			want := "tjfuzz: error: cannot record: " + c.missing + "\ntjfuzz: hint: " + c.mend + "\n"
			if code != exitError || !strings.HasSuffix(stderr, want) {
				t.Errorf("%q: exit code %d\n got %s\nwant %s", command, code, stderr, want)
			}
		})
	}
}

// What doctor says of the ways to record, and which it says is taken, is what trace
// then does.
func TestDoctorAgreesWithTrace(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	setpriv := testenv.Program(t, "setpriv")
	dir, program := reachable(t)
	profile := filepath.Join(dir, "none.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
		"syscalls": [{"names": ["bpf", "ptrace", "seccomp"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	nobody := []string{setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	for _, c := range []struct {
		name  string
		world []string
		ways  map[string]bool
		taken string // empty: none
	}{
		{"root", nil, map[string]bool{"ebpf": true, "notify": true, "ptrace": true}, "ebpf"},
		{"nobody", nobody, map[string]bool{"ebpf": false, "notify": true, "ptrace": true}, "notify"},
		{"under a recorder", append([]string{program, "trace", "--quiet", "--backend", "notify", "--"}, nobody...), map[string]bool{"ebpf": false, "notify": false, "ptrace": true}, "ptrace"},
		{"under a filter", []string{program, "enforce", "--quiet", "--policy", profile, "--"}, map[string]bool{"ebpf": false, "notify": false, "ptrace": false}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := append(c.world, program, "doctor", "--json")
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Dir = dir
			out, err := cmd.Output()
			if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitError) {
				t.Fatalf("%q: %v", command, err)
			}
			var found []finding
			if err := json.Unmarshal(out, &found); err != nil {
				t.Fatalf("%q: %v\n%s", command, err, out)
			}
			for _, f := range found {
				if want, known := c.ways[f.What]; known && f.OK != want {
					t.Errorf("%s: ok is %t, want %t: %s", f.What, f.OK, want, f.Detail)
				}
				if !f.OK && f.Choice && f.Mend == "" {
					t.Errorf("%s is missing, and nothing says what to do: %s", f.What, f.Detail)
				}
				if f.What != "recorder" {
					continue
				}
				want := "none of the ways to record can be used"
				if c.taken != "" {
					want = "learn, trace and verify use " + c.taken
				}
				if f.Detail != want || f.OK != (c.taken != "") {
					t.Errorf("recorder: ok is %t, %q; want %q", f.OK, f.Detail, want)
				}
			}

			code, stderr := said(t, dir, append(c.world, program, "trace", "--", "/bin/true"))
			instead := ""
			for how, b := range map[string]string{"seccomp notification": "notify", "ptrace": "ptrace"} {
				if strings.Contains(stderr, "tjfuzz: recording by "+how+", not by eBPF: ") {
					instead = b
				}
			}
			switch {
			case c.taken == "" && (code != exitError || !strings.Contains(stderr, "tjfuzz: error: cannot record by eBPF: ")):
				t.Errorf("trace: exit code %d, %s; want that it cannot record", code, stderr)
			case c.taken != "" && (code != 0 || instead != strings.TrimPrefix(c.taken, "ebpf")):
				t.Errorf("trace: exit code %d, %s; want a recording by %s", code, stderr, c.taken)
			}
		})
	}
}

// reachable is a directory that other users may enter, with the program in it.
func reachable(t *testing.T) (dir, program string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tjfuzz-rights-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "tjfuzz")
	copyProgram(t, "/proc/self/exe", program)
	return dir, program
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	file, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, file, 0o755); err != nil {
		t.Fatal(err)
	}
}

// giveCapabilities makes a copy of a program that has CAP_BPF and CAP_PERFMON whoever
// runs it, as setcap does.
func giveCapabilities(t *testing.T, program, path string) {
	t.Helper()
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	copyProgram(t, program, path)
	// struct vfs_cap_data of linux/capability.h, little endian: revision 2 with the
	// effective bit, then permitted and inheritable for each 32 capabilities.
	attribute := []byte{1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1<<(unix.CAP_BPF-32) | 1<<(unix.CAP_PERFMON-32), 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(path, "security.capability", attribute, 0); err != nil {
		t.Fatalf("give %s capabilities: %v", path, err)
	}
}

// said runs a command for its exit code and its messages.
func said(t *testing.T, dir string, command []string) (code int, stderr string) {
	t.Helper()
	var b bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, io.Discard, &b
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatalf("%q: %v", command, err)
	}
	return cmd.ProcessState.ExitCode(), b.String()
}
