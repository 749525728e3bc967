// Directed measures what it is worth that learning aims runs at what the code of a program
// can reach: it learns programs with and without, for the same time or with the same number of runs, and
// compares which of the reachable syscalls were seen. Three of the programs are made for it, with 30 guarded calls each
// (testdata); the others are real ones.
//
//	go run ./benchmarks/directed                                      # as root; an hour
//	go run ./benchmarks/directed -programs jq,gzip -duration 60s
//	go run ./benchmarks/directed -execs 5000                          # on a machine that is busy otherwise
//
// Its main hazard is chance, as that of discovery: another -seed shows what was chance. What the
// programs that are made for it are worth depends on who made them: heldout.c and third.c have
// guards to which nothing was tuned.
package main

import (
	"context"
	"embed"
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
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace/static"
)

func main() { harness.Main("directed", run) }

//go:embed testdata/guarded.c testdata/heldout.c testdata/third.c
var sources embed.FS

// guards are the calls of a program that is made for this, by the kinds of their guards,
// in the order of their numbers in its source.
var guards = map[string][]struct{ kind, calls string }{
	"guarded": {
		{"options", "getrusage ioprio_get mlock fdatasync inotify_init1 memfd_create"},
		{"environment", "timerfd_create membarrier times getresuid"},
		{"contents", "eventfd2 flock munlock mincore"},
		{"errno", "capget fstatfs fadvise64 copy_file_range"},
		{"signal", "umask getitimer epoll_create1"},
		{"config", "shmget getpriority socket readahead"},
		{"magic", "sched_getscheduler signalfd4 sched_rr_get_interval getsid getpgid"},
	},
	"heldout": {
		{"options", "sched_getparam getpriority membarrier getsid times memfd_create"},
		{"environment", "timerfd_create ioprio_get sched_getscheduler getpgid"},
		{"contents", "eventfd2 flock munlock mincore"},
		{"errno", "getrusage lgetxattr getresgid sched_rr_get_interval"},
		{"signal", "getitimer umask epoll_create1"},
		{"config", "msgget mlock inotify_init1 socket"},
		{"magic", "getpgrp semget fadvise64 fdatasync capget"},
	},
	"third": {
		{"options", "memfd_create getsid times getpriority ioprio_get sched_getparam"},
		{"environment", "timerfd_create sched_getscheduler getpgid membarrier"},
		{"contents", "eventfd2 flock munlock mincore"},
		{"errno", "getrusage fgetxattr getresgid sched_rr_get_interval"},
		{"signal", "getitimer umask epoll_create1"},
		{"config", "msgget inotify_init1 socket mlock"},
		{"magic", "getpgrp semget fadvise64 fdatasync capget"},
	},
}

// programs are real ones, of several kinds.
const programs = "gzip,sort,find,diff,tar,sed,sqlite3,openssl"

