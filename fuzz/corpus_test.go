package fuzz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// emptyCorpus is that of the synthetic target, before any run.
func emptyCorpus(t testing.TB) *corpus {
	o := options(t, synthetic{})
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	return newCorpus(&o, make(map[sysno.ID]*record))
}

// show books a run of the words that shows the syscalls and signals.
func show(c *corpus, words []string, nrs []uint32, signals ...Signal) (gain float64) {
	s := Scenario{Argv: target(words...), Stdin: StdinNull}
	r := &Result{Signals: signals}
	fresh := 0
	for _, nr := range nrs {
		r.Seen = append(r.Seen, id(nr))
		if c.books[id(nr)] == nil {
			c.books[id(nr)] = &record{}
			fresh++
		}
		c.books[id(nr)].runs++
	}
	c.runs++
	gain, _ = c.learn(&s, r, fresh)
	return gain
}

// drawn is how often each of the entries is the parent in many draws, by its first word.
func drawn(c *corpus, draws int) map[string]int {
	r := rand.New(rand.NewPCG(1, 1))
	n := make(map[string]int)
	for range draws {
		c.weigh()
		if e := c.parent(r); e != nil {
			n[e.s.Argv[1]]++
		}
	}
	return n
}

func TestWhatIsNewIsKeptByRank(t *testing.T) {
	c := emptyCorpus(t)
	before := show(c, []string{"first"}, []uint32{0, 1})
	for kind := SignalValue; kind < kinds; kind++ {
		if kind == SignalPair {
			continue
		}
		gain := show(c, []string{kind.String(), "costs more"}, []uint32{0, 1}, Signal{kind, 7})
		if gain <= 0 || gain >= before {
			t.Errorf("a new %s is worth %v, what ranks higher %v", kind, gain, before)
		}
		before = gain
		if again := show(c, []string{"again"}, []uint32{0, 1}, Signal{kind, 7}); again != 0 {
			t.Errorf("a %s that is known is worth %v", kind, again)
		}
	}
	if gain := show(c, []string{"pair", "costs more"}, []uint32{0, 2}); gain < worth[kindSyscall]+worth[SignalPair] {
		t.Errorf("a new syscall beside a known one is worth %v", gain)
	}
	show(c, []string{"other", "costs more"}, []uint32{0, 1, 2})
	var kept []string
	for _, e := range c.entries {
		kept = append(kept, e.s.Argv[1])
	}
	if want := []string{"first", "value", "errno", "block", "edge", "tree", "pair", "other"}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
	n := drawn(c, 20_000)
	for i := 1; i+1 < len(kept)-2; i++ {
		if n[kept[i]] <= n[kept[i+1]] {
			t.Errorf("drawn %v: want %s more often than %s", n, kept[i], kept[i+1])
		}
	}
}

func TestTheCheapestScenarioOwnsAThing(t *testing.T) {
	c := emptyCorpus(t)
	show(c, []string{"costly", "x", "x", "x"}, []uint32{0, 1, 2}, Signal{SignalBlock, 1})
	c.add(Scenario{Argv: target("cheap"), Stdin: StdinNull}, false, []sysno.ID{id(0), id(1)}, nil)
	c.add(Scenario{Argv: target("hung"), Stdin: StdinNull}, true, []sysno.ID{id(2)}, nil)
	c.add(Scenario{Argv: target("long", "x", "x", "x", "x"), Stdin: StdinNull}, false, []sysno.ID{id(0), id(2)}, nil)
	for nr, want := range map[uint32]string{0: "cheap", 1: "cheap", 2: "costly"} {
		if got := c.owners[Signal{kindSyscall, keyOf(id(nr))}].s.Argv[1]; got != want {
			t.Errorf("syscall %d belongs to %s, want %s", nr, got, want)
		}
	}
	for _, e := range c.entries {
		owned := 0
		for _, o := range c.owners {
			if o == e {
				owned++
			}
		}
		sum := 0
		for _, n := range e.owned {
			sum += n
		}
		if owned != sum {
			t.Errorf("%s owns %d, its count says %d", e.s.Argv[1], owned, sum)
		}
	}
	if n := drawn(c, 10_000); n["cheap"] < 5*n["long"] || n["long"] == 0 {
		t.Errorf("drawn %v: want what owns nothing rarely, but not never", n)
	}
}

func TestRareSyscallsGetMoreDraws(t *testing.T) {
	c := emptyCorpus(t)
	show(c, []string{"common"}, []uint32{0, 1})
	show(c, []string{"rare"}, []uint32{0, 2})
	for range 1000 {
		show(c, []string{"common"}, []uint32{0, 1})
	}
	c.weights = nil
	if n := drawn(c, 10_000); n["rare"] < 2*n["common"] {
		t.Errorf("drawn %v", n)
	}
	// What has led to nothing for long gives way.
	for _, e := range c.entries {
		if e.s.Argv[1] == "rare" {
			for range 2000 {
				c.credit(&job{entry: e}, 0)
			}
		}
	}
	c.weights = nil
	if n := drawn(c, 10_000); n["rare"] > n["common"] || n["rare"] == 0 {
		t.Errorf("drawn %v, after 2000 draws in vain", n)
	}
}

