package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/atomicfile"
	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/locate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
	"github.com/tjfuzz/tjfuzz/trace/rawtp"
	"github.com/tjfuzz/tjfuzz/trace/userland"
)

// runningFlags say which running processes are recorded, and for how long.
type runningFlags struct {
	pids       []int
	cgroups    []string
	units      []string
	containers []string
	duration   time.Duration
}

func (r *runningFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.IntSliceVar(&r.pids, "pid", nil, "record the running `process` with its threads and all that descends from it")
	f.StringArrayVar(&r.cgroups, "cgroup", nil, "record what is in a cgroup and below it, and what enters it; the `path` is a directory or as in /proc/PID/cgroup")
	f.StringArrayVar(&r.units, "unit", nil, "record a systemd `unit` that runs")
	f.StringArrayVar(&r.containers, "container", nil, "record a container that runs, by its `name` or id; "+strings.Join(locate.Runtimes(), ":, ")+": before it says whose")
	f.DurationVar(&r.duration, "duration", 0, "end the recording of what runs after this `time` (default: when it has ended, or is interrupted)")
}

func (r *runningFlags) any() bool {
	return len(r.pids)+len(r.cgroups)+len(r.units)+len(r.containers) > 0
}

// check refuses what contradicts itself.
func (r *runningFlags) check(c *cobra.Command, o traceOptions, args []string) error {
	n := len(r.pids) + len(r.cgroups) + len(r.units) + len(r.containers)
	switch {
	case n == 0 && r.duration != 0:
		return usage(c, errors.New("--duration is for what runs already; a program that is started is recorded until it ends"))
	case n == 0 && o.json:
		return usage(c, errors.New("--json is for what runs already; the standard output of a program that is started is its own"))
	case n == 0:
		return targetArgs(c, args)
	case len(args) > 0:
		return usage(c, fmt.Errorf("%s is to be started, and other processes run already: record one or the other", args[0]))
	case r.duration < 0:
		return usage(c, fmt.Errorf("--duration %v is over before it begins", r.duration))
	case n > rawtp.MaxSlots:
		return usage(c, fmt.Errorf("%d recordings at once are more than %d", n, rawtp.MaxSlots))
	case n > 1 && o.output == "-":
		return usage(c, errors.New("standard output takes the evidence of one recording; -o takes a directory for several"))
	case o.json && o.output == "-":
		return usage(c, errors.New("both --json and -o - want standard output"))
	case o.backend == backendNotify:
		return hinted(errors.New("seccomp notification cannot attach: a process that runs takes no filter from another"),
			"leave --backend out; or start the program with 'tjfuzz trace -- PROGRAM'")
	}
	return nil
}

// subject is one recording of what runs.
type subject struct {
	place   locate.Place
	file    string // for its evidence, in a directory
	slot    runningSlot
	target  trace.Target
	command string
	ended   bool
	seen    []sysno.ID
}

// runningSlot is what a recorder knows of the processes that it was attached to.
type runningSlot interface {
	Seen() []sysno.ID
	Observations() []trace.Observation
	Alive() (int, error)
}

// subjects looks up all that is named.
func (r *runningFlags) subjects(ctx context.Context) ([]*subject, error) {
	var (
		system locate.System
		all    []*subject
		failed error
	)
	add := func(kind, name string, place locate.Place, err error) {
		var unknown *locate.Error
		if errors.As(err, &unknown) && unknown.Mend != "" {
			err = hinted(err, "%s", unknown.Mend)
		}
		failed = cmp.Or(failed, err)
		file := strings.Trim(strings.NewReplacer("/", "-", ":", "-").Replace(name), "-.")
		all = append(all, &subject{place: place, file: kind + "-" + file + ".json"})
	}
	for _, pid := range r.pids {
		place, err := system.PID(pid)
		add("pid", strconv.Itoa(pid), place, err)
	}
	for _, name := range r.cgroups {
		place, err := system.Cgroup(name)
		add("cgroup", name, place, err)
	}
	for _, name := range r.units {
		place, err := system.Unit(ctx, name)
		add("unit", name, place, err)
	}
	for _, name := range r.containers {
		place, err := system.Container(ctx, name)
		add("container", name, place, err)
	}
	if failed != nil {
		return nil, failed
	}
	return all, nil
}

