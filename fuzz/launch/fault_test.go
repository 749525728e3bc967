package launch

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

func fault(t *testing.T, words ...string) (faults []fuzz.Fault) {
	t.Helper()
	for _, w := range words {
		f, err := fuzz.ParseFault(w)
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, f)
	}
	return faults
}

func TestFaultsHappen(t *testing.T)             { faultsHappen(t, &cage.Options{}) }
func TestFaultsHappenWithoutACage(t *testing.T) { faultsHappen(t, nil) }

func faultsHappen(t *testing.T, c *cage.Options) {
	t.Helper()
	e := shell(t, Options{Cage: c})
	for _, tt := range []struct {
		faults       []string
		script, want string
	}{
		{[]string{"read:EIO"}, "cat f 2>&1", "Input/output error"},
		{[]string{"openat:EMFILE"}, "cat f 2>&1", "Too many open files"},
		{[]string{"newfstatat:EACCES"}, "[ -e f ] || echo unseen", "unseen"},
		{[]string{"close:EIO"}, "cat f >o 2>&1; cat o", "Input/output error"},
		{[]string{"getcwd:ENOENT"}, "/bin/pwd -P 2>&1", "No such file"},
		{[]string{"mmap:ENOMEM"}, "head -c 5 f | sort -S 1M 2>&1", "data"},
		{[]string{"getcwd:EACCES", "statx:ENOSYS"}, "/bin/pwd -P 2>&1; stat -c %s f", "5\n"},
	} {
		s := script(tt.script)
		s.Files = []fuzz.File{{Name: "f", Data: []byte("data\n")}}
		s.World.Faults = fault(t, tt.faults...)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		r := run(t, e, s)
		if got := string(e.Output()); !strings.Contains(got, tt.want) || !r.Faulted || r.Clean() {
			t.Errorf("cage %v, %v: got %q, want %q in it; %+v", c != nil, tt.faults, got, tt.want, r)
		}
	}
}

// The loader and the C library get by with each fault that is ever drawn.
func TestProgramsStartInSpiteOfFaults(t *testing.T) {
	e := shell(t, Options{Cage: &cage.Options{}})
	for _, f := range fuzz.Faults() {
		s := script("exit 3")
		s.World.Faults = []fuzz.Fault{f}
		if r := run(t, e, s); r.ExitCode != 3 || r.Signal != 0 {
			t.Errorf("%v: %+v, output %q", f, r, e.Output())
		}
	}
}

func TestAnOldKernelLacksWhatCameLater(t *testing.T) {
	e := shell(t, Options{Cage: &cage.Options{}})
	for _, k := range []fuzz.Kernel{fuzz.Kernel5_10, fuzz.Kernel5_4, fuzz.Kernel4_18, fuzz.Kernel3_10} {
		s := script("stat -c %s f && sort f && cp f g && mv g h && ls -l h >/dev/null")
		s.Files = []fuzz.File{{Name: "f", Data: []byte("data\n")}}
		s.World.Kernel = k
		r := run(t, e, s)
		if got := string(e.Output()); got != "5\ndata\n" || !r.Clean() || r.ExitCode != 0 {
			t.Errorf("Linux %v: got %q, %+v", k, got, r)
		}
	}
}

