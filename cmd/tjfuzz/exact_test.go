package main

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// The executor, the cage and the recorder together, as learn uses them. What the
// cage and the launcher call must not get in. TJFUZZ_LONG makes it 20,000 runs each.
func TestEveryCagedRunShowsExactlyTheProgramsOwnSyscalls(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	runs := 150
	if os.Getenv("TJFUZZ_LONG") != "" {
		runs = 20000
	}
	program := filepath.Join(compiled(t), "exact")
	var want []sysno.ID
	for _, name := range []string{"execve", "write", "getpid", "exit"} {
		id, ok := sysno.Lookup(sysno.Native(), name)
		if !ok {
			t.Fatalf("no number for %s", name)
		}
		want = append(want, id)
	}
	slices.SortFunc(want, sysno.ID.Compare)

	for name, workers := range map[string]int{"one worker": 1, "two workers": 2} {
		t.Run(name, func(t *testing.T) {
			rec, err := rawtp.Open(rawtp.Options{Slots: workers})
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Close()
			var all sync.WaitGroup
			for slot := range workers {
				all.Go(func() {
					e, err := launch.New(launch.Options{
						Program: program,
						Cage:    &cage.Options{Expose: []string{program}},
						Watch: func() (launch.Watcher, error) {
							s, err := rec.Launcher(slot)
							return ofSlot{s}, err
						},
					})
					if err != nil {
						t.Error(err)
						return
					}
					defer e.Close()
					s := &fuzz.Scenario{Argv: []string{"exact"}, Stdin: fuzz.StdinNull}
					for n := range runs / workers {
						r, err := e.Run(t.Context(), s)
						if err != nil {
							t.Errorf("run %d of worker %d: %v", n, slot, err)
							return
						}
						if !slices.Equal(r.Seen, want) || !r.Clean() || r.ExitCode != 0 || string(e.Output()) != "hello\n" {
							t.Errorf("run %d of worker %d: got %+v and %q, want a clean run that shows %v", n, slot, r, e.Output(), want)
							return
						}
					}
				})
			}
			all.Wait()
			if got := rec.Seen(); !slices.Equal(got, want) {
				t.Errorf("all runs together: got %v, want %v", got, want)
			}
			if got := rec.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}
