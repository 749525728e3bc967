package synth

import (
	"math"
	"math/bits"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// A cube is a set of calls of one syscall: those whose arguments have certain bits. All
// conditions of seccomp can be said as lists of cubes, and with cubes it can be computed
// whether one set of calls is within another.
type cube [registers]struct{ mask, value uint64 }

// cubesOf is what a rule matches.
func cubesOf(conds []Cond) []cube {
	cubes := []cube{{}}
	for _, c := range conds {
		var next []cube
		for _, part := range partsOf(c) {
			for _, q := range cubes {
				if q, ok := q.with(int(c.Index), part.Mask, part.Value); ok {
					next = append(next, q)
				}
			}
		}
		cubes = next
	}
	return cubes
}

// partsOf says a condition by masks alone: an ordering by the aligned ranges that make
// it up, of which there are at most 64.
func partsOf(c Cond) []Cond {
	masked := func(mask, value uint64) Cond {
		return Cond{Index: c.Index, Op: MaskedEqual, Mask: mask, Value: value}
	}
	var parts []Cond
	below := func(end uint64) { // values less than end: one range for each bit of it
		for b := end; b != 0; b &= b - 1 {
			low := uint(bits.TrailingZeros64(b))
			parts = append(parts, masked(^uint64(0)<<low, b&^(1<<low)))
		}
	}
	above := func(start uint64) { // values greater than start: the mirror image
		for b := ^start; b != 0; b &= b - 1 {
			low := uint(bits.TrailingZeros64(b))
			parts = append(parts, masked(^uint64(0)<<low, ^(b&^(1<<low))&(^uint64(0)<<low)))
		}
	}
	switch c.Op {
	case Equal:
		return []Cond{masked(^uint64(0), c.Value)}
	case MaskedEqual:
		return []Cond{masked(c.Mask, c.Value)}
	case NotEqual:
		below(c.Value)
		above(c.Value)
	case Less:
		below(c.Value)
	case LessEqual:
		if c.Value == math.MaxUint64 {
			return []Cond{masked(0, 0)}
		}
		below(c.Value + 1)
	case Greater:
		above(c.Value)
	case GreaterEqual:
		if c.Value == 0 {
			return []Cond{masked(0, 0)}
		}
		above(c.Value - 1)
	}
	return parts
}

// with is the part of a cube in which an argument also has these bits; false if there
// is none.
func (q cube) with(index int, mask, value uint64) (cube, bool) {
	a := &q[index]
	if (a.value^value)&a.mask&mask != 0 || value&^mask != 0 {
		return q, false
	}
	a.mask |= mask
	a.value |= value
	return q, true
}

// maxCubes bounds the work of within: beyond it the answer is not known.
const maxCubes = 20_000

// within reports whether every call in a is in one of the others. known is false where
// that would take too long to find out.
func within(a, others []cube) (yes, known bool) {
	steps := 0
	var inside func(q cube, others []cube) bool
	inside = func(q cube, others []cube) bool {
		for i, o := range others {
			if steps++; steps > maxCubes {
				return false
			}
			disjoint := false
			for k := range q {
				disjoint = disjoint || (q[k].value^o[k].value)&q[k].mask&o[k].mask != 0
			}
			if disjoint {
				continue
			}
			// Cut q along the bits of o: what is not in o has to be in one of the rest.
			for k := range q {
				for b := o[k].mask &^ q[k].mask; b != 0; b &= b - 1 {
					bit := b & -b
					outside := q
					outside[k].mask |= bit
					outside[k].value |= ^o[k].value & bit
					if !inside(outside, others[i+1:]) {
						return false
					}
					q[k].mask |= bit
					q[k].value |= o[k].value & bit
				}
			}
			return true
		}
		return false
	}
	for _, q := range a {
		if !inside(q, others) {
			return false, steps <= maxCubes
		}
	}
	return true, true
}

// covered reports whether every call that meets a's conditions meets those of one of
// the others. known is false where that would take too long to find out: it can be with
// several orderings in one rule.
func covered(a []Cond, others [][]Cond) (yes, known bool) {
	var cubes []cube
	for _, o := range others {
		if implies(a, o) {
			return true, true
		}
		if meet(a, o) {
			cubes = append(cubes, cubesOf(o)...)
		}
	}
	if len(cubes) == 0 {
		return len(cubesOf(a)) == 0, true
	}
	return within(cubesOf(a), cubes)
}

// allCovered is covered for each of many rules.
func allCovered(a, others [][]Cond) (yes, known bool) {
	known = true
	for _, conds := range a {
		inside, sure := covered(conds, others)
		if !inside && sure {
			return false, true
		}
		known = known && sure
	}
	return known, known
}

// implies reports whether a's conditions are at least as strict as b's, one argument at
// a time.
func implies(a, b []Cond) bool {
	for index := range uint8(registers) {
		if yes, known := within(cubesOf(on(a, index)), cubesOf(on(b, index))); !yes || !known {
			return false
		}
	}
	return true
}

// meet reports whether some call meets both lists of conditions.
func meet(a, b []Cond) bool {
	for index := range uint8(registers) {
		if len(cubesOf(append(on(a, index), on(b, index)...))) == 0 {
			return false
		}
	}
	return true
}

// on are the conditions on one argument.
func on(conds []Cond, index uint8) []Cond {
	var list []Cond
	for _, c := range conds {
		if c.Index == index {
			list = append(list, c)
		}
	}
	return list
}

// decided are the conditions of a policy's rules for a syscall that permit it, and of
// those that refuse it.
func (p *Policy) decided(id sysno.ID) (permitted, refused [][]Cond) {
	for i := range p.Groups {
		for _, r := range p.Groups[i].Rules {
			switch {
			case r.ID != id:
			case r.Verdict.Action.Permits():
				permitted = append(permitted, r.Args)
			default:
				refused = append(refused, r.Args)
			}
		}
	}
	return permitted, refused
}
