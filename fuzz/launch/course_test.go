package launch

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

func (r recorded) SoFar() []sysno.ID { return r.Seen() }

// What a service calls is told of by the act that made it do so.
func TestEachActIsToldWhatItShowed(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	r, err := rawtp.Open(rawtp.Options{Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	program := testenv.Compile(t, serviceSource(t))
	e, err := New(Options{Program: program, Cage: &cage.Options{Expose: []string{filepath.Dir(program)}}, Watch: func() (Watcher, error) {
		s, err := r.Launcher(0)
		return recorded{s}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	const at = fuzz.Socket("tcp/7000")
	got := run(t, e, serving("forks", signaled(unix.SIGUSR1), say(at, 1, "hello"), say(at, 2, "hello")))
	by := map[string]int{}
	for i, id := range got.Seen {
		name, _ := id.Name()
		by[name] = got.Shown[i]
	}
	for name, want := range map[string]int{"listen": -1, "rt_sigreturn": 0, "clone": 1, "read": -1} {
		if got, ok := by[name]; !ok || got != want {
			t.Errorf("%s comes with act %d (%v), want %d", name, got, ok, want)
		}
	}
	got = run(t, e, serving("echo", say(at, 1, "hello"), signaled(unix.SIGKILL), say(at, 1, "hello")))
	if got.Acts != 2 { // in which it has ended
		t.Errorf("%d acts were begun, want 2", got.Acts)
	}
}
