// Everyday measures what learning misses of programs that nobody has looked at: it learns
// each with nothing but its name, then runs command lines that were written by hand from its manual,
// before it was ever learned, and counts the syscalls that these make and the policy does not allow.
//
//	go run ./benchmarks/everyday                              # as root; half an hour
//	go run ./benchmarks/everyday -programs lzop,gforth -execs 300
//
// The command lines are in lines, one file a program, one line of shell each; -lines names a directory
// with others, of programs that are not in this tree. A script in the place of
// the program has it recorded by tjfuzz trace, with all that it starts, and nothing else of the line.
//
// Its main hazard is to be tuned to: once somebody has looked at what is missed of a program,
// it is no measure any more of what nobody looked at. The table keeps those apart.
package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tjfuzz/tjfuzz/benchmarks/harness"
	"github.com/tjfuzz/tjfuzz/benchmarks/learning"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
	"github.com/tjfuzz/tjfuzz/trace"
)

func main() { harness.Main("everyday", run) }

//go:embed lines
var embedded embed.FS

// subject is a program with command lines of that name.
type subject struct {
	name, pkg string
	looked    bool // somebody has looked at what is missed of it, and changed learning for that
}

// subjects are of Debian, two of a kind: archives, images of disks, compression, files, languages,
// databases, and two of neither. Which of two may be looked at was decided by a checksum of
// their names, before any was learned. Most of the others have been looked at since; of languages
// there are more, that were written for what had been learned of the first.
var subjects = []subject{
	{"bsdtar", "libarchive-tools", true}, {"7zr", "p7zip", true},
	{"mksquashfs", "squashfs-tools", true}, {"genisoimage", "genisoimage", true},
	{"lzop", "lzop", true}, {"brotli", "brotli", false},
	{"detox", "detox", true}, {"fdupes", "fdupes", false},
	{"jimsh", "jimsh", true}, {"gforth", "gforth", false},
	{"tclsh8.6", "tcl8.6", false}, {"slsh", "slsh", false}, {"newlisp", "newlisp", false}, {"mujs", "mujs", false},
	{"gdbmtool", "gdbmtool", true}, {"recsel", "recutils", false},
	{"ctags", "universal-ctags", true}, {"logrotate", "logrotate", true},
	{"entr", "entr", true}, {"nickle", "nickle", true}, {"sash", "sash", true}, {"doas", "opendoas", true},
	{"pygmentize", "python3-pygments", true}, {"cdb", "tinycdb", true}, {"gron", "gron", true}, {"ack", "ack", true},
	{"mpg123", "mpg123", true}, {"inotifywait", "inotify-tools", true},
	{"jdupes", "jdupes", false}, {"msmtp", "msmtp", false}, {"atftpd", "atftpd", false}, {"fossil", "fossil", false},
	{"pixz", "pixz", false}, {"fzf", "fzf", false}, {"calcurse", "calcurse", false}, {"hexyl", "hexyl", false},
	{"tinyproxy", "tinyproxy-bin", false}, {"rhash", "rhash", false},
	{"bogofilter", "bogofilter-bdb", false}, {"mcopy", "mtools", false}, {"ccrypt", "ccrypt", true}, {"qemu-img", "qemu-utils", true},
	{"arj", "arj", true}, {"dar", "dar", true}, {"db5.3_load", "db5.3-util", true}, {"enscript", "enscript", true}, {"gifsicle", "gifsicle", true},
	{"optipng", "optipng", true}, {"rdiff", "rdiff", true}, {"scrypt", "scrypt", true}, {"xmlstarlet", "xmlstarlet", true}, {"signify-openbsd", "signify-openbsd", true},
	{"zpaq", "zpaq", false}, {"exiv2", "exiv2", false}, {"minisign", "minisign", false}, {"datamash", "datamash", false},
}

// row is what was measured of a program.
type row struct {
	subject
	learned, called int // syscalls
	lines, failed   int // command lines, and those that exited with another status than 0
	missed          []sighting
	err             error
}

// sighting is a syscall with the first command line that made it.
type sighting struct {
	id   sysno.ID
	line string
}

// bench is one run of the benchmark.
type bench struct {
	dir, tjfuzz string
	flags       []string // of learn
	lines       fs.FS    // command lines, in a file of the program's name
	progress    io.Writer
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("everyday", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		list  = flags.String("programs", "", "the `programs`, separated by commas (default: all)")
		execs = flags.Uint64("execs", 1000, "learn each program with this `number` of runs")
		own   = flags.String("lines", "", "measure the programs that this `directory` has command lines of instead of those of this benchmark")
		seed  = flags.Uint64("seed", 1, "the `number` that all randomness of learning comes from")
		dir   = flags.String("dir", "", "keep in this `directory` what was learned and recorded, and use what is there (default: a temporary one)")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *execs == 0 {
		return errors.New("usage: everyday [-programs LIST] [-lines DIRECTORY] [-execs N] [-seed N] [-dir DIRECTORY]")
	}
	b := &bench{progress: stderr, flags: []string{"--jobs", "1", "--duration", "0", "--confidence", "0", "--seed", fmt.Sprint(*seed), "--execs", fmt.Sprint(*execs)}}
	all, err := b.choose(*own)
	if err != nil {
		return err
	}
	if *dir == "" {
		if b.dir, err = os.MkdirTemp("", "tjfuzz-everyday-"); err != nil {
			return err
		}
		defer os.RemoveAll(b.dir)
	} else if b.dir, err = filepath.Abs(*dir); err != nil {
		return err
	} else if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	if b.tjfuzz, err = learning.Build(ctx, b.dir); err != nil {
		return err
	}
	var rows []row
	for _, s := range all {
		if *list != "" && !slices.Contains(strings.Split(*list, ","), s.name) {
			continue
		}
		r := row{subject: s}
		if r.err = b.measure(ctx, &r); ctx.Err() != nil {
			return ctx.Err()
		}
		rows = append(rows, r)
	}
	fmt.Fprint(stdout, report(harness.Command("everyday", args), rows))
	return nil
}

// choose sets whose command lines are run, and returns the programs that have some.
func (b *bench) choose(own string) (all []subject, err error) {
	if own == "" {
		b.lines, err = fs.Sub(embedded, "lines")
		return subjects, err
	}
	b.lines = os.DirFS(own)
	files, err := fs.ReadDir(b.lines, ".")
	for _, f := range files {
		if f.Type().IsRegular() {
			all = append(all, subject{name: f.Name(), pkg: "unknown"})
		}
	}
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s holds no file of command lines; each is called like its program", own)
	}
	return all, err
}

