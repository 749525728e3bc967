package synth

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func (q cube) has(args [6]uint64) bool {
	for k := range q {
		if args[k]&q[k].mask != q[k].value {
			return false
		}
	}
	return true
}

// randomCond is a condition around few values, so that they meet.
func randomCond(r *rand.Rand, index uint8) Cond {
	values := []uint64{0, 1, 2, 3, 5, 6, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 2, 1<<64 - 1}
	c := Cond{Index: index, Op: Op(1 + r.IntN(7)), Value: values[r.IntN(len(values))]}
	if c.Op == MaskedEqual {
		c.Mask = values[r.IntN(len(values))]
		c.Value &= c.Mask
	}
	return c
}

func TestCubesAreTheCallsThatMeetConditions(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	for range 2000 {
		c := randomCond(r, uint8(r.IntN(6)))
		cubes := cubesOf([]Cond{c})
		for range 50 {
			var args [6]uint64
			args[c.Index] = r.Uint64() >> r.IntN(64)
			if r.IntN(2) == 0 {
				args[c.Index] = c.Value + r.Uint64N(5) - 2
			}
			want := c.Matches(args[c.Index])
			got := 0
			for _, q := range cubes {
				if q.has(args) {
					got++
				}
			}
			if want != (got > 0) || got > 1 {
				t.Fatalf("%v of %#x: got %d cubes, want %v", c, args[c.Index], got, want)
			}
		}
	}
}

// Small arguments are tried all; the answer must be theirs.
func TestWithinIsInclusion(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	answers := map[bool]int{}
	for range 3000 {
		random := func(n int) []cube {
			var cubes []cube
			for range n {
				var q cube
				for k := range 2 {
					q[k].mask = r.Uint64N(8)
					q[k].value = r.Uint64N(8) & q[k].mask
				}
				cubes = append(cubes, q)
			}
			return cubes
		}
		a, b := random(1+r.IntN(2)), random(r.IntN(8))
		want := true
		for x := range uint64(64) {
			args := [6]uint64{x & 7, x >> 3}
			in := func(cubes []cube) bool { return slices.ContainsFunc(cubes, func(q cube) bool { return q.has(args) }) }
			want = want && (!in(a) || in(b))
		}
		answers[want]++
		if got, known := within(a, b); !known || got != want {
			t.Fatalf("%v within %v: got %v, %v, want %v", a, b, got, known, want)
		}
	}
	if answers[true] < 100 || answers[false] < 100 {
		t.Errorf("the answers are one-sided: %v", answers)
	}
}
