package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// sandboxed is a program that runs others under a converted profile.
type sandboxed struct {
	name  string // the format
	tool  string // the program
	flags []string
	start func(t *testing.T, profile string, argv []string) *exec.Cmd
}

func sandboxes() []sandboxed {
	return []sandboxed{
		{"bubblewrap", "bwrap", nil, func(t *testing.T, profile string, argv []string) *exec.Cmd {
			f, err := os.Open(profile)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			c := exec.Command("bwrap", append([]string{"--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--seccomp", "3"}, argv...)...)
			c.ExtraFiles = []*os.File{f}
			return c
		}},
		{"firejail", "firejail", []string{"--widen"}, func(t *testing.T, profile string, argv []string) *exec.Cmd {
			return exec.Command("firejail", append([]string{"--quiet", "--profile=" + profile}, argv...)...)
		}},
		{"systemd", "/lib/systemd/systemd", nil, asService},
	}
}

// asService starts a manager of a user's services for one service, in namespaces
// without the machine's own, and ends as the service does.
func asService(t *testing.T, profile string, argv []string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	dropIns := filepath.Join(dir, "systemd/user/x.service.d")
	if err := os.MkdirAll(dropIns, 0o755); err != nil {
		t.Fatal(err)
	}
	drop, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	unit := "[Unit]\nSuccessAction=exit-force\nFailureAction=exit-force\n[Service]\nType=oneshot\nExecStart=" +
		strings.Join(argv, " ") + "\nStandardOutput=null\n"
	for path, text := range map[string]string{
		filepath.Join(dir, "systemd/user/x.service"): unit,
		filepath.Join(dropIns, "seccomp.conf"):       string(drop),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// It removes the empty cgroups below its own, which therefore is none that others use.
	group := "tjfuzz-test-" + filepath.Base(filepath.Dir(dir)) + filepath.Base(dir)
	trees := slices.DeleteFunc([]string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"}, func(tree string) bool {
		_, err := os.Stat(filepath.Join(tree, "cgroup.procs"))
		return err != nil
	})
	for _, tree := range trees {
		other := filepath.Join(tree, group+"-other")
		if err := os.Mkdir(other, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(other); err != nil {
				t.Errorf("an empty cgroup of others is gone: %v", err)
			}
			own := filepath.Join(tree, group)
			if out, err := exec.Command("find", own, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").CombinedOutput(); err != nil {
				t.Errorf("remove %s: %v\n%s", own, err, out)
			}
		})
	}
	script := `for tree in ` + strings.Join(trees, " ") + `; do mkdir $tree/` + group + ` && echo 0 >$tree/` + group + `/cgroup.procs || exit; done
mount -t tmpfs none /run && mkdir -p -m 700 /run/systemd/system /run/user && XDG_RUNTIME_DIR=/run/user XDG_CONFIG_HOME="$0" ` +
		`exec /lib/systemd/systemd --user --unit=x.service`
	// The manager must not be the first process of its namespace: then it would be the machine's.
	return exec.Command("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private", "--kill-child",
		"sh", "-c", `sh -c "$0" "$1"; exit $?`, script, dir)
}

// starters are programs to start again and again under a profile of one run, which says
// something each time, and how often: one program a few times, or with TJFUZZ_LONG ten, 30 times each.
func starters() (programs [][]string, starts int) {
	programs = [][]string{{"sort", "/etc/passwd"}}
	if os.Getenv("TJFUZZ_LONG") == "" {
		return programs, 3
	}
	return append(programs, []string{"ls", "-l", "/"}, []string{"grep", "root", "/etc/passwd"}, []string{"sed", "s/a/b/", "/etc/passwd"},
		[]string{"tar", "-cf", "-", "/etc/passwd"}, []string{"gzip", "-c", "/etc/passwd"}, []string{"file", "/etc/passwd"},
		[]string{"openssl", "version"}, []string{"/usr/bin/python3", "-c", "print(1)"}, []string{"jq", "-n", "1"}), 30
}

// A converted profile starts a program every time, though everything that it does
// not name kills; and one that names too little starts it never.
func TestConvertedProfilesRunInWhatTheyAreFor(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	programs, starts := starters()
	dir := t.TempDir()
	narrow := filepath.Join(dir, "narrow.json")
	if err := os.WriteFile(narrow, []byte(`{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, argv := range programs {
		argv[0] = testenv.Program(t, argv[0])
		name, profile := filepath.Base(argv[0]), tracedProfile(t, argv)
		for _, s := range sandboxes() {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				testenv.Program(t, s.tool)
				for from, want := range map[string]int{profile: starts, narrow: 0} {
					to := filepath.Join(dir, fmt.Sprintf("%s.%s", filepath.Base(from), s.name))
					mustRun(t, append(append([]string{"convert", "--to", s.name, "-o", to}, s.flags...), from)...)
					started, last := 0, ""
					for range max(want, 1) {
						out, err := s.start(t, to, argv).CombinedOutput()
						if err == nil {
							started++
						} else {
							last = fmt.Sprintf("%v: %s", err, out)
						}
					}
					if started != want {
						t.Errorf("%s: %d starts succeeded, want %d; the last failure: %s", filepath.Base(from), started, want, last)
					}
				}
			})
		}
	}
}

func TestSystemdAcceptsTheDropIn(t *testing.T) {
	analyze := testenv.Program(t, "systemd-analyze")
	for _, profile := range []string{"evidence", "runc", "two-abis"} {
		dir := t.TempDir()
		dropIns := filepath.Join(dir, "x.service.d")
		if err := os.Mkdir(dropIns, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "x.service"), []byte("[Service]\nExecStart=/bin/true\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		mustRun(t, "convert", "--to", "systemd", "--widen", "-o", filepath.Join(dropIns, "seccomp.conf"),
			filepath.Join("../../synth/format/testdata", profile+".json"))
		out, err := exec.Command(analyze, "verify", filepath.Join(dir, "x.service")).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", profile, err, out)
		}
		for line := range strings.Lines(string(out)) {
			// Younger calls than its libseccomp's are in no group of that version either.
			if strings.Contains(line, dir) && !strings.Contains(line, "Failed to parse system call, ignoring: ") {
				t.Errorf("%s: %s", profile, line)
			}
		}
	}
}
