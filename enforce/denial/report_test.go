package denial

import (
	"fmt"
	"slices"
	"strings"
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
			{ID: call(t, native, "execve"), Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Observed},
			{ID: call(t, native, "read"), Verdict: synth.Verdict{Action: synth.Allow}, Tier: synth.Observed},
			{ID: call(t, native, "unlinkat"), Verdict: synth.Verdict{Action: synth.Log}, Tier: synth.Observed},
			{ID: call(t, native, "ptrace"), Verdict: synth.Verdict{Action: synth.KillProcess}, Tier: synth.Observed},
			{
				ID:      call(t, native, "socket"),
				Verdict: synth.Verdict{Action: synth.Allow},
				Tier:    synth.Observed,
				Args:    []synth.Cond{{Index: 0, Op: synth.Equal, Value: unix.AF_UNIX}},
			},
		}),
	}
}

// Where arguments are not known, what the kernel did tells what decided, as far as there is
// but one answer of this kind.
func TestWhatTheKernelDidTellsWhatDecided(t *testing.T) {
	native := sysno.Native()
	two := *policy(t)
	socket := call(t, native, "socket")
	two.Groups = append(slices.Clone(two.Groups), synth.Group{Name: "@mine", Rules: []synth.Rule{
		{ID: socket, Verdict: synth.Verdict{Action: synth.Errno, Errno: uint16(unix.EACCES)}, Tier: synth.Manual, Args: []synth.Cond{{Index: 0, Op: synth.Equal, Value: unix.AF_INET}}},
	}})
	for _, c := range []struct {
		name   string
		policy *synth.Policy
		event  Event
		want   string
	}{
		{"one errno", policy(t), Event{ID: socket, Took: synth.Errno}, `denied socket(...): errno EPERM [victim, pid 7] by the conditions of socket in @socket-create`},
		{"two errnos", &two, Event{ID: socket, Took: synth.Errno}, `refused or logged, with other arguments than those told of: socket(...) [victim, pid 7]`},
		{"none such", policy(t), Event{ID: socket, Took: synth.KillThread}, `refused by the target's own filter: socket(...) [victim, pid 7]`},
		{"without conditions", policy(t), Event{ID: call(t, native, "ptrace"), Took: synth.KillProcess}, `denied ptrace(...): kill process [victim, pid 7] by a rule of @process-inspect`},
		{"not the policy", policy(t), Event{ID: call(t, native, "read"), Took: synth.Errno}, `refused by the target's own filter: read(...) [victim, pid 7]`},
	} {
		c.event.Cut, c.event.PID, c.event.Comm, c.event.Count = true, 7, "victim", 1
		entry, news := NewReport(c.policy).Add(c.event)
		if news == Nothing || entry.Line() != c.want {
			t.Errorf("%s: got %v\nwant %s", c.name, entry, c.want)
		}
	}
}

