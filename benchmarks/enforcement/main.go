// Enforcement measures what a policy costs: how long it takes until a program has started
// and ended under it, by tjfuzz, bubblewrap, firejail and no one; and what one call takes
// under the filter of tjfuzz, under the same policy compiled by libseccomp without a
// tree, and without a filter. It decides what is compared; the tools it knows by their
// command lines.
//
//	go run ./benchmarks/enforcement               # as root
//	go run ./benchmarks/enforcement -rounds 5
//
// Its main hazard is a noisy machine. So all measurements of a round follow each other,
// and what is printed is the median of the rounds, and of the ratios within each.
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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/filter"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
)

func main() { harness.Main("enforcement", run) }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("enforcement", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 20, "`number` of rounds")
	calls := flags.Int("calls", 1_000_000, "`number` of calls of which the time is taken")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *rounds < 1 || *calls < 20 {
		return errors.New("usage: enforcement [-rounds N] [-calls N]")
	}
	dir, err := os.MkdirTemp("", "tjfuzz-enforcement-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := prepare(ctx, dir, stderr)
	if err != nil {
		return err
	}
	b.calls = *calls
	fmt.Fprintf(stdout, "%s\n%s\n", harness.Command("enforcement", args), harness.Machine())
	for round := range *rounds {
		if err := b.round(ctx); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		fmt.Fprintf(stderr, "enforcement: round %d of %d\n", round+1, *rounds)
	}
	return b.report(stdout)
}

// bench is what is measured with, and what came of it.
type bench struct {
	dir, victim, profile string
	calls                int
	starters             []starter
	filters              []measuredFilter
	starts               map[string][]float64 // milliseconds, a round each
	used                 map[string][]float64 // milliseconds of CPU time
	costs                map[string][]float64 // nanoseconds a call
}

// starter is a way to start the victim.
type starter struct {
	name     string
	ordinary bool // by an ordinary user
	argv     []string
	filter   []byte // is passed as descriptor 3
}

// measuredFilter is a filter, or none, and a call under it.
type measuredFilter struct {
	name, call string
	program    filter.Program
}

// policyOf allows calls whatever their arguments are, and one for some values only.
func policyOf(conditional bool, size int) *synth.Policy {
	allow := synth.Verdict{Action: synth.Allow}
	p := &synth.Policy{Default: synth.Verdict{Action: synth.Errno, Errno: uint16(unix.EPERM)}, Archs: []sysno.Arch{sysno.Native()}}
	needed := []string{"execve", "write", "openat", "close", "exit_group", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64",
		"mprotect", "readlinkat", "readlink", "getrandom", "newfstatat", "mmap", "munmap", "access", "read", "pread64", "clock_gettime", "getppid", "uname"}
	var rules []synth.Rule
	add := func(id sysno.ID, conds ...synth.Cond) {
		if !slices.ContainsFunc(rules, func(r synth.Rule) bool { return r.ID == id }) {
			rules = append(rules, synth.Rule{ID: id, Verdict: allow, Args: conds, Tier: synth.Manual, Reason: "a benchmark"})
		}
	}
	if id, ok := sysno.Lookup(sysno.Native(), "lseek"); ok && conditional {
		add(id, synth.Cond{Index: 2, Op: synth.MaskedEqual, Mask: 0xffffffff, Value: 2})
		rules = append(rules, synth.Rule{ID: id, Verdict: allow, Args: []synth.Cond{{Index: 2, Op: synth.MaskedEqual, Mask: 0xffffffff}}, Tier: synth.Manual, Reason: "a benchmark"})
	}
	for _, name := range needed {
		if id, ok := sysno.Lookup(sysno.Native(), name); ok {
			add(id)
		}
	}
	for _, id := range sysno.All(sysno.Native()) {
		if len(rules) < size && id.NR%3 != 0 {
			add(id)
		}
	}
	p.Groups = synth.Arrange(rules)
	return p
}

