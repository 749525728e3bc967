package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/foreign"
)

// foreignFlags say of recordings by other tools what these do not say themselves.
type foreignFlags struct {
	as   string
	arch string
}

func (f *foreignFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.as, "as", "", "recordings by other tools are of this `program`: its path, or a file of evidence on it")
	c.Flags().StringVar(&f.arch, "arch", "", "recordings by other tools are of this `architecture`: "+archNames()+" (default: this machine's)")
}

func archNames() string {
	var words []string
	for _, a := range sysno.Archs() {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

// loader reads evidence, whoever recorded it.
type loader struct {
	stdin   io.Reader
	v       voice
	foreign foreign.Options
	as      *trace.Target // nil where the recordings may say themselves
	told    []string      // what recordings lack, of which a person was told
}

func newLoader(c *cobra.Command, v voice, f foreignFlags) (*loader, error) {
	l := &loader{stdin: c.InOrStdin(), v: v}
	if f.arch != "" {
		var err error
		if l.foreign.Arch, err = sysno.ParseArch(f.arch); err != nil {
			return nil, usage(c, fmt.Errorf("--arch: %w", err))
		}
	}
	if f.as != "" {
		target, err := l.named(f.as)
		if err != nil {
			return nil, fmt.Errorf("--as: %w", err)
		}
		l.as = &target
	}
	return l, nil
}

// named is the program that a person means by a path, or by evidence on it. It may
// be on another machine only: then the path is all that is known.
func (l *loader) named(as string) (trace.Target, error) {
	if t, err := loadEvidence(as); err == nil {
		return t.Target, nil
	}
	if filepath.IsAbs(as) && !exists(as) {
		l.v.say("%s is not on this machine; the evidence has its path alone", as)
		return trace.Target{Path: as}, nil
	}
	path, err := resolve(as)
	if err != nil {
		return trace.Target{}, err
	}
	return identify(path)
}

// evidenceHint says how to come by evidence.
const evidenceHint = "'tjfuzz learn' writes it to " + stateRoot + "/PROGRAM/" + evidenceName + ", 'tjfuzz trace -o' to a file"

// loadEvidence reads a file that this program has written.
func loadEvidence(path string) (*trace.Trace, error) {
	f, err := openNamed(path, "evidence", evidenceHint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := trace.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// merged reads and unites the evidence in files, "-" for standard input.
func (l *loader) merged(paths []string) (*trace.Trace, error) {
	recordings, err := l.sort(paths)
	if err != nil {
		return nil, err
	}
	var all *trace.Trace
	for _, r := range recordings {
		t, err := l.read(r)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = t
		} else if all, err = trace.Merge(all, t); err != nil {
			return nil, mergeError(r.name, err)
		}
	}
	return all, nil
}

// imported is what one recorder wrote: a file, those that strace -ff wrote for
// the processes of one run, or a state directory.
type imported struct {
	name   string
	state  bool // name is that of a state directory
	format foreign.Format
	logs   []foreign.Log
	io.Closer
}

// perProcess is the name of a file that strace -ff wrote: that of -o and the number
// of the process.
var perProcess = lazyregexp.New(`^(.+)\.(\d+)$`)

// sort finds out what the files are, and puts together those of strace -ff.
func (l *loader) sort(paths []string) ([]*imported, error) {
	var all []*imported
	perRun := map[string]*imported{}
	for _, path := range paths {
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			all = append(all, &imported{name: path, state: true, Closer: io.NopCloser(nil)})
			continue
		}
		log := foreign.Log{Name: path}
		if path == "-" {
			log.Name = "standard input"
		}
		in, err := l.open(path)
		if err != nil {
			return nil, err
		}
		head := bufio.NewReaderSize(in, foreign.HeadSize)
		log.Reader = head
		start, err := head.Peek(foreign.HeadSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read %s: %w", log.Name, err)
		}
		format := foreign.Detect(start)
		m := perProcess.FindStringSubmatch(path)
		if m == nil || format != foreign.StraceProcess {
			all = append(all, &imported{name: log.Name, format: format, logs: []foreign.Log{log}, Closer: in})
			continue
		}
		in.Close()
		log.Reader = &reopened{path: path}
		if log.PID, err = strconv.Atoi(m[2]); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		run := perRun[m[1]]
		if run == nil {
			run = &imported{name: m[1], format: format, Closer: io.NopCloser(nil)}
			perRun[m[1]], all = run, append(all, run)
		}
		run.logs = append(run.logs, log)
	}
	for _, run := range perRun {
		slices.SortFunc(run.logs, func(a, b foreign.Log) int { return a.PID - b.PID })
	}
	return all, nil
}

func (l *loader) open(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(l.stdin), nil
	}
	return openNamed(path, "evidence", evidenceHint)
}

// reopened is a file that is open only while it is read: a run may have thousands.
type reopened struct {
	path string
	file *os.File
}

func (r *reopened) Read(p []byte) (n int, err error) {
	if r.file == nil {
		if r.file, err = os.Open(r.path); err != nil {
			return 0, err
		}
	}
	if n, err = r.file.Read(p); err != nil {
		r.file.Close()
	}
	return n, err
}

// read reads one recording, closes it, and tells what it lacks.
func (l *loader) read(r *imported) (*trace.Trace, error) {
	defer r.Close()
	if r.state {
		return stateEvidence(l.v, r.name)
	}
	first := r.logs[0]
	var rec *foreign.Recording
	var err error
	switch r.format {
	case foreign.Unknown:
		t, err := trace.Decode(first)
		if err != nil {
			return nil, hinted(fmt.Errorf("%s: %w", r.name, err),
				"evidence is what tjfuzz has recorded, a log of strace -f -o, or a profile that a tool has recorded")
		}
		return t, nil
	case foreign.Profile:
		if rec, err = foreign.ReadProfile(l.foreign, first); err != nil {
			err = fmt.Errorf("%s: %w", r.name, err)
		}
	default:
		rec, err = foreign.ReadStrace(l.foreign, r.logs...)
	}
	if err != nil {
		return nil, foreignError(err)
	}
	t := rec.Trace
	if l.as != nil {
		t.Target = *l.as
	}
	words := make([]string, len(rec.Argv))
	for i, a := range rec.Argv {
		words[i] = fuzz.Quote(a)
	}
	for i := range t.Observations {
		t.Observations[i].Witness.Command = strings.Join(words, " ")
	}
	if !slices.Contains(l.told, rec.Lacks) {
		l.told = append(l.told, rec.Lacks)
		l.v.say("%s does not say: %s", r.name, rec.Lacks)
	}
	for _, why := range rec.Missing {
		l.v.warn("%s: %s", r.name, why)
	}
	return t, nil
}

// foreignError adds what to do about a recording of another tool that was refused.
func foreignError(err error) error {
	var unknown *sysno.UnknownNameError
	switch {
	case errors.As(err, &unknown) && len(unknown.Elsewhere) > 0:
		return hinted(err, "if it was recorded there: --arch %v\n"+
			"if the program starts others of another ABI: record with 'strace -f ... 2>FILE', for there strace tells where the ABI changes", unknown.Elsewhere[0])
	case errors.Is(err, foreign.ErrNoRecording):
		return hinted(err, "a policy that a person wrote is no evidence; record the program under it")
	case errors.Is(err, foreign.ErrEmpty):
		return hinted(err, "record the program again")
	}
	return hinted(err, "record again with 'strace -f -o FILE', without other options, or with 'tjfuzz trace -o FILE'")
}

// mergeError adds what to do about evidence that does not belong together.
func mergeError(name string, err error) error {
	err = fmt.Errorf("%s: %w", name, err)
	switch {
	case errors.Is(err, trace.ErrOtherTarget), errors.Is(err, trace.ErrNoTarget):
		return hinted(err, "a profile is one program's: merge the evidence of each program by itself\n"+
			"recordings by other tools do not say whose they are: --as PROGRAM does")
	case errors.Is(err, trace.ErrOtherArch):
		return hinted(err, "a profile is one machine's: merge the evidence of each architecture by itself")
	}
	return err
}
