// Recall measures what learning misses. For each program it learns a policy with
// `tjfuzz learn`, as a person would, and then runs the test suite that the program's
// authors have written, with the program under that policy and every call recorded
// that the policy does not allow. It decides which suites there are and how each
// is run; it refuses to show a suite, or what came of it, to the fuzzer.
//
//	go run ./benchmarks/recall -programs gzip,sed             # as root
//	go run ./benchmarks/recall -duration 60s -dir recall.d    # keeps sources and profiles
//
// The suite comes from the Debian source package of the program that is installed. A
// wrapper takes the program's place in it: it enters a cgroup, which the recorder of
// tjfuzz is attached to, loads the policy with log as the default action, and becomes
// the program. So nothing is refused, and each syscall of each invocation counts.
//
// Its main hazard is a suite that does not test the program that was learned: it must
// pass as many tests with the wrapper as with the program itself, and both are printed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func main() { harness.Main("recall", run) }

// bench is one run of the benchmark.
type bench struct {
	dir      string
	tjfuzz   string
	duration time.Duration
	execs    uint64
	jobs     int
	seed     uint64
	limit    time.Duration
	compare  bool // with policies that are made in other ways
	progress io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("recall", flag.ContinueOnError)
	flags.SetOutput(stderr)
	all := recipes()
	var (
		programs = flags.String("programs", names(all), "the `programs`, separated by commas")
		duration = flags.Duration("duration", 5*time.Minute, "learn each program for this `time` at the most")
		execs    = flags.Uint64("execs", 0, "learn each program with this `number` of runs at the most; 0 for no limit")
		jobs     = flags.Int("jobs", 2, "learn with this `number` of runs at a time")
		seed     = flags.Uint64("seed", 1, "the `number` that all randomness of learning comes from")
		limit    = flags.Duration("limit", 30*time.Minute, "the `time` that preparing or running a suite may take")
		compare  = flags.Bool("compare", true, "also make policies in the ways of others, and learn by changing bytes alone")
		dir      = flags.String("dir", "", "keep sources, profiles and what the suites wrote in this `directory`, and use what is there (default: a temporary one)")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *jobs < 1 {
		return errors.New("usage: recall [-programs LIST] [-duration TIME] [-execs N] [-jobs N] [-seed N] [-limit TIME] [-compare=false] [-dir DIRECTORY]")
	}
	var chosen []recipe
	for _, name := range strings.Split(*programs, ",") {
		i := slices.IndexFunc(all, func(r recipe) bool { return r.name == name })
		if i < 0 {
			return fmt.Errorf("-programs: there is no recipe for %q; there are %s", name, names(all))
		}
		chosen = append(chosen, all[i])
	}
	b := &bench{duration: *duration, execs: *execs, jobs: *jobs, seed: *seed, limit: *limit, compare: *compare, progress: stderr}
	var err error
	if *dir == "" {
		if b.dir, err = os.MkdirTemp("", "tjfuzz-recall-"); err != nil {
			return err
		}
		defer os.RemoveAll(b.dir)
		if err := os.Chmod(b.dir, 0o755); err != nil { // a service serves files from it as another user
			return err
		}
	} else if b.dir, err = filepath.Abs(*dir); err != nil {
		return err
	}
	var archive *archive
	if slices.ContainsFunc(chosen, func(r recipe) bool { return !r.own }) {
		if archive, err = openArchive(ctx, filepath.Join(b.dir, "archive")); err != nil {
			return err
		}
	}
	if b.tjfuzz, err = learning.Build(ctx, b.dir); err != nil {
		return err
	}
	var rows []tableRow
	for i := range chosen {
		row := b.measure(ctx, archive, &chosen[i])
		if ctx.Err() != nil {
			break
		}
		rows = append(rows, row)
	}
	fmt.Fprint(stdout, report(harness.Command("recall", args), rows))
	return nil
}

func names(all []recipe) string {
	var out []string
	for _, r := range all {
		out = append(out, r.name)
	}
	return strings.Join(out, ",")
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "recall: "+format+"\n", args...)
}

// row is what was measured of a program.
type tableRow struct {
	name, version, leaves string
	workload              bool // it was learned with one, too
	failed                string

	learned  *session
	allows   map[sysno.ID]bool
	others   []other
	plain    tally
	watched  *watched
	missed   []call
	answered []call

	surface    int // syscalls that were learned, after startup
	conditions conditions
}

// measure never fails: a row says why there is no number.
func (b *bench) measure(ctx context.Context, a *archive, r *recipe) tableRow {
	out := tableRow{name: r.name, leaves: r.leaves, workload: r.workload != ""}
	if err := b.fill(ctx, a, r, &out); err != nil {
		out.failed = err.Error()
		b.say("%s: %v", r.name, err)
	}
	return out
}

