package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/enforce/container"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/synth/format"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
)

// boxes are the containers of one verification.
type boxes struct {
	s       *session
	engine  *container.Engine
	rec     *rawtp.Recorder
	profile string // path
	dir     string // for profile and working directories
	limit   time.Duration

	known     map[likeness]bool // what was refused in earlier containers
	refused   []sysno.ID        // to the runtime, sorted
	why       string            // of the first, in the runtime's words
	unstarted int               // scenarios whose program was never started for it
}

func newBoxes(ctx context.Context, s *session, o verifyOptions, path string, p *synth.Policy) (_ *boxes, err error) {
	if os.Geteuid() != 0 {
		return nil, hinted(errors.New("--against starts containers as root does"), "run as root")
	}
	engine, err := container.Find(o.against)
	switch {
	case errors.Is(err, container.ErrUnknown):
		return nil, hinted(fmt.Errorf("--against: %w", err), "known are %s", strings.Join(container.Engines(), ", "))
	case errors.Is(err, exec.ErrNotFound):
		return nil, hinted(fmt.Errorf("%s is not installed", o.against), "install it, or name another of %s", strings.Join(container.Engines(), ", "))
	case err != nil:
		return nil, hinted(err, "see whether %s works here by itself", o.against)
	}
	b := &boxes{s: s, engine: engine, known: map[likeness]bool{}, limit: 30 * time.Second}
	if o.timeout > 0 {
		b.limit = o.timeout
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "tjfuzz-against-"); err != nil {
		return nil, err
	}
	if b.profile, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if isDocument(path) {
		b.profile = filepath.Join(b.dir, "profile.json")
		var out bytes.Buffer
		if err := format.WriteOCI(&out, p); err != nil {
			return nil, err
		}
		if err := os.WriteFile(b.profile, out.Bytes(), 0o644); err != nil {
			return nil, err
		}
	}
	b.rec, err = rawtp.Open(rawtp.Options{Slots: 1, Denials: true})
	if missing, mend, known := lack(err); known {
		return nil, hinted(fmt.Errorf("what a container is refused is seen by eBPF only: %s", missing), "%s", mend)
	}
	if err != nil {
		return nil, fmt.Errorf("open the recorder: %w", err)
	}
	if engine.Cgroup != "" {
		if _, err := b.rec.Attach(0, rawtp.Attachment{Cgroups: []string{engine.Cgroup}}); err != nil {
			return nil, err
		}
	}
	// What fails without a profile is not the profile's fault.
	nothing, err := exec.LookPath("true")
	if err != nil {
		return nil, err
	}
	got, err := b.run(ctx, &container.Container{Path: nothing, At: cage.WorkDir}, &fuzz.Scenario{Argv: []string{"true"}, Stdin: fuzz.StdinNull})
	if err != nil {
		return nil, err
	}
	if got.code != 0 {
		return nil, hinted(fmt.Errorf("%s starts no container here: %s", o.against, strings.TrimSpace(got.said)), "see whether it works by itself; 'tjfuzz verify' needs no runtime")
	}
	return b, nil
}

// replay replays a scenario in a container of its own.
func (b *boxes) replay(ctx context.Context, s *fuzz.Scenario) (enforce.Replayed, error) {
	at := cage.WorkDir
	if b.s.cage.Dir != "" {
		at = b.s.cage.Dir
	}
	got, err := b.run(ctx, &container.Container{Profile: b.profile, Path: b.s.path, At: at, Shown: b.s.cage.Expose}, s)
	if err != nil {
		return enforce.Replayed{}, err
	}
	r := enforce.Replayed{Denied: got.denied, Clean: !got.late && got.code <= 128, End: fmt.Sprintf("exit %d", got.code)}
	if got.late {
		r.End = "time limit"
	} else if got.code > 128 && got.code <= 128+64 {
		r.Signal = got.code - 128
		r.End = fmt.Sprintf("signal %d", r.Signal)
	}
	b.refused = append(b.refused, got.runtime...)
	slices.SortFunc(b.refused, sysno.ID.Compare)
	b.refused = slices.Compact(b.refused)
	// What a daemon starts is seen from the program's execve on only.
	if got.killed || got.failed != "" || b.engine.Cgroup != "" && r.Signal == int(unix.SIGSYS) && len(got.denied) == 0 {
		b.unstarted++
		b.why = cmp.Or(b.why, got.failed, "killed by SIGSYS")
		r.Signal, r.Clean, r.End = 0, false, b.engine.Name+" did not start it" // the end was the runtime's
	}
	return r, nil
}