func TestALineTellsWhatWasRefusedToWhomAndBecauseOfWhat(t *testing.T) {
	native := sysno.Native()
	foreign := sysno.I386
	renameat := [6]uint64{^uint64(99), 0x1000, 3, 0x2000}
	for _, c := range []struct {
		name  string
		event Event
		want  string
	}{
		{
			"by the default action",
			Event{ID: call(t, native, "mkdirat"), Args: [6]uint64{^uint64(99), 0x1000, 0o777}, Texts: []Text{{Arg: 1, Bytes: "/tmp/zz"}}},
			`denied mkdirat(AT_FDCWD, "/tmp/zz", 0777): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"by a rule",
			Event{ID: call(t, native, "ptrace"), Args: [6]uint64{unix.PTRACE_TRACEME}},
			`denied ptrace(PTRACE_TRACEME): kill process [victim, pid 7] by a rule of @process-inspect`,
		},
		{
			"by conditions",
			Event{ID: call(t, native, "socket"), Args: [6]uint64{unix.AF_INET, unix.SOCK_STREAM, 0}},
			`denied socket(AF_INET, SOCK_STREAM, IPPROTO_IP): errno EPERM [victim, pid 7] by the conditions of socket in @socket-create`,
		},
		{
			"by the architectures",
			Event{ID: call(t, foreign, "mkdir"), Args: [6]uint64{0x1000, 0o700}, Texts: []Text{{Arg: 0, Bytes: "zz"}}},
			`denied i386:mkdir("zz", 0700): kill thread [victim, pid 7] by the architectures: i386 is not among them`,
		},
		{
			"by the target itself",
			Event{ID: call(t, native, "read"), Args: [6]uint64{3, 0x1000, 16}},
			`refused by the target's own filter: read(3, 0x1000, 16) [victim, pid 7]`,
		},
		{
			"logged",
			Event{ID: call(t, native, "unlinkat"), Passed: true, Args: [6]uint64{3, 0x1000, 0}, Texts: []Text{{Arg: 1, Bytes: "x"}}},
			`logged unlinkat(3, "x", 0): log [victim, pid 7] by a rule of @path-change`,
		},
		{
			"a socket's address, from a place",
			Event{ID: call(t, native, "connect"), Args: [6]uint64{3, 0x1000, 16}, Texts: []Text{{Arg: 1, Bytes: "127.0.0.1:80", Literal: true}}, Site: "libc.so.6:connect+0x10"},
			`denied connect(3, 127.0.0.1:80, 16): errno EPERM [victim, pid 7, at libc.so.6:connect+0x10] by the default action`,
		},
		{
			"of another thread than the first",
			Event{ID: call(t, native, "chroot"), Args: [6]uint64{}, TID: 9},
			`denied chroot(NULL): errno EPERM [victim, pid 7, thread 9] by the default action`,
		},
		{
			"without a name",
			Event{ID: sysno.ID{Arch: native, NR: 1000}, Args: [6]uint64{1, 2, 3, 4, 5, 6}, Texts: []Text{{Arg: 0, Bytes: "x"}}},
			`denied syscall_1000(0x1, 0x2, 0x3, 0x4, 0x5, 0x6): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"two strings",
			Event{ID: call(t, native, "renameat"), Args: renameat, Texts: []Text{{Arg: 1, Bytes: "a"}, {Arg: 3, Bytes: ""}}},
			`denied renameat(AT_FDCWD, "a", 3, ""): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"one string of two",
			Event{ID: call(t, native, "renameat"), Args: renameat, Texts: []Text{{Arg: 3, Bytes: "b"}}},
			`denied renameat(AT_FDCWD, 0x1000, 3, "b"): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"a cut string that wants to be seen by the terminal",
			Event{ID: call(t, native, "chdir"), Args: [6]uint64{0x1000}, Texts: []Text{{Arg: 0, Bytes: "\x1b[2J\"\n\xffé", Cut: true}}},
			`denied chdir("\x1b[2J\"\n\xffé"...): errno EPERM [victim, pid 7] by the default action`,
		},
		{
			"a thread that wants to be",
			Event{ID: call(t, native, "chroot"), Comm: "\x1b[2J"},
			`denied chroot(NULL): errno EPERM [\x1b[2J, pid 7] by the default action`,
		},
		{
			"a number that equals the address of the string",
			Event{ID: call(t, native, "fchownat"), Args: [6]uint64{3, 5, 5, 5, 0}, Texts: []Text{{Arg: 1, Bytes: "p"}}},
			`denied fchownat(3, "p", 5, 5, 0): errno EPERM [victim, pid 7] by the default action`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.event
			d.PID, d.Count = 7, 1
			if d.TID == 0 {
				d.TID = 7
			}
			if d.Comm == "" {
				d.Comm = "victim"
			}
			entry, news := NewReport(policy(t)).Add(d)
			if news != Show {
				t.Fatal("it is not shown")
			}
			if diff := cmp.Diff(c.want, entry.Line()); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// Every fate has its own count, and calls that only pass have none.
func TestTheSummaryCountsWhatThePolicyRefusedAndLogged(t *testing.T) {
	native := sysno.Native()
	r := NewReport(policy(t))
	if got := r.Summary(); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	r.Add(Event{ID: call(t, native, "read"), Count: 4})
	if got := r.Summary(); got != "" {
		t.Errorf("of the target's own refusals: %q", got)
	}
	if entry, _ := r.Add(Event{ID: call(t, native, "read"), Passed: true, Count: 4}); entry != nil {
		t.Errorf("a call that passes has the entry %+v", entry)
	}
	r.Add(Event{ID: call(t, native, "chroot"), Count: 1})
	if got, want := r.Summary(), "1 call refused: chroot ×1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Add(Event{ID: call(t, native, "chroot"), Args: [6]uint64{1}, Count: 2})
	r.Add(Event{ID: call(t, native, "chdir"), Count: 1})
	r.Add(Event{ID: call(t, native, "unlinkat"), Passed: true, Count: 4})
	r.Add(Event{ID: call(t, native, "chdir"), Cut: true, Count: 7})
	r.Add(Event{ID: call(t, native, "socket"), Cut: true, Count: 5})
	if got, want := r.Summary(), "11 calls refused: chdir ×8, chroot ×3; 4 calls logged: unlinkat ×4; 5 calls refused or logged: socket ×5"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Equal calls are one entry, whatever the address of the string; too many different ones
// of one syscall are not all told of at once, and are in the report all the same.
func TestEqualCallsAreOneEntryWithACount(t *testing.T) {
	mkdir := call(t, sysno.Native(), "mkdirat")
	r := NewReport(policy(t))
	for i := range uint64(3) {
		_, news := r.Add(Event{ID: mkdir, Args: [6]uint64{3, 0x1000 + i, 0}, Texts: []Text{{Arg: 1, Bytes: "x"}}, PID: 7, Count: 1})
		if (news == Show) != (i == 0) {
			t.Errorf("call %d: news %v", i, news)
		}
	}
	r.Add(Event{ID: mkdir, Args: [6]uint64{3, 0x1000, 0}, Texts: []Text{{Arg: 1, Bytes: "x"}}, PID: 8, Count: 1})
	if got := r.Entries(); len(got) != 2 || got[0].Count != 3 || got[1].PID != 8 {
		t.Errorf("got %+v, want 3 calls of 7 and one of 8", got)
	}
	shown := 0
	for i := range uint64(100) {
		if _, news := r.Add(Event{ID: call(t, sysno.Native(), "chroot"), Args: [6]uint64{i}, PID: 7, Count: 1}); news == Show {
			shown++
		}
	}
	if shown != perCall || len(r.Entries()) != 102 {
		t.Errorf("%d told of, %d entries, want %d and 102", shown, len(r.Entries()), perCall)
	}
}

func TestTheLogHasALineForEachEntryAndTheSum(t *testing.T) {
	r := NewReport(policy(t))
	r.From("eBPF", "all is seen")
	entry, _ := r.Add(Event{ID: call(t, sysno.Native(), "mkdirat"), Args: [6]uint64{^uint64(99), 0x1000, 0o700}, Texts: []Text{{Arg: 1, Bytes: "a\xff\n"}},
		PID: 7, TID: 8, Comm: "b\xff", Site: "libc.so.6:mkdir+0xb", Count: 2})
	r.Lose(3)
	line, err := entry.JSON()
	if err != nil {
		t.Fatal(err)
	}
	r.Answered(Event{ID: call(t, sysno.Native(), "connect"), Count: 1}, synth.Verdict{Action: synth.Notify}, true, "errno EPERM", "line 3 of the rules")
	var b strings.Builder
	b.Write(append(line, '\n'))
	if err := r.WriteEnd(&b, "exit 0"); err != nil {
		t.Fatal(err)
	}
	nr := call(t, sysno.Native(), "mkdirat").NR
	want := fmt.Sprintf(`{"seq":1,"event":"denied","syscall":"mkdirat","abi":%q,"nr":%d,"call":"mkdirat(AT_FDCWD, \"a\\xff\\n\", 0700)","arguments":["0xffffffffffffff9c","0x1000","0x1c0"],`+
		`"action":"errno EPERM","by":"the default action","pid":7,"tid":8,"comm":"b�","site":"libc.so.6:mkdir+0xb"}
{"event":"repeated","of":1,"count":2}
{"event":"summary","denied":{"mkdirat":2},"logged":{},"answered":{"connect":1},"lost":3,"complete":false,"source":"eBPF","limits":"all is seen","ended":"exit 0"}
`, sysno.Native(), nr)
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// What is suggested permits what was refused, nothing that the policy refuses to arguments
// that nobody used, and leaves refusals alone that are there for a purpose.
func TestWhatIsSuggestedAllowsWhatWasRefused(t *testing.T) {
	native := sysno.Native()
	p := policy(t)
	p.Groups = synth.Arrange(append(p.Rules(), synth.Rule{ID: call(t, native, "clone3"), Verdict: synth.Verdict{Action: synth.Errno, Errno: uint16(unix.ENOSYS)}, Tier: synth.Always}))
	r := NewReport(p)
	inet := [6]uint64{unix.AF_INET | 1<<40, unix.SOCK_STREAM, 0}
	events := []Event{
		{ID: call(t, native, "mkdirat"), Args: [6]uint64{3, 0x1000}},
		{ID: call(t, native, "socket"), Args: inet},
		{ID: call(t, native, "ptrace")},
	}
	for _, e := range append(events, Event{ID: call(t, native, "clone3")}, Event{ID: sysno.ID{Arch: native, NR: 1000}},
		Event{ID: sysno.ID{Arch: sysno.I386, NR: 5}}, Event{ID: call(t, native, "unlinkat"), Passed: true}, Event{ID: call(t, native, "read")}) {
		e.Count, e.Comm = 1, "victim"
		r.Add(e)
	}
	suggestions := r.Suggest(p)
	var lines []string
	for _, s := range suggestions {
		lines = append(lines, s.Line())
	}
	want := []string{
		"socket: allow if domain is AF_INET",
		"ptrace: allow (risky: reads and changes other processes)",
		"mkdirat: allow",
	}
	slices.Sort(lines)
	slices.Sort(want)
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Fatalf("want (-), got (+):\n%s", diff)
	}
	after, err := Apply(p, suggestions)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if got := after.Decide(e.ID, e.Args); got.Action != synth.Allow {
			t.Errorf("%s: %v after it was applied", e.Call(), got)
		}
	}
	for _, e := range []Event{{ID: call(t, native, "socket"), Args: [6]uint64{unix.AF_INET6}}, {ID: call(t, native, "clone3")}, {ID: call(t, native, "chroot")}} {
		if got := after.Decide(e.ID, e.Args); got != p.Decide(e.ID, e.Args) {
			t.Errorf("%s: %v after something else was applied", e.Call(), got)
		}
	}
}
