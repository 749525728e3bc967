package fuzz

import (
	"cmp"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// The bounds of what the corpus remembers.
const (
	maxEntries  = 2048
	maxThings   = 1 << 18
	maxSets     = 1 << 16
	maxSuspects = 1 << 12
	maxFailures = 64 // crashes, and as many timeouts
	maxWords    = 32 // of a command line that gets the name of a file added
	maxTokens   = 1 << 10
)

// kindSyscall makes a Signal stand for a syscall itself. The corpus looks for both alike.
const kindSyscall = SignalInvalid

const kinds = SignalTree + 1

// worth ranks what a scenario can be the first to show, each about twice as much as the
// next: how well each leads to further syscalls, as far as that was measured for fuzzers
// of kernels and programs.
var worth = [kinds]float64{
	kindSyscall: 4, SignalValue: 2, SignalErrno: 1, SignalPair: 0.5, SignalBlock: 0.25, SignalEdge: 0.125, SignalTree: 0.0625,
}

// entry is a scenario that mutation starts from.
type entry struct {
	s     Scenario
	hung  bool
	cost  int
	seen  []sysno.ID // sorted
	owned [kinds]int // of how many things it is the cheapest scenario
	drawn int
	tired int // draws since one showed something new

	served bool // it was a service
}

// youth is how many draws it takes until an entry is like any other.
const youth = 8

func (e *entry) young() bool { return e.drawn < youth }

// corpus decides which scenario is changed next, and in which dimensions. It is
// not safe for concurrent use.
//
// A run that shows a thing, a syscall or a Signal, that none has shown before makes its
// scenario an entry. The cheapest entry that shows a thing owns it. What an entry owns
// decides how often it is drawn: the rarer among runs the more often, and rarely when
// it owns nothing.
type corpus struct {
	o       *Options
	books   map[sysno.ID]*record // the coordinator's
	starts  []Scenario           // the ways to give the target an input, and the command lines on which it does most
	entries []*entry
	known   map[string]*entry // by ID; nil: it was removed, or there was no room
	owners  map[Signal]*entry // nil: none that is known

	// Of the distinct sets of syscalls that runs have shown: in how many a syscall, and two
	// of them, the lesser one first, are.
	sets  map[uint64]bool
	alone map[sysno.ID]int
	pairs map[[2]sysno.ID]int

	weights []float64 // of entries: sums of all up to each
	fresh   float64   // the part of the draws that starts from young entries
	stale   int       // draws that weights have served

	budget budget
	called bool            // some run has called somebody over the network, so that peers are worth drawing
	calls  map[string]bool // command lines that have
	lives  map[string]bool // of services that have, see lifeOf

	sittings []Scenario // those that have waited at a terminal for something to be typed
	keyed    bool       // some have for single keys
	plain    bool       // the program has done well without a terminal

	leavings []*leaving
	byTree   map[uint64]*leaving // by the Key of a SignalTree
	lines    []planned           // what to try where something was left

	tokens  mutate.Dictionary // that runs have shown; only ever appended to
	tokened map[string]bool   // those, and those of the Options

	fates   map[deed]fate
	endings map[deed]bool // what ends a service; never written to once it is handed out

	suspects   map[string]*suspect
	runs, hung uint64
	banned     map[string]bool // never written to once it is handed out
}

func newCorpus(o *Options, books map[sysno.ID]*record) *corpus {
	c := &corpus{
		o: o, books: books, known: make(map[string]*entry), owners: make(map[Signal]*entry),
		sets: make(map[uint64]bool), alone: make(map[sysno.ID]int), pairs: make(map[[2]sysno.ID]int),
		suspects: make(map[string]*suspect), banned: make(map[string]bool), byTree: make(map[uint64]*leaving),
		calls: make(map[string]bool), lives: make(map[string]bool), fates: make(map[deed]fate), endings: make(map[deed]bool),
	}
	c.budget = newBudget(c.varies)
	for _, base := range o.Bases {
		c.starts = append(c.starts, templates(base, o.Fixed)...)
	}
	return c
}

// learn books what a run has shown beside new syscalls, of which it says how many there
// were. If anything is new it makes the scenario an entry, for which there may be no room.
// It returns what that is worth.
func (c *corpus) learn(s *Scenario, r *Result, syscalls int) (gain float64, kept bool) {
	news := c.pairsOf(r.Seen)
	for _, sig := range r.Signals {
		if _, known := c.owners[sig]; !known && sig.Kind < kinds && len(c.owners) < maxThings {
			news = append(news, sig)
		}
	}
	if syscalls == 0 && len(news) == 0 {
		return 0, false
	}
	kept = c.add(*s, r.TimedOut, r.Seen, news)
	if e := c.known[s.ID()]; e != nil && r.Acts > 0 {
		e.served = true
	}
	gain = float64(syscalls) * worth[kindSyscall]
	var counted [kinds]bool
	for _, n := range news { // one run can show thousands of blocks
		if !counted[n.Kind] {
			counted[n.Kind] = true
			gain += worth[n.Kind]
		}
	}
	return gain, kept
}

// heed keeps what the target compares its input with.
func (c *corpus) heed(words [][]byte) {
	if len(words) > 0 && c.tokened == nil {
		c.tokened = make(map[string]bool)
		for _, token := range c.o.Dictionary {
			c.tokened[string(token)] = true
		}
	}
	for _, w := range words {
		if len(w) > 0 && !c.tokened[string(w)] && len(c.tokens) < maxTokens {
			c.tokened[string(w)] = true
			c.tokens = append(c.tokens, w)
		}
	}
}

// dictionary is that of a draw. What the target was seen to look for is worth more than what
// may be of use to it.
func (c *corpus) dictionary(r *rand.Rand) mutate.Dictionary {
	if len(c.tokens) == 0 || r.IntN(2) == 0 {
		return c.o.Dictionary
	}
	return c.tokens
}

// pairsOf returns the pairs of syscalls in a set that no set held before.
func (c *corpus) pairsOf(seen []sysno.ID) []Signal {
	h := fnv.New64a()
	for _, id := range seen {
		h.Write([]byte{byte(id.Arch), byte(id.NR), byte(id.NR >> 8), byte(id.NR >> 16), byte(id.NR >> 24)})
	}
	sum := h.Sum64()
	if c.sets[sum] || len(c.sets) >= maxSets {
		return nil
	}
	c.sets[sum] = true
	var news []Signal
	for i, a := range seen {
		c.alone[a]++
		for _, b := range seen[i+1:] {
			pair := [2]sysno.ID{a, b}
			if c.pairs[pair]++; c.pairs[pair] == 1 {
				const odd = 0x9e3779b97f4a7c15
				news = append(news, Signal{SignalPair, odd*keyOf(a) + keyOf(b)})
			}
		}
	}
	return news
}

// keyOf is a syscall as the Key of a Signal.
func keyOf(id sysno.ID) uint64 { return uint64(id.Arch)<<32 | uint64(id.NR) }

// add makes a scenario an entry, if there is room, and gives it what it shows most
// cheaply. It reports whether it is one.
func (c *corpus) add(s Scenario, hung bool, seen []sysno.ID, news []Signal) bool {
	id := s.ID()
	e, known := c.known[id]
	if lead := s.World.Call == (Call{}); !known && lead && (len(c.entries) < maxEntries || c.evict()) { // what ends so shows nothing of how it is varied
		e = &entry{s: s, hung: hung, cost: costOf(&s, hung), seen: slices.Clone(seen)}
		c.entries = append(c.entries, e)
		c.weights = nil
	} else if e != nil && len(e.seen) < len(seen) { // an earlier session's, of which little was stored
		e.seen = slices.Clone(seen)
	}
	if len(c.known) < maxSets {
		c.known[id] = e
	}
	for _, id := range seen {
		c.claim(e, Signal{kindSyscall, keyOf(id)})
	}
	for _, sig := range news {
		c.claim(e, sig)
	}
	return e != nil
}

// claim gives a thing to an entry that shows it, nil for one that is not kept, unless it
// belongs to one that is cheaper.
func (c *corpus) claim(e *entry, sig Signal) {
	old := c.owners[sig]
	if e == nil && old != nil || e != nil && old != nil && old.cost <= e.cost {
		return
	}
	if c.owners[sig] = e; e != nil {
		e.owned[sig.Kind]++
	}
	if old != nil {
		old.owned[sig.Kind]--
	}
}

// evict removes the most often drawn entry of those that own nothing.
func (c *corpus) evict() bool {
	worst := -1
	for i, e := range c.entries {
		if e.owned == [kinds]int{} && (worst < 0 || e.drawn > c.entries[worst].drawn) {
			worst = i
		}
	}
	if worst < 0 {
		return false
	}
	c.known[c.entries[worst].s.ID()] = nil
	c.entries = slices.Delete(c.entries, worst, worst+1)
	return true
}

// costOf is what it takes to run a scenario and to understand it. How long a run took is
// not part of it: that is never the same twice.
func costOf(s *Scenario, hung bool) int {
	const each = 64 // bytes that a part is worth
	n := each*(len(s.Argv)+len(s.Env)+len(s.Files)+len(s.world())+len(s.steps())+len(s.Acts)) + len(s.Input) + sent(s.Acts)
	for _, w := range s.Argv {
		n += len(w)
	}
	for _, f := range s.Files {
		n += len(f.Data)
	}
	if hung {
		n += 1 << 20
	}
	return n
}

// weigh recomputes how often each entry is drawn, if an entry came since, or some draws
// were made. In between all draws are alike.
func (c *corpus) weigh() {
	if c.current() {
		return
	}
	c.stale = 0
	c.weights, c.fresh = c.weighed()
}

// current reports whether the next draw takes the weights as they are.
func (c *corpus) current() bool {
	const lasting = 64
	return c.weights != nil && c.stale < lasting
}

// weighed returns the sums of the weights of all entries up to each, and the part of the
// draws that begin with a young one.
func (c *corpus) weighed() (sums []float64, fresh float64) {
	own := make(map[*entry]float64)
	for _, id := range slices.SortedFunc(maps.Keys(c.books), sysno.ID.Compare) {
		if e := c.owners[Signal{kindSyscall, keyOf(id)}]; e != nil {
			own[e] += worth[kindSyscall] * math.Log2(2+float64(c.runs)/float64(max(c.books[id].runs, 1)))
		}
	}
	sums = make([]float64, 0, len(c.entries))
	sum, young := 0.0, 0.0
	for _, e := range c.entries {
		w := 0.25 + own[e]
		for kind := SignalValue; kind < kinds; kind++ {
			w += worth[kind] * math.Log2(1+float64(e.owned[kind]))
		}
		w /= 1 + float64(e.tired)/64
		if e.hung { // costs as much as hundreds that do not
			w /= 16
		}
		sum += w
		if e.young() {
			young += w
		}
		sums = append(sums, sum)
	}
	if sum > 0 {
		fresh = young / sum * (beginnings - 1) / beginnings
	}
	return sums, fresh
}

// parts says of what kind the next draw is. It changes nothing: progress is told by the
// clock, which must not decide when entries are weighed.
func (c *corpus) parts() *[strata]float64 {
	fresh := c.fresh
	if !c.current() {
		_, fresh = c.weighed()
	}
	var out [strata]float64
	for d, share := range c.budget.shares {
		out[d] = share * (1 - fresh)
	}
	out[youngEntry] = fresh
	return &out
}

// beginnings is of how many draws one starts from a seed even though there are entries.
const beginnings = 4

// draw chooses a scenario and what to change of it.
func (c *corpus) draw(r *rand.Rand) draft {
	c.weigh()
	c.stale++
	from := c.parent(r)
	d := draft{s: c.scenario(r, from), from: from, banned: c.banned, dict: c.dictionary(r)}
	if r.IntN(8) == 0 && c.o.varies(dimArgv) {
		d.s = c.cross(d.s, c.partner(r, from))
	}
	first := c.budget.pick(r)
	if first == dimMessages && from != nil && !from.served { // to whom nobody can talk
		d.s = c.begin(r)
	}
	d.dims[first] = true
	for r.IntN(4) == 0 {
		d.dims[c.budget.pick(r)] = true
	}
	if d.dims[dimHistory] {
		c.goBack(r, &d)
	}
	if d.dims[dimFaults] {
		d.faults = c.faults(from)
	}
	if c.o.varies(dimMessages) && r.IntN(2) == 0 { // a service of which something else is changed is to show it
		d.dims[dimMessages] = true
	}
	if d.dims[dimMessages] {
		d.talks, d.ends = c.talks(r), c.endings
		if e := c.parent(r); e != nil && len(e.s.Acts) > 0 && r.IntN(2) == 0 {
			d.talks = [][]Act{e.s.Acts}
		}
	}
	if d.dims[dimKeys] {
		c.atTheTerminal(r, &d)
	}
	d.kind = stratum(first)
	if from != nil {
		if from.young() {
			d.kind = youngEntry
		}
		from.drawn++
	}
	if len(c.o.Seeds) > 0 && r.IntN(2) == 0 {
		d.other = c.o.Seeds[r.IntN(len(c.o.Seeds))].Data
	} else {
		d.other = c.scenario(r, c.parent(r)).Input
	}
	return d
}

// talks are those of a draw. Of what may be commands most is none, and there is much of it: some of that, another part each time, and
// not more than of what is known.
func (c *corpus) talks(r *rand.Rand) [][]Act {
	commands := c.o.Commands
	if most := len(c.o.Talks); len(commands) > most {
		from := r.IntN(len(commands))
		commands = slices.Concat(commands[from:], commands[:from])[:most]
	}
	return slices.Concat(c.o.Talks, commands)
}

// parent draws an entry by weight, or none, which stands for a seed.
func (c *corpus) parent(r *rand.Rand) *entry {
	if r.IntN(beginnings) == 0 || len(c.weights) == 0 {
		return nil
	}
	x := r.Float64() * c.weights[len(c.weights)-1]
	return c.entries[min(sort.SearchFloat64s(c.weights, x), len(c.entries)-1)]
}

// scenario is that of an entry, with something else to work on half of the time.
func (c *corpus) scenario(r *rand.Rand, e *entry) Scenario {
	switch {
	case e == nil:
		return c.begin(r)
	case r.IntN(2) == 0:
		return c.dress(e.s, c.begin(r))
	}
	return e.s
}

// begin is one of the ways to give the target an input, with a seed mostly.
func (c *corpus) begin(r *rand.Rand) Scenario {
	s := c.starts[r.IntN(len(c.starts))]
	if len(c.o.Seeds) > 0 && r.IntN(16) != 0 {
		seed := &c.o.Seeds[r.IntN(len(c.o.Seeds))]
		if seed.heavy() && r.IntN(8) != 0 {
			seed = &c.o.Seeds[0]
		}
		if s.usesFile() && seed.File != "" && r.IntN(4) == 0 {
			if s, ok := named(s, seed); ok {
				return s
			}
		}
		s.Input = seed.Data
	}
	return s
}

// dress gives the command line of s something to work on again: minimization took
// away all that the one syscall did not need, and an option that was found without
// an input does its work with one.
func (c *corpus) dress(s, start Scenario) Scenario {
	if start.usesFile() && !s.usesFile() && len(s.Argv) < maxWords {
		s.Argv = slices.Concat(s.Argv, []string{mutate.Input})
	}
	own := s.Files
	s.Input, s.Files, s.Stdin = start.Input, slices.Clone(start.Files), start.Stdin
	s.Files = c.o.configured(s.Files, own)
	for _, f := range own { // that its words name, or that what came before has found
		if (len(s.Before) > 0 || slices.Contains(s.Argv[c.o.Fixed:], f.Name)) && roomFor(s.Files, f.Name) {
			s.Files = append(s.Files, f)
		}
	}
	return s
}

// partner chooses whose words to add to those of an entry. Half of the time that is the
// cheapest scenario of a syscall that the entry lacks, although it mostly comes with
// those that distinguish the entry: what was seen together elsewhere will go together
// here, and do what neither does alone.
func (c *corpus) partner(r *rand.Rand, e *entry) Scenario {
	if e == nil || r.IntN(2) == 0 {
		return c.scenario(r, c.parent(r))
	}
	const telling = 4
	rare := slices.Clone(e.seen)
	slices.SortStableFunc(rare, func(a, b sysno.ID) int { return cmp.Compare(c.alone[a], c.alone[b]) })
	rare = rare[:min(len(rare), telling)]
	var found []*entry
	var sums []float64
	sum := 0.0
	for _, id := range slices.SortedFunc(maps.Keys(c.books), sysno.ID.Compare) {
		owner := c.owners[Signal{kindSyscall, keyOf(id)}]
		if _, has := slices.BinarySearchFunc(e.seen, id, sysno.ID.Compare); has || owner == nil {
			continue
		}
		likely := 0.0
		for _, a := range rare {
			pair := [2]sysno.ID{a, id}
			if a.Compare(id) > 0 {
				pair = [2]sysno.ID{id, a}
			}
			likely = max(likely, float64(c.pairs[pair])/float64(c.alone[a]))
		}
		if likely > 0 {
			sum += likely
			found, sums = append(found, owner), append(sums, sum)
		}
	}
	if len(found) == 0 {
		return c.scenario(r, c.parent(r))
	}
	return found[min(sort.SearchFloat64s(sums, r.Float64()*sum), len(found)-1)].s
}

// cross adds the words of one command line to another.
func (c *corpus) cross(s, other Scenario) Scenario {
	words := other.Argv[c.o.Fixed:]
	if len(s.Argv)+len(words) <= maxWords {
		s.Argv = slices.Concat(s.Argv[:c.o.Fixed], words, s.Argv[c.o.Fixed:])
	}
	if len(other.Before) > len(s.Before) || len(other.Before) == len(s.Before) && len(other.Files) > len(s.Files) {
		s.Before, s.Files = other.Before, other.Files
	}
	return s
}

// credit books what a draw has gained.
func (c *corpus) credit(j *job, gain float64) {
	c.budget.spend(j.dims, gain)
	if j.entry == nil {
		return
	}
	if j.entry.tired++; gain > 0 {
		j.entry.tired = 0
	}
}
