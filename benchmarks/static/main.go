// Static measures what static analysis says of programs beside what they do: that
// nothing is seen which it does not reach, how large its sets are beside those of callander, and
// what it costs.
//
//	go run ./benchmarks/static                    # as root; some minutes
//	go run ./benchmarks/static -programs ls,git
//
// What the programs do is recorded by tjfuzz trace in a few everyday uses of each. Its main
// hazard is a use that fails early and shows nothing: the table says how much was seen.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/static"
)

func main() { harness.Main("static", run) }

// row is what was measured of a program.
type row struct {
	program
	reach    *trace.Reach
	plain    *trace.Reach // with users and hosts looked up in files and by DNS alone
	observed *trace.Trace
	beyond   []trace.Observation
	values   []trace.Observation // with arguments that no code hands to them
	elapsed  time.Duration
	cpu      time.Duration
	failed   error
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("static", flag.ContinueOnError)
	flags.SetOutput(stderr)
	list := flags.String("programs", "", "the `programs`, separated by commas (default: all of the table)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("usage: static [-programs LIST]")
	}
	dir, err := os.MkdirTemp("", "tjfuzz-static-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tjfuzz, err := learning.Build(ctx, dir)
	if err != nil {
		return err
	}
	var rows []row
	for _, p := range programs {
		if *list != "" && !slices.Contains(strings.Split(*list, ","), p.name) {
			continue
		}
		r := row{program: p}
		r.failed = r.measure(ctx, tjfuzz, dir)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rows = append(rows, r)
		fmt.Fprintf(stderr, "static: %s: %v\n", p.name, r.summary())
	}
	report(stdout, rows, args)
	return nil
}

func (r *row) measure(ctx context.Context, tjfuzz, dir string) error {
	path, err := exec.LookPath(r.name)
	if err != nil {
		return errors.New("it is not installed")
	}
	r.name = filepath.Base(r.name)
	world := filepath.Join(dir, r.name)
	if err := furnish(world); err != nil {
		return err
	}
	for i, use := range r.uses {
		t, err := record(ctx, tjfuzz, world, path, fmt.Sprint(i), use)
		if err != nil {
			return fmt.Errorf("%s %s: %w", r.name, use, err)
		}
		if r.observed == nil {
			r.observed = t
		} else if r.observed, err = trace.Merge(r.observed, t); err != nil {
			return err
		}
	}
	runtime.GC()
	began, before := time.Now(), spent()
	r.reach, err = static.Analyze(ctx, path, static.Options{})
	r.elapsed, r.cpu = time.Since(began), spent()-before
	if err != nil {
		return err
	}
	r.beyond = r.reach.Beyond(r.observed)
	r.values = r.reach.BeyondArgs(r.observed)
	if r.callander > 0 {
		services := filepath.Join(dir, "nsswitch.conf")
		if err := os.WriteFile(services, []byte("passwd: files\ngroup: files\nhosts: files dns\n"), 0o644); err != nil {
			return err
		}
		r.plain, err = static.Analyze(ctx, path, static.Options{NameServices: services})
	}
	return err
}

// spent is the processor time of this process.
func spent() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// record runs a use of a program under the recorder.
func record(ctx context.Context, tjfuzz, world, path, name, use string) (*trace.Trace, error) {
	out := filepath.Join(world, "..", filepath.Base(path)+"."+name+".json")
	var stdin io.Reader
	if rest, ok := strings.CutPrefix(use, "<"); ok {
		file, args, _ := strings.Cut(rest, " ")
		text, err := os.ReadFile(filepath.Join(world, file))
		if err != nil && file != "nothing.patch" {
			return nil, err
		}
		stdin, use = bytes.NewReader(text), args
	}
	args := strings.Fields(use)
	limit := 20 * time.Second
	if n := len(args); n > 0 && args[n-1] == "..." { // a server, which goes on
		args, limit = args[:n-1], 3*time.Second
	}
	for i := range args {
		args[i] = strings.NewReplacer("\\0", " ", "''", "", "'", "").Replace(args[i])
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tjfuzz, slices.Concat([]string{"trace", "--quiet", "--sites", "--args", "-o", out, "--", path}, args)...)
	cmd.Dir, cmd.Stdin = world, stdin
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var messages bytes.Buffer
	cmd.Stderr = &messages
	failure := cmd.Run() // the program's own exit code is of no interest
	f, err := os.Open(out)
	if err != nil {
		return nil, fmt.Errorf("no evidence: %w (%v) %s", err, failure, messages.String())
	}
	defer f.Close()
	return trace.Decode(f)
}

// furnish makes the files that uses mention.
func furnish(dir string) error {
	lines := strings.Repeat("one\ntwo\nbanana\napple\n", 50)
	files := map[string]string{
		"text": lines, "more": lines + "three\n", "copy": lines, "data": strings.Repeat("\x00\x01\xff\x7fdata", 20000),
		"table.csv": "a,b\n1,2\n", "page.xml": "<a><b>c</b></a>\n", "data.json": `{"a": [1, 2, {"b": null}]}` + "\n",
		"script.sh": "x=1\nfor i in a b; do echo $i; done\ncd tree && pwd\n: > out\ntrap : EXIT\n", "sum": "1+2\n2^10\n", "tcl": "puts [expr 1+2]\nputs [glob *]\n",
		"tree/a.txt": "one\n", "tree/b/c.txt": "two\n", "other/x": "", "main.go": "package main\nfunc  main() {}\n",
		"nginx.conf": "worker_processes 1;\nerror_log stderr;\npid nginx.pid;\nevents {}\nhttp { access_log off; server { listen unix:nginx.sock; } }\n",
		"logs/x":     "",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// early are the calls that startup makes and that are removed on both sides where sets are
// compared: callander counts what follows it. execve too.
var early = []string{"execve", "arch_prctl", "set_tid_address", "set_robust_list", "rseq"}

// offered are the calls that the analysis adds to any program for the kernel and the vDSO.
var offered = []string{"restart_syscall", "clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu", "rt_sigreturn", "exit"}

// after is how many syscalls the code of the program reaches after startup.
func after(r *trace.Reach) int {
	n := 0
	for _, x := range r.Reached {
		name, _ := x.ID.Name()
		if x.Startup || slices.Contains(early, name) || len(x.Path) == 0 && slices.Contains(offered, name) {
			continue
		}
		n++
	}
	return n
}

func (r *row) summary() string {
	if r.failed != nil {
		return r.failed.Error()
	}
	return fmt.Sprintf("%d reached, %d observed, %d beyond, complete: %v", len(r.reach.Reached), len(r.observed.Observations), len(r.beyond), r.reach.Complete())
}

func report(w io.Writer, rows []row, args []string) {
	fmt.Fprintf(w, "%s\n%s\n\n", harness.Command("static", args), harness.Machine())
	fmt.Fprintf(w, "%-13s %8s %8s %7s %9s %9s %9s %7s %6s %8s\n", "program", "observed", "reached", "beyond", "after", "callander", "arguments", "values", "files", "cpu ms")
	var seconds []float64
	complete, beyond, values, ours, theirs, measured := 0, 0, 0, 0, 0, 0
	for _, r := range rows {
		if r.failed != nil {
			fmt.Fprintf(w, "%-13s %v\n", r.name, r.failed)
			continue
		}
		measured++
		seconds = append(seconds, r.cpu.Seconds())
		mark := " "
		if r.reach.Complete() {
			complete++
			beyond += len(r.beyond)
			values += len(r.values)
			mark = "="
		}
		own, other := "-", "-"
		if r.callander > 0 {
			own, other = fmt.Sprint(after(r.plain)), fmt.Sprint(r.callander)
			ours += after(r.plain)
			theirs += r.callander
		}
		fmt.Fprintf(w, "%-13s %8d %7d%s %7d %9s %9s %9s %7d %6d %8d\n", r.name, len(r.observed.Observations), len(r.reach.Reached), mark,
			len(r.beyond), own, other, constant(r.reach), len(r.values), 1+len(r.reach.Target.Libraries), r.cpu.Milliseconds())
	}
	fmt.Fprintf(w, "\n%d programs; of %d the analysis is complete (=), and of these %d syscalls were seen beyond it, and %d with arguments that it does not find.\n", measured, complete, beyond, values)
	if theirs > 0 {
		fmt.Fprintf(w, "Where callander's numbers are known, after startup and with users and hosts looked up in files and by DNS:\n%d in sum, %d by callander.\n", ours, theirs)
	}
	fmt.Fprintf(w, "Processor seconds: %v; largest resident set of all: %d MiB.\n", harness.SpreadOf(seconds), peak())
	for _, r := range rows {
		if r.failed == nil && len(r.values) > 0 {
			fmt.Fprintf(w, "\n%s was seen to call with values that are not found:\n", r.name)
			for _, o := range r.values {
				fmt.Fprintf(w, "  %v %+v%s\n", o.ID, o.Args, from(o))
			}
		}
		if r.failed != nil || len(r.beyond) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s was seen to call what is not reached:\n", r.name)
		for _, o := range r.beyond {
			fmt.Fprintf(w, "  %v%s\n", o.ID, from(o))
		}
		for _, gap := range r.reach.Gaps {
			fmt.Fprintf(w, "  gap: %s\n", gap)
		}
	}
}

// constant is of how many enum and flag arguments all values are known, and how many there are.
func constant(r *trace.Reach) string {
	known, all := 0, 0
	for _, x := range r.Reached {
		for _, a := range x.Args {
			if all++; !a.Any {
				known++
			}
		}
	}
	return fmt.Sprintf("%d/%d", known, all)
}

func from(o trace.Observation) string {
	var places []string
	for _, s := range o.Sites {
		places = append(places, fmt.Sprintf("%s+%#x %s", s.Module, s.Offset, s.Symbol))
	}
	return " from " + strings.Join(places, ", ")
}

// peak is the largest resident set of this process in MiB.
func peak() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss >> 10
}
