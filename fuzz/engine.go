// Package fuzz decides what to run next, what of it was new, and when to stop. It
// takes an Executor that runs one Scenario and says which syscalls were seen, and
// gives back observations, each with the smallest scenario that shows it. It
// refuses to know how a target is run or recorded, and what a policy is. Its main
// hazard is a statement that the runs do not support: what counts for the
// statistics is defined at Stats.
package fuzz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Seed is an input to start from.
type Seed struct {
	Name string
	Data []byte
}

// heavy is the size from which a seed is tried in every way, but chosen for
// mutation eight times less often than others: a run on it costs as much.
const heavy = 256 << 10

func (s *Seed) heavy() bool { return len(s.Data) >= heavy }

// Options says what to run and when to stop. Bases and NewExecutor are required.
//
// With one worker, Duration 0, a deterministic executor and an empty State, the
// sequence of runs and everything in the Outcome but times depends only on the
// Options: no clock is read to decide anything.
type Options struct {
	Bases []Scenario // the command lines that the user gave; Stdin 0 means: try every kind, other values are kept until mutation
	Fixed int        // leading words of every argv that are never changed; 0 means 1, the program

	Seeds      []Seed
	Table      mutate.Table
	Dictionary mutate.Dictionary
	EnvNames   []string // environment variables that the target may read
	MaxInput   int      // cap on a mutated input in bytes; 0 means mutate.MaxInput

	Workers     int                                // 0 means 1
	NewExecutor func(worker int) (Executor, error) // called on the goroutine that will use it

	Seed       uint64        // of all randomness
	Execs      uint64        // stop after this many runs of any phase; 0 means no limit
	Duration   time.Duration // stop when this has passed; 0 means no limit
	Confidence float64       // stop exploring when Stats.Chance is below; 0 means never

	State    *State           // where scenarios are kept; nil keeps nothing
	Progress func(Stats)      // never called concurrently: after new syscalls, four times a second, and at the end
	Now      func() time.Time // nil means time.Now
}

// Stats are the numbers of a run so far.
//
// Runs, CleanRuns and the counts of an Observation count every recorded run,
// whatever it was for: they are evidence. Draws, Singletons, Quiet and Chance
// count PhaseExplore alone: they are statistics, and only draws at random support
// one. Base, seeds and options are chosen, and replays repeat what is known to
// show something; a syscall first shown by one of those is known, never a singleton.
type Stats struct {
	Phase      Phase
	Runs       uint64
	CleanRuns  uint64
	Accepted   uint64 // runs that ended with exit code 0
	TimedOut   uint64
	Left       uint64  // runs that left processes behind, which were killed
	Draws      uint64  // runs in PhaseExplore
	Singletons uint64  // syscalls that a draw was first to show and that exactly one draw has shown
	Quiet      uint64  // draws since the last new syscall
	Chance     float64 // upper bound, at 95 %, on the chance that one more draw shows a new syscall
	Syscalls   int
	Corpus     int
	Crashes    int // kinds, not runs
	Hangs      int // kinds, not runs
	Elapsed    time.Duration
	LastNew    time.Duration // when the last new syscall was seen, as Elapsed
}

// Stop says why a run ended. The zero value means that it has not, or failed.
type Stop uint8

// The reasons to stop.
const (
	StopNone Stop = iota
	StopInterrupted
	StopExecs
	StopDuration
	StopSaturated
)

// String is the reason as a sentence fragment.
func (s Stop) String() string {
	return [...]string{"not stopped", "interrupted", "number of runs reached", "time is up", "more runs are unlikely to show more"}[s]
}

// Failure is one kind of crash or timeout with the first scenario that showed it.
type Failure struct {
	ID       string
	Scenario Scenario
	Signal   int      // 0 for a timeout
	Words    []string // options and sub-commands that mutation had added, sorted
	Count    uint64   // runs of this kind
}

// Outcome is what is known at the end. It is valid, if not complete, after an
// interruption and after an error too.
type Outcome struct {
	Stats        Stats
	Stop         Stop
	Observations []trace.Observation // sorted by ID; Witness.ID is empty when Options.State was nil
	Unstable     []sysno.ID          // sorted: witness not confirmed by 3 of 5 replays
	Witnesses    []Stored            // sorted by ID, without duplicates
	Crashes      []Failure           // sorted by ID
	Hangs        []Failure           // sorted by ID
}

// Unconfirmed is what Witness.Command ends in for an unstable observation.
const Unconfirmed = " # not in every run"

const sigkill = 9