// boxed is what became of a container.
type boxed struct {
	code    int
	late    bool // it was ended by the time limit
	said    string
	failed  string     // why it was not started
	denied  []sysno.ID // to the program, sorted
	runtime []sysno.ID // to the runtime, sorted
	killed  bool       // the runtime was, for one of those
}

// run runs a container and waits for its end.
func (b *boxes) run(ctx context.Context, c *container.Container, s *fuzz.Scenario) (*boxed, error) {
	work := filepath.Join(b.dir, "work")
	if err := os.RemoveAll(work); err != nil {
		return nil, err
	}
	if err := os.Mkdir(work, 0o755); err != nil {
		return nil, err
	}
	if b.s.cage.Dir == c.At {
		if err := copyInto(ctx, work, c.At, b.s.cage.Hide); err != nil {
			return nil, err
		}
	}
	argv, err := launch.Furnish(work, c.At, s)
	if err != nil {
		return nil, err
	}
	c.Args, c.Env, c.Work = argv[1:], launch.Environ(os.Environ(), s.Env), work
	start, remove, err := b.engine.Command(c)
	if err != nil {
		return nil, err
	}
	got := &boxed{}
	var out, said bytes.Buffer
	limited, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	cmd := exec.CommandContext(limited, start[0], start[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second
	switch s.Stdin {
	case fuzz.StdinPipe:
		cmd.Stdin = bytes.NewReader(s.Input)
	case fuzz.StdinFile:
		name := filepath.Join(b.dir, "stdin")
		if err := os.WriteFile(name, s.Input, 0o644); err != nil {
			return nil, err
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	if err := b.recorded(cmd); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil || limited.Err() != nil {
		got.late = true
		_ = exec.Command(remove[0], remove[1:]...).Run() // there may be none any more
		if err != nil {
			return nil, err
		}
	}
	got.code, got.said = cmd.ProcessState.ExitCode(), said.String()
	if !got.late {
		got.failed = b.engine.Failed(got.code, got.said)
	}
	return got, b.refusals(got)
}

// recorded runs the command as a program of the recorder.
func (b *boxes) recorded(cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // which the recorder marks, so it is given up
		done <- func() error {
			release := func() error { return nil }
			if b.engine.Cgroup == "" {
				slot, err := b.rec.Launcher(0)
				if err != nil {
					return err
				}
				slot.Begin()
				release = slot.Release
			}
			err := cmd.Start()
			if err == nil {
				err = cmd.Wait()
			}
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
				err = nil
			}
			return errors.Join(err, release())
		}()
	}()
	return <-done
}

// refusals adds what was refused since the last container.
func (b *boxes) refusals(got *boxed) error {
	events, err := b.rec.Denials()
	if err != nil {
		return err
	}
	for _, e := range events {
		k := likenessOf(e)
		if b.known[k] {
			continue
		}
		b.known[k] = true
		if b.engine.Itself(e.Comm) {
			got.runtime = append(got.runtime, e.ID)
			got.killed = got.killed || e.SIGSYS
		} else {
			got.denied = append(got.denied, e.ID)
		}
	}
	for _, ids := range []*[]sysno.ID{&got.denied, &got.runtime} {
		slices.SortFunc(*ids, sysno.ID.Compare)
		*ids = slices.Compact(*ids)
	}
	return nil
}

func (b *boxes) close() error {
	var errs []error
	if b.rec != nil {
		errs = append(errs, b.rec.Close())
	}
	return errors.Join(append(errs, b.engine.Close(), os.RemoveAll(b.dir))...)
}

// most is what a working directory may hold to be copied for each container.
const most = 64 << 20

// copyInto copies what a directory holds, but for some names.
func copyInto(ctx context.Context, to, from string, but []string) error {
	var size int64
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	words := []string{"-a", "-t", to, "--"}
	for _, e := range entries {
		if slices.Contains(but, e.Name()) {
			continue
		}
		words = append(words, filepath.Join(from, e.Name()))
		err := filepath.WalkDir(filepath.Join(from, e.Name()), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if size > most {
		return hinted(fmt.Errorf("this directory holds %d MiB, which would be copied for each container", size>>20), "learn and verify in a smaller one, or name files by absolute paths")
	}
	if len(words) == 4 {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "cp", words...).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the working directory: %w: %s", err, out)
	}
	return nil
}
