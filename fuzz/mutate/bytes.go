// Package mutate decides how an input or a command line is changed to make the
// next one. Every function is pure: randomness comes in as a *rand.Rand, the
// same stream gives the same result, and what was passed in is never written
// to. It knows nothing of execution, of feedback or of scenarios. Its main
// hazard is growth: every result is held below a stated size.
package mutate

import (
	"math/rand/v2"
)

// MaxInput is the cap on the size of a mutated input when none is given.
const MaxInput = 64 << 10

// ByteOptions steers Bytes. The zero value is useful.
type ByteOptions struct {
	Dictionary Dictionary // tokens to insert and overwrite with
	Other      []byte     // the partner of a splice; without one there is no splice
	Max        int        // cap on the result in bytes; 0 means MaxInput
}

// Bytes returns a changed copy of data, at most o.Max bytes long, after a random
// number of changes, 1 to 32. Which changes are likely depends on what data looks
// like, see class; none is impossible for want of the right look alone. Half of
// the results have one or two changes: more leave little of a structure.
func Bytes(r *rand.Rand, data []byte, o ByteOptions) []byte {
	e := edit{r: r, max: o.Max, dict: o.Dictionary, other: o.Other}
	if e.max <= 0 {
		e.max = MaxInput
	}
	e.b = append([]byte(nil), data[:min(len(data), e.max)]...)
	changes := 1 + r.IntN(2)
	if r.IntN(2) == 0 {
		changes = 1 << r.IntN(6)
	}
	class := classify(e.b)
	for i := range changes {
		if i >= structured {
			one(r, operators[:havocOperators]).apply(&e)
			continue
		}
		// An operator that finds nothing of its kind leaves its turn to another.
		for tries := 0; tries < 8 && !draw(r, class)(&e); tries++ {
		}
	}
	return e.b
}

// structured is after how many changes only the havoc operators are drawn: there is
// little structure left then, and to look for it costs ten times as much as they do.
const structured = 8

// edit is an input under change. Its invariant is len(b) <= max.
type edit struct {
	r     *rand.Rand
	b     []byte
	max   int
	dict  Dictionary
	other []byte
}

// replace puts p in the place of b[from:to]; what of p would exceed the cap is cut
// off. p may be a part of b. It reports whether anything could change.
func (e *edit) replace(from, to int, p []byte) bool {
	p = p[:min(len(p), e.max-(len(e.b)-(to-from)))]
	if from == to && len(p) == 0 {
		return false
	}
	out := make([]byte, 0, len(e.b)-(to-from)+len(p))
	e.b = append(append(append(out, e.b[:from]...), p...), e.b[to:]...)
	return true
}

func (e *edit) insert(at int, p []byte) bool { return e.replace(at, at, p) }

// position is any place to insert at, the end included.
func (e *edit) position() int { return e.r.IntN(len(e.b) + 1) }

// two draws two different numbers below n, which is at least 2, the smaller first.
func (e *edit) two(n int) (i, j int) {
	i, j = e.r.IntN(n), e.r.IntN(n-1)
	if j >= i {
		return i, j + 1
	}
	return j, i
}

// swap exchanges two ranges of b that do not overlap, the first one first.
func (e *edit) swap(a, b span) bool {
	out := make([]byte, 0, len(e.b))
	out = append(append(out, e.b[:a.from]...), e.b[b.from:b.to]...)
	out = append(append(out, e.b[a.to:b.from]...), e.b[a.from:a.to]...)
	e.b = append(out, e.b[b.to:]...)
	return true
}

// span is a range of an input.
type span struct{ from, to int }

// one is a random element of a list that is not empty.
func one[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
