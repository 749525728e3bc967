package fuzz

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Aims says which syscalls the target can reach by its code, and what is known of the ways to
// them. Runs are aimed at those that none has shown. They are chosen, not drawn at random from all that
// can be varied, so the statistics do not count them.
type Aims struct {
	// Find tells of the syscalls, sorted and without duplicates. It is called once, after the runs that
	// come before all draws and beside the next ones, if there is time left then; it returns soon when ctx is done.
	Find func(ctx context.Context) []sysno.ID

	// Aim tells of one, nil where nothing is known. It gives the same for the same syscall, and is
	// called at most once for each, after Find and beside runs as that.
	Aim func(sysno.ID) *Aim
}

// Aim is what is known of the way to a syscall.
type Aim struct {
	Blocks  []AimBlock // nearest first, at least one
	Setters []AimBlock // code that sets what is looked at on the way; by the distance of where it is looked at, nearest first
	Clues   []Clue     // nearest first
}

// AimBlock is some code of the target from which the syscall can be reached.
type AimBlock struct {
	Key      uint64 // of a SignalBlock
	Distance int    // larger than 0 for all but the block that makes the call
}

// Clue is something by which the code on the way to a syscall decides.
type Clue struct {
	Kind     ClueKind
	Text     string   // the text; the name of a variable or of a file
	Number   uint64   // the number, the errno or the signal
	Size     int      // of a number in bytes, 1 to 8
	ID       sysno.ID // the syscall that may fail
	Distance int      // of the code, as in AimBlock
}

// ClueKind says what a clue is. The zero value is invalid.
type ClueKind uint8

// The kinds of clues.
const (
	ClueInvalid  ClueKind = iota
	ClueText              // something may be compared with it
	ClueVariable          // of the environment, which is read
	ClueFile              // which is opened or looked at
	ClueNumber            // something is compared with it
	ClueSignal            // for which there is a handler
	ClueFailure           // a syscall whose result is looked at
	ClueErrno             // which is told apart
	clueKinds
)

// goal is a syscall that runs are aimed at.
type goal struct {
	id      sysno.ID
	aim     *Aim
	reached int // index in aim.Blocks of the nearest block that a run has reached; their number where none has
	looked  int // how many things the corpus knew of then
	tired   int // runs since one came nearer
	among   int // how many goals have the same nearest block; they share the turns of one
	due     int // the round of the next turn
}

// aims are the goals that are left. The lock of the coordinator guards all but found and finding.
type aims struct {
	of      *Aims
	finding sync.WaitGroup
	found   chan struct{} // closed when the goals are known
	from    uint64        // the run that may be the first one that is aimed; 0: it is not known
	goals   []*goal
}

// passed is how much farther than the nearest block something may be that no run has passed yet.
const passed = 2

// lead is how many runs are made beside Find before one waits for it.
const lead = 128

// patient is how many runs are aimed at each goal, or at those that share its turns, without coming nearer until it has only every
// second, then every third turn and so on, but at least one of laggard. Once the nearest block is reached, it is mostly other code than
// the target's own that is left of the way, and no clue tells of what is decided there: such a goal has one turn of astray from then on, and then fewer, but at least one of stray.
const (
	patient = 32
	laggard = 8
	astray  = 4
	stray   = 64
)

// find has the goals found once the runs are made that come before all draws. If a number of runs
// decides when all ends, and no clock, the first run that may be aimed waits for them: so each is the same in all
// sessions.
func (c *coordinator) find(ctx context.Context) {
	c.mu.Lock()
	a := &c.aims
	if a.of == nil || c.agenda.early() || c.o.Execs > 0 && a.from == 0 && c.started+lead >= c.o.Execs {
		c.mu.Unlock()
		return
	}
	if a.from == 0 {
		a.from = c.started + lead
		a.finding.Go(func() {
			defer close(a.found)
			goals := c.goals(ctx)
			c.mu.Lock()
			defer c.mu.Unlock()
			a.goals = goals
			a.share()
		})
	}
	wait := c.started >= a.from && (c.o.Execs > 0 || c.o.Duration == 0)
	c.mu.Unlock()
	if !wait {
		return
	}
	if c.o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.Duration-c.o.Now().Sub(c.start))
		defer cancel()
	}
	select {
	case <-a.found:
	case <-ctx.Done():
	}
}

// goals are what is known of the ways to syscalls. Those that runs have shown meanwhile are left
// out, as they would be later: that spares time, and changes nothing.
func (c *coordinator) goals(ctx context.Context) []*goal {
	var goals []*goal
	for _, id := range c.aims.of.Find(ctx) {
		c.mu.Lock()
		shown := c.books[id] != nil
		c.mu.Unlock()
		if shown || ctx.Err() != nil {
			continue
		}
		if aim := c.aims.of.Aim(id); aim != nil {
			goals = append(goals, &goal{id: id, aim: aim, reached: len(aim.Blocks)})
		}
	}
	return goals
}

