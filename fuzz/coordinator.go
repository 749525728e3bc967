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

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// record is what is known of one syscall.
type record struct {
	runs, clean uint64
	draws       uint64
	byDraw      bool // a draw was the first run to show it
	first       Found
	witness     Scenario
	confirmed   bool
	pursued     bool // the witness is found
	settled     bool
}

// settles reports, once, that no decision depends on further sightings: the
// statistics count up to two draws, and tiers ask for a clean run.
func (r *record) settles() bool {
	if r.settled || !r.pursued || r.clean < settling || r.byDraw && r.draws < settling {
		return false
	}
	r.settled = true
	return true
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
func (c *coordinator) choose(r *rand.Rand, p *plugin) job {
	c.mu.Lock()
	if c.next < len(c.plan) {
		next := c.plan[c.next]
		c.next++
		c.mu.Unlock()
		return job{s: next.s, phase: next.phase}
	}
	d := c.corpus.draw(r)
	c.mu.Unlock()
	return job{s: d.mutate(r, c.o, p), phase: PhaseExplore, dims: d.dims}
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
			rec = &record{byDraw: draw, first: c.first(id, j), witness: j.s}
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
		if rec.settles() && c.o.Settled != nil {
			c.o.Settled(id)
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
	rec := c.books[id]
	rec.witness, rec.confirmed, rec.pursued = s, confirmed, true
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
	out := &Outcome{Stats: c.snapshot(), Stop: c.stop, Found: c.firsts(), Crashes: failures(c.crashes), Hangs: failures(c.hangs)}
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
