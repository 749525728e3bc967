package userland

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// blind is a watcher that sees nothing.
type blind struct{}

func (blind) Begin(*spawn.Spec) error      { return nil }
func (blind) Started(*spawn.Process) error { return nil }
func (blind) Seen() []sysno.ID             { return nil }
func (blind) Release() error               { return nil }

// BenchmarkSteadyRun is what a run costs when all that it calls is settled, as a
// ratio of what it costs unrecorded: the medians of the time that it takes, and all
// the CPU time that is spent on it, the recorder's too. Runs of both kinds take
// turns, so that the machine is as busy for one as for the other.
func BenchmarkSteadyRun(b *testing.B) {
	for _, program := range [][]string{{"/bin/true"}, {"/usr/bin/sort", "/etc/passwd"}} {
		for name, c := range map[string]*cage.Options{"no cage": nil, "cage": {}} {
			b.Run(fmt.Sprintf("%s, %s", program[0], name), func(b *testing.B) {
				if c != nil {
					testenv.Require(b, testenv.Root)
				}
				n := openNotify(b, NotifyOptions{})
				recorded := executor(b, launch.Options{Program: program[0], Cage: c, Watch: func() (launch.Watcher, error) { return n.Launcher(0) }})
				unrecorded := executor(b, launch.Options{Program: program[0], Cage: c, Watch: func() (launch.Watcher, error) { return blind{}, nil }})
				s := &fuzz.Scenario{Argv: program, Stdin: fuzz.StdinNull}
				run := func(e *launch.Exec) *fuzz.Result {
					r, err := e.Run(b.Context(), s)
					if err != nil || !r.Clean() || r.ExitCode != 0 {
						b.Fatalf("got %+v, %v, want a clean run", r, err)
					}
					return r
				}
				for range 3 {
					n.Settle(run(recorded).Seen...)
				}
				var times, cpu [2][]time.Duration
				for i := 0; b.Loop(); i++ {
					for j := range 2 {
						kind := (i + j) % 2 // who is first pays for what the other left
						used, began := cpuTime(b), time.Now()
						run([...]*launch.Exec{unrecorded, recorded}[kind])
						times[kind] = append(times[kind], time.Since(began))
						cpu[kind] = append(cpu[kind], cpuTime(b)-used)
					}
				}
				b.ReportMetric(float64(median(times[1]))/float64(median(times[0])), "time-ratio")
				b.ReportMetric(float64(median(cpu[1]))/float64(median(cpu[0])), "cpu-ratio")
				b.ReportMetric(float64(median(times[0]).Microseconds()), "unrecorded-µs")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func executor(b *testing.B, o launch.Options) *launch.Exec {
	b.Helper()
	e, err := launch.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// cpuTime is what this process and its children, which have been waited for, have used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
