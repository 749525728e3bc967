package fuzz

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
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
	hung        bool // the witness runs into the time limit
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
	news  chan struct{}

	saving sync.Mutex // no checkpoint replaces a younger one
	before past       // what earlier sessions left
	asked  asked      // for by the options

	subject json.RawMessage // Options.Subject, encoded

	exchanging sync.Mutex // held by who uses o.Share

	mu      sync.Mutex
	agenda  agenda
	sources fair // of runs, but for those of others
	others  fair
	sweep   []Scenario      // what the plan tries first, where runs have left something
	swept   map[string]bool // scenarios that are or were in it, by ID: whether they were made
	flying  map[int]bool    // deliberate runs, by planned.turn, that are being made
	left    []discovery     // of an earlier session, to be pursued before all else
	started uint64          // runs
	stop    Stop
	stats   Stats
	corpus  *corpus
	aims    aims
	drawn   exposure // Stats.Draws by kind
	quiet   exposure // Stats.Quiet by kind
	books   map[sysno.ID]*record
	said    []Exchange
	called  bool // see Outcome
	crashes map[string]*Failure
	hangs   map[string]*Failure
	talks   map[string]uint64 // of peers with the target, by protocol

	exchanged time.Time  // when something was shared
	inbox     []Scenario // of others
	unshared  error      // why the last exchange failed
	lastCall  lastCall
	extra     uint64 // runs that may be made when all is over, on what others have shared
}

func newCoordinator(o *Options) *coordinator {
	books := make(map[sysno.ID]*record)
	expected := worthwhile
	return &coordinator{
		o: o, start: o.Now(), corpus: newCorpus(o, books), books: books, sources: newFair(expected[:]), others: newFair(others[:]), flying: make(map[int]bool), swept: make(map[string]bool), news: make(chan struct{}, 1),
		crashes: make(map[string]*Failure), hangs: make(map[string]*Failure), talks: make(map[string]uint64), aims: aims{of: o.Aims, found: make(chan struct{})},
	}
}

// job is one run to make.
type job struct {
	s     Scenario
	phase Phase
	turn  int // of a planned run
	rank  rank
	trial trial
	bare  stage
	aimed *goal
	from  source
	dims  [dimensions]bool
	entry *entry // of a draw; nil: a seed
	kind  stratum

	sought []sysno.ID // all that a replay is to show, see Seeker; nil: it is a run like any other
}

var errStop = errors.New("stopped")

// claim asks for permission to make one run. A discovery is pursued to its end
// even when another worker has just found the exploration saturated.
func (c *coordinator) claim(ctx context.Context, p Phase) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.extra > 0 && c.stop != StopInterrupted && ctx.Err() == nil && (p == PhaseShared || p == PhaseReplay) {
		c.extra--
		c.started++
		return true
	}
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

// limit is the limit from outside that is reached, if any. However late it is, there is one run: of none
// nothing can be said.
func (c *coordinator) limit(ctx context.Context) Stop {
	switch {
	case ctx.Err() != nil:
		return StopInterrupted
	case c.o.Execs > 0 && c.started >= c.o.Execs:
		return StopExecs
	case c.o.Duration > 0 && c.started > 0 && c.o.Now().Sub(c.start) >= c.o.Duration:
		return StopDuration
	}
	return StopNone
}

// source is where the next run comes from.
type source int

const (
	fromNone source = iota // a run that no turn was given to
	fromPlan
	fromAround // also planned; see agenda
	fromDraw
	fromSweep
	fromAim
	sources
)

// worthwhile is what to expect of the sources. Beside draws alone, aimed runs are a fifth of all
// where nothing comes of them, and at most two thirds.
var worthwhile = [sources]float64{fromPlan: 2, fromDraw: 1, fromAim: 0.75}

// besideAims is what to expect of the plan where runs are aimed: these take turns from draws first, not from what is sure to be made.
const besideAims = 3.5

