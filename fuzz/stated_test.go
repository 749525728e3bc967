package fuzz

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// behaviour is something that a target does in few runs.
type behaviour struct {
	chance float64              // in a run in which it can be, anew for each scenario
	can    func(*Scenario) bool // nil: in any
	shows  []uint32             // syscalls; none: Signals
	luck   uint64               // behaviours with the same luck are seen together
	signal SignalKind
}

// chancy is an Executor for a target of which the chance of everything is known.
type chancy struct {
	t          testing.TB
	trial      uint64
	behaviours []behaviour
}

func (x *chancy) Run(_ context.Context, s *Scenario) (*Result, error) {
	if err := s.Check(); err != nil {
		x.t.Errorf("the engine made a scenario that cannot run: %v: %+v", err, s)
	}
	return x.result(s), nil
}

func (*chancy) Close() error { return nil }

func (x *chancy) result(s *Scenario) *Result {
	r := &Result{Seen: []sysno.ID{id(0)}}
	hash := fnv.New64a()
	hash.Write(binary.LittleEndian.AppendUint64([]byte(s.ID()), x.trial))
	seed := hash.Sum64()
	for _, b := range x.behaviours {
		u := rand.New(rand.NewPCG(seed, b.luck)).Float64()
		if u >= b.chance || b.can != nil && !b.can(s) {
			continue
		}
		if b.signal != SignalInvalid {
			r.Signals = append(r.Signals, Signal{b.signal, uint64(u / b.chance * 4096)})
		}
		for _, nr := range b.shows {
			r.Seen = append(r.Seen, id(nr))
		}
	}
	slices.SortFunc(r.Seen, sysno.ID.Compare)
	r.Seen = slices.Compact(r.Seen)
	return r
}

// alike are n behaviours of one chance; numbers from first on.
func alike(n int, first uint32, chance float64, can func(*Scenario) bool) []behaviour {
	var out []behaviour
	for i := range uint32(n) {
		out = append(out, behaviour{chance: chance, can: can, shows: []uint32{first + i}, luck: uint64(first + i)})
	}
	return out
}

// missing is the true chance that the next draw shows a new syscall, from many that are
// made without telling the engine.
func missing(c *coordinator, x *chancy, r *rand.Rand, draws int) float64 {
	fresh := 0
	for range draws {
		c.corpus.weigh()
		c.corpus.stale = 0
		d := c.corpus.draw(r)
		if d.from != nil {
			d.from.drawn--
		}
		s := d.mutate(r, c.o, &plugin{})
		if slices.ContainsFunc(x.result(&s).Seen, func(id sysno.ID) bool { return c.books[id] == nil }) {
			fresh++
		}
	}
	return float64(fresh) / float64(draws)
}

