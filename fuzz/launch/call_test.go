package launch

import (
	_ "embed"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

//go:embed testdata/ends.c
var endsC []byte

var (
	abortAtMain   = fuzz.Call{Function: "abort", At: fuzz.OccasionMain}
	abortAtWrite  = fuzz.Call{Function: "abort", At: fuzz.OccasionWrite}
	assertAtMain  = fuzz.Call{Function: "__assert_fail", At: fuzz.OccasionMain}
	assertAtWrite = fuzz.Call{Function: "__assert_fail", At: fuzz.OccasionWrite}
)

func ends(how string, c fuzz.Call) *fuzz.Scenario {
	return &fuzz.Scenario{Argv: []string{"ends", how}, Stdin: fuzz.StdinNull, World: fuzz.World{Call: c}}
}

// onX8664 skips where no program can be made to call anything.
func onX8664(t *testing.T) {
	t.Helper()
	if sysno.Native() != sysno.AMD64 {
		t.Skip("programs are made to call functions on x86-64 alone")
	}
}

// A program that is made to call a function makes the calls, and comes to the end, of one that calls it by itself.
func TestACallThatIsForcedIsLikeTheProgramsOwn(t *testing.T) {
	onX8664(t)
	testenv.Require(t, testenv.Cage, testenv.BPF)
	for _, flags := range [][]string{{"-Wl,-z,lazy"}, {"-Wl,-z,now"}, {"-fno-plt"}, {"-no-pie"}, {"-s"}, {"-static"}, {"-static-pie"}} {
		program := build(t, endsC, append(flags, "-DBREAKABLE", "-O2", "-w")...)
		for _, c := range []*cage.Options{{Expose: []string{program}}, nil} {
			r, err := rawtp.Open(rawtp.Options{Slots: 2})
			if err != nil {
				t.Fatal(err)
			}
			served, plain := executors(t, program, r, c)
			for _, e := range []*Exec{served, plain} {
				if got, want := e.Can().Calls, []string{"__assert_fail", "abort"}; !slices.Equal(got, want) {
					t.Fatalf("%v: can be made to call %v, want %v", flags, got, want)
				}
				for call, how := range map[fuzz.Call]string{abortAtMain: "a", assertAtMain: "s"} {
					own, forced := run(t, e, ends(how, fuzz.Call{})), run(t, e, ends("e", call))
					if !slices.Equal(own.Seen, forced.Seen) {
						t.Errorf("%v, cage %v, %v: got %v, want %v", flags, c != nil, call, forced.Seen, own.Seen)
					}
					if own.Signal != int(unix.SIGABRT) || own.Faulted || forced.Signal != own.Signal || !forced.Faulted || forced.Clean() {
						t.Errorf("%v, cage %v, %v: got %+v, the program's own is %+v", flags, c != nil, call, forced, own)
					}
				}
			}
			if lost := r.Lost(); lost != (trace.Lost{}) {
				t.Errorf("lost %+v", lost)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func id(t *testing.T, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(sysno.Native(), name)
	if !ok {
		t.Fatalf("no syscall %s", name)
	}
	return id
}

// What the program has prepared for such an end by the time that it writes is what happens then.
func TestACallComesWhenTheProgramHasWritten(t *testing.T) {
	onX8664(t)
	testenv.Require(t, testenv.Cage, testenv.BPF)
	program := build(t, endsC, "-DBREAKABLE", "-w")
	for _, c := range []*cage.Options{{Expose: []string{program}}, nil} {
		r, err := rawtp.Open(rawtp.Options{Slots: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		_, e := executors(t, program, r, c)
		for _, tt := range []struct {
			how     string
			call    fuzz.Call
			want    fuzz.Result
			written string
			handled bool // getppid, by the handler
			beyond  bool // getpgid, after the write
		}{
			{"e", abortAtWrite, fuzz.Result{Signal: int(unix.SIGABRT), Faulted: true}, "x", false, false},
			{"h", abortAtWrite, fuzz.Result{ExitCode: 7, Faulted: true}, "x", true, false},
			{"h", abortAtMain, fuzz.Result{Signal: int(unix.SIGABRT), Faulted: true}, "", false, false},
			{"q", abortAtWrite, fuzz.Result{}, "", false, true},
		} {
			got := run(t, e, ends(tt.how, tt.call))
			if !sameEnd(got, &tt.want) || got.Faulted != tt.want.Faulted || string(e.Output()) != tt.written {
				t.Errorf("cage %v, %s, %v: got %+v, want %+v; it wrote %q", c != nil, tt.how, tt.call, got, tt.want, e.Output())
			}
			if handled, beyond := slices.Contains(got.Seen, id(t, "getppid")), slices.Contains(got.Seen, id(t, "getpgid")); handled != tt.handled || beyond != tt.beyond {
				t.Errorf("cage %v, %s, %v: the handler ran: %v, want %v; it went on: %v, want %v", c != nil, tt.how, tt.call, handled, tt.handled, beyond, tt.beyond)
			}
		}
		if got := run(t, e, ends("e", assertAtWrite)); got.Signal != int(unix.SIGABRT) || !slices.Contains(got.Seen, id(t, "tgkill")) {
			t.Errorf("cage %v: an assertion fails when it has written: %+v", c != nil, got)
		}
	}
}

// Nothing is planned for a program that has no such call, or that is none.
func TestAProgramIsMadeToCallOnlyWhatItCalls(t *testing.T) {
	onX8664(t)
	if os := clockExecutor(t, build(t, endsC, "-w"), nil).Can().Calls; len(os) > 0 {
		t.Errorf("a program that calls nothing of the kind: %v", os)
	}
	script := filepath.Join(t.TempDir(), "missing")
	e, err := New(Options{Program: script})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if len(e.Can().Calls) > 0 {
		t.Errorf("a program that there is not: %v", e.Can().Calls)
	}
	s := ends("e", abortAtMain)
	if e.Can().Allow(s) {
		t.Error("a scenario is allowed that cannot be carried out")
	}
	if r, err := e.Run(t.Context(), s); err == nil {
		t.Errorf("it was carried out: %+v", r)
	}
}

// The libraries that a program names are its own, but for those of everybody.
func TestTheCallsOfAProgramAreThoseOfItsLibraries(t *testing.T) {
	onX8664(t)
	library := build(t, []byte("#include <stdlib.h>\nvoid work(int n) { if (n > 100) abort(); }\n"), "-shared", "-fPIC")
	program := build(t, []byte("void work(int);\nint main(int n, char **v) { (void)v; work(n); return 0; }\n"), "-Wl,--no-as-needed", library)
	e := clockExecutor(t, program, nil)
	if got := e.Can().Calls; !slices.Equal(got, []string{"abort"}) {
		t.Fatalf("can be made to call %v, want abort", got)
	}
	if r := run(t, e, ends("", abortAtMain)); r.Signal != int(unix.SIGABRT) || !r.Faulted {
		t.Errorf("got %+v", r)
	}
}

// A function that a program does without, as nothing that is loaded has it, is not called.
func TestAFunctionThatIsNowhereIsNotCalled(t *testing.T) {
	onX8664(t)
	text := "extern void _ZSt9terminatev(void) __attribute__((weak));\nint main(int n, char **v) { (void)v; if (n > 100) _ZSt9terminatev(); return 3; }\n"
	e := clockExecutor(t, build(t, []byte(text), "-fno-plt"), nil)
	if got := e.Can().Calls; !slices.Equal(got, []string{"_ZSt9terminatev"}) {
		t.Fatalf("can be made to call %v, want _ZSt9terminatev", got)
	}
	if r := run(t, e, ends("", fuzz.Call{Function: "_ZSt9terminatev", At: fuzz.OccasionMain})); r.ExitCode != 3 || r.Faulted {
		t.Errorf("got %+v", r)
	}
}

// What ends the program before the call leaves nobody waiting, and what it executes is another program.
func TestARunWithACallEndsLikeAny(t *testing.T) {
	onX8664(t)
	for _, c := range []*cage.Options{{}, nil} {
		e := shell(t, Options{Cage: c, Timeout: time.Second})
		if !slices.Contains(e.Can().Calls, "abort") {
			testenv.Lack(t, "a shell that calls abort(3)", "/bin/sh does not")
		}
		for script, want := range map[string]fuzz.Result{
			"exit 3":                            {ExitCode: 3},
			"kill -9 $$":                        {Signal: 9},
			"while :; do :; done":               {TimedOut: true},
			"sleep 1000000 & exit 1":            {ExitCode: 1, Left: true},
			"(exec true); exec sh -c 'echo x'":  {},
			"kill -STOP $$ & wait; exit 4":      {TimedOut: true},
			"true | true; echo x; exit 5":       {Signal: int(unix.SIGABRT)},
			"(echo x; exec sh -c 'exit 6') >&2": {ExitCode: 6},
		} {
			s := ends("", abortAtWrite)
			s.Argv = []string{"sh", "-c", script}
			if got := run(t, e, s); !sameEnd(got, &want) {
				t.Errorf("cage %v, %s: got %+v, want %+v", c != nil, script, got, want)
			}
		}
	}
}

// A program that is killed as it is about to make the call is one that was killed.
func TestWhatIsKilledBeforeTheCallWasKilled(t *testing.T) {
	onX8664(t)
	e := clockExecutor(t, build(t, endsC, "-DBREAKABLE", "-O2", "-w"), &cage.Options{})
	for n := range 200 {
		s := ends("k", abortAtWrite)
		s.Argv = append(s.Argv, strconv.Itoa(n*500))
		if got := run(t, e, s); got.Signal != int(unix.SIGKILL) && got.Signal != int(unix.SIGABRT) {
			t.Fatalf("%d: got %+v", n, got)
		}
	}
}
