package rawtp

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// Numbers that the victim calls and the filters refuse.
const (
	getpgid64     = 121
	getpgid32     = 132
	rename64      = 82
	mkdir64       = 83
	mkdir32       = 39
	memfdCreate64 = 319
)

// refuse is the filter's action that makes a call fail.
func refuse(errno uint32) uint32 { return unix.SECCOMP_RET_ERRNO | errno }

// collect returns the events that are delivered while f runs.
func collect(t *testing.T, r *Recorder, f func()) []Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var events []Event
	failed := make(chan error)
	go func() { failed <- r.Events(ctx, func(e Event) { events = append(events, e) }) }()
	f()
	cancel()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return events
}

func TestADenialIsSeenAsSuchAndNotAsACall(t *testing.T) {
	r := mustOpen(t, Options{Denials: true})
	program := victim(t)
	refused := []uint32{getpgid64, getpgid32}
	amd64 := sysno.ID{Arch: sysno.AMD64, NR: getpgid64}
	i386 := sysno.ID{Arch: sysno.I386, NR: getpgid32}
	for _, c := range []struct {
		name   string
		action uint32
		mode   string
		status unix.WaitStatus
		id     sysno.ID
		want   []Event // those fields that can be foretold
	}{
		{"errno", refuse(13), "refused", 0, amd64, []Event{
			{Args: [6]uint64{0x101, 0x102, 0x103, 0x104, 0x105, 0x106}, Return: -13, Count: 3},
			{Args: [6]uint64{0x201, 0x102, 0x103, 0x104, 0x105, 0x106}, Return: -13, Count: 1},
		}},
		{"errno 0", refuse(0), "refused", 0, amd64, []Event{
			{Args: [6]uint64{0x101, 0x102, 0x103, 0x104, 0x105, 0x106}, Count: 3},
			{Args: [6]uint64{0x201, 0x102, 0x103, 0x104, 0x105, 0x106}, Count: 1},
		}},
		{"trap that is handled", unix.SECCOMP_RET_TRAP, "trapped", 0, amd64, []Event{
			{Args: [6]uint64{0x101, 0x102, 0x103, 0x104, 0x105, 0x106}, SIGSYS: true, Count: 1},
		}},
		{"trap that kills", unix.SECCOMP_RET_TRAP, "thread", unix.WaitStatus(unix.SIGSYS), amd64, []Event{
			{Args: [6]uint64{1, 0x102, 0x103, 0x104, 0x105, 0x106}, SIGSYS: true, Count: 1},
		}},
		{"kill the process", unix.SECCOMP_RET_KILL_PROCESS, "refused", unix.WaitStatus(unix.SIGSYS), amd64, []Event{
			{Args: [6]uint64{0x101, 0x102, 0x103, 0x104, 0x105, 0x106}, SIGSYS: true, Count: 1},
		}},
		// The other thread dies with the same code and must not be taken for a second denial.
		{"kill a process with threads", unix.SECCOMP_RET_KILL_PROCESS, "thread", unix.WaitStatus(unix.SIGSYS), amd64, []Event{
			{Args: [6]uint64{1, 0x102, 0x103, 0x104, 0x105, 0x106}, SIGSYS: true, Count: 1},
		}},
		{"kill the only thread", unix.SECCOMP_RET_KILL_THREAD, "refused", unix.WaitStatus(unix.SIGSYS), amd64, []Event{
			{Args: [6]uint64{0x101, 0x102, 0x103, 0x104, 0x105, 0x106}, SIGSYS: true, Count: 1},
		}},
		{"kill one thread of two", unix.SECCOMP_RET_KILL_THREAD, "thread", 0, amd64, []Event{
			{Args: [6]uint64{1, 0x102, 0x103, 0x104, 0x105, 0x106}, SIGSYS: true, Count: 1},
		}},
		{"32-bit arguments", refuse(1), "refused-int80", 0, i386, []Event{
			{Args: [6]uint64{1, 2, 3, 4, 5}, Return: -1, Count: 1},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.id == i386 {
				testenv.RequireCompat(t)
			}
			s := launcher(t, r, 5)
			var status unix.WaitStatus
			events := collect(t, r, func() {
				status = runFiltered(t, c.action, refused, false, program, c.mode)
			})
			if status&^0x80 != c.status { // 0x80: a core was dumped
				t.Errorf("status %#x, want %#x", status, c.status)
			}
			if got := s.Denied(); !slices.Equal(got, []sysno.ID{c.id}) {
				t.Errorf("denied %v, want %v", got, c.id)
			}
			if got := s.Seen(); slices.Contains(got, c.id) || len(got) == 0 {
				t.Errorf("seen %v, want it without %v", got, c.id)
			}
			if len(events) == 0 {
				t.Fatal("no events")
			}
			var counted []Event
			table, err := r.Denials()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range table {
				if e.PID == events[0].PID {
					counted = append(counted, e)
				}
			}
			for i := range c.want {
				c.want[i].Kind, c.want[i].ID, c.want[i].Slot, c.want[i].Comm = Denied, c.id, 5, "victim"
			}
			check(t, "table", counted, c.want)
			for i := range c.want {
				c.want[i].Count = 1
			}
			check(t, "events", events, c.want)
		})
	}
	if got := r.Dropped(); got != (Dropped{}) {
		t.Errorf("dropped %+v, want nothing", got)
	}
}

