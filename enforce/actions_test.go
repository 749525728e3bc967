//go:build cgo && amd64

package enforce_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/synth"
)

// spokenOf is the call that the policies of these tests are about.
const spokenOf = "sched_get_priority_max"

// asRule is a policy that allows all but one call.
func asRule(t *testing.T, arch sysno.Arch, v synth.Verdict) *synth.Policy {
	t.Helper()
	p := &synth.Policy{Default: synth.Verdict{Action: synth.Allow}, Archs: []sysno.Arch{sysno.AMD64}, Listener: "/none"}
	if arch != sysno.AMD64 {
		p.Archs = append(p.Archs, arch)
	}
	id, _ := sysno.Lookup(arch, spokenOf)
	p.Groups = synth.Arrange([]synth.Rule{{ID: id, Verdict: v, Tier: synth.Manual, Reason: "a test"}})
	return p
}

// asDefault is a policy that names all calls but one.
func asDefault(t *testing.T, arch sysno.Arch, v synth.Verdict) *synth.Policy {
	t.Helper()
	p := &synth.Policy{Default: v, Archs: []sysno.Arch{sysno.AMD64}}
	if arch != sysno.AMD64 {
		p.Archs = append(p.Archs, arch)
	}
	var rules []synth.Rule
	for _, a := range p.Archs {
		for _, id := range sysno.All(a) {
			if name, _ := id.Name(); name != spokenOf {
				rules = append(rules, synth.Rule{ID: id, Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Manual, Reason: "a test"})
			}
		}
	}
	p.Groups = synth.Arrange(rules)
	return p
}

// What each action does to programs of each kind, alone and beside other threads. Every
// run makes a call that is permitted, too.
func TestTheKernelDoesWhatEachActionSays(t *testing.T) {
	golang := filepath.Join(t.TempDir(), "victim")
	if out, err := exec.Command(testenv.Program(t, "go"), "build", "-o", golang, "./testdata/govictim").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	type victim struct {
		name, path string
		arch       sysno.Arch
	}
	victims := []victim{
		{"dynamic", testenv.Compile(t, "testdata/victim.c", "-pthread"), sysno.AMD64},
		{"static", testenv.Compile(t, "testdata/victim.c", "-pthread", "-static"), sysno.AMD64},
		{"go", golang, sysno.AMD64},
	}
	if testenv.RunsCompat() {
		victims = append(victims, victim{"32-bit", testenv.Compile(t, "testdata/victim.c", "-pthread", "-m32"), sysno.I386})
	}
	const sigsys = "killed by SIGSYS"
	actions := []struct {
		verdict synth.Verdict
		single  string // what the call came to, and how the program ended
		threads string // "" for the same
	}{
		{synth.Verdict{Action: synth.Allow}, "call 99|end 0|exit 0", ""},
		{synth.Verdict{Action: synth.Log}, "call 99|end 0|exit 0", ""},
		{synth.Verdict{Action: synth.Errno, Errno: uint16(unix.EDQUOT)}, fmt.Sprintf("errno %d|end 0|exit 0", int(unix.EDQUOT)), ""},
		{synth.Verdict{Action: synth.Trap}, "trapped 1|exit 0", ""},
		// Nobody traces or answers: seccomp(2).
		{synth.Verdict{Action: synth.Trace, Errno: 5}, fmt.Sprintf("errno %d|end 0|exit 0", int(unix.ENOSYS)), ""},
		{synth.Verdict{Action: synth.Notify}, fmt.Sprintf("errno %d|end 0|exit 0", int(unix.ENOSYS)), ""},
		{synth.Verdict{Action: synth.KillThread}, sigsys, "thread gone 1|end 0|exit 0"},
		{synth.Verdict{Action: synth.KillProcess}, sigsys, ""},
	}
	quiet(t)
	for _, a := range actions {
		for _, v := range victims {
			for _, how := range []string{"rule", "default"} {
				if how == "default" && a.verdict.Action == synth.Notify || how == "rule" && a.verdict.Action == synth.Allow {
					continue // no policy says that
				}
				p := asDefault(t, v.arch, a.verdict)
				if how == "rule" {
					p = asRule(t, v.arch, a.verdict)
				}
				if a.verdict.Action == synth.Allow {
					p = asDefault(t, v.arch, synth.Verdict{Action: synth.KillProcess})
					id, _ := sysno.Lookup(v.arch, spokenOf)
					p.Groups[0].Rules = append(p.Groups[0].Rules, synth.Rule{ID: id, Verdict: a.verdict, Tier: synth.Manual, Reason: "a test"})
				}
				program, err := filter.Compile(p)
				if err != nil {
					t.Fatal(err)
				}
				if err := filter.Check(program, p); err != nil {
					t.Fatal(err)
				}
				for _, mode := range []string{"single", "threads"} {
					want := "other 1|" + a.single
					if mode == "threads" && a.threads != "" {
						want = "other 1|" + a.threads
					}
					if v.name == "go" {
						switch a.verdict.Action {
						case synth.Trap: // Go's own handler ends the program
							want = "other 1|exit 2"
						case synth.KillThread:
							if mode == "single" {
								continue // there is no such Go program, and one without its main thread need not end
							}
						}
					}
					if got := outcome(t, v.path, mode, program); got != want {
						t.Errorf("%v as %s, %s, %s: got %q, want %q", a.verdict, how, v.name, mode, got, want)
					}
				}
			}
		}
	}
}

// outcome runs a victim under a filter.
func outcome(t *testing.T, path, mode string, program filter.Program) string {
	t.Helper()
	said := filepath.Join(t.TempDir(), "said")
	st, err := enforce.Run(t.Context(), enforce.Command{Path: path, Argv: []string{path, mode, said}, Filter: program.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(lines), "\n", "|") + enforce.Describe(st.WaitStatus)
}

// quiet keeps what victims write at their end, and their core dumps, away.
func quiet(t *testing.T) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	was, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(int(null.Fd()), 2, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Dup3(was, 2, 0)
		unix.Close(was)
	})
}