// subject is a program that was learned twice.
type subject struct {
	name               string
	of                 int // syscalls that count
	directed, straight []string
	runs               [2]uint64
	missed             []string // by the directed session, with the kind of the guard
	failed             error
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("directed", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		list     = flags.String("programs", "guarded,heldout,third,"+programs, "the `programs`, separated by commas")
		duration = flags.Duration("duration", 5*time.Minute, "the `time` for each session with a real program")
		guarded  = flags.Duration("guarded", 3*time.Minute, "the `time` for each session with a program that is made for this")
		execs    = flags.Uint64("execs", 0, "this `number` of runs for each session, whatever time they take; 0 for no limit but time")
		jobs     = flags.Int("jobs", 2, "this `number` of runs at a time")
		seed     = flags.Uint64("seed", 1, "the `number` that all randomness comes from")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *jobs < 1 {
		return errors.New("usage: directed [-programs LIST] [-duration TIME] [-guarded TIME] [-execs N] [-jobs N] [-seed N]")
	}
	dir, err := os.MkdirTemp("", "tjfuzz-directed-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tjfuzz, err := learning.Build(ctx, dir)
	if err != nil {
		return err
	}
	var subjects []subject
	for _, name := range strings.Split(*list, ",") {
		s := subject{name: name}
		time := *duration
		if guards[name] != nil {
			time = *guarded
		}
		if *execs > 0 {
			time = 0
		}
		s.failed = s.measure(ctx, stderr, tjfuzz, dir, []string{"--seed", fmt.Sprint(*seed), "--jobs", fmt.Sprint(*jobs), "--duration", time.String(), "--execs", fmt.Sprint(*execs), "--confidence", "0"})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		subjects = append(subjects, s)
	}
	report(stdout, harness.Command("directed", args), subjects)
	return nil
}

func (s *subject) measure(ctx context.Context, stderr io.Writer, tjfuzz, dir string, flags []string) error {
	path, count, err := s.prepare(ctx, dir)
	if err != nil {
		return err
	}
	s.of = len(count)
	for i, how := range []string{"--directed=true", "--directed=false"} {
		fmt.Fprintf(stderr, "directed: %s, %s\n", s.name, how)
		at := filepath.Join(dir, s.name+how)
		if err := os.Mkdir(at, 0o755); err != nil {
			return err
		}
		out, err := learning.Learn(ctx, tjfuzz, at, []string{path}, append([]string{how}, flags...)...)
		if err != nil {
			return err
		}
		r, err := learning.Parse(out)
		if err != nil {
			return err
		}
		var seen []string
		for _, f := range r.Found {
			if count[f.Syscall] != "" {
				seen = append(seen, f.Syscall)
			}
		}
		slices.Sort(seen)
		s.runs[i] = r.Runs
		if i == 0 {
			s.directed = seen
		} else {
			s.straight = seen
		}
	}
	if guards[s.name] != nil {
		for call, kind := range count {
			if !slices.Contains(s.directed, call) {
				s.missed = append(s.missed, call+" ("+kind+")")
			}
		}
		slices.Sort(s.missed)
	}
	return nil
}

// prepare returns the path of a program and the calls that count, with the kinds of their guards or
// another word.
func (s *subject) prepare(ctx context.Context, dir string) (path string, count map[string]string, err error) {
	count = map[string]string{}
	if kinds := guards[s.name]; kinds != nil {
		path, err = build(ctx, dir, s.name)
		for _, k := range kinds {
			for _, call := range strings.Fields(k.calls) {
				count[call] = k.kind
			}
		}
		return path, count, err
	}
	if path, err = exec.LookPath(s.name); err != nil {
		return "", nil, errors.New("it is not installed; run scripts/setup bench")
	}
	r, err := static.Analyze(ctx, path, static.Options{})
	if err != nil {
		return "", nil, err
	}
	for _, x := range r.Reached {
		if x.ID.Arch == sysno.Native() {
			count[x.ID.String()] = "reachable"
		}
	}
	return path, count, nil
}

// build compiles one of the programs that are made for this, as distributions build theirs.
func build(ctx context.Context, dir, name string) (string, error) {
	source, err := sources.ReadFile("testdata/" + name + ".c")
	if err != nil {
		return "", err
	}
	file, path := filepath.Join(dir, name+".c"), filepath.Join(dir, name)
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-s", "-w", "-o", path, file).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

// beyond are the elements of a that b lacks.
func beyond(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return slices.Contains(b, x) })
}

func report(out io.Writer, command string, subjects []subject) {
	fmt.Fprintf(out, "Reachable syscalls seen, with runs aimed at them and without\n%s\n%s\n\n", command, harness.Machine())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "program\treachable\tdirected\tundirected\tdirected alone\tundirected alone\truns")
	real, least, more := 0, 0, 0
	for _, s := range subjects {
		if s.failed != nil {
			continue
		}
		only, lacks := beyond(s.directed, s.straight), beyond(s.straight, s.directed)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%d, %d\n", s.name, s.of, len(s.directed), len(s.straight), names(only), names(lacks), s.runs[0], s.runs[1])
		if guards[s.name] == nil {
			real++
			if len(s.directed) >= len(s.straight) {
				least++
			}
			if len(s.directed) > len(s.straight) {
				more++
			}
		}
	}
	_ = w.Flush()
	if real > 0 {
		fmt.Fprintf(out, "\nOf %d real programs, directed sessions saw at least as many in %d, and more in %d.\n", real, least, more)
	}
	for _, s := range subjects {
		switch {
		case s.failed != nil:
			fmt.Fprintf(out, "- not measured: %s: %v\n", s.name, s.failed)
		case guards[s.name] != nil:
			fmt.Fprintf(out, "- %s: not reached by the directed session: %s\n", s.name, names(s.missed))
		}
	}
}

func names(all []string) string {
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, " ")
}