// others is the same of those that have the turns of draws together.
var others = [sources]float64{fromDraw: 1, fromSweep: 1, fromAround: 1}

// source says where the next run comes from. What the plan has not tried so far, draws may find
// sooner, and what draws find is worth more draws: so late ones take turns with draws, and both with what is
// tried where runs have left something and with what is aimed. Words show most, and what is aimed: however much else is
// varied, they come as soon as they would without. It needs c.mu.
func (c *coordinator) source() source {
	early := c.agenda.early()
	aimed := !early && c.aims.due(c.started, c.corpus)
	c.sources.expected[fromPlan] = worthwhile[fromPlan]
	if aimed {
		c.sources.expected[fromPlan] = besideAims
	}
	// Who calls somebody does little as long as nobody answers, and who waits for keys, as long as none is pressed.
	swept := len(c.sweep) > 0 && (!early || c.corpus.called || len(c.corpus.sittings) > 0)
	from := source(c.sources.pick(func(i int) bool {
		return source(i) == fromPlan && (early || c.agenda.late(false)) || source(i) == fromAim && aimed || source(i) == fromDraw && (!early || swept)
	}))
	if from != fromDraw {
		return from
	}
	return source(c.others.pick(func(i int) bool {
		return source(i) == fromDraw && !early || source(i) == fromSweep && swept || source(i) == fromAround && !early && c.agenda.late(true)
	}))
}

// maxMade bounds what is known of the runs of sweeps.
const maxMade = 1 << 13

// unswept leaves out what was made, for an earlier session may have come here, too, and what is waiting; the others are to be
// put in c.sweep.
func (c *coordinator) unswept(all []Scenario) (out []Scenario) {
	for _, s := range all {
		id := s.ID()
		if _, known := c.swept[id]; known {
			continue
		}
		if len(c.swept) < maxMade {
			c.swept[id] = false
		}
		out = append(out, s)
	}
	return out
}

// startAt makes draws begin at the stages, too, and tries them in other worlds, before what depends on one run's leavings.
func (c *coordinator) startAt(at []start) {
	c.sweep = append(c.unswept(c.corpus.around(at)), c.sweep...)
	for _, at := range at {
		c.corpus.starts = append(c.corpus.starts, at.s)
	}
}

// choose is the next planned run, one of the sweep, one that is aimed, or a draw.
func (c *coordinator) choose(r *rand.Rand, p *plugin) job {
	c.mu.Lock()
	switch from := c.source(); from {
	case fromSweep:
		s := c.sweep[0]
		c.sweep = c.sweep[1:]
		c.mu.Unlock()
		return job{s: s, phase: PhaseOptions, from: fromSweep}
	case fromPlan, fromAround:
		next := c.agenda.take(from == fromAround)
		if at := c.agenda.starts; len(at) > 0 {
			c.startAt(at)
			c.agenda.starts = nil
		}
		if next.turn > 0 {
			c.flying[next.turn] = true
		}
		if next.phase == PhaseSeeds || next.phase == PhaseOptions {
			next.s = c.corpus.seated(c.corpus.accompanied(next.s), &next)
		}
		c.mu.Unlock()
		j := job{s: next.s, phase: next.phase, turn: next.turn, rank: next.rank, trial: next.trial, bare: next.bare}
		if !next.early {
			j.from = from
		}
		return j
	case fromAim:
		g := c.aims.choose(c.corpus)
		d := c.corpus.aimed(r, g, c.aims.goals)
		c.mu.Unlock()
		return job{s: d.attempt(r, c.o, p), phase: PhaseAimed, from: fromAim, aimed: g}
	}
	d := c.corpus.draw(r)
	c.mu.Unlock()
	return job{s: d.mutate(r, c.o, p), phase: PhaseExplore, from: fromDraw, dims: d.dims, entry: d.from, kind: d.kind}
}