// check compares what can be foretold of events. The sixth argument of int80 is
// the frame pointer.
func check(t *testing.T, what string, got, want []Event) {
	t.Helper()
	got = slices.Clone(got)
	for i, e := range got {
		if e.PID <= 0 || e.TID < e.PID || e.IP == 0 {
			t.Errorf("%s: pid %d, tid %d, ip %#x", what, e.PID, e.TID, e.IP)
		}
		got[i].PID, got[i].TID, got[i].IP = 0, 0, 0
		if e.ID.Arch == sysno.I386 {
			if e.Args[5]>>32 != 0 {
				t.Errorf("%s: %#x is no 32-bit register", what, e.Args[5])
			}
			got[i].Args[5] = 0
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: want (-), got (+):\n%s", what, diff)
	}
}

func TestADenialHoldsItsPathHoweverItEnds(t *testing.T) {
	r := mustOpen(t, Options{Denials: true})
	program := victim(t)
	h, err := readHost()
	if err != nil {
		t.Fatal(err)
	}
	path := []Text{{Arg: 0, Bytes: "/no/such/directory"}}
	ofDeadThread := path
	if h.before(6, 16) {
		ofDeadThread = nil // it has given up its memory by then
	}
	for _, c := range []struct {
		name   string
		action uint32
		mode   string
		status unix.WaitStatus
		want   []Text
	}{
		{"errno", refuse(13), "directory", 0, path},
		{"trap", unix.SECCOMP_RET_TRAP, "directory", unix.WaitStatus(unix.SIGSYS), path},
		{"kill the process", unix.SECCOMP_RET_KILL_PROCESS, "directory", unix.WaitStatus(unix.SIGSYS), path},
		{"kill a process with threads", unix.SECCOMP_RET_KILL_PROCESS, "directory-in-thread", unix.WaitStatus(unix.SIGSYS), path},
		{"kill the only thread", unix.SECCOMP_RET_KILL_THREAD, "directory", unix.WaitStatus(unix.SIGSYS), path},
		{"kill one thread of two", unix.SECCOMP_RET_KILL_THREAD, "directory-in-thread", 0, ofDeadThread},
	} {
		t.Run(c.name, func(t *testing.T) {
			launcher(t, r, 0)
			var status unix.WaitStatus
			events := collect(t, r, func() {
				status = runFiltered(t, c.action, []uint32{mkdir64}, false, program, c.mode)
			})
			if status&^0x80 != c.status {
				t.Errorf("status %#x, want %#x", status, c.status)
			}
			if len(events) != 1 {
				t.Fatalf("%d events, want 1: %+v", len(events), events)
			}
			if diff := cmp.Diff(c.want, events[0].Texts); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestStringsAreReadAsFarAsTheyCanBe(t *testing.T) {
	r := mustOpen(t, Options{Denials: true})
	argv := []string{victim(t), "strings"}
	if testenv.RunsCompat() {
		argv = append(argv, "and of 32-bit calls")
	}
	launcher(t, r, 0)
	events := collect(t, r, func() {
		refused := []uint32{rename64, mkdir64, mkdir32, memfdCreate64}
		if status := runFiltered(t, refuse(1), refused, false, argv...); status != 0 {
			t.Fatalf("status %#x, want exit 0", status)
		}
	})
	const other = "a \"b\"\n\xff"
	type read struct {
		name  string
		call  string
		texts []Text
	}
	want := []read{
		{"two strings, one empty", "rename", []Text{{Arg: 0, Bytes: other}, {Arg: 1}}},
		{"no first string", "rename", []Text{{Arg: 1, Bytes: other}}},
		{"the first of two equal calls", "mkdir", []Text{{Arg: 0, Bytes: "first"}}},
		{"as long as is kept", "mkdir", []Text{{Arg: 0, Bytes: strings.Repeat("f", 256)}}},
		{"a byte longer", "mkdir", []Text{{Arg: 0, Bytes: strings.Repeat("l", 256), Cut: true}}},
		{"up to the end of the memory", "mkdir", []Text{{Arg: 0, Bytes: "/end"}}},
		{"beyond the end of the memory", "mkdir", nil},
		{"not resident", "mkdir", nil},
		{"not of user space", "mkdir", nil},
		{"not a path", "memfd_create", []Text{{Arg: 0, Bytes: other}}},
	}
	if testenv.RunsCompat() {
		want = append(want, read{"32-bit address", "i386:mkdir", []Text{{Arg: 0, Bytes: "/low"}}})
	}
	if len(events) != len(want) {
		t.Fatalf("%d events, want %d: %+v", len(events), len(want), events)
	}
	for i, c := range want {
		if got := events[i].ID.String(); got != c.call {
			t.Errorf("%s: got %s, want %s", c.name, got, c.call)
		}
		if diff := cmp.Diff(c.texts, events[i].Texts); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", c.name, diff)
		}
	}

	table, err := r.Denials()
	if err != nil {
		t.Fatal(err)
	}
	events[2].Count = 2
	bySyscall := func(a, b Event) int { return a.ID.Compare(b.ID) }
	byArgs := func(a, b Event) int { return slices.Compare(a.Args[:], b.Args[:]) }
	slices.SortFunc(events, byArgs)
	slices.SortStableFunc(events, bySyscall)
	if diff := cmp.Diff(events, table); diff != "" {
		t.Errorf("events (-), table (+):\n%s", diff)
	}
}

func TestAllowedCallsUnderAFilterAreNoDenials(t *testing.T) {
	r := mustOpen(t, Options{Denials: true})
	program, leaf := victim(t), trivial(t)
	for _, c := range []struct {
		name string
		run  func() unix.WaitStatus
		want []string
	}{
		{"filter from before the exec", func() unix.WaitStatus {
			return runFiltered(t, refuse(1), []uint32{1000}, false, program, "all", leaf)
		}, nil},
		{"through an init", func() unix.WaitStatus {
			return runFiltered(t, refuse(1), []uint32{1000}, true, program, "all", leaf)
		}, nil},
		{"filter of the target's own", func() unix.WaitStatus {
			return runFiltered(t, 0, nil, false, program, "own-filter", leaf)
		}, []string{"getpgid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := launcher(t, r, 0)
			if status := c.run(); status != 0 {
				t.Fatalf("status %#x, want exit 0", status)
			}
			if diff := cmp.Diff(c.want, names(s.Denied())); diff != "" {
				t.Errorf("denied: want (-), got (+):\n%s", diff)
			}
			if seen := names(s.Seen()); !slices.Contains(seen, "getitimer") || !slices.Contains(seen, "exit") {
				t.Errorf("children were not followed: %v", seen)
			}
		})
	}
}

// The thread was inside no call when it got the filter, and nobody had looked at the
// end of the call before.
func TestWhatAFilterOfAnotherThreadRefusesIsSeen(t *testing.T) {
	program := victim(t)
	for name, o := range map[string]Options{"denials": {Denials: true}, "results": {Returns: true}} {
		t.Run(name, func(t *testing.T) {
			r := mustOpen(t, o)
			s := launcher(t, r, 0)
			run(t, program, "filter-of-another-thread")
			if got := names(s.Denied()); !slices.Equal(got, []string{"getpgid"}) {
				t.Errorf("denied %v, want getpgid", got)
			}
			if got := names(s.Seen()); !slices.Contains(got, "getppid") {
				t.Errorf("seen %v without getppid", got)
			}
		})
	}
}

func TestACallThatATracerSwallowsIsNoDenial(t *testing.T) {
	r := mustOpen(t, Options{Denials: true})
	program := victim(t)
	s := launcher(t, r, 0)
	run(t, program, "emulated")
	if got := s.Denied(); len(got) != 0 {
		t.Errorf("denied %v without a filter", got)
	}
	seen := names(s.Seen())
	if !slices.Contains(seen, "ptrace") || slices.Contains(seen, "getpgid") {
		t.Errorf("seen %v, want ptrace, and not the getpgid that did not happen", seen)
	}
}

func TestDeniedOddNumbersAreKept(t *testing.T) {
	r := mustOpen(t, Options{Denials: true})
	program := victim(t)
	s := launcher(t, r, 0)
	runFiltered(t, refuse(38), []uint32{1000}, false, program, "numbers")
	odd := sysno.ID{Arch: sysno.Native(), NR: 1000}
	if got := s.Denied(); !slices.Equal(got, []sysno.ID{odd}) {
		t.Errorf("denied %v, want %v", got, odd)
	}
	if got := s.Seen(); slices.Contains(got, odd) || !slices.Contains(got, sysno.ID{Arch: sysno.Native(), NR: 0xffffffff}) {
		t.Errorf("seen %v, want -1 and not 1000", got)
	}
	if got := r.Seen(); slices.Contains(got, odd) {
		t.Errorf("session: %v in %v", odd, got)
	}
}

func TestFirstSightingsAreDeliveredOnce(t *testing.T) {
	r := mustOpen(t, Options{Events: true})
	program, mode := victim(t), "x32"
	if testenv.RunsCompat() {
		mode = "int80"
	}
	s := launcher(t, r, 1)
	for n, want := range []bool{true, false} {
		s.Begin()
		events := collect(t, r, func() {
			run(t, program, mode)
		})
		if !want {
			if len(events) != 0 {
				t.Errorf("run %d: %d events of what was seen before", n, len(events))
			}
			continue
		}
		var ids []sysno.ID
		for _, e := range events {
			ids = append(ids, e.ID)
			if e.Kind != FirstSeen || e.Slot != 1 || e.PID <= 0 || e.TID != e.PID || e.Count != 1 {
				t.Errorf("event %+v", e)
			}
			if e.ID.Arch == sysno.I386 && !slices.Equal(e.Args[:5], []uint64{1, 2, 3, 4, 5}) {
				t.Errorf("arguments %#x of %v, want those in 32-bit registers", e.Args, e.ID)
			}
		}
		slices.SortFunc(ids, sysno.ID.Compare)
		if diff := cmp.Diff(s.Seen(), ids); diff != "" {
			t.Errorf("run %d: seen (-), events (+):\n%s", n, diff)
		}
	}
}

func TestAFirstSightingHoldsThePath(t *testing.T) {
	r := mustOpen(t, Options{Events: true})
	program := victim(t)
	launcher(t, r, 0)
	events := collect(t, r, func() { run(t, program, "directory") })
	var got []Text
	for _, e := range events {
		switch e.ID.String() {
		case "mkdir":
			got = e.Texts
		case "execve":
			if e.Texts != nil {
				t.Errorf("execve: %+v, where the registers are the new program's", e.Texts)
			}
		}
	}
	if diff := cmp.Diff([]Text{{Arg: 0, Bytes: "/no/such/directory"}}, got); diff != "" {
		t.Errorf("mkdir: want (-), got (+):\n%s", diff)
	}
}

func TestAFullBufferDropsEventsButNoSyscall(t *testing.T) {
	program := victim(t)
	r := mustOpenBounded(t, Options{Events: true, Denials: true}, bounds{events: 4096, odds: 4096, denials: 8})
	s := launcher(t, r, 0)
	s.Begin()
	runFiltered(t, refuse(1), []uint32{getpgid64}, false, program, "refused-often")
	run(t, program, "odds")
	odd := 0
	for _, id := range s.Seen() {
		if id.NR >= 1000 {
			odd++
		}
	}
	if odd != 20 {
		t.Errorf("kept %d of 20 numbers", odd)
	}
	if got := names(s.Denied()); !slices.Equal(got, []string{"getpgid"}) {
		t.Errorf("denied %v, want getpgid", got)
	}
	if got := r.Dropped(); got.Events == 0 || got.Denials != 0 {
		t.Errorf("dropped %+v, want some events and no denials", got)
	}
	table, err := r.Denials()
	if err != nil {
		t.Fatal(err)
	}
	var counted, cut uint64
	for _, e := range table {
		counted += e.Count
		if e.Cut {
			cut += e.Count
			if e.Args != [6]uint64{} || e.Texts != nil {
				t.Errorf("%+v stands for several calls, and has the arguments of one", e)
			}
		}
	}
	if counted != 40 || cut != 40-8 {
		t.Errorf("counted %d calls, %d of them without arguments, want 40 and 32", counted, cut)
	}
	if lost := r.Lost(); !lost.Complete() {
		t.Errorf("lost %+v, want nothing", lost)
	}
	events := collect(t, r, func() {})
	if len(events) == 0 {
		t.Error("nothing was in the full buffer")
	}
}

func TestEventsEndsWithTheRecorder(t *testing.T) {
	r := mustOpen(t, Options{Events: true})
	ended := make(chan error)
	go func() { ended <- r.Events(context.Background(), func(Event) {}) }()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	r = mustOpen(t, Options{})
	if err := r.Events(context.Background(), func(Event) {}); err == nil {
		t.Error("a recorder without events: no error")
	}
}

// Of a call that is watched, each is told of and counted, whatever its number; the others
// are not.
func TestEachWatchedCallIsCountedAndOthersAreNot(t *testing.T) {
	getpgid, odd := sysno.ID{Arch: sysno.AMD64, NR: getpgid64}, sysno.ID{Arch: sysno.AMD64, NR: 1000}
	program := victim(t)
	for _, c := range []struct {
		name, mode string
		watch      func(sysno.ID) bool
		want       map[sysno.ID]uint64 // calls
	}{
		{"one call", "refused", func(id sysno.ID) bool { return id == getpgid }, map[sysno.ID]uint64{getpgid: 4}},
		{"numbers without a name", "numbers", func(id sysno.ID) bool { return id.Arch == sysno.AMD64 && id.NR >= 1000 }, map[sysno.ID]uint64{odd: 2, {Arch: sysno.AMD64, NR: 0xffffffff}: 1}},
		{"another ABI", "refused", func(id sysno.ID) bool { return id.Arch == sysno.I386 }, map[sysno.ID]uint64{}},
		{"the execve that begins", "refused", func(id sysno.ID) bool { return id.String() == "execve" }, map[sysno.ID]uint64{{Arch: sysno.AMD64, NR: 59}: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := mustOpen(t, Options{Denials: true, Watch: c.watch})
			launcher(t, r, 0)
			events := collect(t, r, func() { run(t, program, c.mode) })
			table, err := r.Denials()
			if err != nil {
				t.Fatal(err)
			}
			got := map[sysno.ID]uint64{}
			for _, e := range table {
				if e.Kind != Watched {
					t.Errorf("%+v is no watched call", e)
				}
				got[e.ID] += e.Count
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			if len(events) != len(table) {
				t.Errorf("%d events of %d different calls", len(events), len(table))
			}
		})
	}
}

// What the registers hold beyond the arguments of a call makes no other call of it.
func TestEqualCallsAreTheSameWhateverElseIsInRegisters(t *testing.T) {
	r := mustOpen(t, Options{Denials: true})
	program := victim(t)
	launcher(t, r, 0)
	runFiltered(t, refuse(1), []uint32{getpgid64}, false, program, "refused-with-rest")
	table, err := r.Denials()
	if err != nil {
		t.Fatal(err)
	}
	if len(table) != 1 || table[0].Count != 5 {
		t.Errorf("got %+v, want one call, five times", table)
	}
}

// tellsPlaces ends a test where the kernel does not tell where refused calls are made.
func tellsPlaces(t *testing.T) {
	t.Helper()
	h, err := readHost()
	if err != nil {
		t.Fatal(err)
	}
	if h.before(5, 17) {
		testenv.Lack(t, "kernel", "Linux 5.17 tells where calls are made")
	}
}

func TestARefusalTellsWhereTheProgramCalledTheLibrary(t *testing.T) {
	program := victim(t)
	tellsPlaces(t)
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []uint32{refuse(1), unix.SECCOMP_RET_KILL_PROCESS} {
		r := mustOpen(t, Options{Denials: true, Places: true})
		launcher(t, r, 0)
		events := collect(t, r, func() { runFiltered(t, action, []uint32{mkdir64}, false, program, "directory") })
		if len(events) != 1 {
			t.Fatalf("action %#x: %d events, want 1", action, len(events))
		}
		e := events[0]
		if from := functionAt(t, program, codeAt(t, program)+e.Caller-1); from != "makes_directory" || e.Program != info.Sys().(*syscall.Stat_t).Ino {
			t.Errorf("action %#x: called from %q of inode %d by %+v, want makes_directory of the victim", action, from, e.Program, e)
		}
	}
}

func TestARefusalHoldsThePlaceOfTheCallHoweverItEnds(t *testing.T) {
	program := victim(t)
	tellsPlaces(t)
	for _, action := range []uint32{refuse(1), unix.SECCOMP_RET_KILL_PROCESS} {
		r := mustOpen(t, Options{Denials: true, Places: true})
		launcher(t, r, 0)
		events := collect(t, r, func() { runFiltered(t, action, []uint32{getpgid64}, false, program, "refused") })
		if len(events) == 0 {
			t.Fatal("no events")
		}
		for _, e := range events {
			if e.Site.Module != "victim" || e.Site.Offset == 0 {
				t.Errorf("action %#x: place %+v, want one in the victim", action, e.Site)
			}
		}
	}
}
