package filter

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// x32First is the first number that x86_64 takes for x32 (__X32_SYSCALL_BIT of
// asm/unistd.h); the tables of all ABIs end far below.
const x32First = 0x40000000

// Mismatch is the error of Check: a call that the filter decides otherwise than
// the policy.
type Mismatch struct {
	Call      Data
	ID        sysno.ID // of the call; invalid if its architecture has no table
	Want, Got synth.Verdict
}

func (m *Mismatch) Error() string {
	name := "an unknown architecture"
	if m.ID.Valid() {
		name = fmt.Sprintf("%s of %s", m.ID, m.ID.Arch)
	}
	return fmt.Sprintf("the filter disagrees with the policy on %s (arch %#x, nr %#x) with arguments %#x: want %s, got %s",
		name, m.Call.Arch, m.Call.NR, m.Call.Args, m.Want, m.Got)
}

// Check runs the filter in an interpreter against p.Decide and returns a *Mismatch
// for the first call on which they differ, or what Validate says. It tries
//   - the policy's architectures, all that sysno knows, 0, and what the filter
//     itself compares with,
//   - of each, the numbers on both sides of what the filter compares with, of the
//     policies' rules and of x32; also all numbers of the tables and some beyond, if the
//     filter does more with a number than to compare it; but for an architecture of no
//     policy one number, if the filter does not look at it,
//   - for each, arguments without a pattern; for those of the policy's ABIs also
//     zeros, ones, and what meets the rules of other calls, so that a call that is
//     taken for another shows, unless the filter looks at none,
//   - for calls with conditions the values on both sides of every edge, in all
//     combinations (a fixed sample of them where there are more than 1024), and
//     every bit flipped of what meets a condition.
//
// It is a test at all edges, not a proof. It is deterministic.
//
// What it expects for ABIs that the policy does not list is told at Compile. Of
// several policies, the filter must be what Stack makes of their filters.
func Check(program Program, policies ...*synth.Policy) error {
	if err := program.Validate(); err != nil {
		return fmt.Errorf("check filter: %w", err)
	}
	c := checker{
		program:   program,
		constants: program.constants(),
		rules:     map[sysno.ID][]synth.Rule{},
	}
	everywhere := plain[:]
	for _, p := range policies {
		c.policies = append(c.policies, index(p))
		for _, r := range p.Rules() {
			if len(r.Args) > 0 {
				c.rules[r.ID] = append(c.rules[r.ID], r)
				everywhere = append(everywhere, meet(r, noise))
			}
		}
	}
	c.elsewhere = prepare(noise)
	c.rulings = make([]ruling, len(policies))
	tried := map[Data]bool{}
	for _, d := range everywhere {
		if !tried[d] {
			tried[d] = true
			c.everywhere = append(c.everywhere, prepare(d))
		}
	}
	numbers := c.numbers()
	for _, arch := range c.archs() {
		listed := c.listed(arch)
		for _, nr := range numbers {
			loaded, err := c.number(arch, nr, listed)
			if err != nil {
				return err
			}
			if !listed && loaded&^archWord == 0 {
				break // it says the same of all numbers, and so do the policies
			}
		}
	}
	return nil
}

type checker struct {
	program   Program
	policies  []indexed
	constants [dataSize / 4][]uint32
	rules     map[sysno.ID][]synth.Rule // those with conditions

	everywhere []prepared // what every call of the policies' ABIs is tried with
	elsewhere  prepared   // and what those of others are

	id      sysno.ID // of the number that is being tried
	rulings []ruling // on that, one a policy
}

// What a filter decides by that looks at no more than the call.
const nrWord, archWord = 1 << (offNR / 4), 1 << (offArch / 4)

// prepared are arguments, also as a filter sees them.
type prepared struct {
	Data
	seen words
}

func prepare(d Data) prepared { return prepared{d, d.words()} }

// indexed is a policy, and what it says of the calls that it has rules for: Decide asks
// every rule, and most calls have one.
type indexed struct {
	*synth.Policy
	of map[sysno.ID]ruling
}

// ruling is what a policy says of one call: a verdict or, where that depends on the
// arguments, the policy with no other rules.
type ruling struct {
	always  synth.Verdict
	depends *synth.Policy
}

func index(p *synth.Policy) indexed {
	rules := p.Rules()
	x := indexed{p, make(map[sysno.ID]ruling, len(rules))}
	for _, r := range rules {
		switch of, known := x.of[r.ID]; {
		case !known && len(r.Args) == 0:
			x.of[r.ID] = ruling{always: r.Verdict}
		case !known:
			x.of[r.ID] = ruling{depends: &synth.Policy{Default: p.Default, Archs: p.Archs, Groups: []synth.Group{{Rules: []synth.Rule{r}}}}}
		case of.depends != nil: // else the first one has decided
			g := &of.depends.Groups[0]
			g.Rules = append(g.Rules, r)
		}
	}
	return x
}