// report books a run. It returns the syscalls that no run had shown before, and
// where the scenario is to be kept.
func (c *coordinator) report(j *job, r *Result) (fresh []sysno.ID, keep []Folder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flying, j.turn)
	if j.from == fromSweep {
		id := j.s.ID()
		if _, known := c.swept[id]; known || len(c.swept) < maxMade {
			c.swept[id] = true
		}
	}
	c.disregard(j, r)
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
			rec = &record{byDraw: draw, first: c.first(id, j), witness: j.s, hung: r.TimedOut}
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
		c.drawn[j.kind]++
		c.quiet[j.kind]++
	}
	if len(fresh) > 0 {
		c.quiet = exposure{}
		st.LastNew = c.elapsed()
		keep = append(keep, Queue)
		c.announce()
	}
	if r.Sought {
		return fresh, keep
	}
	c.said = mergeExchanges(c.said, r.Said)
	c.corpus.heed(r.Words)
	c.corpus.outlive(&j.s, r)
	if j.turn > 0 && j.phase == PhaseOptions && !j.s.Types() {
		if acts := unsaid(j.s.Acts, r.Acts); acts != nil {
			c.agenda.sayOn(j.turn, acts)
		}
	}
	gain, kept := c.corpus.learn(&j.s, r, len(fresh))
	if kept && len(fresh) == 0 {
		keep = append(keep, Queue)
	}
	if found := c.corpus.remember(&j.s, r); found != nil {
		c.sweep = append(c.sweep, c.unswept(c.corpus.sweep(found))...)
		c.quiet[dimHistory] = 0 // draws that go back to it are not like those before
	}
	c.called = c.called || r.Called
	if (r.Called || len(r.Asked) > 0) && j.phase != PhaseReplay { // a smaller one is no other talk
		if answered := c.unswept(c.corpus.answer(&j.s)); len(answered) > 0 { // to have got an answer at all comes before what waits
			c.sweep = slices.Concat(answered[:1], c.sweep, answered[1:])
		}
	}
	if j.phase == PhaseBase && r.Clean() && r.ExitCode == 0 {
		c.corpus.plain = true
	}
	if r.Waited {
		c.sweep = append(c.sweep, c.unswept(c.corpus.sit(&j.s, r))...)
	}
	for protocol, n := range r.Asked {
		c.talks[protocol] += n
	}
	if j.aimed != nil {
		j.aimed.missed(gain)
	}
	if j.phase != PhaseReplay {
		c.corpus.credit(j, gain)
		c.spend(j, r, gain, len(fresh))
		// What is killed had mostly used all the memory that it may, which takes as long.
		c.corpus.blame(&j.s, r.TimedOut || r.Signal == sigkill)
	}
	switch {
	case r.TimedOut && j.s.delays():
	case r.TimedOut:
		keep = c.fail(c.hangs, Hangs, j, r, keep)
	case r.Signal != 0 && !j.s.provokes(r.Signal):
		keep = c.fail(c.crashes, Crashes, j, r, keep)
	}
	if draw && c.stop == StopNone && c.agenda.over() && len(c.sweep) == 0 && c.saturated() {
		c.stop = StopSaturated
	}
	return fresh, keep
}

// spend books what a run has cost and gained for where it came from. What promises further syscalls counts
// little beside those that it has shown: strange input easily shows something strange.
func (c *coordinator) spend(j *job, r *Result, gain float64, syscalls int) {
	const promise = 0.25
	shown := float64(syscalls) * worth[kindSyscall]
	gain = shown + promise*(gain-shown)
	cost := 1 + float64(len(j.s.Before)) // each step is a run of the target
	if j.s.onTerminal() {
		cost++ // such a run takes about twice as long as another
	}
	if r.TimedOut {
		cost = 16 // as for entries
	}
	switch j.from {
	case fromNone:
	case fromPlan, fromAim:
		c.sources.spend(int(j.from), cost, gain)
	default:
		c.sources.spend(int(fromDraw), cost, gain)
		c.others.spend(int(j.from), cost, gain)
	}
	switch j.from {
	case fromPlan, fromAround:
		c.agenda.fair(j.from == fromAround).spend(int(j.rank), cost, gain)
	}
	c.agenda.note(j.trial, r)
	c.agenda.stages.note(j.bare, j.turn, &j.s, r)
}

