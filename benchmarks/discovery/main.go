// Discovery measures which syscalls learning finds, how soon, and by varying what. It
// learns each program as a person would, without seeds of its own, once with all that
// tjfuzz varies and once with each restriction; it knows tjfuzz by its command line
// only.
//
//	go run ./benchmarks/discovery                                     # as root; hours
//	go run ./benchmarks/discovery -programs jq,gzip -duration 60s
//
// Its main hazard is chance: two sessions of one program differ by what they happened
// to draw. A syscall that a restricted session found and the unrestricted one did not
// is therefore printed by name; another -seed shows whether it was chance.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
)

func main() { harness.Main("discovery", run) }

// mode is a restriction of what is varied.
type mode struct {
	name string
	only string // for --only; empty restricts nothing
}

// everything comes first. Both together are what a fuzzer of bytes and a symbolic
// execution of arguments vary together, which is how others have derived policies.
var everything = mode{"everything", ""}

// restrictions are the other modes.
func restrictions(list string) ([]mode, error) {
	var out []mode
	for _, name := range strings.Split(list, ",") {
		parts := strings.Split(name, "+")
		for _, part := range parts {
			if part != "bytes" && part != "argv" {
				return nil, fmt.Errorf("-against: %q is none of bytes, argv and bytes+argv", name)
			}
		}
		out = append(out, mode{strings.Join(parts, " and "), strings.Join(parts, ",")})
	}
	return out, nil
}

// programs are the defaults, the last two for a comparison: see paper.
const programs = "jq,file,xmllint,sqlite3,gzip,tar,sort,grep,sed,openssl,curl,git,ls,diff"

// paper has the syscalls that the authors of "Seccomp Filters from Fuzzing" (SECRYPT
// 2022) counted by hand for a program, as the truth that their method strives for.
var paper = map[string]int{"ls": 33, "diff": 25, "file": 29}

// session is what came of one session of learn.
type session struct {
	*learning.Result
	failed string
}

// syscalls are the names of what was found, sorted.
func (s *session) syscalls() []string {
	names := make(map[string]bool)
	for _, f := range s.Found {
		names[f.Syscall] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// subject is a program with its sessions, one a mode, the first with everything.
type subject struct {
	name     string
	sessions []session
	failed   string // when there is no session of everything
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("discovery", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		list     = flags.String("programs", programs, "the `programs`, separated by commas")
		duration = flags.Duration("duration", 5*time.Minute, "the `time` for each session at the most")
		execs    = flags.Uint64("execs", 0, "the `number` of runs for each session at the most; 0 for no limit")
		jobs     = flags.Int("jobs", 2, "this `number` of runs at a time")
		seed     = flags.Uint64("seed", 1, "the `number` that all randomness comes from")
		against  = flags.String("against", "bytes,argv,bytes+argv", "the `restrictions` of the other sessions, separated by commas")
		curves   = flags.String("plot", "", "also draw the curves over time to this `file`, as SVG")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *jobs < 1 {
		return errors.New("usage: discovery [-programs LIST] [-duration TIME] [-execs N] [-jobs N] [-seed N] [-against LIST] [-plot FILE]")
	}
	others, err := restrictions(*against)
	if err != nil {
		return err
	}
	modes := append([]mode{everything}, others...)
	dir, err := os.MkdirTemp("", "tjfuzz-discovery-")
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
		if _, err := exec.LookPath(name); err != nil {
			s.failed = "it is not installed; run scripts/setup bench"
		}
		for i, m := range modes {
			if s.failed != "" {
				break
			}
			fmt.Fprintf(stderr, "discovery: %s, %s\n", name, m.name)
			flags := []string{"--seed", fmt.Sprint(*seed), "--jobs", fmt.Sprint(*jobs), "--duration", duration.String(), "--execs", fmt.Sprint(*execs)}
			if m.only != "" {
				flags = append(flags, "--only", m.only)
			}
			r, err := learn(ctx, tjfuzz, filepath.Join(dir, name+fmt.Sprint(i)), name, flags)
			switch {
			case ctx.Err() != nil:
				s.failed = "interrupted"
			case err != nil && i == 0:
				s.failed = err.Error()
			case err != nil:
				s.sessions = append(s.sessions, session{failed: err.Error()})
			default:
				s.sessions = append(s.sessions, session{Result: r})
			}
		}
		subjects = append(subjects, s)
		if ctx.Err() != nil {
			break
		}
	}
	fmt.Fprint(stdout, report(harness.Command("discovery", args), *duration, modes, subjects))
	if *curves == "" {
		return nil
	}
	f, err := os.Create(*curves)
	if err != nil {
		return err
	}
	return errors.Join(plot(f, *duration, modes, subjects), f.Close())
}

func learn(ctx context.Context, tjfuzz, dir, program string, flags []string) (*learning.Result, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	out, err := learning.Learn(ctx, tjfuzz, dir, []string{program}, flags...)
	if err != nil {
		return nil, err
	}
	return learning.Parse(out)
}
