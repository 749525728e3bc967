package fuzz

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func TestEachOptionIsTriedFirstWhereTheProgramDoesMost(t *testing.T) {
	shows := func(n int, code int) *Result {
		r := &Result{ExitCode: code}
		for nr := range n {
			r.Seen = append(r.Seen, sysno.ID{Arch: sysno.AMD64, NR: uint32(nr)})
		}
		return r
	}
	alone, file := stage{rankOptions, 0}, stage{rankFiles, 0}
	for _, c := range []struct {
		name  string
		shown map[stage]*Result
		want  stage
	}{
		{"nothing was noted", nil, alone},
		{"it complains without a file", map[stage]*Result{alone: shows(3, 2), file: shows(3, 0)}, file},
		{"it does more without a file", map[stage]*Result{alone: shows(9, 1), file: shows(3, 0)}, alone},
		{"both are alike", map[stage]*Result{alone: shows(3, 0), file: shows(3, 0)}, alone},
		{"it did not end by itself", map[stage]*Result{alone: shows(1, 0), file: {Seen: shows(9, 0).Seen, TimedOut: true}}, alone},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, synthetic{})
			a := &begun(t, o).agenda
			for a.first() {
				if p := a.take(!a.late(false)); c.shown[p.bare] != nil {
					a.stages.note(p.bare, &p.s, c.shown[p.bare])
				}
			}
			led := map[string]bool{}
			for a.early() {
				p := a.take(!a.late(false))
				if p.stage != c.want {
					t.Fatalf("%q is made on %v, want %v", p.s.Argv, p.stage, c.want)
				}
				led[p.s.ID()] = true
			}
			if len(led) < len(o.Table.Options)/2 {
				t.Errorf("%d of %d options are tried before all draws", len(led), len(o.Table.Options))
			}
			for !a.over() {
				if p := a.take(!a.late(false)); led[p.s.ID()] {
					t.Fatalf("%q is taken twice", p.s.Argv)
				}
			}
		})
	}
}