func (b *bench) fill(ctx context.Context, a *archive, r *recipe, out *tableRow) (err error) {
	dir := filepath.Join(b.dir, r.name)
	s := &suite{recipe: r, dir: filepath.Join(dir, "source"), limit: b.limit}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if s.real, err = r.find(ctx, dir); err != nil {
		return err
	}
	if out.version, err = b.prepare(ctx, a, s); err != nil {
		return err
	}
	var more []string
	if r.workload != "" {
		more = []string{"--workload", r.work(s.dir)}
	}
	if out.learned, err = b.learn(ctx, dir, append([]string{s.real}, r.args...), more...); err != nil {
		return err
	}
	policy, err := readPolicy(filepath.Join(dir, "profile.json"))
	if err != nil {
		return err
	}
	out.allows = permitted(policy)
	if b.compare {
		if out.others = b.others(ctx, r, dir, s.real, more); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	policy = logging(policy)
	if out.plain, err = b.plain(ctx, s, filepath.Join(dir, "plain.log")); err != nil {
		return err
	}
	b.say("%s: the suite, under the policy", r.name)
	if out.watched, err = s.watch(ctx, filepath.Join(dir, "watched"), policy); err != nil {
		return err
	}
	out.missed, out.answered = out.watched.missed(policy)
	evidence, err := readEvidence(filepath.Join(dir, "state", "evidence.json"))
	if err != nil {
		return err
	}
	out.surface = afterStartup(evidence)
	if out.conditions, err = conditionsOf(evidence, out.watched.observed); err != nil {
		return err
	}
	b.say("%s: missed %d of %d syscalls in %d invocations", r.name, len(out.missed), len(out.watched.calls), out.watched.invocations)
	for _, c := range sorted(out.missed) {
		b.say("%s: missed %v, first by %s", r.name, c.id, c.by())
	}
	return nil
}

// find is where the program lies that is to be learned: on the machine, or in a directory, where one of this repository is built.
func (r *recipe) find(ctx context.Context, dir string) (string, error) {
	if r.target == "" {
		path, err := exec.LookPath(r.name)
		if err != nil {
			return "", fmt.Errorf("%w; run scripts/setup bench services", err)
		}
		return path, nil
	}
	path := filepath.Join(dir, r.name)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, r.target).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", r.target, err, out)
	}
	return path, nil
}

// plain runs the suite with the program itself, unless its log is there from before.
func (b *bench) plain(ctx context.Context, s *suite, log string) (tally, error) {
	if text, err := os.ReadFile(log); err == nil {
		return s.count(string(text)), nil
	}
	b.say("%s: the suite, with the program itself", s.name)
	t, err := s.run(ctx, s.real, log+".unfinished")
	if err != nil {
		return t, err
	}
	return t, os.Rename(log+".unfinished", log)
}

// prepare fetches and prepares the source of a suite, unless that is done already.
func (b *bench) prepare(ctx context.Context, a *archive, s *suite) (version string, err error) {
	done := s.dir + ".version"
	if text, err := os.ReadFile(done); err == nil {
		return string(text), nil
	}
	b.say("%s: fetching and preparing the source", s.name)
	if err := os.RemoveAll(s.dir); err != nil {
		return "", err
	}
	switch {
	case s.target != "":
		version, err = "this benchmark, with this repository's", os.MkdirAll(s.dir, 0o755)
	case s.own:
		version, err = installed(ctx, s.pkg, s.dir)
	default:
		version, err = a.fetch(ctx, s.pkg, s.dir)
	}
	if err != nil {
		return "", err
	}
	limited, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	if out, err := shell(limited, s.dir, s.prepare, s.dir+".log"); err != nil {
		return "", fmt.Errorf("prepare the suite: %w\n%s", err, tail(out))
	}
	return version, os.WriteFile(done, []byte(version), 0o644)
}

// session is what learn told, and how long all of it took.
type session struct {
	*learning.Result
	took time.Duration
	at   time.Time // its end
}

// learn learns the program as a person would who does not think about it, unless there
// is a profile in the directory already.
func (b *bench) learn(ctx context.Context, dir string, target []string, more ...string) (*session, error) {
	path := filepath.Join(dir, "learned.json")
	var kept struct {
		Result json.RawMessage
		Took   time.Duration
		At     time.Time
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &kept)
	} else if errors.Is(err, os.ErrNotExist) {
		b.say("learning %s", strings.Join(slices.Concat(target, more), " "))
		begin := time.Now()
		kept.Result, err = learning.Learn(ctx, b.tjfuzz, dir, target, append([]string{"--seed", fmt.Sprint(b.seed), "--duration", b.duration.String(),
			"--execs", fmt.Sprint(b.execs), "--jobs", fmt.Sprint(b.jobs)}, more...)...)
		if err == nil {
			kept.At = time.Now()
			kept.Took = kept.At.Sub(begin)
			text, err = json.Marshal(kept)
		}
		if err == nil {
			err = os.WriteFile(path, text, 0o644)
		}
	}
	if err != nil {
		return nil, err
	}
	result, err := learning.Parse(kept.Result)
	if err != nil {
		return nil, err
	}
	return &session{result, kept.Took, kept.At}, nil
}
