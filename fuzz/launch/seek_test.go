package launch

import (
	"slices"
	"testing"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// A run that is to show a syscall ends when it has, and what runs have shown before is not recorded again.
func TestASoughtRunEndsWhenItHasShownEnough(t *testing.T) {
	testenv.Require(t, testenv.BPF, testenv.Cage)
	call := func(name string) sysno.ID {
		id, ok := sysno.Lookup(sysno.Native(), name)
		if !ok {
			t.Fatalf("no call %s", name)
		}
		return id
	}
	chdir, wait := call("chdir"), call("wait4")
	const forever = "cd /; while :; do :; done"
	for name, c := range map[string]*cage.Options{"in a cage": {}, "without one": nil} {
		r, err := rawtp.Open(rawtp.Options{Slots: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		e := shell(t, Options{Cage: c, Timeout: 400 * time.Millisecond, ForkServer: true, Watch: func() (Watcher, error) {
			s, err := r.Launcher(0)
			return recorded{s}, err
		}})
		if !e.Seeks() {
			t.Fatalf("%s: the executor cannot end a run when it has shown enough", name)
		}
		seek := func(text string, sought ...sysno.ID) *fuzz.Result {
			t.Helper()
			got, err := e.Seek(t.Context(), script(text), sought)
			if err != nil {
				t.Fatal(err)
			}
			if !got.Sought || got.Clean() {
				t.Errorf("%s, %s: %+v is told of as a run like any other", name, text, got)
			}
			return got
		}
		got := seek(forever, chdir)
		if got.TimedOut || got.Signal != 0 || !slices.Contains(got.Seen, chdir) {
			t.Errorf("%s: %+v, want chdir and no timeout", name, got)
		}
		if !slices.Contains(r.Seen(), chdir) {
			t.Errorf("%s: what no run had shown before is not recorded", name)
		}
		if got := seek(forever, chdir, wait); !got.TimedOut {
			t.Errorf("%s: %+v, want a timeout: wait4 was not shown", name, got)
		}
		if got := seek("cd /; (:)", chdir, wait); got.TimedOut || !slices.Contains(got.Seen, wait) {
			t.Errorf("%s: %+v, want wait4 and no timeout", name, got)
		}
		// What a step leaves is remembered: it is run to its end, though it shows what is sought, too.
		after := script("test -e made && cd /")
		after.Before = []fuzz.Step{{Argv: []string{"sh", "-c", "cd .; i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done; : >made"}}}
		if got, err := e.Seek(t.Context(), after, []sysno.ID{chdir}); err != nil || !slices.Contains(got.Seen, chdir) {
			t.Errorf("%s: %+v, %v, want chdir, where a step has left a file", name, got, err)
		}
		if got := run(t, e, script("cd /")); got.Sought || !got.Clean() {
			t.Errorf("%s: %+v, want a run like any other", name, got)
		}
	}
}