const (
	replays      = 5  // of a scenario with a new syscall
	confirming   = 3  // of them must show it
	minimizeRuns = 64 // runs spent on the witnesses of one discovery
	costlyRuns   = 16 // the same where each costs a timeout, or has much to read
	tries        = 512
)

// Run fuzzes until one of the stop rules, or ctx, says stop. It returns after all
// executors are closed and none of its goroutines is left.
func Run(ctx context.Context, o Options) (*Outcome, error) {
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("fuzz: %w", err)
	}
	stored, err := o.stored()
	if err != nil {
		return nil, fmt.Errorf("fuzz: %w", err)
	}
	c := &coordinator{
		o: &o, start: o.Now(), plan: plan(&o, stored), corpus: newCorpus(&o),
		books: make(map[sysno.ID]*record), crashes: make(map[string]*Failure), hangs: make(map[string]*Failure),
		news: make(chan struct{}, 1),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { c.watch(quit) })
	errs := make([]error, o.Workers+1)
	var workers sync.WaitGroup
	for i := range o.Workers {
		workers.Go(func() {
			w := worker{c: c, rng: rand.New(rand.NewPCG(o.Seed, uint64(i)))}
			if errs[i] = w.work(ctx, i); errs[i] != nil {
				cancel() // the others have nothing to add to a failed run
			}
		})
	}
	workers.Wait()
	close(quit)
	watcher.Wait()
	errs[o.Workers] = c.keepAll()
	c.tell()
	err = errors.Join(errs...)
	if err != nil {
		err = fmt.Errorf("fuzz: %w", err)
	}
	return c.outcome(err), err
}

// fill sets defaults and refuses what cannot be run.
func (o *Options) fill() error {
	o.Fixed = max(o.Fixed, 1)
	o.Workers = max(o.Workers, 1)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewExecutor == nil || len(o.Bases) == 0 {
		return errors.New("no executor or no command line")
	}
	for _, b := range o.Bases {
		if b.Stdin == StdinInvalid {
			b.Stdin = StdinNull
		}
		if err := b.Check(); err != nil {
			return fmt.Errorf("command line: %w", err)
		}
		if len(b.Argv) < o.Fixed {
			return fmt.Errorf("command line: %d words, %d of them fixed", len(b.Argv), o.Fixed)
		}
	}
	words := slices.Clone(o.Table.Commands)
	options := slices.Clone(o.Table.Options)
	for _, sub := range o.Table.Sub {
		options = append(options, sub...)
	}
	for _, opt := range options {
		words = append(append(words, opt.Name), opt.Values...)
		if opt.Arity == mutate.ArityInvalid {
			return fmt.Errorf("option table: %s has no arity", opt.Name)
		}
	}
	for _, w := range words {
		if strings.Contains(w, "\x00") {
			return fmt.Errorf("option table: %q contains a NUL byte", w)
		}
	}
	if o.Confidence < 0 || o.Confidence >= 1 {
		return fmt.Errorf("confidence %v is not a chance", o.Confidence)
	}
	return nil
}

// stored is what to resume from.
func (o *Options) stored() ([]Stored, error) {
	if o.State == nil {
		return nil, nil
	}
	var all []Stored
	for _, f := range []Folder{Witnesses, Queue} {
		s, err := o.State.List(f)
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	for _, s := range all {
		if !slices.ContainsFunc(o.Bases, func(b Scenario) bool {
			return len(s.Scenario.Argv) >= o.Fixed && slices.Equal(s.Scenario.Argv[:o.Fixed], b.Argv[:o.Fixed])
		}) {
			return nil, fmt.Errorf("%s holds scenarios of %q; use another state directory or clear this one", o.State.Dir(), s.Scenario.Argv[0])
		}
	}
	return all, nil
}

// record is what is known of one syscall.
type record struct {
	runs, clean uint64
	draws       uint64
	byDraw      bool // a draw was the first run to show it
	witness     Scenario
	confirmed   bool
}

// coordinator is what the workers share. mu guards everything below it.
type coordinator struct {
	o     *Options
	start time.Time
	plan  []planned
	news  chan struct{}

	mu      sync.Mutex
	next    int    // index into plan
	started uint64 // runs
	stop    Stop
	stats   Stats
	corpus  *corpus
	books   map[sysno.ID]*record
	crashes map[string]*Failure
	hangs   map[string]*Failure
}

// job is one run to make.
type job struct {
	s     Scenario
	phase Phase
	dims  [dimensions]bool
}

var errStop = errors.New("stopped")

// claim asks for permission to make one run. A discovery is pursued to its end
// even when another worker has just found the exploration saturated.
func (c *coordinator) claim(ctx context.Context, p Phase) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != StopNone && (c.stop != StopSaturated || p != PhaseReplay) {
		return false
	}
	if limit := c.limit(ctx); limit != StopNone {
		c.stop = limit
		return false
	}
	c.started++
	return true
}

