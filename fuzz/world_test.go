package fuzz

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

var update = flag.Bool("update", false, "write the golden files anew")

// all is an executor's abilities where it can do everything.
var all = Abilities{Terminal: true, Faults: true, User: true, Uptime: true, TimeOfDay: true, Peers: true, Calls: []string{"abort"}}

// worlds are scenarios that vary everything that can be varied, a name each.
func worlds() map[string]Scenario {
	out := map[string]Scenario{}
	add := func(name string, change func(*Scenario)) {
		s := Scenario{Argv: []string{"x", "@@"}, Stdin: StdinNull, Files: []File{{Name: "a"}, {Name: "b"}}}
		change(&s)
		if s.usesInput() {
			s.Input = []byte("in")
		}
		out[name] = s
	}
	for k := StdinNull; k < stdinKinds; k++ {
		add("stdin "+k.String(), func(s *Scenario) { s.Stdin = k })
	}
	for k := range outputKinds {
		if k != OutputFile {
			add("stdout "+k.String(), func(s *Scenario) { s.World.Stdout = k })
			add("stderr "+k.String(), func(s *Scenario) { s.World.Stderr = k })
		}
	}
	for k := range fileKinds {
		if k != FileRegular {
			add("input "+k.String(), func(s *Scenario) { s.World.Input = k })
		}
		if k != FileRegular && k != FileMissing {
			add("file "+k.String(), func(s *Scenario) { s.Files[1].Kind = k })
		}
	}
	for k := KernelHost + 1; k < kernels; k++ {
		add("kernel "+k.String(), func(s *Scenario) { s.World.Kernel = k })
	}
	for _, of := range possible() {
		for _, f := range of {
			add("fault "+f.String(), func(s *Scenario) { s.World.Faults = []Fault{f} })
		}
	}
	for _, l := range limits {
		add("limit "+l.String(), func(s *Scenario) { s.World.Limits = []Limit{l} })
	}
	add("two limits", func(s *Scenario) { s.World.Limits = []Limit{{ResourceFiles, 4}, {ResourceFile, 0}} })
	add("user nobody", func(s *Scenario) { s.World.User = UserNobody })
	add("user by numbers", func(s *Scenario) { s.World.User = UserOf(33, 0) })
	for _, sig := range signals {
		for m := MomentRead; m < moments; m++ {
			i := Interruption{sig, m}
			add("signal "+i.String(), func(s *Scenario) {
				s.Stdin = StdinPipe
				s.interrupt(i.Signal, i.Moment)
			})
		}
	}
	for c := ClockHost + 1; c < clocks; c++ {
		add("clock "+c.String(), func(s *Scenario) { s.World.Clock = c })
	}
	for k := TimesMade + 1; k < fileTimes; k++ {
		add("times "+k.String(), func(s *Scenario) { s.World.Times = k })
	}
	for _, p := range tellingPeers() {
		add("peers "+p.String(), func(s *Scenario) { s.World.Peers = p })
	}
	add("peers in all ways", func(s *Scenario) {
		s.World.Peers = Peers{ConductCut, NamesMany, TrustExpired, ReplyLogin}
	})
	for at := OccasionMain; at < occasions; at++ {
		c := Call{"abort", at}
		add("call "+c.String(), func(s *Scenario) { s.World.Call = c })
	}
	add("two faults", func(s *Scenario) { s.World.Faults = []Fault{fault("read:EIO"), fault("openat:EMFILE")} })
	return out
}

func fault(s string) Fault {
	f, err := ParseFault(s)
	if err != nil {
		panic(err)
	}
	return f
}

// A state directory that an earlier version made is read as long as this holds.
func TestScenariosOfTheUsualWorldKeepTheirID(t *testing.T) {
	for i, want := range []string{"0940e1abff5f97dc", "48bb8cd724c5ca0f", "543a2b17112eff40", "9baa3b8c4a610541", "8ca5a034107b5308", "ab58dd08567f1aab"} {
		if got := samples[i].ID(); got != want {
			t.Errorf("sample %d has the id %s, and had %s", i, got, want)
		}
	}
}

