package enforce

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// call is an ID by the name that people use.
func call(t *testing.T, arch sysno.Arch, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(arch, name)
	if !ok {
		t.Fatalf("%v has no syscall %q", arch, name)
	}
	return id
}

// policy of the native ABI denies by default, permits read, logs unlink, kills
// ptrace, and permits socket for AF_UNIX alone.
func policy(t *testing.T) *synth.Policy {
	t.Helper()
	native := sysno.Native()
	return &synth.Policy{
		Default: synth.Verdict{Action: synth.Errno, Errno: uint16(unix.EPERM)},
		Archs:   []sysno.Arch{native},
		Groups: synth.Arrange([]synth.Rule{
			{ID: call(t, native, "read"), Verdict: synth.Verdict{Action: synth.Allow}},
			{ID: call(t, native, "unlinkat"), Verdict: synth.Verdict{Action: synth.Log}},
			{ID: call(t, native, "ptrace"), Verdict: synth.Verdict{Action: synth.KillProcess}},
			{
				ID:      call(t, native, "socket"),
				Verdict: synth.Verdict{Action: synth.Allow},
				Args:    []synth.Cond{{Index: 0, Op: synth.Equal, Value: unix.AF_UNIX}},
			},
		}),
	}
}

func TestALineTellsWhatWasRefusedToWhomAndBecauseOfWhat(t *testing.T) {
	native := sysno.Native()
	foreign := sysno.I386
	renameat := [6]uint64{^uint64(99), 0x1000, 3, 0x2000}
	for _, c := range []struct {
		name   string
		denial Denial
		want   string
	}{
		{
			"by the default action",
			Denial{ID: call(t, native, "mkdirat"), Args: [6]uint64{^uint64(99), 0x1000, 0o777}, Texts: []Text{{Arg: 1, Bytes: "/tmp/zz"}}},
			`denied mkdirat(AT_FDCWD, "/tmp/zz", 0777): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"by a rule",
			Denial{ID: call(t, native, "ptrace"), Args: [6]uint64{unix.PTRACE_TRACEME}},
			`denied ptrace(PTRACE_TRACEME): kill process [victim, pid 7] by a rule of @process-inspect`,
		},
		{
			"by conditions",
			Denial{ID: call(t, native, "socket"), Args: [6]uint64{unix.AF_INET, unix.SOCK_STREAM, 0}},
			`denied socket(AF_INET, SOCK_STREAM, IPPROTO_IP): errno EPERM [victim, pid 7] by the conditions of socket in @socket-create`,
		},
		{
			"by the architectures",
			Denial{ID: call(t, foreign, "mkdir"), Args: [6]uint64{0x1000, 0o700}, Texts: []Text{{Arg: 0, Bytes: "zz"}}},
			`denied i386:mkdir("zz", 0700): kill thread [victim, pid 7] by the architectures: i386 is not among them`,
		},
		{
			"by the target itself",
			Denial{ID: call(t, native, "read"), Args: [6]uint64{3, 0x1000, 16}},
			`refused by the target's own filter: read(3, 0x1000, 16) [victim, pid 7]`,
		},
		{
			"logged",
			Denial{ID: call(t, native, "unlinkat"), Args: [6]uint64{3, 0x1000, 0}, Texts: []Text{{Arg: 1, Bytes: "x"}}},
			`logged unlinkat(3, "x", 0): log [victim, pid 7] by a rule of @path-change`,
		},
		{
			"of another thread than the first",
			Denial{ID: call(t, native, "chroot"), Args: [6]uint64{}, TID: 9},
			`denied chroot(NULL): errno EPERM [victim, pid 7, thread 9] by the default action`,
		},
		{
			"without a name",
			Denial{ID: sysno.ID{Arch: native, NR: 1000}, Args: [6]uint64{1, 2, 3, 4, 5, 6}, Texts: []Text{{Arg: 0, Bytes: "x"}}},
			`denied syscall_1000(0x1, 0x2, 0x3, 0x4, 0x5, 0x6): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"two strings",
			Denial{ID: call(t, native, "renameat"), Args: renameat, Texts: []Text{{Arg: 1, Bytes: "a"}, {Arg: 3, Bytes: ""}}},
			`denied renameat(AT_FDCWD, "a", 3, ""): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"one string of two",
			Denial{ID: call(t, native, "renameat"), Args: renameat, Texts: []Text{{Arg: 3, Bytes: "b"}}},
			`denied renameat(AT_FDCWD, 0x1000, 3, "b"): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"a cut string that wants to be seen by the terminal",
			Denial{ID: call(t, native, "chdir"), Args: [6]uint64{0x1000}, Texts: []Text{{Arg: 0, Bytes: "\x1b[2J\"\n\xffé", Cut: true}}},
			`denied chdir("\x1b[2J\"\n\xffé"...): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"a thread that wants to be",
			Denial{ID: call(t, native, "chroot"), Comm: "\x1b[2J"},
			`denied chroot(NULL): errno EPERM [\x1b[2J, pid 7] by the default action`,
		},
		{
			"a number that equals the address of the string",
			Denial{ID: call(t, native, "fchownat"), Args: [6]uint64{3, 5, 5, 5, 0}, Texts: []Text{{Arg: 1, Bytes: "p"}}},
			`denied fchownat(3, "p", 5, 5, 0): errno EPERM [victim, pid 7] by the default action`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.denial
			d.PID, d.Count = 7, 1
			if d.TID == 0 {
				d.TID = 7
			}
			if d.Comm == "" {
				d.Comm = "victim"
			}
			if diff := cmp.Diff(c.want, NewReport(policy(t)).Add(d)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestTheSummaryCountsWhatThePolicyRefused(t *testing.T) {
	native := sysno.Native()
	r := NewReport(policy(t))
	if got := r.Summary(); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	r.Add(Denial{ID: call(t, native, "read"), Count: 4})
	r.Add(Denial{ID: call(t, native, "unlinkat"), Count: 4})
	if got := r.Summary(); got != "" {
		t.Errorf("of the target's own refusals and of logged calls: %q", got)
	}
	r.Add(Denial{ID: call(t, native, "chroot"), Count: 1})
	if got, want := r.Summary(), "1 call refused: chroot ×1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Add(Denial{ID: call(t, native, "chroot"), Args: [6]uint64{1}, Count: 2})
	r.Add(Denial{ID: call(t, native, "chdir"), Count: 1})
	if got, want := r.Summary(), "4 calls refused: chdir ×1, chroot ×3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
