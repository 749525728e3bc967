//go:build cgo && amd64

package filter

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
	"github.com/tjfuzz/tjfuzz/trace"
)

// argumentEvidence has random values of the arguments of all calls.
func argumentEvidence(random *rand.Rand) *trace.Trace {
	t := &trace.Trace{Arch: sysno.AMD64, Runs: 1, CleanRuns: 1}
	for _, id := range sysno.All(sysno.AMD64) {
		obs := trace.Observation{ID: id, Runs: 1, CleanRuns: 1}
		args := id.Args()
		for _, index := range id.Choices() {
			set := args[index].Set
			if set == nil {
				continue
			}
			var values []uint64
			for range 1 + random.IntN(3) {
				v := uint64(0)
				if n := len(set.Enum); n > 0 {
					v = set.Enum[random.IntN(n)].Value
				}
				for _, f := range set.Flags {
					if random.IntN(4) == 0 {
						v |= f.Value
					}
				}
				values = append(values, v&args[index].Mask())
			}
			slices.Sort(values)
			obs.Args = append(obs.Args, trace.Arg{Index: index, Values: slices.Compact(values)})
		}
		t.Observations = append(t.Observations, obs)
	}
	return t
}

// Container runtimes give libseccomp all rules of a call at once. It merges those that
// are generated as they are meant, although it does not do so with any.
func TestGeneratedArgumentRulesCompileRightHereAndInRuntimes(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for _, mode := range []synth.ArgMode{synth.ArgsSafe, synth.ArgsStrict} {
		for range 2 {
			p, err := synth.Generate(argumentEvidence(random), synth.Options{Args: mode})
			if err != nil {
				t.Fatal(err)
			}
			compiled(t, p)
			def, err := Return(p.Default)
			if err != nil {
				t.Fatal(err)
			}
			one, err := compileLayer(p, abi{audit: sysno.AMD64.Audit()}, p.Rules(), sysno.AMD64, treeFrom)
			if err != nil {
				t.Fatal(err)
			}
			if err := Check(chain([]Program{one}, def), p); err != nil {
				t.Errorf("%v: as a runtime compiles it: %v", mode, err)
			}
		}
	}
}