// limit is the limit from outside that is reached, if any.
func (c *coordinator) limit(ctx context.Context) Stop {
	switch {
	case ctx.Err() != nil:
		return StopInterrupted
	case c.o.Execs > 0 && c.started >= c.o.Execs:
		return StopExecs
	case c.o.Duration > 0 && c.o.Now().Sub(c.start) >= c.o.Duration:
		return StopDuration
	}
	return StopNone
}

// choose is the next planned run, or a draw.
func (c *coordinator) choose(r *rand.Rand) job {
	c.mu.Lock()
	if c.next < len(c.plan) {
		p := c.plan[c.next]
		c.next++
		c.mu.Unlock()
		return job{s: p.s, phase: p.phase}
	}
	d := c.corpus.draw(r)
	c.mu.Unlock()
	return job{s: d.mutate(r, c.o), phase: PhaseExplore, dims: d.dims}
}

// report books a run. It returns the syscalls that no run had shown before, and
// where the scenario is to be kept.
func (c *coordinator) report(j *job, r *Result) (fresh []sysno.ID, keep []Folder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st, draw := &c.stats, j.phase == PhaseExplore
	st.Runs++
	if r.Clean() {
		st.CleanRuns++
		if r.ExitCode == 0 {
			st.Accepted++
		}
	}
	if r.Left {
		st.Left++
	}
	if r.TimedOut {
		st.TimedOut++
	}
	for _, id := range r.Seen {
		rec := c.books[id]
		if rec == nil {
			rec = &record{byDraw: draw, witness: j.s}
			c.books[id] = rec
			fresh = append(fresh, id)
		}
		rec.runs++
		if r.Clean() {
			rec.clean++
		}
		if draw && rec.byDraw {
			rec.draws++
			switch rec.draws {
			case 1:
				st.Singletons++
			case 2:
				st.Singletons--
			}
		}
	}
	if draw {
		st.Draws++
		st.Quiet++
	}
	if len(fresh) > 0 {
		st.Quiet = 0
		st.LastNew = c.o.Now().Sub(c.start)
		keep = append(keep, Queue)
		c.announce()
	}
	if j.phase != PhaseReplay {
		gain := 4 * float64(len(fresh))
		if c.corpus.novel(r.Seen) && c.corpus.addCombo(j.s, r.TimedOut) {
			gain++
			if len(fresh) == 0 {
				keep = append(keep, Queue)
			}
		}
		c.corpus.credit(j.dims, gain)
		// What is killed had mostly used all the memory that it may, which takes as long.
		c.corpus.blame(&j.s, r.TimedOut || r.Signal == sigkill)
	}
	switch {
	case r.TimedOut:
		keep = c.fail(c.hangs, Hangs, j, 0, keep)
	case r.Signal != 0:
		keep = c.fail(c.crashes, Crashes, j, r.Signal, keep)
	}
	if draw && c.stop == StopNone && c.o.Confidence > 0 && c.chance() < c.o.Confidence {
		c.stop = StopSaturated
	}
	return fresh, keep
}

// fail books a crash or a timeout. Two are of one kind when the signal and the
// options and sub-commands that mutation added are the same.
func (c *coordinator) fail(kinds map[string]*Failure, f Folder, j *job, signal int, keep []Folder) []Folder {
	words := slices.DeleteFunc(c.corpus.added(&j.s), func(w string) bool {
		return !strings.HasPrefix(w, "-") && !slices.Contains(c.o.Table.Commands, w)
	})
	key := fmt.Sprintf("%d %q", signal, words)
	if k := kinds[key]; k != nil {
		k.Count++
		return keep
	}
	if len(kinds) >= maxFailures {
		return keep
	}
	kinds[key] = &Failure{ID: j.s.ID(), Scenario: j.s, Signal: signal, Words: words, Count: 1}
	return append(keep, f)
}

func (c *coordinator) chance() float64 {
	return chance(c.stats.Singletons, c.stats.Draws, c.stats.Quiet)
}

// settle books the witness of a syscall.
func (c *coordinator) settle(id sysno.ID, s Scenario, confirmed, hung bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.books[id].witness, c.books[id].confirmed = s, confirmed
	c.corpus.addFind(s, hung)
}

