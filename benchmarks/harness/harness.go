// Package harness has what all benchmarks share: how they start and end, on what machine they
// say that they ran, and how they sum up what a noisy machine measured. It refuses to know
// what is measured. Its hazard is a median of too few numbers: a Spread says of how many.
package harness

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Main runs a benchmark with the arguments of the command line, until it is interrupted,
// and exits with 1 if it fails.
func Main(name string, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, flag.ErrHelp) { // which is printed already
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(1)
}

// Command is how to run a benchmark again.
func Command(name string, args []string) string {
	return strings.Join(append([]string{"go run ./benchmarks/" + name}, args...), " ")
}

// Machine is what a reader has to know of it: kernel, processors, and how busy it is.
func Machine() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown machine"
	}
	load, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("Linux %s %s, %d processors, load %s",
		unix.ByteSliceToString(u.Release[:]), runtime.GOARCH, runtime.NumCPU(), one)
}

// Spread is the median of some numbers, with their quartiles.
type Spread struct {
	Low, Median, High float64
	N                 int // how many numbers
}

// SpreadOf sums up numbers in any order; of none, the spread is zero.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	return Spread{quantile(sorted, .25), quantile(sorted, .5), quantile(sorted, .75), len(sorted)}
}

// quantile interpolates between the two nearest of the sorted values.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// String is the median with the quartiles.
func (s Spread) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Low, s.High) }