func TestEachWorldHasAnIDOfItsOwn(t *testing.T) {
	ids := map[string]string{}
	for name, s := range worlds() {
		id := s.ID()
		if other, taken := ids[id]; taken {
			t.Errorf("%s and %s have the id %s", name, other, id)
		}
		ids[id] = name
	}
}

func TestEveryWorldIsStoredAndReadBack(t *testing.T) {
	state, err := OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Scenario{}
	for name, s := range worlds() {
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := state.Save(Queue, &s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want[s.ID()] = s
	}
	got, err := state.List(Queue)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		for i := range g.Scenario.Files {
			g.Scenario.Files[i].Data = nil // stored as an empty file
		}
		if !reflect.DeepEqual(g.Scenario, want[g.ID]) {
			t.Errorf("got %+v, want %+v", g.Scenario, want[g.ID])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d scenarios, want %d", len(got), len(want))
	}
}

// everything has all the words of the file form.
func everything() Scenario {
	return Scenario{
		Argv: []string{"x", "@@"}, Stdin: StdinTerminal, Input: []byte("in"),
		Files: []File{{Name: "a", Data: []byte("1")}, {Name: "b", Kind: FileFIFO}},
		World: World{Stdout: OutputBroken, Stderr: OutputClosed, Input: FileSymlink, Kernel: Kernel5_4,
			Faults: []Fault{fault("read:EIO"), fault("statx:ENOSYS")}, Limits: []Limit{{ResourceFiles, 4}, {ResourceFile, 0}},
			User: UserNobody, Interruption: Interruption{unix.SIGHUP, MomentLimit}, Clock: ClockFar, Times: TimesFalling},
	}
}

func TestTheFileFormOfAWorldIsFixed(t *testing.T) {
	s := everything()
	got, err := encodeScenario(&s)
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, s.ID()+"\n"...)
	golden := filepath.Join("testdata", "world.golden")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s\nto accept it: go test ./fuzz -run %s -update", got, want, t.Name())
	}
}

