package synth

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// More evidence allows more: whatever the policy of a part allows, that of the whole does.
func TestThePolicyOfMergedEvidenceAllowsWhatThatOfEachPartDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 5 {
		a, b := randomArgs(t, r), randomArgs(t, r)
		if r.IntN(2) == 0 {
			b.Observations = append(b.Observations, trace.Observation{ID: lookup(t, sysno.I386, "read"), Runs: 1, CleanRuns: 1})
		}
		a.Target.Path, b.Target.Path = "/bin/prog", "/bin/prog"
		both, err := trace.Merge(a, b)
		if err != nil {
			t.Fatal(err)
		}
		for mode := ArgsOff; mode <= ArgsStrict; mode++ {
			for _, o := range []Options{{Args: mode}, {Args: mode, Runtime: "runc", DenyErrorPath: true}} {
				part, whole := generate(t, a, o), generate(t, both, o)
				for _, rule := range part.Rules() {
					for range 4 {
						var args [6]uint64
						for i := range args {
							args[i] = r.Uint64N(1 << r.IntN(64))
						}
						for _, c := range rule.Args {
							args[c.Index] = c.Value | args[c.Index]&^c.Mask
							if c.Op == Equal {
								args[c.Index] = c.Value
							}
						}
						if v := part.Decide(rule.ID, args); v.Action == Allow && whole.Decide(rule.ID, args) != v {
							t.Fatalf("%+v: %s is allowed by a part, and gets %v from the whole", o, sysno.FormatCall(rule.ID, args), whole.Decide(rule.ID, args))
						}
					}
				}
			}
		}
	}
}

// BenchmarkGenerate makes a policy of what a million runs showed: every syscall of an
// ABI with as many values of its arguments as are kept, and numbers without names up to
// 50,000 observations.
func BenchmarkGenerate(b *testing.B) {
	tr := &trace.Trace{Arch: sysno.AMD64, Runs: 1_000_000, CleanRuns: 900_000}
	for _, id := range sysno.All(sysno.AMD64) {
		obs := trace.Observation{ID: id, Runs: 1_000_000, CleanRuns: 900_000}
		for _, index := range id.Choices() {
			arg := trace.Arg{Index: index}
			for v := range uint64(trace.MaxValues) {
				arg.Values = append(arg.Values, v*3)
			}
			obs.Args = append(obs.Args, arg)
		}
		tr.Observations = append(tr.Observations, obs)
	}
	for nr := uint32(10_000); len(tr.Observations) < 50_000; nr++ {
		tr.Observations = append(tr.Observations, trace.Observation{ID: sysno.ID{Arch: sysno.AMD64, NR: nr}, Runs: 1})
	}
	slices.Reverse(tr.Observations)
	for _, mode := range []ArgMode{ArgsOff, ArgsSafe, ArgsStrict} {
		b.Run(mode.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Generate(tr, Options{Args: mode}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
