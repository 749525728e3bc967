// Runtimes measures anew what container runtimes call between loading the filter and
// executing the program, and compares it with the baselines of package synth. It
// decides how a container is started for that and which calls count; it knows the
// runtimes by their command lines only, and sees their calls by strace.
//
//	go run ./benchmarks/runtimes              # as root; every runtime that is installed
//	go run ./benchmarks/runtimes -starts 100
//
// Its main hazard is what few starts show: Go programs park threads and are
// preempted now and then, so a call that no start made is no proof that none does.
// A call that a start made and the baseline lacks is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/synth"
)

func main() { harness.Main("runtimes", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("runtimes", flag.ContinueOnError)
	flags.SetOutput(stderr)
	starts := flags.Int("starts", 10, "`number` of starts of each kind")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *starts < 1 {
		return errors.New("usage: runtimes [-starts N]")
	}
	for _, tool := range []string{"strace", "busybox", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing; scripts/setup test installs it", tool)
		}
	}
	// runc 1.1 fails with more descriptors than it expects in its own /proc/self/fd.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: min(limit.Cur, 20000), Max: limit.Max}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tjfuzz-runtimes-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	var all []measured
	for _, name := range synth.Loaders() {
		path, err := exec.LookPath(name)
		if err != nil {
			fmt.Fprintf(stderr, "runtimes: %s is not installed\n", name)
			continue
		}
		for _, noNewPrivs := range []bool{true, false} {
			m, err := measure(ctx, dir, name, path, noNewPrivs, *starts)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Fprintf(stderr, "runtimes: %s, no_new_privs %v: %d starts\n", name, noNewPrivs, m.starts)
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return errors.New("no container runtime is installed")
	}
	return report(stdout, all, harness.Command("runtimes", args))
}

// measured is what the starts of one kind showed.
type measured struct {
	runtime    string
	version    string
	noNewPrivs bool
	starts     int
	calls      map[string]int // in how many starts a call was made
}

// measure starts a container by each of the runtime's ways and counts.
func measure(ctx context.Context, dir, name, path string, noNewPrivs bool, starts int) (measured, error) {
	m := measured{runtime: name, noNewPrivs: noNewPrivs, calls: map[string]int{}}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return m, fmt.Errorf("ask for its version: %w", err)
	}
	m.version, _, _ = strings.Cut(string(out), "\n")
	bundle := filepath.Join(dir, fmt.Sprintf("%s-%v", name, noNewPrivs))
	if err := writeBundle(ctx, bundle, path, noNewPrivs); err != nil {
		return m, err
	}
	for i := range starts {
		for _, way := range []string{`"$0" run --bundle "$1" "$2"`, `"$0" create --bundle "$1" "$2" </dev/null >/dev/null 2>&1 && "$0" start "$2"`} {
			id := fmt.Sprintf("tjfuzz-%d-%s-%d", os.Getpid(), name, i)
			log := filepath.Join(dir, "strace.log")
			// crun cannot use a mix of cgroup v1 and v2, so the unified tree is hidden from it.
			script := `if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi; ` + way
			c := exec.CommandContext(ctx, "unshare", "-m", "strace", "-f", "-qq", "-o", log, "sh", "-c", script, path, bundle, id)
			if out, err := c.CombinedOutput(); err != nil {
				return m, fmt.Errorf("%s: %w: %s", way, err, out)
			}
			_ = exec.Command(path, "delete", "--force", id).Run() // what "run" has removed by itself
			f, err := os.Open(log)
			if err != nil {
				return m, err
			}
			calls, err := between(f)
			f.Close()
			if err != nil {
				return m, fmt.Errorf("%s: %w", way, err)
			}
			m.starts++
			for call := range calls {
				m.calls[call]++
			}
		}
	}
	return m, nil
}

// report prints a table, and fails where a baseline lacks what was seen.
func report(w io.Writer, all []measured, command string) error {
	fmt.Fprintf(w, "%s: %s\n\n", command, harness.Machine())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "runtime\tno_new_privs\tstarts\tcalls\tnot in the baseline\tonly in the baseline")
	lacking := false
	for _, m := range all {
		needs, err := synth.RuntimeNeeds(m.runtime, m.noNewPrivs)
		if err != nil {
			return err
		}
		var missing, unseen []string
		for call, n := range m.calls {
			if !slices.Contains(needs, call) {
				missing = append(missing, fmt.Sprintf("%s (%d)", call, n))
			}
		}
		for _, call := range needs {
			if m.calls[call] == 0 {
				unseen = append(unseen, call)
			}
		}
		slices.Sort(missing)
		lacking = lacking || len(missing) > 0
		fmt.Fprintf(t, "%s\t%v\t%d\t%d\t%s\t%s\n", m.version, m.noNewPrivs, m.starts, len(m.calls), list(missing), list(unseen))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if lacking {
		return errors.New("a baseline lacks calls that were seen; add them in synth/baseline.go")
	}
	return nil
}

func list(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}
