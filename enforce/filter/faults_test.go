//go:build cgo && amd64

package filter

import (
	"errors"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// fault makes of a rule what libseccomp has been seen to make of rules, without a word.
type fault struct {
	name string
	make func(rules []synth.Rule, i int) []synth.Rule
}

var faults = []fault{
	{"another rule for the call swallows it", func(rules []synth.Rule, i int) []synth.Rule {
		return slices.Delete(slices.Clone(rules), i, i+1)
	}},
	{"the first verdict for the call wins", func(rules []synth.Rule, i int) []synth.Rule {
		out := slices.Clone(rules)
		first := slices.IndexFunc(rules, func(r synth.Rule) bool { return r.ID == rules[i].ID })
		out[i].Verdict = rules[first].Verdict
		return out
	}},
	{"it swallows the others: its conditions are lost", func(rules []synth.Rule, i int) []synth.Rule {
		own := rules[i]
		own.Args = nil
		return append(slices.DeleteFunc(slices.Clone(rules), func(r synth.Rule) bool { return r.ID == own.ID }), own)
	}},
	{"one of its conditions is lost", func(rules []synth.Rule, i int) []synth.Rule {
		out := slices.Clone(rules)
		if len(out[i].Args) > 1 {
			out[i].Args = out[i].Args[1:]
		}
		return out
	}},
	{"its verdict becomes that of the next rule", func(rules []synth.Rule, i int) []synth.Rule {
		out := slices.Clone(rules)
		out[i].Verdict = rules[(i+1)%len(rules)].Verdict
		return out
	}},
}

// A filter of a policy in which one rule has a fault is found out, wherever the fault
// decides on some call.
func TestCheckFindsRulesThatAreSwallowedOrLost(t *testing.T) {
	found := map[string]int{}
	for _, c := range policies(t) {
		rules := c.policy.Rules()
		if len(rules) > 40 {
			continue // the same call for call
		}
		for i, r := range rules {
			for _, f := range faults {
				faulty := *c.policy
				faulty.Groups = []synth.Group{{Name: "@faulty", Rules: slices.DeleteFunc(f.make(rules, i), func(r synth.Rule) bool { return r.Verdict == faulty.Default })}}
				if !differ(c.policy, &faulty, r) {
					continue
				}
				program, err := Compile(&faulty)
				if err != nil {
					continue // refused: nobody loads it
				}
				var mismatch *Mismatch
				if err := Check(program, c.policy); !errors.As(err, &mismatch) {
					t.Errorf("%s, %v: %s: Check() = %v", c.name, r.String(), f.name, err)
				}
				found[f.name]++
			}
		}
	}
	for _, f := range faults {
		if found[f.name] == 0 {
			t.Errorf("%s: never forced in", f.name)
		}
	}
}

// differ reports whether two policies disagree on a call near what a rule matches.
func differ(a, b *synth.Policy, r synth.Rule) bool {
	for _, base := range plain {
		d := meet(r, base)
		if a.Decide(r.ID, d.Args) != b.Decide(r.ID, d.Args) {
			return true
		}
		for _, c := range r.Args {
			for _, v := range edges(c) {
				e := d
				e.Args[c.Index] = v
				if a.Decide(r.ID, e.Args) != b.Decide(r.ID, e.Args) {
					return true
				}
			}
		}
	}
	return false
}

// What libseccomp 2.5.4 itself makes of several rules for one call, were they given to
// it together, is found out.
func TestCheckFindsWhatLibseccompMergesWrongly(t *testing.T) {
	tried := 0
	for _, c := range policies(t) {
		if c.name != "alternatives that libseccomp 2.5.4 would merge into too much" && c.name != "alternatives that libseccomp 2.5.4 would merge into too little" {
			continue
		}
		tried++
		program, err := compileLayer(c.policy, abi{audit: sysno.AMD64.Audit()}, c.policy.Rules(), sysno.AMD64, treeFrom)
		if err != nil {
			t.Fatal(err)
		}
		wrong := slices.ContainsFunc(c.want, func(e expectation) bool {
			ret, _, _ := program.Run(e.call)
			return ParseReturn(ret) != e.want
		})
		if !wrong {
			t.Logf("%s: this libseccomp gets it right", c.name)
			continue
		}
		var mismatch *Mismatch
		if err := Check(program, c.policy); !errors.As(err, &mismatch) {
			t.Errorf("%s: Check() = %v of\n%v", c.name, err, program)
		}
	}
	if tried != 2 {
		t.Errorf("%d policies tried", tried)
	}
}
