package rawtp

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// entryOf is the entry point of an ELF file.
func entryOf(t testing.TB, path string) *Entry {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr <= f.Entry && f.Entry < p.Vaddr+p.Filesz {
			return &Entry{Path: path, Offset: f.Entry - p.Vaddr + p.Off}
		}
	}
	t.Fatalf("%s: no segment holds the entry point", path)
	return nil
}

func openPhases(t testing.TB, e *Entry) *Recorder {
	t.Helper()
	r := mustOpen(t, Options{Slots: 1, Entry: e})
	if err := r.NoPhases(); err != nil {
		t.Fatalf("no phases: %v", err)
	}
	return r
}

// phases are those in which the slot saw each syscall, by name.
func phases(s *Slot) map[string]trace.Phase {
	all := map[string]trace.Phase{}
	for _, o := range s.Observations() {
		all[o.ID.String()] = o.Phases
	}
	return all
}

func wantPhases(t *testing.T, s *Slot, want map[string]trace.Phase) {
	t.Helper()
	got := phases(s)
	for name, phase := range want {
		if got[name] != phase {
			t.Errorf("%s: phases %b, want %b", name, got[name], phase)
		}
	}
	for name, phase := range got {
		if phase == trace.PhaseUnknown {
			t.Errorf("%s: no phase", name)
		}
	}
}

const both = trace.PhaseStartup | trace.PhaseMain

func TestStartupEndsAtTheEntryPoint(t *testing.T) {
	goProgram := func(t *testing.T) string {
		out := filepath.Join(t.TempDir(), "program")
		cmd := exec.Command(testenv.Program(t, "go"), "build", "-o", out, "testdata/phases.go")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, text)
		}
		return out
	}
	c := func(flags ...string) func(t *testing.T) string {
		return func(t *testing.T) string { return compile(t, "phases.c", flags) }
	}
	for _, c := range []struct {
		name    string
		program func(t *testing.T) string
		want    map[string]trace.Phase
	}{
		{"dynamic at any address", c("-pie", "-fPIE"), map[string]trace.Phase{"openat": trace.PhaseStartup}},
		{"dynamic at a fixed address", c("-no-pie"), map[string]trace.Phase{"openat": trace.PhaseStartup}},
		{"static", c("-static"), map[string]trace.Phase{"brk": trace.PhaseMain}},
		{"static at any address", c("-static-pie"), map[string]trace.Phase{"brk": trace.PhaseMain}},
		{"Go", goProgram, map[string]trace.Phase{"rt_sigaction": trace.PhaseMain}},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := c.program(t)
			r := openPhases(t, entryOf(t, program))
			s := launcher(t, r, 0)
			for range 3 {
				s.Begin()
				run(t, program)
			}
			c.want["execve"], c.want["getsid"], c.want["exit_group"] = trace.PhaseStartup, trace.PhaseMain, trace.PhaseMain
			wantPhases(t, s, c.want)
			if got, want := len(phases(s)), len(r.Seen()); got != want {
				t.Errorf("%d syscalls have a phase, %d were seen", got, want)
			}
			if got := r.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}

// The second recorder finds the first one's breakpoint where it puts its own.
func TestSeveralRecordersTellPhasesOfOneProgram(t *testing.T) {
	program := compile(t, "phases.c", nil)
	first := openPhases(t, entryOf(t, program))
	second := openPhases(t, entryOf(t, program))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := launcher(t, second, 0)
	run(t, program)
	wantPhases(t, s, map[string]trace.Phase{"execve": trace.PhaseStartup, "getsid": trace.PhaseMain})
}

func TestA32BitProgramHasAnEntryPointToo(t *testing.T) {
	testenv.RequireCompat(t)
	program := compile(t, "phases.c", []string{"-m32"})
	s := launcher(t, openPhases(t, entryOf(t, program)), 0)
	run(t, program)
	wantPhases(t, s, map[string]trace.Phase{
		"execve": trace.PhaseStartup, "i386:openat": trace.PhaseStartup, "i386:getsid": trace.PhaseMain,
	})
}

func TestWhatALibraryDoesBeforeTheEntryPoint(t *testing.T) {
	program := compile(t, "phases.c", nil)
	library := compile(t, "phases.c", []string{"-DLIBRARY", "-shared", "-fPIC", "-pthread"})
	s := launcher(t, openPhases(t, entryOf(t, program)), 0)
	run(t, "/usr/bin/env", "LD_PRELOAD="+library, program)
	wantPhases(t, s, map[string]trace.Phase{
		"getpgid":     trace.PhaseStartup,
		"getpriority": trace.PhaseStartup, // of a forked process, which will meet the entry point itself
		"getitimer":   trace.PhaseMain,    // of a thread, which will not
		"getsid":      trace.PhaseMain,
	})
}