func TestAWorldThatCannotBeIsRefused(t *testing.T) {
	for _, tt := range []struct{ json, want string }{
		{`"stdin":"full"`, `kind of standard input: "full" is unknown`},
		{`"stdin":""`, `kind of standard input: "" is unknown`},
		{`"stdin":"null","stdout":"socket"`, `kind of standard output: "socket" is unknown`},
		{`"stdin":"null","stderr":"file"`, `"file" is the usual, which is not said`},
		{`"stdin":"null","input":"regular"`, `"regular" is the usual, which is not said`},
		{`"stdin":"null","files":["a"],"file_kinds":["regular"]`, "all files are regular, which is not said"},
		{`"stdin":"null","files":["a"],"file_kinds":["fifo","fifo"]`, "2 kinds for 1 files"},
		{`"stdin":"null","files":["a"],"file_kinds":["missing"]`, `file "a" is of an unknown kind`},
		{`"stdin":"null","user":"same"`, "an unknown user"},
		{`"stdin":"null","limits":["nofile"]`, `"nofile" is no limit; one is as in nofile=4`},
		{`"stdin":"null","limits":["nofile=04"]`, `"nofile=04" is no limit`},
		{`"stdin":"null","limits":["cpu=1"]`, `"cpu=1" is no limit`},
		{`"stdin":"null","limits":["as=1","nofile=4"]`, "limits are not sorted, or two are of one resource"},
		{`"stdin":"null","limits":["as=9223372036854775808"]`, "an unknown limit"},
		{`"stdin":"null","signal":"SIGSTOP@limit"`, `"SIGSTOP@limit" is no interruption; one is as in SIGHUP@read`},
		{`"stdin":"null","signal":"SIGHUP@never"`, `"SIGHUP@never" is no interruption`},
		{`"stdin":"null","clock":"host"`, `clock: "host" is the usual, which is not said`},
		{`"stdin":"null","clock":"1999"`, `clock: "1999" is unknown`},
		{`"stdin":"null","peers":"none"`, `"none" are no peers; some are as in proper+no-name+moved`},
		{`"stdin":"null","peers":"proper+found"`, `"proper+found" are no peers`},
		{`"stdin":"null","peers":"proper+moved+no-name"`, `"proper+moved+no-name" are no peers`},
		{`"stdin":"null","call":"abort"`, `"abort" is no call; one is as in abort@main`},
		{`"stdin":"null","call":"@main"`, `"@main" is no call`},
		{`"stdin":"null","call":"abort@never"`, `"abort@never" is no call`},
		{`"stdin":"null","call":"a b@main"`, `"a b@main" is no call`},
		{`"stdin":"null","call":"abort@main","clock":"2038"`, "a call of abort, and another time of day"},
		{`"stdin":"null","times":"made"`, `times of files: "made" is the usual, which is not said`},
		{`"stdin":"null","kernel":"host"`, `"host" is the usual, which is not said`},
		{`"stdin":"null","kernel":"5.5"`, `kernel: "5.5" is unknown`},
		{`"stdin":"null","faults":["read"]`, `"read" is no fault; one is a syscall and an error, as in openat:EMFILE`},
		{`"stdin":"null","faults":["read:EVIL"]`, `"read:EVIL" is no fault`},
		{`"stdin":"null","faults":["write:EWOULDBLOCK"]`, `"write:EWOULDBLOCK" is no fault`}, // it has the name EAGAIN
		{`"stdin":"null","faults":["execve:EPERM"]`, "execve cannot be made to fail"},
		{`"stdin":"null","faults":["read:EIO","read:EPERM"]`, "faults are not sorted, or two are of one syscall"},
		{`"stdin":"null","files":["a"],"file_kinds":["door"]`, `kind of file "a": "door" is unknown`},
	} {
		_, err := decodeScenario([]byte(`{"version":1,"argv":["x","@@"],` + tt.json + `}`))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.json, err, tt.want)
		}
	}
	for _, s := range []Scenario{
		{Argv: []string{"x"}, Stdin: stdinKinds},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Stdout: outputKinds}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Input: FileFIFO}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Kernel: kernels}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{User: "same"}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{User: "01:1"}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{User: "65534:65534"}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{User: "4294967295:1"}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Clock: clocks}},
		{Argv: []string{"x", "@@"}, Stdin: StdinNull, World: World{Times: fileTimes}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Times: TimesEpoch}},
		{Argv: []string{"x"}, Stdin: StdinNull, Files: []File{{Name: "a"}}, Before: []Step{{Argv: []string{"x"}}}, World: World{Times: TimesEpoch}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Peers: Peers{Conduct: conducts}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Peers: Peers{Reply: ReplyMoved}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Call: Call{Function: "abort"}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Call: Call{At: OccasionMain}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Call: Call{"abort", occasions}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Limits: []Limit{{}}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Interruption: Interruption{Moment: MomentRead}}},
		{Argv: []string{"x"}, Stdin: StdinFile, Input: []byte("12"), World: World{Interruption: Interruption{unix.SIGHUP, MomentRead}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Interruption: Interruption{unix.SIGHUP, MomentWrite}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Faults: []Fault{{}}}},
		{Argv: []string{"x"}, Stdin: StdinNull, World: World{Faults: []Fault{{ID: sysno.ID{Arch: sysno.I386, NR: 3}, Errno: 1}}}},
		{Argv: []string{"x"}, Stdin: StdinNull, Files: []File{{Name: "a", Kind: fileKinds}}},
		{Argv: []string{"x"}, Stdin: StdinNull, Files: []File{{Name: "a", Kind: FileDirectory, Data: []byte("x")}}},
	} {
		if s.Check() == nil {
			t.Errorf("%+v passes", s)
		}
	}
}