// announce wakes the watcher without waiting for it.
func (c *coordinator) announce() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// snapshot is the state of the numbers now.
func (c *coordinator) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Phase = PhaseExplore
	if c.next < len(c.plan) {
		s.Phase = c.plan[c.next].phase
	}
	s.Chance = c.chance()
	s.Syscalls = len(c.books)
	s.Corpus = len(c.corpus.finds) + len(c.corpus.combos)
	s.Crashes, s.Hangs = len(c.crashes), len(c.hangs)
	s.Elapsed = c.o.Now().Sub(c.start)
	return s
}

// watch tells of progress until quit is closed. It decides nothing.
func (c *coordinator) watch(quit <-chan struct{}) {
	if c.o.Progress == nil && c.o.State == nil {
		return
	}
	tell, save := time.NewTicker(250*time.Millisecond), time.NewTicker(5*time.Second)
	defer tell.Stop()
	defer save.Stop()
	for {
		select {
		case <-quit:
			return
		case <-tell.C:
		case <-c.news:
		case <-save.C:
			// A failure shows again at the end, where it is an error.
			_ = c.saveStats(c.snapshot())
			continue
		}
		c.tell()
	}
}

func (c *coordinator) tell() {
	if c.o.Progress != nil {
		c.o.Progress(c.snapshot())
	}
}

// saveStats writes fuzzer_stats, with AFL's names where AFL has one.
func (c *coordinator) saveStats(s Stats) error {
	if c.o.State == nil {
		return nil
	}
	last := int64(0)
	if s.Syscalls > 0 {
		last = c.start.Add(s.LastNew).Unix()
	}
	rate := 0.0
	if s.Elapsed > 0 {
		rate = float64(s.Runs) / s.Elapsed.Seconds()
	}
	lines := [][2]string{
		{"start_time", fmt.Sprint(c.start.Unix())},
		{"last_update", fmt.Sprint(c.start.Add(s.Elapsed).Unix())},
		{"run_time", fmt.Sprint(int64(s.Elapsed.Seconds()))},
		{"fuzzer_pid", fmt.Sprint(os.Getpid())},
		{"execs_done", fmt.Sprint(s.Runs)},
		{"execs_per_sec", fmt.Sprintf("%.2f", rate)},
		{"corpus_count", fmt.Sprint(s.Corpus)},
		{"last_find", fmt.Sprint(last)},
		{"saved_crashes", fmt.Sprint(s.Crashes)},
		{"saved_hangs", fmt.Sprint(s.Hangs)},
		{"total_tmout", fmt.Sprint(s.TimedOut)},
		{"afl_banner", strings.Join(strings.Fields(c.o.Bases[0].Argv[0]), " ")},
		{"phase", s.Phase.String()},
		{"seed", fmt.Sprint(c.o.Seed)},
		{"syscalls_found", fmt.Sprint(s.Syscalls)},
		{"chance_of_new", fmt.Sprintf("%.6f", s.Chance)},
	}
	return c.o.State.writeStats(lines)
}

// keepAll stores the witnesses, confirmed or not, and the final numbers.
func (c *coordinator) keepAll() error {
	if c.o.State == nil {
		return nil
	}
	for _, id := range c.ids() {
		if err := c.o.State.Save(Witnesses, &c.books[id].witness); err != nil {
			return err
		}
	}
	return c.saveStats(c.snapshot())
}

func (c *coordinator) ids() []sysno.ID {
	return slices.SortedFunc(maps.Keys(c.books), sysno.ID.Compare)
}

