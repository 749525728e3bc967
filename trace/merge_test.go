package trace

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

func merge(t *testing.T, a, b *Trace) *Trace {
	t.Helper()
	m, err := Merge(a, b)
	if err != nil {
		t.Fatalf("merge: %v", err)
	}
	return m
}

func TestTheOrderOfMergingHasNoEffect(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		a, b, c := randomTrace(r), randomTrace(r), randomTrace(r)
		if diff := cmp.Diff(merge(t, a, b), merge(t, b, a)); diff != "" {
			t.Fatalf("a+b differs from b+a\n%s", diff)
		}
		left, right := merge(t, merge(t, a, b), c), merge(t, a, merge(t, b, c))
		if diff := cmp.Diff(left, right); diff != "" {
			t.Fatalf("(a+b)+c differs from a+(b+c)\n%s", diff)
		}
		if err := left.Validate(); err != nil {
			t.Fatalf("the merge of valid traces is not valid: %v", err)
		}
	}
}

func TestMergeAddsCountsAndForgetsNoLoss(t *testing.T) {
	a, b := sample(), sample()
	b.Observations = []Observation{
		{ID: sysno.ID{Arch: sysno.AMD64, NR: 257}, Runs: 7, CleanRuns: 5, Witness: Witness{"w0", "jq"}},
		{ID: sysno.ID{Arch: sysno.AMD64, NR: 0}, Runs: 4, CleanRuns: 0, Witness: Witness{"", "x"}},
	}
	b.Lost = Lost{Tasks: 10, Beyond: 20, Late: 30}
	b.Kernel = "6.1.0"
	m := merge(t, a, b)
	if m.Runs != 200 || m.CleanRuns != 198 {
		t.Errorf("runs: got %d and %d clean, want 200 and 198", m.Runs, m.CleanRuns)
	}
	if want := (Lost{Tasks: 11, Beyond: 22, Late: 33}); m.Lost != want {
		t.Errorf("lost: got %+v, want %+v", m.Lost, want)
	}
	if m.Kernel != "6.1.0, 6.18.44" {
		t.Errorf("kernel: got %q", m.Kernel)
	}
	if len(m.Observations) != 5 {
		t.Fatalf("got %d observations, want 5", len(m.Observations))
	}
	want := Observation{ID: sysno.ID{Arch: sysno.AMD64, NR: 257}, Runs: 107, CleanRuns: 104, Witness: Witness{"w0", "jq"}}
	if diff := cmp.Diff(want, m.Observations[2]); diff != "" {
		t.Errorf("openat:\n%s", diff)
	}
	if diff := cmp.Diff(sample(), a); diff != "" {
		t.Errorf("merge changed its argument\n%s", diff)
	}
}

func TestABetterWitnessComesFirst(t *testing.T) {
	order := []Witness{
		{"k2", "jq ."},
		{"k1", "jq -r"},
		{"k1", "jq -s"},
		{"k2", "jq -s"},
		{"k", ""},
		{"", "a"},
		{"", ""},
	}
	for i, a := range order {
		for j, b := range order {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%+v to %+v: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(a, b *Trace)
		want  error
	}{
		{"another program", func(_, b *Trace) { b.Target.SHA256 = strings.Repeat("b", 64) }, ErrOtherTarget},
		{"a program without a hash", func(_, b *Trace) { b.Target.SHA256 = "" }, ErrOtherTarget},
		{"two paths without a hash", func(a, b *Trace) { a.Target.SHA256, b.Target.SHA256, b.Target.Path = "", "", "/bin/sh" }, ErrOtherTarget},
		{"another architecture", func(_, b *Trace) { b.Arch = sysno.ARM64 }, ErrOtherArch},
		{"more than 64 bits", func(_, b *Trace) { b.Lost.Tasks = math.MaxUint64 }, ErrOverflow},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := sample(), sample()
			c.spoil(a, b)
			if _, err := Merge(a, b); !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
		})
	}
	invalid := sample()
	invalid.CleanRuns = 1000
	if _, err := Merge(sample(), invalid); err == nil {
		t.Error("merged a trace that cannot be")
	}
}
