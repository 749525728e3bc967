package aflserver

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// start starts testdata/server.c, which says these words.
func start(t *testing.T, program string, timeout time.Duration, words ...string) (s *Server, answers string, err error) {
	t.Helper()
	heard, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	spec := &spawn.Spec{Init: true, Namespaces: unix.CLONE_NEWPID}
	spec.World.DieWithParent()
	spec.Target.Dup(int(heard.Fd()), 2)
	s, err = Start(spec, Options{Program: program, Argv: append([]string{"server"}, words...), Timeout: timeout})
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	text, e := io.ReadAll(io.NewSectionReader(heard, 0, 1<<10))
	if e != nil {
		t.Fatal(e)
	}
	return s, string(text), err
}

// The greetings are those of the runtimes of AFL and AFL++ in their sources.
func TestBothProtocolsAreSpoken(t *testing.T) {
	testenv.Require(t, testenv.Root)
	program := testenv.Compile(t, "testdata/server.c")
	for _, tt := range []struct {
		name    string
		words   string
		edges   int
		answers string
	}{
		{"AFL", "0 serve", 64 << 10, ""},
		{"AFL++ 2 without options", "0x80000001 serve", 64 << 10, ""},
		{"AFL++ 4.04 with its size", "0xc23fffff serve", 2 << 20, ""},
		{"AFL++ 3 with more than is asked for", "0xd100003f serve", 32, ""},
		{"version 1", "0x41464c01 ? 1 65536 0x41464c01 serve", 64 << 10, "beb9b3fe\n"},
		{"version 1 with a dictionary", "0x41464c01 ? 0x801 9 4 dict 0x41464c01 serve", 9, "beb9b3fe\n"},
		{"version 1 that can do nothing", "0x41464c01 ? 0 0x41464c01 serve", 64 << 10, "beb9b3fe\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			s, answers, err := start(t, program, time.Minute, strings.Fields(tt.words)...)
			if err != nil {
				t.Fatal(err)
			}
			if answers != tt.answers || len(s.Edges()) != tt.edges {
				t.Errorf("it heard %q, and has %d edges; want %q, %d", answers, len(s.Edges()), tt.answers, tt.edges)
			}
			for n := 1; n <= 4; n++ {
				p, err := spawn.Start(s.Spec(nil))
				if err != nil {
					if n == 4 { // the third run was the last
						break
					}
					t.Fatal(err)
				}
				end, err := p.Wait(spawn.Limits{Grace: time.Millisecond, Timeout: time.Minute})
				if err != nil || end.ExitStatus() != n || end.Left != (n == 3) || s.Ended() != end.Left {
					t.Fatalf("copy %d: got %+v, %v, ended %v; want its number as exit code, and one left of the third", n, end, err, s.Ended())
				}
				for i, count := range s.Edges()[:8] {
					if want := byte(0); i == n && int(count) != n || i != n && count != want {
						t.Errorf("copy %d: edge %d was taken %d times", n, i, count)
					}
				}
			}
			if !s.Ended() {
				t.Error("what a copy has left is alive")
			}
		})
	}
}

func TestWhatSpeaksOtherwiseIsNoServer(t *testing.T) {
	testenv.Require(t, testenv.Root)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	program := testenv.Compile(t, "testdata/server.c")
	for _, tt := range []struct {
		words, why string
		timeout    time.Duration
	}{
		{"", "ended", time.Minute},
		{"sleep", "ended", time.Millisecond},
		{"0xf8000a8f", "fails with", time.Minute},
		{"0x41464c02 ?", "version 2", time.Minute},
		{"0x41464c01 ? 0xeffe0004", "fails with", time.Minute},
		{"0x41464c01 ? 3 65536 0x41464c01 serve", "from memory", time.Minute},
		{"0x41464c01 ? 5 65536 0x41464c01 serve", "not known", time.Minute},
		{"0x41464c01 ? 1 65536 7 serve", "and then with 0x7", time.Minute},
		{"0x41464c01 ? 1 0 0x41464c01 serve", "0 edges", time.Minute},
		{"0x41464c01 ? 1 0x800001 0x41464c01 serve", "8388609 edges", time.Minute},
		{"0x41464c01 ? 0x800 0x10000000", "dictionary", time.Minute},
		{"0x41464c01 ? 0x800 9 dict", "ends early", time.Minute},
		{"0x41464c01 ? 1", "ended", time.Minute},
	} {
		if _, _, err := start(t, program, tt.timeout, strings.Fields(tt.words)...); !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%q: got %v, want ErrSilent and %q", tt.words, err, tt.why)
		}
	}
	spec := &spawn.Spec{Init: true}
	if _, err := Start(spec, Options{Program: program}); err == nil {
		t.Error("a server without a pid namespace")
	}
}