// runningRecorder records what runs already.
type runningRecorder interface {
	attach(slot int, p locate.Place) (runningSlot, error)
	Lost() trace.Lost
	Operations() []trace.Operation
	Close() error
}

type attachEBPF struct{ *rawtp.Recorder }

func (r attachEBPF) attach(slot int, p locate.Place) (runningSlot, error) {
	s, err := r.Attach(slot, rawtp.Attachment{PIDs: p.PIDs, Cgroups: p.Cgroups})
	if err != nil {
		return nil, err // and not a slot that is a nil pointer
	}
	return s, nil
}

type attachPtrace struct{ *userland.Ptrace }

func (r attachPtrace) attach(slot int, p locate.Place) (runningSlot, error) {
	pids := slices.Clone(p.PIDs)
	for _, dir := range p.Cgroups {
		pids = append(pids, members(dir)...)
	}
	s, err := r.Attach(slot, pids)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (attachPtrace) Operations() []trace.Operation { return nil }

// openRunning opens a recorder that can attach.
func openRunning(v voice, o traceOptions, slots int) (runningRecorder, error) {
	b := o.backend
	if b == backendAuto {
		b = backendEBPF
		missing, _, known := lack(backendEBPF.try())
		if known && backendPtrace.try() == nil {
			v.say("recording by ptrace, which slows it down, not by eBPF: %s", missing)
			b = backendPtrace
		}
	}
	var rec runningRecorder
	var err error
	if b == backendPtrace {
		var p *userland.Ptrace
		p, err = userland.OpenPtrace(userland.PtraceOptions{Returns: o.results, Args: o.args, Sites: o.sites})
		rec = attachPtrace{p}
	} else {
		var r *rawtp.Recorder
		r, err = rawtp.Open(rawtp.Options{Slots: slots, Denials: true, Returns: o.results, Args: o.args, Sites: o.sites})
		rec = attachEBPF{r}
	}
	if missing, mend, known := lack(err); known {
		return nil, hinted(fmt.Errorf("cannot record: %s", missing), "%s", mend)
	}
	if err != nil {
		return nil, fmt.Errorf("open the recorder: %w", err)
	}
	return rec, nil
}

// runRunning records what runs.
func runRunning(c *cobra.Command, o traceOptions) error {
	v := voiceOf(c, o.quiet || o.json)
	all, err := o.running.subjects(c.Context())
	if err != nil {
		return err
	}
	outs, err := outputsTo(c, o.output, all)
	if err != nil {
		return err
	}
	rec, err := openRunning(v, o, len(all))
	if err != nil {
		return err
	}
	defer rec.Close()
	for i, s := range all {
		if s.slot, err = rec.attach(i, s.place); err != nil {
			return hinted(fmt.Errorf("%s cannot be recorded: %w", s.place.Name, err), "ps -e lists what runs; 'tjfuzz doctor' says which rights are missing")
		}
		if s.target, s.command, err = identifyRunning(s.place); err != nil {
			return hinted(err, "it may have ended; 'tjfuzz doctor' says which rights are missing")
		}
		v.say("recording %s", s.place.Name)
	}
	if err := o.running.watch(c.Context(), v, all); err != nil {
		return err
	}
	complete := rec.Lost().Complete()
	operations := rec.Operations()
	if len(operations) > 0 && len(all) > 1 {
		v.warn("io_uring operations were seen, but not whose: record one at a time to have them in the evidence")
		operations = nil
	}
	for i, s := range all {
		if w, ok := s.slot.(interface{ Waiting() (int, error) }); ok {
			n, err := w.Waiting()
			if err != nil {
				return err
			}
			if n > 0 {
				v.warn("%d threads have entered %s and executed no program since: what they do is not in the recording", n, s.place.Name)
			}
		}
		t, err := s.evidence(rec.Lost(), operations)
		if err != nil {
			return err
		}
		if outs != nil {
			if err := outs[i].write(func(w io.Writer) error { return trace.Encode(w, t) }); err != nil {
				return fmt.Errorf("write the evidence: %w", err)
			}
		}
		if !o.json {
			s.tell(v, outs != nil)
		}
	}
	if o.json {
		if err := listJSON(c.OutOrStdout(), all, complete); err != nil {
			return err
		}
	}
	if !complete {
		return &failure{err: errors.New("the recording is incomplete"), code: exitIncomplete,
			hint: "record it again; if it happens again, the machine is short of memory"}
	}
	return nil
}

// outputsTo are where the evidence goes: a file for one recording, a directory for
// several. Nil where it is only listed.
func outputsTo(c *cobra.Command, path string, all []*subject) ([]output, error) {
	if path == "" {
		return nil, nil
	}
	if len(all) == 1 {
		out, err := outputTo(c, path)
		return []output{out}, err
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, hinted(fmt.Errorf("the evidence of %d recordings needs a directory: %w", len(all), err), "name one with -o")
	}
	var outs []output
	for _, s := range all {
		name := filepath.Join(path, s.file)
		if err := atomicfile.Writable(name); err != nil {
			return nil, hinted(fmt.Errorf("the output cannot be written: %w", err), "name another directory with -o")
		}
		outs = append(outs, output{path: name})
	}
	return outs, nil
}

// look is how often a recording looks for new syscalls and for its end.
const look = 250 * time.Millisecond

// watch returns when the time is over, when all has ended, or when it is interrupted.
func (r *runningFlags) watch(ctx context.Context, v voice, all []*subject) error {
	begin := time.Now()
	tick := time.NewTicker(look)
	defer tick.Stop()
	var over <-chan time.Time
	if r.duration > 0 {
		over = time.After(r.duration)
	}
	p := &newest{v: v, terminal: v.terminal()}
	defer p.end()
	for {
		alive := 0
		for _, s := range all {
			if s.ended {
				continue
			}
			n, err := s.slot.Alive()
			if err != nil {
				return err
			}
			s.ended = n == 0
			alive += n
			seen := s.slot.Seen()
			p.saw(s, seen)
			s.seen = seen
		}
		p.show(time.Since(begin))
		if alive == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return nil
		case <-tick.C:
		}
	}
}