func TestTheStatedChanceHolds(t *testing.T) {
	trials, draws := 12, 1000
	if os.Getenv("TJFUZZ_LONG") != "" {
		trials, draws = 200, 3000
	}
	const confidence = 0.02
	var zipf, steep []behaviour
	for i := range uint32(60) {
		zipf = append(zipf, behaviour{chance: 0.3 / math.Pow(float64(i+1), 1.5), shows: []uint32{100 + i}, luck: uint64(i)})
		steep = append(steep, behaviour{chance: math.Exp(-float64(i) / 5), shows: []uint32{100 + i}, luck: uint64(i)})
	}
	// Twelve syscalls come four at a time.
	var together []behaviour
	for i := range uint32(12) {
		together = append(together, behaviour{chance: 0.006, shows: []uint32{100 + i}, luck: uint64(i / 4)})
	}
	word := func(w string) func(*Scenario) bool { return arg(w) }
	ladder := slices.Concat(
		alike(1, 100, 0.5, word("--listen")),
		alike(1, 101, 0.5, both(word("--listen"), word("--when=dusk"))),
		alike(1, 102, 0.5, both(both(word("--listen"), word("--when=dusk")), word("-b"))),
		alike(8, 110, 0.05, both(both(word("--listen"), word("--when=dusk")), word("-a"))))
	moving := slices.Concat([]behaviour{
		{chance: 0.05, signal: SignalBlock, luck: 1}, {chance: 0.01, signal: SignalValue, luck: 2},
	}, alike(20, 100, 0.004, nil))
	env := func(s *Scenario) bool { return len(s.Env) > 0 }
	targets := []struct {
		name string
		of   []behaviour
	}{
		{"one at the edge", alike(1, 100, confidence, nil)},
		{"one rare", alike(1, 100, confidence/8, nil)},
		{"few alike", alike(12, 100, confidence/3, nil)},
		{"many alike", alike(60, 100, confidence/10, nil)},
		{"zipf", zipf},
		{"exponential", steep},
		{"clustered behind an option", slices.Concat(alike(20, 100, 0.1, word("-a")), alike(10, 200, 0.02, word("serve")))},
		{"clustered in a small dimension", alike(30, 100, 0.03, env)},
		{"correlated", together},
		{"one leads to the next", ladder},
		{"while the corpus moves", moving},
	}
	slack := 3 * math.Sqrt(confidenceLevel*(1-confidenceLevel)/float64(trials))
	for at, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			held, bound, truth, spent := 0, 0.0, 0.0, uint64(0)
			for trial := range uint64(trials) {
				x := &chancy{t, trial<<8 | uint64(at), target.of}
				o := options(t, synthetic{})
				o.NewExecutor = func(int) (Executor, error) { return x, nil }
				o.Seed, o.Execs = trial, 50_000
				r := rand.New(rand.NewPCG(trial, 77))
				if trial%2 == 0 {
					o.Confidence = confidence
				} else { // the end comes from outside
					o.Execs = 1500 + r.Uint64N(6000)
				}
				if err := o.fill(); err != nil {
					t.Fatal(err)
				}
				c := newCoordinator(&o) // without a plan, which would find what is frequent
				w := worker{c: c, rng: rand.New(rand.NewPCG(o.Seed, 0))}
				if err := w.work(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
				if o.Confidence > 0 && c.stop != StopSaturated {
					t.Fatalf("trial %d: %v after %d runs", trial, c.stop, o.Execs)
				}
				stated, is := c.chance(), missing(c, x, r, draws)
				bound, truth, spent = bound+stated, truth+is, spent+c.drawn.total()
				if is <= stated {
					held++
				}
			}
			n := float64(trials)
			t.Logf("held in %.1f %% of %d trials; on average stated %.4f, true %.4f after %.0f draws",
				100*float64(held)/n, trials, bound/n, truth/n, float64(spent)/n)
			if rate := float64(held) / n; rate < confidenceLevel-slack {
				t.Errorf("held in %.1f %% of %d trials", 100*rate, trials)
			}
		})
	}
}

func TestTheChanceCountsOnTheDrawsToCome(t *testing.T) {
	var even, rare [strata]float64
	for k := range even {
		even[k] = 1 / float64(strata)
	}
	rare[dimEnv] = 1
	var made exposure
	for k := range made {
		made[k] = 1000
	}
	total := float64(made.total())
	if got, want := worst(3, &made, &even), 3/total; math.Abs(got-want) > 1e-12 {
		t.Errorf("draws as they were: got %v, want %v", got, want)
	}
	if got, want := worst(3, &made, &rare), 3.0/1000; math.Abs(got-want) > 1e-12 {
		t.Errorf("draws of one kind: got %v, want %v", got, want)
	}
	made[dimEnv] = 0
	if got := worst(3, &made, &rare); got != 1 {
		t.Errorf("draws of a kind never made: got %v, want 1", got)
	}
	if got, want := worst(3, &made, &even), even[0]+3/total; math.Abs(got-want) > 1e-3 {
		t.Errorf("draws of which some are of a kind never made: got %v, want about %v", got, want)
	}
	made[dimEnv] = 2 // all of them, and one in a thousand of another
	if got, want := worst(3, &made, &even), even[0]+even[0]/1000; math.Abs(got-want) > 1e-12 {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The programme is solved as by trying all that may be the worst.
func TestNoMixIsWorseThanTheWorst(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var made exposure
		var parts [strata]float64
		sum := 0.0
		for k := range made {
			made[k] = r.Uint64N(50)
			parts[k] = r.Float64()
			sum += parts[k]
		}
		for k := range parts {
			parts[k] /= sum
		}
		events := 1 + 9*r.Float64()
		bound := worst(events, &made, &parts)
		for range 200 {
			left, value := events, 0.0
			for _, k := range r.Perm(len(made)) {
				m := 1.0
				if made[k] > 0 {
					m = min(1, left/float64(made[k]))
					if r.IntN(3) == 0 {
						m *= r.Float64()
					}
				}
				left -= m * float64(made[k])
				value += parts[k] * m
			}
			if value > bound+1e-9 {
				t.Fatalf("events %v, made %v, parts %v: %v is worse than %v", events, made, parts, value, bound)
			}
		}
	}
}