func prepare(ctx context.Context, dir string, stderr io.Writer) (*bench, error) {
	b := &bench{dir: dir, victim: filepath.Join(dir, "calls"), profile: filepath.Join(dir, "profile.json"), starts: map[string][]float64{}, used: map[string][]float64{}, costs: map[string][]float64{}}
	tool := filepath.Join(dir, "tjfuzz")
	for _, command := range [][]string{
		{"gcc", "-O1", "-static", "-o", b.victim, "benchmarks/enforcement/testdata/calls.c"},
		// As make build does: a start includes the linking of what is not static.
		{"go", "build", "-trimpath", "-tags", "netgo,osusergo", "-ldflags", "-linkmode external -extldflags -static", "-o", tool, "./cmd/tjfuzz"},
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
		}
	}
	p := policyOf(false, 60)
	var profile bytes.Buffer
	if err := format.WriteOCI(&profile, p); err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(b.profile, profile.Bytes(), 0o644), os.Chmod(dir, 0o755)); err != nil {
		return nil, err
	}
	program, err := filter.Compile(p)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range p.Rules() {
		name, _ := r.ID.Name()
		names = append(names, name)
	}
	root := unix.Geteuid() == 0
	for _, ordinary := range []bool{false, true} {
		if ordinary && !root {
			continue // all are an ordinary user's
		}
		add := func(name, program string, filter []byte, argv ...string) {
			path, err := exec.LookPath(program)
			if err != nil {
				return // the table shows what there is
			}
			if ordinary || !root {
				name += ", ordinary user"
			}
			s := starter{name, ordinary, append([]string{path}, argv...), filter}
			if _, _, err := b.start(ctx, s); err != nil {
				fmt.Fprintf(stderr, "enforcement: left out: %s: %v\n", name, err)
				return
			}
			b.starters = append(b.starters, s)
		}
		add("plain exec", b.victim, nil)
		add("tjfuzz enforce", tool, nil, "enforce", "--quiet", "--policy", b.profile, "--", b.victim)
		add("bubblewrap --seccomp", "bwrap", program.Bytes(), "--dev-bind", "/", "/", "--seccomp", "3", b.victim)
		add("firejail --seccomp", "firejail", nil, "--noprofile", "--quiet", "--seccomp.keep="+strings.Join(names, ","), b.victim)
	}
	for _, size := range []int{60, 240} {
		for _, call := range []string{"getppid", "lseek"} {
			p := policyOf(true, size)
			tree, err := filter.Compile(p)
			if err != nil {
				return nil, err
			}
			flat, err := filter.CompileFlat(p)
			if err != nil {
				return nil, err
			}
			word := "whatever the arguments are"
			if call == "lseek" {
				word = "if an argument is one of two values"
			}
			what := fmt.Sprintf("%d rules, %s", size, word)
			b.filters = append(b.filters, measuredFilter{what + ": none", call, nil}, measuredFilter{what + ": tjfuzz", call, tree}, measuredFilter{what + ": libseccomp, flat", call, flat})
		}
	}
	return b, nil
}

func (b *bench) round(ctx context.Context) error {
	for _, s := range b.starters {
		var took, used []float64
		for range 5 {
			wall, cpu, err := b.start(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			took, used = append(took, wall), append(used, cpu)
		}
		b.starts[s.name] = append(b.starts[s.name], slices.Min(took))
		b.used[s.name] = append(b.used[s.name], slices.Min(used))
	}
	for _, f := range b.filters {
		ns, err := b.cost(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		b.costs[f.name] = append(b.costs[f.name], ns)
	}
	return nil
}

// start is how many milliseconds a program took to start and end, and how many of CPU
// time it and what started it used.
func (b *bench) start(ctx context.Context, s starter) (wall, cpu float64, err error) {
	c := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	c.Dir = "/"
	if s.ordinary {
		const nobody = 65534
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if s.filter != nil {
		f, err := os.CreateTemp(b.dir, "filter")
		if err != nil {
			return 0, 0, err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		if _, err := f.WriteAt(s.filter, 0); err != nil {
			return 0, 0, err
		}
		c.ExtraFiles = []*os.File{f}
	}
	begin := time.Now()
	out, err := c.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, out)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return ms(took), ms(c.ProcessState.UserTime() + c.ProcessState.SystemTime()), nil
}

// cost is how many nanoseconds of CPU time a call takes.
func (b *bench) cost(f measuredFilter) (float64, error) {
	id, _ := sysno.Lookup(sysno.Native(), f.call)
	said := filepath.Join(b.dir, "said")
	c := enforce.Command{Path: b.victim, Argv: []string{"calls", strconv.Itoa(int(id.NR)), strconv.Itoa(b.calls), said}}
	if f.program != nil {
		c.Filter = f.program.Bytes()
	}
	st, err := enforce.Run(context.Background(), c)
	if err != nil {
		return 0, err
	}
	if st.WaitStatus != 0 {
		return 0, errors.New(enforce.Describe(st.WaitStatus))
	}
	text, err := os.ReadFile(said)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(string(text), 64)
}

// ratios divide two series round by round.
func ratios(a, b []float64) harness.Spread {
	var all []float64
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]/b[i])
	}
	return harness.SpreadOf(all)
}

func (b *bench) report(stdout io.Writer) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nstart and end of a program\tms, median (quartiles)\tto bubblewrap's\tms of CPU time\tto bubblewrap's\n")
	for _, s := range b.starters {
		base := "bubblewrap --seccomp"
		if strings.HasSuffix(s.name, ", ordinary user") {
			base += ", ordinary user"
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t%v\t%v\n", s.name, harness.SpreadOf(b.starts[s.name]), ratios(b.starts[s.name], b.starts[base]),
			harness.SpreadOf(b.used[s.name]), ratios(b.used[s.name], b.used[base]))
	}
	fmt.Fprintf(w, "\none call\tns of CPU time, median (quartiles)\tto libseccomp's, flat\n")
	for _, f := range b.filters {
		what, _, _ := strings.Cut(f.name, ": ")
		fmt.Fprintf(w, "%s\t%v\t%v\n", f.name, harness.SpreadOf(b.costs[f.name]), ratios(b.costs[f.name], b.costs[what+": libseccomp, flat"]))
	}
	return w.Flush()
}
