// Package fuzz decides what to run next, what of it was new, and when to stop. It
// takes an Executor that runs one Scenario and says which syscalls were seen, and
// gives back observations, each with the smallest scenario that shows it. It
// refuses to know how a target is run or recorded, and what a policy is. Its main
// hazard is a statement that the runs do not support: what counts for the
// statistics is defined at Stats.
package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	File string // what a file with such data is usually called, for targets that look at it; may be empty
	Data []byte

	Packed bool // it is compressed data, or an archive
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

	Imported   []Scenario // of other sessions, as Import finds them: tried before the seeds, for their first words those of Bases
	Seeds      []Seed
	Table      mutate.Table
	Dictionary mutate.Dictionary
	Can        Abilities           // of the executors
	Configs    []string            // names of those of the Bases' files that are configurations
	Includable []string            // what else lies beside these, and may be included
	References map[string][][]byte // other texts that configurations of a name may have, such as one with all directives explained
	Talks      [][]Act             // what to begin with where the program is a service, the most telling first; nil where it is none
	Commands   [][]Act             // more of them: guesses, of what may be commands of the service
	Aims       *Aims               // nil: none
	EnvNames   []string            // environment variables that the target may read
	Only       []string            // what may be varied, of Dimensions; nil means all. It is for measuring what each is worth
	MaxInput   int                 // cap on a mutated input in bytes; 0 means mutate.MaxInput

	Workers     int                                // 0 means 1
	NewExecutor func(worker int) (Executor, error) // called on the goroutine that will use it

	// NewMutator, when not nil, makes a further source of inputs for a worker.
	NewMutator func(worker int) (Mutator, error)

	// Settled, when not nil, is told of each syscall once, when no decision needs to
	// see it in a Result any more: its witness is found, some clean runs have shown it
	// and, where they count, as many draws. An executor that leaves it out from then on
	// makes the counts of its Observation lower bounds, and keeps the corpus from
	// learning of pairs of syscalls that are both settled. Settled is called from any
	// worker, and must not wait for one.
	Settled func(sysno.ID)

	Shard      Shard         // of the planned runs; the others are for other sessions
	Seed       uint64        // of all randomness; each shard draws other numbers from it
	Execs      uint64        // stop after this many runs of any phase; 0 means no limit
	Duration   time.Duration // stop when this has passed; 0 means no limit
	Confidence float64       // stop exploring when Stats.Chance is below; 0 means never

	// Evidence says what the runs are evidence of: which program, on which kernel, seen
	// by which recorder. Numbers that a session with another left in State count no more.
	Evidence string
	// Subject, when not nil, says the same as evidence without runs, for those who read the
	// State of a session that has not ended.
	Subject *trace.Trace
	// Aside, when not nil, tells what the recorder knows beside what runs have shown:
	// every syscall, and what was lost. It is called from any goroutine.
	Aside func() ([]sysno.ID, trace.Lost)

	State    *State           // where scenarios are kept; nil keeps nothing
	Share    *Share           // with other sessions, every few seconds; it needs State, and makes the outcome depend on the clock
	Progress func(Progress)   // never called concurrently: after new syscalls, four times a second, and at the end
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
	Chance     float64 // upper bound, at 95 %, on the chance that one more draw, as draws are made now, shows a new syscall
	Syscalls   int
	Corpus     int
	Crashes    int // kinds, not runs
	Hangs      int // kinds, not runs
	Elapsed    time.Duration
	LastNew    time.Duration // when the last new syscall was seen, as Elapsed
	LastCrash  time.Duration // when the last kind of crash was seen first, as Elapsed
	LastHang   time.Duration // when the last kind of timeout was
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
	Place    Place    // where it crashed, as far as that is known
	Words    []string // options and sub-commands that mutation had added, sorted
	Count    uint64   // runs of this kind
}

// Outcome is what is known at the end. It is valid, if not complete, after an
// interruption and after an error too.
type Outcome struct {
	Stats        Stats
	Stop         Stop
	Observations []trace.Observation // sorted by ID; Witness.ID is empty when Options.State was nil, and where no run has shown it
	Found        []Found             // for each observation that a run has shown, in the order of the runs
	Varied       []Varied            // by dimension
	Said         []Exchange          // with the service, sorted by socket
	Called       bool                // a run tried to reach somebody over the network, where nobody was
	LostBefore   trace.Lost          // by the sessions that this one went on from
	Before       []sysno.ID          // sorted: what runs of these have shown, which the recorder of this one has not seen
	Unshared     error               // why the last exchange on Options.Share failed, nil when it did not
	Asked        map[string]uint64   // what peers were asked by the target, by protocol; of this session
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
	settling     = 16 // clean runs, and draws where they count, until a syscall is settled
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
	c := newCoordinator(&o)
	if err := c.begin(stored); err != nil {
		return nil, fmt.Errorf("fuzz: %w", err)
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
			w := worker{c: c, rng: rand.New(rand.NewPCG(o.Seed, o.Shard.stream(c.before.sessions, i)))}
			if errs[i] = w.work(ctx, i); errs[i] != nil {
				cancel() // the others have nothing to add to a failed run
			}
		})
	}
	workers.Wait()
	cancel()
	c.aims.finding.Wait()
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
	if o.Share != nil && o.State == nil {
		return errors.New("a share without a state directory")
	}
	for _, b := range o.Bases {
		if b.Stdin == StdinInvalid {
			b.Stdin = StdinNull
		}
		if err := b.Check(); err != nil {
			return fmt.Errorf("command line: %w", err)
		}
		for _, name := range o.Configs {
			if !slices.ContainsFunc(b.Files, func(f File) bool { return f.Name == name }) {
				return fmt.Errorf("the configuration %q is no file of the command line", name)
			}
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
	if err := errors.Join(o.checkOnly(), o.Shard.check()); err != nil {
		return err
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