// due reports whether the next run may be one that is aimed. It needs the lock of the coordinator.
func (a *aims) due(started uint64, c *corpus) bool {
	if a.from == 0 || started < a.from {
		return false
	}
	n := len(a.goals)
	a.goals = slices.DeleteFunc(a.goals, func(g *goal) bool { return c.books[g.id] != nil })
	if len(a.goals) < n {
		a.share()
	}
	return len(a.goals) > 0
}

// share makes goals share turns to which one block is nearest: what brings a run there serves all of them.
func (a *aims) share() {
	same := map[uint64]int{}
	for _, g := range a.goals {
		same[g.aim.Blocks[0].Key]++
	}
	for _, g := range a.goals {
		g.among = same[g.aim.Blocks[0].Key]
	}
}

// choose takes the goals in turns, those on which more was spent in vain less often.
func (a *aims) choose(c *corpus) *goal {
	g := slices.MinFunc(a.goals, func(x, y *goal) int { return cmp.Compare(x.due, y.due) }) // the first of several
	g.look(c)
	g.due += g.every() * g.among
	return g
}

// every is of how many turns the goal takes one, if it shares them with nobody.
func (g *goal) every() int {
	tired := g.tired * g.among / patient
	if g.reached == 0 {
		return min(astray+tired, stray)
	}
	return min(1+tired, laggard)
}

// look sees how near runs have come.
func (g *goal) look(c *corpus) {
	if g.looked == len(c.owners) {
		return
	}
	g.looked = len(c.owners)
	for i, b := range g.aim.Blocks[:g.reached] {
		if _, known := c.owners[Signal{SignalBlock, b.Key}]; known {
			g.reached, g.tired = i, 0
			return
		}
	}
}

// nearest is the scenario that came nearest, nil where that is not known.
func (g *goal) nearest(c *corpus) *entry {
	const around = 8 // steps
	if g.reached == len(g.aim.Blocks) {
		return nil
	}
	for _, b := range g.aim.Blocks[g.reached:] {
		if e := c.owners[Signal{SignalBlock, b.Key}]; e != nil {
			return e
		}
		if b.Distance > g.distance()+around {
			break
		}
	}
	return nil
}

// distance is that of the nearest block that was reached.
func (g *goal) distance() int { return g.aim.Blocks[g.reached].Distance }

// aimed chooses what is changed to come nearer to a goal, and a little to others.
func (c *corpus) aimed(r *rand.Rand, g *goal, others []*goal) draft {
	c.weigh()
	d := draft{banned: c.banned, clues: g.clues(r), setters: g.setters(c)}
	for r.IntN(2) == 0 && len(d.beside) < 4 { // what is read of the surroundings mostly does not exclude other such
		d.beside = append(d.beside, one(r, others).clues(r))
	}
	switch from := g.nearest(c); {
	case from != nil && r.IntN(2) == 0: // all that it has may be what brought it there
		d.s, d.from = from.s, from
	case from != nil && r.IntN(4) == 0:
		d.s, d.from = c.scenario(r, from), from
	default:
		if r.IntN(3) != 0 { // else: nothing stands in the way there
			d.from = c.parent(r)
		}
		d.s = c.scenario(r, d.from)
	}
	for _, k := range d.clues {
		if k.Kind == ClueText && k.Text != "" {
			d.dict = append(d.dict, []byte(k.Text))
		}
	}
	if len(d.dict) == 0 {
		d.dict = c.dictionary(r)
	}
	d.faults = c.faults(nil)
	d.other = c.scenario(r, c.parent(r)).Input
	return d
}

// setters are the scenarios kept for what they set that is looked at next on the way, but for those that vary nothing, or hang.
func (g *goal) setters(c *corpus) []Scenario {
	var out []Scenario
	known := map[*entry]bool{nil: true}
	for _, b := range g.aim.Setters {
		if g.reached < len(g.aim.Blocks) && b.Distance > g.distance()+passed {
			break
		}
		e := c.owners[Signal{SignalBlock, b.Key}]
		if !known[e] && !e.hung && (len(e.s.Argv) > c.o.Fixed && !slices.Equal(e.s.Argv[c.o.Fixed:], []string{mutate.Input}) || len(e.s.Env) > 0 || len(e.s.Files) > 0) {
			out = append(out, e.s)
		}
		known[e] = true
	}
	return out
}

// clues are those of the code that no run has passed, mostly.
func (g *goal) clues(r *rand.Rand) []Clue {
	all := g.aim.Clues
	if g.reached == len(g.aim.Blocks) || r.IntN(4) == 0 {
		return all
	}
	n := 0
	for n < len(all) && all[n].Distance <= g.distance()+passed {
		n++
	}
	ahead := all[:n]
	if n == 0 {
		return all
	}
	if r.IntN(4) == 0 { // the next branch is what keeps from the others
		ahead = slices.Clone(ahead)
		slices.Reverse(ahead)
	}
	return ahead
}

// missed books an aimed run. What is called deep below the target's own code is there for cases that no
// input makes, mostly.
func (g *goal) missed(gain float64) {
	const deep = 4
	g.tired += 1 + g.aim.Blocks[0].Distance/deep
	if gain > 0 {
		g.tired /= 2
	}
}