func TestOnlyTheProgramItselfHasAStartup(t *testing.T) {
	program := compile(t, "phases.c", []string{"-static"})
	other := compile(t, "phases.c", nil)
	for _, c := range []struct {
		name string
		argv []string
		want map[string]trace.Phase
	}{
		{"executes another", []string{program, other}, map[string]trace.Phase{"execve": both, "openat": trace.PhaseMain}},
		{"executed by another", []string{other, program}, map[string]trace.Phase{"execve": trace.PhaseMain, "openat": trace.PhaseMain}},
		{"executes itself", []string{program, program}, map[string]trace.Phase{"execve": both, "getsid": trace.PhaseMain}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := launcher(t, openPhases(t, entryOf(t, program)), 0)
			run(t, c.argv...)
			wantPhases(t, s, c.want)
		})
	}
}

func TestAFileIsKnownThroughMounts(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lower", "upper", "work", "merged", "upper2", "work2", "merged2", "bound"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "lower/program")
	code, err := os.ReadFile(compile(t, "phases.c", nil))
	if err == nil {
		err = os.WriteFile(program, code, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	const mounts = `cd "$0"
mount -t tmpfs none upper && mkdir upper/u upper/w upper/u2 upper/w2
mount -t overlay none -o lowerdir=lower,upperdir=upper/u,workdir=upper/w merged
mount -t overlay none -o lowerdir=merged,upperdir=upper/u2,workdir=upper/w2 merged2
mount --bind lower bound
`
	inside := func(t *testing.T, r *Recorder, command string) *Slot {
		s := launcher(t, r, 0)
		run(t, "/usr/bin/unshare", "--mount", "/bin/sh", "-e", "-c", mounts+command, dir)
		return s
	}
	isStartup := map[string]trace.Phase{"openat": both, "getsid": trace.PhaseMain}
	isMain := map[string]trace.Phase{"openat": trace.PhaseMain, "getsid": trace.PhaseMain}
	for _, c := range []struct {
		name, command string
		want          map[string]trace.Phase
	}{
		{"bind mount", "exec bound/program", isStartup},
		{"overlay", "exec merged/program", isStartup},
		{"overlay on an overlay", "exec merged2/program", isStartup},
		{"another name", "ln lower/program lower/other; exec merged/other", isStartup},
		{"a copy in the upper layer", "touch merged/program; cp merged/program merged/copy; exec merged/copy", isMain},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantPhases(t, inside(t, openPhases(t, entryOf(t, program)), c.command), c.want)
		})
	}
}

func TestTheCageDoesNotHideTheEntryPoint(t *testing.T) {
	own := compile(t, "phases.c", nil)
	system, err := filepath.EvalSymlinks("/usr/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{system, own} {
		t.Run(filepath.Base(program), func(t *testing.T) {
			r := openPhases(t, entryOf(t, program))
			done := make(chan bool)
			var c *cage.Cage
			go func() {
				defer close(done)
				runtime.LockOSThread() // and never unlock: the thread is in the cage
				s, err := r.Launcher(0)
				if err != nil {
					t.Error(err)
					return
				}
				c = runCaged(t, program)
				wantPhases(t, s, map[string]trace.Phase{
					"execve": trace.PhaseStartup, "openat": trace.PhaseStartup, "exit_group": trace.PhaseMain,
				})
				if err := s.Release(); err != nil {
					t.Error(err)
				}
			}()
			<-done
			if c == nil {
				return
			}
			if err := c.Remove(); err != nil {
				t.Error(err)
			}
		})
	}
}

// runCaged leaves the calling thread unfit for anything else.
func runCaged(t *testing.T, program string) *cage.Cage {
	c, err := cage.New(cage.Options{Expose: []string{program}})
	if err != nil {
		t.Error(err)
		return nil
	}
	w, err := c.NewWorld()
	if err != nil {
		t.Error(err)
		return c
	}
	defer w.Close()
	spec := w.Spec()
	spec.Target.Exec(program, []string{program}, nil, nil)
	p, err := spawn.Start(spec)
	if err != nil {
		t.Error(err)
		return c
	}
	if status, err := p.Wait(spawn.Limits{}); err != nil || status.WaitStatus != 0 {
		t.Errorf("status %#x, %v; want exit 0", status.WaitStatus, err)
	}
	if err := c.Leave(); err != nil {
		t.Error(err)
	}
	return c
}