func TestACommandSaysWhatTheWorldIs(t *testing.T) {
	for _, tt := range []struct {
		s    Scenario
		want string
	}{
		{Scenario{Stdin: StdinClosed}, "x <&-"},
		{Scenario{Stdin: StdinDirectory}, "x < ."},
		{Scenario{Stdin: StdinFile, Input: []byte("a"), World: World{Stdout: OutputInput}}, "x <> p.input >&0"},
		{Scenario{Stdin: StdinTerminal}, "x # with the input typed at a terminal"},
		{Scenario{Stdin: StdinPipe, World: World{Stdout: OutputFull}}, "cat p.input | x > /dev/full"},
		{Scenario{Stdin: StdinNull, World: World{Stdout: OutputBroken, Stderr: OutputClosed}}, "x < /dev/null 2>&- | true"},
		{Scenario{Stdin: StdinNull, World: World{Stdout: OutputPipe, Stderr: OutputNull}}, "x < /dev/null 2> /dev/null | cat"},
		{Scenario{Stdin: StdinNull, World: World{Stdout: OutputTerminal, Stderr: OutputBusy}},
			"x < /dev/null # with a terminal as standard output, a full pipe that does not block as standard error"},
		{Scenario{Argv: []string{"x", "@@"}, Stdin: StdinNull, World: World{Input: FileLoop}}, "x p.input < /dev/null # with the input file a symbolic link to itself"},
		{Scenario{Stdin: StdinNull, World: World{Kernel: Kernel3_10, Faults: []Fault{fault("openat:EMFILE")}}}, "x < /dev/null # with openat failing with EMFILE, the syscalls of Linux 3.10 only"},
		{Scenario{Stdin: StdinNull, Env: []string{"A=1"}, World: World{User: UserNobody, Limits: []Limit{{ResourceFiles, 4}, {ResourceFile, 0}}}},
			"env A=1 setpriv --reuid=65534 --regid=65534 --clear-groups prlimit --nofile=4 --fsize=0 x < /dev/null"},
		{Scenario{Stdin: StdinPipe, Input: []byte("ab"), World: World{Interruption: Interruption{unix.SIGHUP, MomentRead}}}, "cat p.input | x # with SIGHUP when it reads"},
		{Scenario{Stdin: StdinNull, World: World{Interruption: Interruption{unix.SIGTERM, MomentLimit}}}, "x < /dev/null # with SIGTERM when its time is up"},
		{Scenario{Stdin: StdinNull, World: World{Stdout: OutputPipe, Interruption: Interruption{unix.SIGINT, MomentWrite}}}, "x < /dev/null | cat # with SIGINT when it writes"},
		{Scenario{Stdin: StdinNull, World: World{Clock: Clock2038}}, "x < /dev/null # with the time of day 2038-01-19 03:14:08 UTC"},
		{Scenario{Stdin: StdinNull, World: World{Clock: ClockBooted}}, "x < /dev/null # with a machine that is up for 1s"},
		{Scenario{Argv: []string{"x", "@@"}, Stdin: StdinNull, World: World{Times: TimesFuture}}, "x p.input < /dev/null # with the files of 2300"},
		{Scenario{Stdin: StdinNull, World: World{Peers: Peers{Conduct: ConductProper, Reply: ReplyMoved}}}, "x < /dev/null # with peers: proper+moved"},
		{Scenario{Stdin: StdinNull, World: World{Call: Call{"abort", OccasionMain}}}, "x < /dev/null # with abort called in the place of main"},
		{Scenario{Stdin: StdinNull, World: World{Call: Call{"abort", OccasionWrite}}}, "x < /dev/null # with abort called when it has written"},
		{Scenario{Stdin: StdinNull, Files: []File{{Name: "a\nb", Kind: FileFIFO}}}, `(cd p.files && x < /dev/null) # with "a\nb" a FIFO`},
	} {
		if tt.s.Argv == nil {
			tt.s.Argv = []string{"x"}
		}
		if got := tt.s.Command("p"); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestEveryTellingWorldIsTried(t *testing.T) {
	o := Options{Fixed: 1, Bases: []Scenario{{Argv: []string{"x"}}}, Seeds: []Seed{{Name: "s", Data: []byte("seed")}}, Can: all}
	tried := map[string]bool{}
	for _, p := range deliberate(&o) {
		if p.s.Stdin > StdinPipe {
			tried["stdin "+p.s.Stdin.String()] = true
		}
		for _, w := range p.s.world() {
			tried[w] = true
		}
		if err := p.s.Check(); err != nil {
			t.Errorf("%+v: %v", p.s, err)
		}
	}
	want := []string{"stdin terminal", "stdin socket", "stdin directory", "stdin closed"}
	for k := range outputKinds {
		if k != OutputFile {
			want = append(want, "stdout="+k.String(), "stderr="+k.String())
		}
	}
	for _, k := range inputKinds() {
		want = append(want, "input="+k.String())
	}
	for c := ClockHost + 1; c < clocks; c++ {
		want = append(want, "clock="+c.String())
	}
	for k := TimesMade + 1; k < fileTimes; k++ {
		want = append(want, "times="+k.String())
	}
	want = append(want, "call=abort@main", "call=abort@write", "limit=nofile=4", "user=nobody", "signal=SIGTERM@read", "signal=SIGHUP@limit")
	for _, f := range telling() {
		want = append(want, "fault="+f.String())
	}
	for k := KernelHost + 1; k < kernels; k++ {
		want = append(want, "kernel="+k.String())
	}
	for _, w := range want {
		if !tried[w] {
			t.Errorf("%s was not tried", w)
		}
	}
}

// Draws reach every world, make nothing that cannot be, and nothing that the executor
// cannot do.
func TestDrawsReachEveryWorld(t *testing.T) {
	for _, can := range []Abilities{{}, all} {
		o := Options{Fixed: 1, Bases: []Scenario{{Argv: []string{"x", "@@"}, Files: []File{{Name: "a"}}}}, Can: can}
		books := map[sysno.ID]*record{fault("read:EIO").ID: {}, fault("getcwd:ENOENT").ID: {}}
		c := newCorpus(&o, books)
		r := rand.New(rand.NewPCG(1, 2))
		drawn := map[string]int{}
		for range 20_000 {
			d := c.draw(r)
			s := d.mutate(r, &o, &plugin{})
			if err := s.Check(); err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			if !can.Allow(&s) {
				t.Fatalf("%+v was drawn for %+v", s, can)
			}
			if s.World.Call != (Call{}) {
				t.Fatalf("%+v was drawn, which is planned alone", s)
			}
			for _, w := range append(s.world(), "stdin="+s.Stdin.String()) {
				drawn[w]++
			}
		}
		want := []string{"file a=fifo", "file a=sparse", "fault=read:EIO", "fault=getcwd:ENOENT", "kernel=5.10", "kernel=3.10", "user=nobody"}
		for _, l := range limits {
			want = append(want, "limit="+l.String())
		}
		for c := ClockHost + 1; c < clocks; c++ {
			want = append(want, "clock="+c.String())
		}
		for k := TimesMade + 1; k < fileTimes; k++ {
			want = append(want, "times="+k.String())
		}
		for _, sig := range signals {
			want = append(want, "signal="+Interruption{sig, MomentLimit}.String())
		}
		for k := StdinNull; k < stdinKinds; k++ {
			want = append(want, "stdin="+k.String())
		}
		for k := range outputKinds {
			if k != OutputFile {
				want = append(want, "stdout="+k.String(), "stderr="+k.String())
			}
		}
		for _, k := range inputKinds() {
			want = append(want, "input="+k.String())
		}
		for _, w := range want {
			uptime := w == "clock=booted" || w == "clock=aged"
			possible := (can.Terminal || !strings.HasSuffix(w, "=terminal")) &&
				(can.User || w != "user=nobody") && (can.Uptime || !uptime) && (can.TimeOfDay || uptime || !strings.HasPrefix(w, "clock=")) &&
				(can.Faults || !strings.HasPrefix(w, "fault=") && !strings.HasPrefix(w, "kernel="))
			if n := drawn[w]; possible != (n > 0) {
				t.Errorf("%+v: %s was drawn %d times", can, w, n)
			}
		}
		ofTarget, others := 0, 0
		for w, n := range drawn {
			switch name, isFault := strings.CutPrefix(w, "fault="); {
			case !isFault:
			case strings.HasPrefix(name, "read:") || strings.HasPrefix(name, "getcwd:"):
				ofTarget += n
			default:
				others += n
			}
		}
		if can.Faults && (others == 0 || ofTarget < 4*others) {
			t.Errorf("faults of what was seen were drawn %d times, of what was not %d times", ofTarget, others)
		}
	}
}

func TestMinimizeLeavesOfTheWorldOnlyWhatIsNeeded(t *testing.T) {
	for i, needed := range needs() {
		got := minimize(everything(), 1, 1000, func(s *Scenario) bool { return needed(s) })
		if n := len(got.world()); n > 1 || !needed(&got) {
			t.Errorf("case %d: %v is left", i, got.world())
		}
	}
	got := minimize(everything(), 1, 1000, func(s *Scenario) bool { return true })
	if !got.Usual() {
		t.Errorf("of what nobody needs %v is left, and standard input %v", got.world(), got.Stdin)
	}
}

// needs are predicates, each of which needs one thing of everything.
func needs() []func(*Scenario) bool {
	return []func(*Scenario) bool{
		func(s *Scenario) bool { return s.World.Stdout == OutputBroken },
		func(s *Scenario) bool { return s.World.Stderr == OutputClosed },
		func(s *Scenario) bool { return s.World.Input == FileSymlink },
		func(s *Scenario) bool { return s.World.Kernel == Kernel5_4 },
		func(s *Scenario) bool { return s.World.User == UserNobody },
		func(s *Scenario) bool { return s.World.Clock == ClockFar },
		func(s *Scenario) bool { return s.World.Times == TimesFalling },
		func(s *Scenario) bool { return s.World.Interruption.Signal == unix.SIGHUP },
		func(s *Scenario) bool { return slices.Contains(s.World.Limits, Limit{ResourceFile, 0}) },
		func(s *Scenario) bool { return slices.Contains(s.World.Faults, fault("read:EIO")) },
		func(s *Scenario) bool { return slices.Contains(s.World.Faults, fault("statx:ENOSYS")) },
		func(s *Scenario) bool { return len(s.Files) > 0 && s.Files[len(s.Files)-1].Kind == FileFIFO },
	}
}

func TestEachFaultWorthTryingIsOne(t *testing.T) {
	last := ""
	for _, f := range worthFailing {
		if f.syscall <= last && f.syscall != "io_uring_setup" { // sorted as people sort
			t.Errorf("%s comes after %s", f.syscall, last)
		}
		last = f.syscall
		known := false
		for _, a := range sysno.Archs() {
			_, ok := sysno.Lookup(a, f.syscall)
			known = known || ok
		}
		if !known {
			t.Errorf("%s is no syscall", f.syscall)
		}
		for _, name := range strings.Fields(f.errnos) {
			if _, ok := sysno.Errno(name); !ok {
				t.Errorf("%s is no error", name)
			}
		}
	}
	if sysno.Native() == sysno.AMD64 && len(telling()) != 25 {
		t.Errorf("%d telling faults, want 25", len(telling()))
	}
}

func TestAnOldKernelHasWhatARunBeginsWith(t *testing.T) {
	for k := range kernels {
		for _, id := range k.Lacks() {
			if name, _ := id.Name(); slices.Contains(unfailing, name) {
				t.Errorf("Linux %v lacks %s", k, name)
			}
		}
		if n := len(k.Lacks()); (n == 0) != (k == KernelHost) {
			t.Errorf("Linux %v lacks %d syscalls", k, n)
		}
	}
}

func TestNamesOfKindsAreDistinct(t *testing.T) {
	for _, names := range [][]string{stdinNames[1:], outputNames[:], fileNames[:], resourceNames[1:], clockNames[:]} {
		seen := map[string]bool{}
		for _, n := range names {
			if n == "" || seen[n] {
				t.Errorf("%q in %q", n, names)
			}
			seen[n] = true
		}
	}
}

// Who waits until a time of day waits by the kernel's clock.
func TestToWaitForAnotherClockIsNoHang(t *testing.T) {
	for _, tt := range []struct {
		clock Clock
		want  int
	}{{ClockHost, 1}, {ClockFar, 0}, {ClockEpoch, 0}, {ClockBooted, 1}} {
		o := Options{Bases: []Scenario{{Argv: []string{"x"}}}, Now: time.Now}
		c := &coordinator{o: &o, corpus: newCorpus(&o, nil), books: map[sysno.ID]*record{}, crashes: map[string]*Failure{}, hangs: map[string]*Failure{}}
		s := Scenario{Argv: []string{"x"}, Stdin: StdinNull, World: World{Clock: tt.clock}}
		c.report(&job{s: s, phase: PhaseOptions}, &Result{TimedOut: true})
		if got := len(c.hangs); got != tt.want || c.stats.CleanRuns != 0 {
			t.Errorf("%v: %d hangs, want %d; %d clean runs", tt.clock, got, tt.want, c.stats.CleanRuns)
		}
	}
}

func TestAProvokedEndIsNoCrash(t *testing.T) {
	for _, tt := range []struct {
		world  World
		signal int
		want   int
	}{
		{World{Stdout: OutputBroken}, 13, 0},
		{World{Stderr: OutputBroken}, 13, 0},
		{World{Stdout: OutputBroken}, 11, 1},
		{World{}, 13, 0}, // as a child of its own can bring about
		{World{Peers: Peers{Conduct: ConductReset}}, 13, 0},
		{World{Interruption: Interruption{unix.SIGHUP, MomentLimit}}, 1, 0},
		{World{Interruption: Interruption{unix.SIGHUP, MomentLimit}}, 2, 1},
		{World{Limits: []Limit{{ResourceFile, 0}}}, int(unix.SIGXFSZ), 0},
		{World{Limits: []Limit{{ResourceMemory, 1 << 20}}}, 11, 0},
		{World{Limits: []Limit{{ResourceFiles, 4}}}, 11, 1},
	} {
		o := Options{Bases: []Scenario{{Argv: []string{"x"}}}, Now: time.Now}
		c := &coordinator{o: &o, corpus: newCorpus(&o, nil), books: map[sysno.ID]*record{}, crashes: map[string]*Failure{}, hangs: map[string]*Failure{}}
		s := Scenario{Argv: []string{"x"}, Stdin: StdinNull, World: tt.world}
		c.report(&job{s: s, phase: PhaseOptions}, &Result{Signal: tt.signal})
		if got := len(c.crashes); got != tt.want || c.stats.CleanRuns != 0 {
			t.Errorf("%+v, signal %d: %d crashes, want %d; %d clean runs", tt.world, tt.signal, got, tt.want, c.stats.CleanRuns)
		}
	}
}

func TestACallAndAnotherTimeOfDaySettleToTheCall(t *testing.T) {
	// Draws that go back to what runs have left take any planned run, such as one with a call, and may change its clock.
	s := Scenario{Argv: target(), Stdin: StdinNull, World: World{Call: Call{"abort", OccasionMain}, Clock: Clock2038}}
	if s.Check() == nil {
		t.Fatal("both can be had, so nothing is to be settled")
	}
	if s.settle(); s.World.Call == (Call{}) || s.Check() != nil {
		t.Errorf("got %+v: %v", s.World, s.Check())
	}
}