// Progress is told by the clock. A session once depended on when it was.
func TestToBeAskedOfTheNextDrawChangesNone(t *testing.T) {
	draws := func(asked bool) (all []string) {
		c := emptyCorpus(t)
		r := rand.New(rand.NewPCG(1, 1))
		for n := range 200 {
			if n%20 == 0 {
				show(c, []string{fmt.Sprint("word", n)}, []uint32{0, uint32(n)})
				if asked {
					c.parts()
				}
			}
			for range 100 { // which changes what entries are worth
				show(c, []string{"usual"}, []uint32{0})
			}
			d := c.draw(r)
			all = append(all, fmt.Sprint(d.s.ID(), c.weights))
		}
		return all
	}
	if !slices.Equal(draws(true), draws(false)) {
		t.Error("scenarios are drawn in another way")
	}
}

func TestWhatGoesTogetherElsewhereIsCombined(t *testing.T) {
	c := emptyCorpus(t)
	// 10 mostly comes with 11, and 20 never does.
	for i := range uint32(6) {
		show(c, []string{fmt.Sprint("both", i)}, []uint32{0, 10, 11, 100 + i})
	}
	show(c, []string{"20"}, []uint32{0, 20})
	for _, nr := range []uint32{11, 10} {
		c.add(Scenario{Argv: target(fmt.Sprint(nr)), Stdin: StdinNull}, false, []sysno.ID{id(0), id(nr)}, nil)
	}
	ten := c.entries[len(c.entries)-1]
	c.weigh()
	r := rand.New(rand.NewPCG(1, 1))
	n := make(map[string]int)
	for range 4000 {
		if s := c.partner(r, ten); len(s.Argv) > 1 {
			n[s.Argv[1]]++
		}
	}
	if n["11"] < 2*n["20"] {
		t.Errorf("combined with %v", n)
	}
}

func TestTheCorpusIsBounded(t *testing.T) {
	c := emptyCorpus(t)
	for i := range uint64(3 * maxEntries) {
		show(c, []string{fmt.Sprint("old", i), "x"}, []uint32{0}, Signal{SignalBlock, i})
	}
	if len(c.entries) != maxEntries {
		t.Errorf("%d entries, want %d", len(c.entries), maxEntries)
	}
	if gain := show(c, []string{"old"}, []uint32{0}, Signal{SignalBlock, 3*maxEntries - 1}); gain != 0 {
		t.Errorf("what came when there was no room is worth %v again", gain)
	}
	// An entry that owns nothing any more makes room.
	c.add(Scenario{Argv: target("c"), Stdin: StdinNull}, false, nil, []Signal{{SignalBlock, 3}})
	if c.known[c.entries[3].s.ID()] == nil {
		t.Error("an entry is not known")
	}
	c.claim(c.entries[7], Signal{SignalBlock, 9}) // costs the same: it stays where it is
	if c.entries[9].owned[SignalBlock] != 1 {
		t.Error("a thing changed hands for nothing")
	}
	e := c.entries[3]
	c.claim(&entry{}, Signal{SignalBlock, 3})
	show(c, []string{"late"}, []uint32{0, 50})
	if slices.Contains(c.entries, e) || c.entries[len(c.entries)-1].s.Argv[1] != "late" {
		t.Error("no room was made for a new syscall")
	}
}

// maze is a target with a syscall at the end of a way on which only signals tell that one
// gets further.
type maze struct {
	synthetic
	kind SignalKind // SignalInvalid: they tell nothing
}

func (x *maze) Run(ctx context.Context, s *Scenario) (*Result, error) {
	r := &Result{Seen: []sysno.ID{id(0)}}
	depth := 0
	for _, w := range []string{"--listen", "--when=dusk", "-a", "serve", "-b"} {
		if !slices.Contains(s.Argv[1:], w) {
			break
		}
		if depth++; x.kind != SignalInvalid {
			r.Signals = append(r.Signals, Signal{x.kind, uint64(depth)})
		}
	}
	if depth == 5 {
		r.Seen = append(r.Seen, id(1))
	}
	return r, nil
}

func TestSignalsLeadToWhatIsFarAway(t *testing.T) {
	found := make(map[SignalKind]int)
	for _, kind := range []SignalKind{SignalInvalid, SignalValue, SignalBlock} {
		for seed := range uint64(10) {
			o := options(t, synthetic{})
			o.Seed, o.Execs = seed, 6000
			o.NewExecutor = func(int) (Executor, error) { return &maze{synthetic{t: t}, kind}, nil }
			if out := run(t, o); witness(out, 1) != nil {
				found[kind]++
			}
		}
	}
	if found[SignalValue] < 9 || found[SignalBlock] < 9 || found[SignalInvalid] > 5 {
		t.Errorf("found in so many of 10 sessions, by what leads there: %v", found)
	}
}