// What is refused is recorded as attempted, and what is done instead is recorded too.
func TestFaultsAreRecordedAsAttempts(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	rec, err := rawtp.Open(rawtp.Options{Slots: 1, Denials: true})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	var slot *rawtp.Slot
	e, err := New(Options{Program: testenv.Program(t, "stat"), Cage: &cage.Options{}, Watch: func() (Watcher, error) {
		var err error
		slot, err = rec.Launcher(0)
		return denied{slot}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	number := func(name string) sysno.ID {
		id, ok := sysno.Lookup(sysno.Native(), name)
		if !ok {
			t.Fatalf("no number for %s", name)
		}
		return id
	}
	for _, tt := range []struct {
		name              string
		world             fuzz.World
		attempted, though bool
	}{
		{"usual", fuzz.World{}, false, false},
		{"fault", fuzz.World{Faults: fault(t, "statx:ENOSYS")}, true, true},
		{"old kernel", fuzz.World{Kernel: fuzz.Kernel3_10}, true, true},
	} {
		s := &fuzz.Scenario{Argv: []string{"stat", "/etc/passwd"}, Stdin: fuzz.StdinNull, World: tt.world}
		r := run(t, e, s)
		attempted := slices.Contains(slot.Denied(), number("statx"))
		if attempted != tt.attempted || slices.Contains(slot.Seen(), number("statx")) == tt.attempted {
			t.Errorf("%s: statx refused: %v, want %v; seen %v", tt.name, attempted, tt.attempted, slot.Seen())
		}
		if instead := slices.Contains(r.Seen, number("newfstatat")); tt.though && !instead {
			t.Errorf("%s: nothing was done in the place of statx: %v", tt.name, r.Seen)
		}
		for _, name := range []string{"seccomp", "prctl"} { // of the launcher
			if slices.Contains(r.Seen, number(name)) {
				t.Errorf("%s: %s of the launcher is in the record", tt.name, name)
			}
		}
	}
}

// A policy and faults hold in the same run.
func TestFaultsGoTogetherWithAFilter(t *testing.T) {
	allow := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}}
	e := shell(t, Options{Cage: &cage.Options{}, Filter: unsafe.Slice((*byte)(unsafe.Pointer(&allow[0])), unsafe.Sizeof(allow[0]))})
	s := script("grep Seccomp_filters /proc/self/status; cat /etc/passwd")
	s.World = fuzz.World{Faults: fault(t, "read:EISDIR"), Kernel: fuzz.Kernel3_10}
	run(t, e, s)
	if got := string(e.Output()); !strings.Contains(got, "cat: /etc/passwd: Is a directory") {
		t.Errorf("got %q, want that reading failed", got)
	}
	s = script("grep Seccomp_filters /proc/self/status")
	s.World.Kernel = fuzz.Kernel5_4
	run(t, e, s)
	if got := string(e.Output()); got != "Seccomp_filters:\t2\n" {
		t.Errorf("got %q, want two filters", got)
	}
}

// A listener sees nothing that is refused, so they are not combined.
func TestAListenerAndFaultsAreRefused(t *testing.T) {
	allow := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}}
	program := unsafe.Slice((*byte)(unsafe.Pointer(&allow[0])), unsafe.Sizeof(allow[0]))
	e := shell(t, Options{Cage: &cage.Options{}, Watch: func() (Watcher, error) { return listening{program}, nil }})
	s := script(":")
	s.World.Faults = fault(t, "read:EIO")
	if _, err := e.Run(t.Context(), s); err == nil || !strings.Contains(err.Error(), "a filter and a listener") {
		t.Errorf("got %v, want a refusal", err)
	}
}

type listening struct{ program []byte }

func (l listening) Begin(s *spawn.Spec) error {
	s.Listener = &spawn.Listener{Program: l.program}
	return nil
}

// denied is a slot whose set also has what was refused, as learn has it.
type denied struct{ *rawtp.Slot }

func (d denied) Begin(*spawn.Spec) error      { d.Slot.Begin(); return nil }
func (d denied) Started(*spawn.Process) error { return nil }
func (d denied) Seen() []sysno.ID             { return union(d.Slot.Seen(), d.Denied()) }

func (listening) Started(*spawn.Process) error { return nil }
func (listening) Seen() []sysno.ID             { return nil }
func (listening) Release() error               { return nil }

func TestGoProgramsStartOnOldKernels(t *testing.T) {
	testenv.Require(t, testenv.Root) // who has a cache to build in
	testenv.Require(t, testenv.Cage)
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/threads.go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	e, err := New(Options{Program: program, Cage: &cage.Options{Expose: []string{program}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := &fuzz.Scenario{Argv: []string{"program"}, Stdin: fuzz.StdinNull, World: fuzz.World{Kernel: fuzz.Kernel3_10}}
	if r := run(t, e, s); string(e.Output()) != "done\n" || !r.Clean() {
		t.Errorf("got %q, %+v", e.Output(), r)
	}
}

func TestAServiceThatChangesItsRootGoesOn(t *testing.T) {
	testenv.Require(t, testenv.Root)
	const program = "/usr/sbin/chroot"
	id, known := sysno.Lookup(sysno.Native(), "chroot")
	if !known {
		t.Fatal("no chroot")
	}
	const refused = "chroot: cannot change root directory to '/tmp': "
	talked := []fuzz.Act{say("tcp/7000", 1, "x")}
	for _, c := range []struct {
		pretend bool
		acts    []fuzz.Act
		faults  []string
		want    string
	}{
		{true, talked, nil, "went on\n"},
		{true, talked, []string{"chroot:EIO"}, refused + "Input/output error\n"},
		{true, nil, nil, refused + "Operation not permitted\n"}, // a run that may be a copy
		{false, talked, nil, refused + "Operation not permitted\n"},
	} {
		e, err := New(Options{Program: program, Cage: &cage.Options{}, Env: []string{"LC_ALL=C"}, Pretend: c.pretend})
		if err != nil {
			t.Fatal(err)
		}
		s := &fuzz.Scenario{Argv: []string{"chroot", "/tmp", "/bin/echo", "went on"}, Stdin: fuzz.StdinNull, Acts: c.acts}
		s.World.Faults = fault(t, c.faults...)
		if got := slices.Equal(e.Pretended(s), []sysno.ID{id}); got != (c.pretend && c.acts != nil) {
			t.Errorf("pretended: %v", e.Pretended(s))
		}
		run(t, e, s)
		if got := string(e.Output()); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := pretended("/bin/cat"); got != nil {
		t.Errorf("cat is told that its root has changed: %v", got)
	}
}