func (x *indexed) on(arch, nr uint32, id sysno.ID) ruling {
	if arch == sysno.AMD64.Audit() && nr >= x32First && !slices.Contains(x.Archs, sysno.X32) {
		if nr == ^uint32(0) && slices.Contains(x.Archs, sysno.AMD64) {
			return ruling{always: x.Default}
		}
		return ruling{always: x.ForeignABI()}
	}
	if !slices.Contains(x.Archs, id.Arch) {
		return ruling{always: x.ForeignABI()}
	}
	if r, ok := x.of[id]; ok {
		return r
	}
	return ruling{always: x.Default}
}

// want is the verdict that a filter of the policies must reach.
func (c *checker) want(args *[6]uint64) (want synth.Verdict) {
	for i, r := range c.rulings {
		v := r.always
		if r.depends != nil {
			v = r.depends.Decide(c.id, *args)
		}
		if i == 0 || !v.Action.Below(want.Action) {
			want = v
		}
	}
	return want
}

// call compares the two verdicts on one call, whose number is the one that is being tried.
func (c *checker) call(d *Data) error {
	p := prepare(*d)
	_, err := c.compare(&p)
	return err
}

// same is call with arguments that other calls are tried with, too. It tells which words
// the filter looked at.
func (c *checker) same(p *prepared, arch, nr uint32) (loaded uint16, err error) {
	p.Arch, p.NR = arch, nr
	p.seen[offArch/4], p.seen[offNR/4] = arch, nr
	return c.compare(p)
}

func (c *checker) compare(p *prepared) (loaded uint16, err error) {
	ret, loaded := c.program.run(&p.seen)
	got := ParseReturn(ret)
	if want := c.want(&p.Args); got != want {
		return loaded, &Mismatch{Call: p.Data, ID: c.id, Want: want, Got: got}
	}
	return loaded, nil
}

// listed reports whether the value is that of one of the policy's architectures.
func (c *checker) listed(audit uint32) bool {
	return slices.ContainsFunc(c.policies, func(x indexed) bool {
		return slices.ContainsFunc(x.Archs, func(a sysno.Arch) bool { return a.Audit() == audit })
	})
}

func (c *checker) archs() []uint32 {
	archs := []uint32{0}
	for _, a := range sysno.Archs() {
		archs = append(archs, a.Audit())
	}
	return withNeighbours(archs, c.constants[offArch/4])
}

// numbers are those that each architecture is tried with. Where the filter does nothing with the
// number but compare it, both sides of all that it and the policies know are all that
// there is to try.
func (c *checker) numbers() []uint32 {
	edges, only := c.program.compared(offNR / 4)
	edges = append(edges, x32First, 1<<31, x32First|1<<31, math.MaxUint32)
	for _, p := range c.policies {
		for id := range p.of {
			edges = append(edges, id.Raw())
		}
	}
	if only {
		return withNeighbours(nil, edges)
	}
	last := uint32(0)
	for _, a := range sysno.Archs() {
		last = max(last, sysno.Last(a))
	}
	var numbers []uint32
	for nr := range last + 64 {
		numbers = append(numbers, nr, x32First+nr)
	}
	return withNeighbours(numbers, slices.Concat(edges, c.constants[offNR/4]))
}

// withNeighbours adds the constants and the values beside them, and sorts.
func withNeighbours(values, constants []uint32) []uint32 {
	for _, k := range constants {
		values = append(values, k-1, k, k+1)
	}
	slices.Sort(values)
	return slices.Compact(values)
}

// noise has no two equal words, so that a filter that looks at a wrong one gives
// itself away.
var noise = Data{IP: 0x5555000b_5555000a, Args: [6]uint64{
	0xa001_0000a000, 0xa103_0000a102, 0xa205_0000a204, 0xa307_0000a306, 0xa409_0000a408, 0xa50b_0000a50a}}

// plain are the sets of arguments that every call of the policy's ABIs is tried with.
var plain = [...]Data{
	{},
	{IP: math.MaxUint64, Args: [6]uint64{
		math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}},
	noise,
}

