package synth

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// ArgMode says how far the values of arguments that were seen bind a policy.
type ArgMode uint8

// The modes. All look at enums and flags only, and at none of which a value may have
// been missed.
const (
	ArgsOff    ArgMode = iota // arguments may be anything
	ArgsSafe                  // what is dangerous and was not seen is refused
	ArgsStrict                // all that was not seen is refused
)

// String is the mode as flags spell it.
func (m ArgMode) String() string {
	names := [...]string{"off", "safe", "strict"}
	if int(m) < len(names) {
		return names[m]
	}
	return "invalid"
}

// ParseArgMode reads what ArgMode.String writes.
func ParseArgMode(text string) (ArgMode, error) {
	for m := ArgsOff; m <= ArgsStrict; m++ {
		if m.String() == text {
			return m, nil
		}
	}
	return ArgsOff, fmt.Errorf("unknown way to treat arguments %q; there are off, safe and strict", text)
}

// maxGenerated is how many rules the values of one call may become. Where they would
// be more, the argument with the most values is left free.
const maxGenerated = 64

// generalize makes conditions for a call from what was seen of its arguments. needed
// says that any program may make the call, seen or not: what is harmless stays allowed.
func generalize(obs trace.Observation, mode ArgMode, needed bool) []Choice {
	if mode == ArgsOff {
		return nil
	}
	choices := obs.ID.Choices()
	var out []Choice
	for _, seen := range obs.Args {
		if seen.Any || !slices.Contains(choices, seen.Index) {
			continue
		}
		arg := argumentAt(obs.ID, uint8(seen.Index))
		if arg.Set == nil {
			continue // a choice only beside certain values of another argument
		}
		if c, ok := generalizeArg(obs.ID, arg, seen, mode, needed); ok {
			out = append(out, c)
		}
	}
	for product(out) > maxGenerated {
		widest := 0
		for i := range out {
			if len(out[i].OneOf) >= len(out[widest].OneOf) {
				widest = i
			}
		}
		out = slices.Delete(out, widest, widest+1)
	}
	return out
}

func product(choices []Choice) int {
	n := 1
	for _, c := range choices {
		n *= len(c.OneOf)
	}
	return n
}

// generalizeArg is the choice for one argument; false where anything is allowed.
func generalizeArg(id sysno.ID, arg sysno.Arg, seen trace.Arg, mode ArgMode, needed bool) (Choice, bool) {
	choice := Choice{Index: uint8(seen.Index)}
	tr, known := traitOf(id, arg)
	if needed {
		mode = ArgsSafe
	}
	if mode == ArgsSafe && !known {
		return choice, false
	}
	enumMask := arg.Set.Mask & arg.Mask()
	flagMask := arg.Mask() &^ enumMask

	var enum []uint64 // of the values seen
	var flags uint64
	together := map[uint64]bool{} // combinations of flags
	for _, v := range seen.Values {
		v &= arg.Mask()
		if flagMask != 0 && v == arg.Mask() { // personality(-1) asks
			choice.OneOf = append(choice.OneOf, whole(choice.Index, arg, v))
			continue
		}
		enum = append(enum, v&enumMask)
		flags |= v & flagMask
		together[v&flagMask] = true
	}
	slices.Sort(enum)
	enum = slices.Compact(enum)

	looksAtEnum := enumMask != 0
	forbidden := flagMask
	if mode == ArgsSafe {
		_, forbidden = tr.dangers(arg)
		if tr.named {
			forbidden |= flagMask &^ flagBits(arg)
		}
		looksAtEnum = looksAtEnum && tr.harmless != ""
		enum = tr.companions(arg, enum)
		flags = tr.companionBits(arg, flags)
	}
	forbidden &^= flags
	base := []Cond{{Index: choice.Index, Op: MaskedEqual, Mask: forbidden}}
	for _, pair := range tr.apart {
		both, err := valueOf(arg, pair)
		if err != nil || both&forbidden != 0 || seenTogether(together, both) {
			continue
		}
		var next []Cond
		for _, c := range base {
			for rest := both; rest != 0; rest &= rest - 1 {
				one := c
				one.Mask |= 1 << bits.TrailingZeros64(rest)
				next = append(next, one)
			}
		}
		base = next
	}
	if looksAtEnum {
		var next []Cond
		for _, c := range base {
			for _, v := range enum {
				c.Mask, c.Value = c.Mask|enumMask, v
				next = append(next, c)
			}
		}
		base = next
	}
	for _, c := range base {
		if c.Mask == 0 {
			return choice, false
		}
		if c.Mask == ^uint64(0) {
			c.Op, c.Mask = Equal, 0
		}
		choice.OneOf = append(choice.OneOf, c)
	}
	slices.SortFunc(choice.OneOf, Cond.Compare)
	choice.OneOf = slices.Compact(choice.OneOf)
	return choice, len(choice.OneOf) > 0
}

func seenTogether(combinations map[uint64]bool, both uint64) bool {
	for v := range combinations {
		if v&both == both {
			return true
		}
	}
	return false
}

// whole is the condition that an argument is a certain value.
func whole(index uint8, arg sysno.Arg, v uint64) Cond {
	if arg.Mask() == ^uint64(0) {
		return Cond{Index: index, Op: Equal, Value: v}
	}
	return Cond{Index: index, Op: MaskedEqual, Mask: arg.Mask(), Value: v}
}

// Conditioned counts the calls that a policy permits and that have an argument which is
// a choice among named values, and those of them of which it looks at one.
func (p *Policy) Conditioned() (conditioned, checkable int) {
	free := map[sysno.ID]bool{}
	for _, r := range p.Rules() {
		if r.Verdict.Action.Permits() && len(r.ID.Choices()) > 0 {
			free[r.ID] = free[r.ID] || len(r.Args) == 0
		}
	}
	for _, f := range free {
		checkable++
		if !f {
			conditioned++
		}
	}
	return conditioned, checkable
}