// outcome is called when no worker is left.
func (c *coordinator) outcome(err error) *Outcome {
	out := &Outcome{Stats: c.snapshot(), Stop: c.stop, Crashes: failures(c.crashes), Hangs: failures(c.hangs)}
	if err != nil {
		out.Stop = StopNone
	}
	kept := make(map[string]bool)
	for _, id := range c.ids() {
		rec := c.books[id]
		key := rec.witness.ID()
		w := trace.Witness{Command: rec.witness.Command(key)}
		if c.o.State != nil {
			w = trace.Witness{ID: key, Command: rec.witness.Command(c.o.State.Prefix(Witnesses, key))}
		}
		if !rec.confirmed {
			w.Command += Unconfirmed
			out.Unstable = append(out.Unstable, id)
		}
		out.Observations = append(out.Observations, trace.Observation{ID: id, Runs: rec.runs, CleanRuns: rec.clean, Witness: w})
		if !kept[key] {
			kept[key] = true
			out.Witnesses = append(out.Witnesses, Stored{ID: key, Scenario: rec.witness})
		}
	}
	slices.SortFunc(out.Witnesses, func(a, b Stored) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func failures(kinds map[string]*Failure) []Failure {
	var out []Failure
	for _, key := range slices.Sorted(maps.Keys(kinds)) {
		out = append(out, *kinds[key])
	}
	slices.SortStableFunc(out, func(a, b Failure) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// worker makes runs with one executor.
type worker struct {
	c    *coordinator
	rng  *rand.Rand
	exec Executor
}

func (w *worker) work(ctx context.Context, i int) (err error) {
	if w.exec, err = w.c.o.NewExecutor(i); err != nil {
		return fmt.Errorf("start executor %d: %w", i, err)
	}
	defer func() {
		if e := w.exec.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("close executor %d: %w", i, e))
		}
	}()
	for err == nil {
		j := w.c.choose(w.rng)
		var r *Result
		var fresh []sysno.ID
		if r, fresh, err = w.run(ctx, &j); err == nil && len(fresh) > 0 {
			err = w.pursue(ctx, discovery{j.s, fresh, r.TimedOut})
		}
	}
	if err == errStop {
		err = nil
	}
	return err
}

// run makes one run and books it. The error is errStop when no run may be made
// any more.
func (w *worker) run(ctx context.Context, j *job) (*Result, []sysno.ID, error) {
	if !w.c.claim(ctx, j.phase) {
		return nil, nil, errStop
	}
	r, err := w.exec.Run(ctx, &j.s)
	if err != nil && ctx.Err() == nil { // once more: what failed may be a full table or a busy file
		r, err = w.exec.Run(ctx, &j.s)
	}
	if ctx.Err() != nil && (err != nil || !r.Clean()) {
		w.c.interrupt() // how the target ended may be our own doing
		return nil, nil, errStop
	}
	if err != nil {
		return nil, nil, fmt.Errorf("run %s: %w", j.s.Command(j.s.ID()), err)
	}
	fresh, keep := w.c.report(j, r)
	if w.c.o.State != nil {
		for _, f := range keep {
			if err := w.c.o.State.Save(f, &j.s); err != nil {
				return nil, nil, err
			}
		}
	}
	return r, fresh, nil
}

func (c *coordinator) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop == StopNone {
		c.stop = StopInterrupted
	}
}

// discovery is a scenario with the syscalls that it was first to show.
type discovery struct {
	s    Scenario
	ids  []sysno.ID
	hung bool
}

// pursue confirms and minimizes a discovery, and those made on the way.
func (w *worker) pursue(ctx context.Context, d discovery) error {
	for todo := []discovery{d}; len(todo) > 0; todo = todo[1:] {
		more, err := w.pursueOne(ctx, todo[0])
		if err != nil {
			return err
		}
		todo = append(todo, more...)
	}
	return nil
}

func (w *worker) pursueOne(ctx context.Context, d discovery) (more []discovery, err error) {
	replay := func(s *Scenario) []sysno.ID {
		var r *Result
		var fresh []sysno.ID
		if r, fresh, err = w.run(ctx, &job{s: *s, phase: PhaseReplay}); err != nil {
			return nil
		}
		if len(fresh) > 0 {
			more = append(more, discovery{*s, fresh, r.TimedOut})
		}
		return r.Seen
	}
	shown := make(map[sysno.ID]int)
	open := func(done int) bool { // is any syscall neither confirmed nor beyond it?
		return slices.ContainsFunc(d.ids, func(id sysno.ID) bool {
			return shown[id] < confirming && shown[id]+replays-done >= confirming
		})
	}
	for done := 0; done < replays && open(done) && err == nil; done++ {
		for _, id := range replay(&d.s) {
			shown[id]++
		}
	}
	budget := minimizeRuns
	if d.hung || len(d.s.Input) >= heavy {
		budget = costlyRuns
	}
	// The syscalls of one discovery mostly have one cause: what was run for one of
	// them is not run again for the next.
	memory := make(map[string][]sysno.ID)
	for _, id := range d.ids {
		confirmed := shown[id] >= confirming
		best := d.s
		if confirmed {
			best = minimize(d.s, min(w.c.o.Fixed, len(d.s.Argv)), tries, func(s *Scenario) bool {
				key := s.ID()
				seen, ok := memory[key]
				if !ok {
					if budget <= 0 || err != nil {
						return false
					}
					budget--
					if seen = replay(s); err != nil {
						return false
					}
					memory[key] = seen
				}
				_, found := slices.BinarySearchFunc(seen, id, sysno.ID.Compare)
				return found
			})
		}
		w.c.settle(id, best, confirmed, d.hung)
		if w.c.o.State != nil {
			if e := w.c.o.State.Save(Witnesses, &best); e != nil {
				return more, e
			}
		}
	}
	return more, err
}