// number tries one number with every set of arguments, or with one where no policy lists the
// architecture. Of that one it tells which words the filter looked at.
func (c *checker) number(arch, nr uint32, listed bool) (loaded uint16, err error) {
	c.id = sysno.FromRaw(arch, nr)
	for i := range c.policies {
		c.rulings[i] = c.policies[i].on(arch, nr, c.id)
	}
	if !listed {
		return c.same(&c.elsewhere, arch, nr)
	}
	rules := c.rules[c.id]
	for i := range c.everywhere {
		loaded, err = c.same(&c.everywhere[i], arch, nr)
		if err != nil || len(rules) == 0 && loaded&^(archWord|nrWord) == 0 {
			return loaded, err
		}
	}
	if len(rules) == 0 {
		return loaded, nil
	}
	bases := slices.Clone(plain[:])
	for _, r := range rules {
		for _, d := range plain {
			bases = append(bases, meet(r, d))
		}
	}
	for i := range bases {
		bases[i].Arch, bases[i].NR = arch, nr
	}
	for i, r := range rules {
		if err := c.around(bases[len(plain)*(i+1):][:len(plain)], r); err != nil {
			return loaded, err
		}
	}
	if err := c.halves(bases); err != nil {
		return loaded, err
	}
	return loaded, c.combine(bases[0], rules)
}

// around changes one argument of calls that meet a rule: to every edge of its
// condition, and by every single bit.
func (c *checker) around(bases []Data, r synth.Rule) error {
	for _, cond := range r.Args {
		values := edges(cond)
		for bit := range 64 {
			values = append(values, satisfy(cond)^1<<bit)
		}
		for _, d := range bases {
			for _, d.Args[cond.Index] = range values {
				if err := c.call(&d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// halves sets one argument at a time to what the filter compares its halves with.
func (c *checker) halves(bases []Data) error {
	for index := range 6 {
		word := (offArgs + 8*index) / 4
		ks := withNeighbours(nil, slices.Concat(c.constants[word], c.constants[word+1]))
		shapes := []uint64{1, 1 << 32, 1<<32 + 1}
		for n := range some(len(bases) * len(ks) * len(shapes)) {
			d := bases[n%len(bases)]
			n /= len(bases)
			d.Args[index] = uint64(ks[n%len(ks)]) * shapes[n/len(ks)]
			if err := c.call(&d); err != nil {
				return err
			}
		}
	}
	return nil
}

// combine tries the edges of all conditioned arguments together.
func (c *checker) combine(d Data, rules []synth.Rule) error {
	var choices [6][]uint64
	product := 1
	for index := range choices {
		choices[index] = []uint64{0}
		for _, cond := range conditions(rules, index) {
			choices[index] = append(choices[index], edges(cond)...)
		}
		slices.Sort(choices[index])
		choices[index] = slices.Compact(choices[index])
		product = min(product*len(choices[index]), math.MaxInt32)
	}
	for n := range some(product) {
		for index, values := range choices {
			d.Args[index] = values[n%len(values)]
			n /= len(values)
		}
		if err := c.call(&d); err != nil {
			return err
		}
	}
	return nil
}

// maxCombinations bounds what one set of combinations costs.
const maxCombinations = 1024

// some yields the numbers below n, or a fixed sample of them where they are more
// than maxCombinations.
func some(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		random := rand.New(rand.NewPCG(uint64(n), 0))
		for i := range min(n, maxCombinations) {
			if n > maxCombinations {
				i = random.IntN(n)
			}
			if !yield(i) {
				return
			}
		}
	}
}

func conditions(rules []synth.Rule, index int) []synth.Cond {
	var conds []synth.Cond
	for _, r := range rules {
		for _, cond := range r.Args {
			if int(cond.Index) == index {
				conds = append(conds, cond)
			}
		}
	}
	return conds
}

// meet changes the arguments so that they meet the rule's conditions.
func meet(r synth.Rule, d Data) Data {
	for _, cond := range r.Args {
		d.Args[cond.Index] = satisfy(cond)
	}
	return d
}

// satisfy is a value that meets the condition, if there is one.
func satisfy(c synth.Cond) uint64 {
	switch c.Op {
	case synth.NotEqual, synth.Greater:
		return c.Value + 1
	case synth.Less:
		return c.Value - 1
	case synth.MaskedEqual:
		return c.Value | ^c.Mask
	default:
		return c.Value
	}
}

// edges are the values around which a condition changes its mind, for whole
// arguments and for their halves, which a filter has to compare one by one.
func edges(c synth.Cond) []uint64 {
	const high = 1 << 32
	v := c.Value
	values := []uint64{0, ^uint64(0), v - 1, v, v + 1, v - high, v + high, v ^ 1<<63, v &^ (high - 1), v | (high - 1), v % high}
	if c.Op == synth.MaskedEqual {
		values = append(values, v|^c.Mask, c.Mask, ^c.Mask, v^lowest(c.Mask))
	}
	return values
}

func lowest(mask uint64) uint64 { return mask & -mask }