// newest tells a person which syscalls have come last.
type newest struct {
	v        voice
	terminal bool
	told     time.Duration
	known    map[sysno.ID]bool
	last     []sysno.ID // the newest first
}

func (n *newest) saw(s *subject, seen []sysno.ID) {
	if n.known == nil {
		n.known = map[sysno.ID]bool{}
	}
	for _, id := range seen {
		if !n.known[id] {
			n.known[id] = true
			n.last = slices.Insert(n.last, 0, id)
		}
	}
	n.last = n.last[:min(len(n.last), 6)]
}

func (n *newest) show(elapsed time.Duration) {
	if n.v.quiet {
		return
	}
	line := fmt.Sprintf("%s  %d syscalls, last %s", elapsed.Round(time.Second), len(n.known), names(n.last))
	if n.terminal {
		fmt.Fprintf(n.v.w, "\r\x1b[K%s", line)
	} else if elapsed-n.told >= every {
		n.told = elapsed
		n.v.say("%s", line)
	}
}

func (n *newest) end() {
	if n.terminal && !n.v.quiet {
		fmt.Fprint(n.v.w, "\r\x1b[K")
	}
}

// evidence is the recording as one run. It is a clean one: what is recorded was
// serving before and did so until the recording or the service was ended from
// outside, with no fault injected.
func (s *subject) evidence(lost trace.Lost, operations []trace.Operation) (*trace.Trace, error) {
	t := &trace.Trace{Target: s.target, Arch: sysno.Native(), Kernel: kernelRelease(), Runs: 1, CleanRuns: 1, Lost: lost, Operations: operations}
	known := s.slot.Observations()
	s.seen = nil
	for _, o := range known {
		s.seen = append(s.seen, o.ID)
		t.Observations = append(t.Observations, trace.Observation{
			ID: o.ID, Runs: 1, CleanRuns: 1, Witness: trace.Witness{Command: s.command},
		})
	}
	if err := addDetails(t, [][]trace.Observation{known}); err != nil {
		return nil, fmt.Errorf("describe what was recorded: %w", err)
	}
	return t, nil
}