func (b *bench) measure(ctx context.Context, r *row) error {
	path, err := exec.LookPath(r.name)
	if err != nil {
		return fmt.Errorf("it is not installed; its package is %s", r.pkg)
	}
	dir := filepath.Join(b.dir, r.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	profile := filepath.Join(dir, "profile.json")
	if err := b.matches(dir, profile); err != nil {
		return err
	}
	if _, err := os.Stat(profile); err != nil {
		fmt.Fprintf(b.progress, "everyday: learning %s\n", r.name)
		if _, err := learning.Learn(ctx, b.tjfuzz, dir, []string{r.name}, b.flags...); err != nil {
			return err
		}
	}
	f, err := os.Open(profile)
	if err != nil {
		return err
	}
	defer f.Close()
	policy, err := format.ReadOCI(f)
	if err != nil {
		return err
	}
	learned, err := decode(filepath.Join(dir, "state", "evidence.json"))
	if err != nil {
		return err
	}
	r.learned = len(learned.Observations)
	fmt.Fprintf(b.progress, "everyday: the command lines of %s\n", r.name)
	text, err := fs.ReadFile(b.lines, r.name)
	if err != nil {
		return err
	}
	seen, err := b.run(ctx, r, path, filepath.Join(dir, "work"), strings.Split(strings.TrimSpace(string(text)), "\n"))
	if err != nil {
		return err
	}
	r.called = len(seen)
	r.missed = slices.DeleteFunc(seen, func(s sighting) bool { return policy.Decide(s.id, [6]uint64{}).Action == synth.Allow })
	return nil
}

// matches returns an error where a directory has what was learned with other flags, and notes in it which
// they are where it has nothing.
func (b *bench) matches(dir, profile string) error {
	note, want := filepath.Join(dir, "flags"), strings.Join(b.flags, " ")
	with, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(profile); err != nil {
			return os.WriteFile(note, []byte(want), 0o644)
		}
	} else if err != nil {
		return err
	}
	if string(with) != want {
		return fmt.Errorf("%s was learned with %q, not with %q: choose another -dir", dir, with, want)
	}
	return nil
}

// recorder is what stands in the place of the program: a script that has it recorded.
const recorder = "#!/bin/sh\nexec '%s' trace --quiet -o \"$EVERYDAY_TRACES/$$.json\" -- '%s' \"$@\"\n"

// run has a program's command lines carried out, one after another in one directory, and returns each syscall
// that it made in any of them.
func (b *bench) run(ctx context.Context, r *row, path, dir string, commands []string) ([]sighting, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "bin")
	world, err := furnish(dir)
	if err == nil {
		err = os.MkdirAll(bin, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, r.name), fmt.Appendf(nil, recorder, b.tjfuzz, path), 0o755)
	}
	if err != nil {
		return nil, err
	}
	seen := map[sysno.ID]string{}
	for i, line := range commands {
		traces := filepath.Join(dir, "traces", fmt.Sprint(i+1))
		if err := os.MkdirAll(traces, 0o755); err != nil {
			return nil, err
		}
		r.lines++
		env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "EVERYDAY_TRACES=" + traces, "HOME=" + world}
		if err := b.line(ctx, world, line, env); errors.As(err, new(*exec.ExitError)) {
			r.failed++
		} else if err != nil {
			return nil, err
		}
		files, err := filepath.Glob(filepath.Join(traces, "*.json"))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("%s: nothing was recorded (%v)", line, err)
		}
		for _, file := range files {
			t, err := decode(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			for _, o := range t.Observations {
				seen[o.ID] = cmp.Or(seen[o.ID], line)
			}
		}
	}
	var all []sighting
	for id, line := range seen {
		all = append(all, sighting{id, line})
	}
	slices.SortFunc(all, func(a, b sighting) int { return strings.Compare(a.id.String(), b.id.String()) })
	return all, nil
}

// limit is how long a command line may take, which on a busy machine is long.
const limit = 3 * time.Minute

// line runs one command line, with nothing to be read on standard input.
func (b *bench) line(ctx context.Context, world, line string, env []string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env = world, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		fmt.Fprintf(b.progress, "everyday: what did not end in %v: %s\n", limit, line)
	}
	return err
}

func decode(path string) (*trace.Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return trace.Decode(f)
}
