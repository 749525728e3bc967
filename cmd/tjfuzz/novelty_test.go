package main

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// noticed is an executor of a program whose runs a recorder sees.
func noticed(t testing.TB, program string, notice bool) *launch.Exec {
	testenv.Require(t, testenv.BPF)
	rec, err := backendEBPF.open(recording{slots: 1, notice: notice, details: details{sites: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close() })
	e, err := launch.New(launch.Options{Program: program, ForkServer: true, Watch: func() (launch.Watcher, error) { return rec.launcher(0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestARunTellsOfValuesAndErrnosOnce(t *testing.T) {
	e := noticed(t, "/bin/ls", true)
	kinds := func(words ...string) []fuzz.SignalKind {
		r, err := e.Run(t.Context(), &fuzz.Scenario{Argv: append([]string{"ls"}, words...), Stdin: fuzz.StdinNull})
		if err != nil {
			t.Fatal(err)
		}
		var kinds []fuzz.SignalKind
		for _, s := range r.Signals {
			kinds = append(kinds, s.Kind)
		}
		return slices.Compact(kinds)
	}
	if got := kinds("/"); !slices.Contains(got, fuzz.SignalValue) {
		t.Errorf("the first run told of %v, want values", got)
	}
	kinds("/no/such/file")
	for range 5 {
		if got := kinds("/no/such/file"); got != nil {
			t.Errorf("the same run told of %v again", got)
		}
	}
	if got := kinds("/etc/passwd/x"); !slices.Contains(got, fuzz.SignalErrno) {
		t.Errorf("a run into another error told of %v, want an errno", got)
	}
}

func TestARunTellsWhereItCrashed(t *testing.T) {
	e := noticed(t, "/bin/sh", true)
	crash := func(script string) *fuzz.Result {
		r, err := e.Run(t.Context(), &fuzz.Scenario{Argv: []string{"sh", "-c", script}, Stdin: fuzz.StdinNull})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := crash("kill -SEGV $$")
	if first.Signal != int(unix.SIGSEGV) || !strings.HasPrefix(first.Place.Module, "libc") || first.Place.Offset == 0 || first.Place.Caller == 0 {
		t.Errorf("got %+v, want a place in kill, called by sh", first)
	}
	if again := crash("kill -SEGV $$; # again"); again.Place != first.Place {
		t.Errorf("in %+v, then in %+v", first.Place, again.Place)
	}
	if r := crash("kill -TERM $$"); r.Signal != int(unix.SIGTERM) || r.Place != (fuzz.Place{}) {
		t.Errorf("ended from outside: %+v", r)
	}
	if r := crash("exit 1"); r.Signal != 0 || r.Place != (fuzz.Place{}) {
		t.Errorf("did not crash: %+v", r)
	}
}

// BenchmarkNoticing tells the processor time, which others on the machine change less than
// the time that passes.
func BenchmarkNoticing(b *testing.B) {
	used := func() (ns float64) {
		for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
			var u unix.Rusage
			if err := unix.Getrusage(who, &u); err != nil {
				b.Fatal(err)
			}
			ns += float64(u.Utime.Nano() + u.Stime.Nano())
		}
		return ns
	}
	for name, notice := range map[string]bool{"without": false, "with": true} {
		b.Run(name, func(b *testing.B) {
			e := noticed(b, "/bin/ls", notice)
			s := &fuzz.Scenario{Argv: []string{"ls", "-l", "/"}, Stdin: fuzz.StdinNull}
			began := used()
			for b.Loop() {
				if _, err := e.Run(b.Context(), s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((used()-began)/float64(b.N), "cpu-ns/op")
		})
	}
}
