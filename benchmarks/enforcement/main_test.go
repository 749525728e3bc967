//go:build cgo

package main

import (
	"strings"
	"testing"

	"github.com/tjfuzz/tjfuzz/enforce/filter"
)

func TestTheMeasuredFiltersMeanTheSame(t *testing.T) {
	for _, size := range []int{60, 240} {
		for _, conditional := range []bool{false, true} {
			p := policyOf(conditional, size)
			if n := len(p.Rules()); n != size {
				t.Errorf("%d rules, want %d", n, size)
			}
			for _, compile := range []func() (filter.Program, error){
				func() (filter.Program, error) { return filter.Compile(p) },
				func() (filter.Program, error) { return filter.CompileFlat(p) },
			} {
				program, err := compile()
				if err == nil {
					err = filter.Check(program, p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestReportDividesRoundByRound(t *testing.T) {
	b := &bench{
		starters: []starter{{name: "x"}, {name: "bubblewrap --seccomp"}},
		filters:  []measuredFilter{{name: "2 rules: tjfuzz"}, {name: "2 rules: libseccomp, flat"}},
		starts:   map[string][]float64{"x": {2, 30, 4}, "bubblewrap --seccomp": {1, 10, 2}},
		used:     map[string][]float64{"x": {1, 1, 1}, "bubblewrap --seccomp": {4, 4, 4}},
		costs:    map[string][]float64{"2 rules: tjfuzz": {9}, "2 rules: libseccomp, flat": {10}},
	}
	var out strings.Builder
	if err := b.report(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2.00 (2.00-2.50)", "0.25 (0.25-0.25)", "0.90 (0.90-0.90)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