func (c *coordinator) chance() float64 {
	return chance(c.stats.Singletons, &c.drawn, &c.quiet, c.corpus.parts())
}

// settle books the witness of a syscall, which shows those in seen; pursued says that it
// is the last word.
func (c *coordinator) settle(id sysno.ID, s Scenario, confirmed, hung, pursued bool, seen []sysno.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rec := c.books[id]
	rec.witness, rec.hung, rec.confirmed, rec.pursued = s, hung, confirmed, pursued
	if confirmed {
		c.corpus.add(s, hung, seen, nil)
	}
}

// announce wakes the watcher without waiting for it.
func (c *coordinator) announce() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// elapsed is the time that all sessions have taken.
func (c *coordinator) elapsed() time.Duration { return c.before.elapsed + c.o.Now().Sub(c.start) }

// snapshot is the state of the numbers now.
func (c *coordinator) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Phase = c.agenda.phase()
	s.Draws, s.Quiet = c.drawn.total(), c.quiet.total()
	s.Chance = c.chance()
	s.Syscalls = len(c.books)
	s.Corpus = len(c.corpus.entries)
	s.Crashes, s.Hangs = len(c.crashes), len(c.hangs)
	s.Elapsed = c.elapsed()
	return s
}

// watch tells of progress, and keeps the numbers, until quit is closed. It decides
// nothing.
func (c *coordinator) watch(quit <-chan struct{}) {
	if c.o.Progress == nil && c.o.State == nil {
		return
	}
	tell, keep, publish := time.NewTicker(250*time.Millisecond), time.NewTicker(time.Second), time.NewTicker(5*time.Second)
	defer tell.Stop()
	defer keep.Stop()
	defer publish.Stop()
	for {
		// A failure to write shows again at the end, where it is an error.
		select {
		case <-quit:
			return
		case <-tell.C:
		case <-c.news:
		case <-keep.C:
			_ = c.checkpoint()
			continue
		case <-publish.C:
			_ = c.saveStats(c.snapshot())
			continue
		}
		c.tell()
	}
}

func (c *coordinator) tell() {
	if c.o.Progress != nil {
		c.o.Progress(c.progress())
	}
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
	err := errors.Join(c.checkpoint(), c.saveStats(c.snapshot()),
		c.o.State.note(Crashes, failures(c.crashes)), c.o.State.note(Hangs, failures(c.hangs)))
	c.giveLast()
	return err
}

func (c *coordinator) ids() []sysno.ID {
	return slices.SortedFunc(maps.Keys(c.books), sysno.ID.Compare)
}

// outcome is called when no worker is left.
func (c *coordinator) outcome(err error) *Outcome {
	out := &Outcome{Stats: c.snapshot(), Stop: c.stop, Found: c.firsts(), Varied: c.varied(), Crashes: failures(c.crashes), Hangs: failures(c.hangs), Asked: c.talks}
	if err != nil {
		out.Stop = StopNone
	}
	out.Said, out.Called = c.said, c.called
	kept := make(map[string]bool)
	out.LostBefore, out.Unshared = c.before.lost, c.unshared
	out.Before = slices.SortedFunc(slices.Values(c.before.shown), sysno.ID.Compare)
	for _, id := range c.before.aside {
		if c.books[id] == nil {
			out.Observations = append(out.Observations, trace.Observation{ID: id})
		}
	}
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
	slices.SortFunc(out.Observations, func(a, b trace.Observation) int { return a.ID.Compare(b.ID) })
	slices.SortFunc(out.Witnesses, func(a, b Stored) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