func TestWithoutAProbeNoPhaseIsClaimed(t *testing.T) {
	program := compile(t, "phases.c", nil)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no code\n", 100)), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		entry *Entry
		want  string
	}{
		{"none named", nil, "no entry point was named"},
		{"no such file", &Entry{Path: "/no/such/file", Offset: 64}, "no such file"},
		{"a directory", &Entry{Path: "/", Offset: 64}, "has no entry point"},
		{"outside the file", &Entry{Path: program, Offset: 1 << 40}, "has no entry point"},
		{"offset 0", &Entry{Path: program}, "has no entry point"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := mustOpen(t, Options{Slots: 1, Entry: c.entry})
			if err := r.NoPhases(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NoPhases: %v, want %q", err, c.want)
			}
			s := launcher(t, r, 0)
			run(t, program)
			got := phases(s)
			for name, phase := range got {
				if phase != trace.PhaseUnknown {
					t.Errorf("%s: phase %b, want none", name, phase)
				}
			}
			if !slices.Contains(names(s.Seen()), "getsid") || len(got) == 0 {
				t.Errorf("no getsid in %v, %v", names(s.Seen()), got)
			}
		})
	}
}

func TestARefusedCallHasAPhase(t *testing.T) {
	program := compile(t, "phases.c", nil)
	r := mustOpen(t, Options{Slots: 1, Denials: true, Entry: entryOf(t, program)})
	s := launcher(t, r, 0)
	access, getsid := id(t, sysno.Native(), "access"), id(t, sysno.Native(), "getsid")
	runFiltered(t, refuse(13), []uint32{access.NR, getsid.NR}, false, program)
	wantPhases(t, s, map[string]trace.Phase{"access": trace.PhaseStartup, "getsid": trace.PhaseMain})
	want := []sysno.ID{access, getsid}
	slices.SortFunc(want, sysno.ID.Compare)
	if got := s.Denied(); !slices.Equal(got, want) || !slices.Equal(r.Denied(), want) {
		t.Errorf("denied %v and %v, want %v", got, r.Denied(), want)
	}
}

func TestAnEventIsOfTheFirstSightingInEitherPart(t *testing.T) {
	program := compile(t, "phases.c", nil)
	library := compile(t, "phases.c", []string{"-DLIBRARY", "-shared", "-fPIC", "-pthread"})
	r := mustOpen(t, Options{Slots: 1, Events: true, Entry: entryOf(t, program)})
	s := launcher(t, r, 0)
	seen := map[string]int{}
	for _, e := range collect(t, r, func() { run(t, "/usr/bin/env", "LD_PRELOAD="+library, program) }) {
		seen[e.ID.String()]++
	}
	for name, phases := range phases(s) {
		if phases == both && seen[name] != 1 {
			t.Errorf("%s: %d events, want 1", name, seen[name])
		}
	}
	wantPhases(t, s, map[string]trace.Phase{"openat": both, "syscall_1000": both})
	if got, want := len(r.Seen()), len(phases(s)); got != want {
		t.Errorf("%d in the session, %d in the slot: want the same", got, want)
	}
}

// A test suite starts many programs, of which one is to be recorded, wherever it is started
// and whatever it starts itself.
func TestOnlyTheProgramOfTheEntryIsRecorded(t *testing.T) {
	program, other := victim(t), trivial(t)
	alone := openPhases(t, entryOf(t, program))
	s := launcher(t, alone, 0)
	s.Begin()
	run(t, program, "vfork")
	run(t, program, "fork")
	want := names(s.Seen())
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}

	r := mustOpen(t, Options{Slots: 1, Entry: entryOf(t, program), OnlyEntry: true})
	s = launcher(t, r, 0)
	s.Begin()
	run(t, "/bin/sh", "-c", `set -e; "$1"; (cd / && env sh -c '"$1" vfork && "$1" fork; exit $?' sh "$0"); ls / >/dev/null; exec "$1"`, program, other)
	if got := names(s.Seen()); !slices.Equal(got, want) {
		t.Errorf("in a tree of processes: got %v, want what the program does alone: %v", got, want)
	}
	s.Begin()
	run(t, "/bin/sh", "-c", `"$0"; ls / >/dev/null`, other)
	if got := s.Seen(); len(got) > 0 {
		t.Errorf("the program was not started: got %v, want nothing", got)
	}
	if got := r.Lost(); !got.Complete() {
		t.Errorf("lost %+v, want nothing", got)
	}
	if r, err := Open(Options{OnlyEntry: true}); err == nil {
		_ = r.Close()
		t.Error("without an entry: got no error")
	}
}