func (s *subject) tell(v voice, written bool) {
	how := "goes on, unrecorded"
	if s.ended {
		how = "has ended"
	}
	what := fmt.Sprintf("%d syscalls", len(s.seen))
	if len(s.seen) == 1 {
		what = "1 syscall"
	}
	if !written && len(s.seen) > 0 {
		how += ": " + names(s.seen)
	}
	v.say("%s of %s, which %s", what, s.place.Name, how)
}

// listJSON writes what was recorded for a machine.
func listJSON(w io.Writer, all []*subject, complete bool) error {
	type recorded struct {
		Name     string   `json:"name"`
		Program  string   `json:"program"`
		Ended    bool     `json:"ended"`
		Complete bool     `json:"complete"`
		Syscalls []string `json:"syscalls"`
	}
	var list []recorded
	for _, s := range all {
		list = append(list, recorded{s.place.Name, s.target.Path, s.ended, complete, strings.Fields(names(s.seen))})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(list)
}

// identifyRunning describes a program that runs, and its command line. It reads the
// files that the process has open, which another root or a newer version does not
// show under their names.
func identifyRunning(p locate.Place) (trace.Target, string, error) {
	pid := mainProcess(p)
	dir := fmt.Sprintf("/proc/%d/", pid)
	id, err := image.IdentifyOpen(dir+"exe", cmp.Or(p.Program, dir+"exe"))
	if err != nil {
		return trace.Target{}, "", fmt.Errorf("read the program of %s: %w", p.Name, err)
	}
	t := trace.Target{Path: id.Path, SHA256: id.SHA256, BuildID: id.BuildID}
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		return trace.Target{}, "", fmt.Errorf("read the libraries of %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) != 6 || !strings.Contains(fields[1], "x") || !strings.HasPrefix(fields[5], "/") || fields[5] == id.Path {
			continue
		}
		// What is no ELF file, or is gone, is no library that could be found again.
		build, err := image.BuildID(filepath.Join(dir, "root", fields[5]))
		if err == nil {
			t.Libraries = append(t.Libraries, trace.Library{Path: fields[5], BuildID: build})
		}
	}
	line, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		return trace.Target{}, "", fmt.Errorf("read the command line of %s: %w", p.Name, err)
	}
	words := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	for i := range words {
		words[i] = fuzz.Quote(words[i])
	}
	return t, strings.Join(words, " "), nil
}

// mainProcess is the process that runs the place's program.
func mainProcess(p locate.Place) int {
	pids := slices.Clone(p.PIDs)
	for _, dir := range p.Cgroups {
		pids = append(pids, members(dir)...)
	}
	for _, pid := range pids {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && exe == p.Program {
			return pid
		}
	}
	if len(pids) > 0 {
		return pids[0]
	}
	return 0
}

// members are the processes in a cgroup and below it.
func members(dir string) []int {
	var pids []int
	// What vanishes meanwhile has no members.
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		list, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, word := range strings.Fields(string(list)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}
