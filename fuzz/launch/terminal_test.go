package launch

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

//go:embed testdata/keys.c
var keysC []byte

func pressed(keys string) fuzz.Act { return fuzz.Act{Do: fuzz.DeedType, Data: []byte(keys)} }

// Each key comes when the one before is read and the program waits for the next, in whatever way that is. Who waits when
// all is typed loses the terminal, and no run comes to its time limit.
func TestKeysAreTypedWhenTheProgramWaitsForThem(t *testing.T) {
	testenv.Require(t, testenv.Cage)
	source := filepath.Join(t.TempDir(), "keys.c")
	if err := os.WriteFile(source, keysC, 0o600); err != nil {
		t.Fatal(err)
	}
	program := testenv.Compile(t, source)
	e, err := New(Options{Program: program, Cage: &cage.Options{Expose: []string{filepath.Dir(program)}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	resize, hangUp, pause := fuzz.Act{Do: fuzz.DeedResize}, fuzz.Act{Do: fuzz.DeedHangUp}, fuzz.Act{Do: fuzz.DeedPause}
	for _, tt := range []struct {
		name, how string
		acts      []fuzz.Act
		want      string
		exit      int
		stopped   bool
		waited    bool
	}{
		{"nothing", "read", nil, "key 0\n", 0, true, true}, // the end of the input, typed before it reads keys
		{"a key", "read", []fuzz.Act{pressed("a")}, "key 97\n", 0, true, true},
		{"keys at once", "read", []fuzz.Act{pressed("ab")}, "key 97\nkey 98\n", 0, true, true},
		{"who polls", "poll", []fuzz.Act{pressed("a"), pressed("b")}, "key 97\nkey 98\n", 0, true, true},
		{"who selects", "select", []fuzz.Act{pressed("a"), pressed("\x1b")}, "key 97\nkey 27\n", 0, true, true},
		{"who has an epoll", "epoll", []fuzz.Act{pressed("a"), pressed("b")}, "key 97\nkey 98\n", 0, true, true},
		{"who naps", "sleeps", []fuzz.Act{pressed("a"), pressed("b")}, "key 97\nkey 98\n", 0, true, true},
		{"the end", "poll", []fuzz.Act{pressed("a"), pressed("q"), pressed("b")}, "key 97\nkey 113\n", 3, false, true},
		{"a size", "read", []fuzz.Act{resize, pressed("a"), resize}, "woken at 40x10\nkey 97\nwoken at 200x60\n", 0, true, true},
		{"a stop", "poll", []fuzz.Act{pause, pressed("a")}, "woken at 80x24\nkey 97\n", 0, true, true},
		{"a terminal that is gone", "read", []fuzz.Act{pressed("a"), hangUp, pressed("b")}, "key 97\n", 0, true, true},
		{"who does not listen", "poll", []fuzz.Act{pressed("z"), pressed("b")}, "key 122\n", 0, true, true},
		{"who does not leave", "stubborn", []fuzz.Act{pressed("a")}, "key 97\n", 0, true, true},
	} {
		s := &fuzz.Scenario{Argv: []string{"keys", tt.how}, Stdin: fuzz.StdinTerminal, Acts: tt.acts}
		r := run(t, e, s)
		if r.ExitCode != tt.exit || r.Stopped != tt.stopped || r.Waited != tt.waited || !r.Clean() || r.Left {
			t.Errorf("%s: %+v, want exit code %d, stopped %v, waited %v, and no time limit", tt.name, r, tt.exit, tt.stopped, tt.waited)
		}
		if got := string(e.Output()); got != tt.want {
			t.Errorf("%s: it reads %q, want %q", tt.name, got, tt.want)
		}
	}
	// Where another stream is the terminal, keys come from there all the same.
	s := &fuzz.Scenario{Argv: []string{"keys", "poll"}, Stdin: fuzz.StdinNull, World: fuzz.World{Stdout: fuzz.OutputTerminal}, Acts: []fuzz.Act{pressed("q")}}
	if r := run(t, e, s); r.ExitCode != 3 || !r.Waited {
		t.Errorf("standard output alone is a terminal: %+v, want exit code 3", r)
	}
	if r := run(t, e, &fuzz.Scenario{Argv: []string{"keys", "q"}, Stdin: fuzz.StdinTerminal, Acts: []fuzz.Act{{Do: fuzz.DeedSignal, Signal: unix.SIGTERM}}}); !r.Stopped {
		t.Errorf("a signal at the terminal: %+v, want that it ends the program", r)
	}
}
