package filter

import (
	"math"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Outcome is one way in which a filter can decide on a call.
type Outcome struct {
	Verdict synth.Verdict
	Call    synth.Call // with a value for every argument that the decision was tried with
	Path    []int      // the instructions that were executed, by their index
}

// Simulate runs a filter on a call. Where arguments are open it tries the values at the
// edges of the conditions that rules have on them, in at most 1024 combinations, and
// returns the first outcome with each verdict. The rules are those of the policies that
// the filter was made of. It fails where Validate does.
func Simulate(p Program, rules []synth.Rule, call synth.Call) ([]Outcome, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	var mine []synth.Rule
	for _, r := range rules {
		if r.ID == call.ID {
			mine = append(mine, r)
		}
	}
	var choices [6][]uint64
	product := 1
	for i := range choices {
		choices[i] = []uint64{call.Args[i]}
		if call.Open[i] {
			choices[i] = openValues(mine, i, call.ID.Args())
		}
		product = min(product*len(choices[i]), 1<<30)
	}
	var outcomes []Outcome
	for n := range some(product) {
		d := Data{Arch: call.ID.Arch.Audit(), NR: call.ID.Raw()}
		for i, values := range choices {
			d.Args[i] = values[n%len(values)]
			n /= len(values)
		}
		w := d.words()
		var path []int
		ret, _ := p.execute(&w, func(pc int) { path = append(path, pc) })
		v := ParseReturn(ret)
		if slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Verdict == v }) {
			continue
		}
		outcomes = append(outcomes, Outcome{v, synth.Call{ID: call.ID, Args: d.Args}, path})
	}
	return outcomes, nil
}

// openValues are what to try for an argument: first what fits in the bits that the
// kernel reads, because that is what programs pass.
func openValues(rules []synth.Rule, index int, args []sysno.Arg) []uint64 {
	mask := uint64(math.MaxUint64)
	if index < len(args) {
		mask = args[index].Mask()
	}
	values := []uint64{0}
	for _, c := range conditions(rules, index) {
		values = append(values, edges(c)...)
	}
	slices.Sort(values)
	values = slices.Compact(values)
	fits := func(v uint64) bool { return v&^mask == 0 }
	within := slices.DeleteFunc(slices.Clone(values), func(v uint64) bool { return !fits(v) })
	return append(within, slices.DeleteFunc(values, fits)...)
}
