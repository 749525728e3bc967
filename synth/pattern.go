package synth

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Pattern is a condition in the words of the syscall tables. Either Op is set, or
// at least one of Is, Require, Forbid and Only is:
//
//	{Arg: "domain", Is: "AF_UNIX"}                        the whole argument
//	{Arg: "flags", Is: "O_RDONLY", Forbid: {"O_CREAT"}}   the access mode; a bit
//	{Arg: "prot", Forbid: {"PROT_EXEC"}}                  a bit
//	{Arg: "flags", Only: {"MAP_PRIVATE", "MAP_FIXED"}}    all bits but these
//	{Arg: "arg2", Op: "<=", Value: 3}                     a comparison of all 64 bits
//
// What a pattern does not speak of may be anything, and so may the bits of the
// register that the kernel does not read. A comparison by Op is what seccomp itself
// can do: it counts all 64 bits, and so can be got around, or can fail, where the
// kernel reads 32.
type Pattern struct {
	Arg     string   // name in the syscall tables, or "arg0" to "arg5"
	Is      string   // one value: in the bits that hold an enum, or of the whole argument where there are none
	Require []string // bits that must be set
	Forbid  []string // bits that must be clear
	Only    []string // if not nil: the flags that may be set; all others, named or not, must be clear
	Op      string   // ==, !=, <, <=, >, >= or &
	Value   uint64   // what Op compares with
	Mask    uint64   // for &
}

// operators are the words for Op, in the order of the Ops.
var operators = [...]string{Equal: "==", NotEqual: "!=", Less: "<", LessEqual: "<=", Greater: ">", GreaterEqual: ">=", MaskedEqual: "&"}

// registers is how many arguments a syscall can have.
const registers = 6

// argument finds an argument by its name. One that the tables do not describe has
// its number for a name, and 64 bits.
func argument(id sysno.ID, name string) (uint8, sysno.Arg, error) {
	for i := range uint8(registers) {
		if arg := argumentAt(id, i); arg.Name == name {
			return i, arg, nil
		}
	}
	var names []string
	for _, a := range id.Args() {
		names = append(names, a.Name)
	}
	if len(names) == 0 {
		names = []string{"arg0 to arg5"}
	}
	return 0, sysno.Arg{}, fmt.Errorf("%v has no argument %q; it has %s", id, name, strings.Join(names, ", "))
}

// argumentAt describes an argument by its index. The names of arguments are unique
// within a call, but for the numbered ones, which are names from arg0 on.
func argumentAt(id sysno.ID, index uint8) sysno.Arg {
	if args := id.Args(); int(index) < len(args) {
		return args[index]
	}
	name := fmt.Sprintf("arg%d", index)
	for slices.ContainsFunc(id.Args(), func(a sysno.Arg) bool { return a.Name == name }) {
		name += "'" // prctl's second argument is called arg2
	}
	return sysno.Arg{Name: name, Kind: sysno.KindUint, Bits: 64}
}

// enumBits are the bits of an argument that hold one value rather than flags.
func enumBits(a sysno.Arg) uint64 {
	if a.Set == nil {
		return a.Mask()
	}
	return a.Set.Mask & a.Mask()
}

// Cond is the pattern as a condition on an argument of the syscall.
func (p Pattern) Cond(id sysno.ID) (Cond, error) {
	index, arg, err := argument(id, p.Arg)
	if err != nil {
		return Cond{}, err
	}
	bad := func(format string, args ...any) (Cond, error) {
		return Cond{}, fmt.Errorf("%v: %s: %s", id, p.Arg, fmt.Sprintf(format, args...))
	}
	if p.Op != "" {
		op := slices.Index(operators[:], p.Op)
		switch {
		case op <= 0:
			return bad("unknown operator %q; known are %s", p.Op, strings.Join(operators[1:], " "))
		case p.Is != "" || len(p.Require)+len(p.Forbid) > 0 || p.Only != nil:
			return bad("%s stands alone", p.Op)
		case Op(op) != MaskedEqual && p.Mask != 0:
			return bad("%s takes no mask", p.Op)
		}
		return Cond{Index: index, Op: Op(op), Value: p.Value, Mask: p.Mask}, nil
	}
	c := Cond{Index: index, Op: MaskedEqual}
	demand := func(mask, value uint64) error {
		if clash := c.Mask & mask & (c.Value ^ value); clash != 0 {
			return fmt.Errorf("%v: %s: %s must be both set and clear", id, p.Arg, arg.Format(clash))
		}
		c.Mask |= mask
		c.Value |= value
		return nil
	}
	if p.Is != "" {
		v, err := valueOf(arg, p.Is)
		if err != nil {
			return bad("%v", err)
		}
		mask := enumBits(arg)
		if mask == 0 || v&^mask != 0 { // all of a set of flags
			mask = arg.Mask()
		}
		if err := demand(mask, v); err != nil {
			return Cond{}, err
		}
	}
	for _, word := range p.Require {
		v, err := bitsOf(arg, word)
		if err != nil {
			return bad("%v", err)
		}
		if err := demand(v, v); err != nil {
			return Cond{}, err
		}
	}
	for _, word := range p.Forbid {
		v, err := bitsOf(arg, word)
		if err != nil {
			return bad("%v", err)
		}
		if err := demand(v, 0); err != nil {
			return Cond{}, err
		}
	}
	if p.Only != nil {
		others := arg.Mask()
		if arg.Set != nil {
			others &^= arg.Set.Mask
		}
		for _, word := range slices.Concat(p.Only, p.Require) {
			v, err := bitsOf(arg, word)
			if err != nil {
				return bad("%v", err)
			}
			others &^= v
		}
		if err := demand(others, 0); err != nil {
			return Cond{}, err
		}
	}
	if c.Mask == 0 {
		return bad("the condition says nothing; leave it out")
	}
	if c.Mask == ^uint64(0) {
		c.Op, c.Mask = Equal, 0
	}
	return c, nil
}

// valueOf reads names and numbers joined by |.
func valueOf(arg sysno.Arg, text string) (uint64, error) {
	var v uint64
	for _, word := range strings.Split(text, "|") {
		one, err := wordValue(arg, word)
		if err != nil {
			return 0, err
		}
		v |= one
	}
	return v, nil
}

func wordValue(arg sysno.Arg, word string) (uint64, error) {
	if arg.Set != nil {
		if v, ok := arg.Set.Find(word); ok {
			return v & arg.Mask(), nil
		}
	}
	if v, err := strconv.ParseUint(word, 0, 64); err == nil {
		if v&^arg.Mask() != 0 {
			return 0, fmt.Errorf("%s has more than the %d bits that the kernel reads", word, arg.Bits)
		}
		return v, nil
	}
	if v, err := strconv.ParseInt(word, 0, int(arg.Bits)); err == nil {
		return uint64(v) & arg.Mask(), nil
	}
	if arg.Set == nil {
		return 0, fmt.Errorf("%q is not a number", word)
	}
	var names []string
	for _, v := range slices.Concat(arg.Set.Enum, arg.Set.Flags) {
		names = append(names, v.Name)
	}
	return 0, fmt.Errorf("unknown value %q; known are %s", word, strings.Join(names, " "))
}

// bitsOf is wordValue for bits. A name that is no bit would demand nothing.
func bitsOf(arg sysno.Arg, word string) (uint64, error) {
	v, err := wordValue(arg, word)
	if err == nil && v == 0 {
		return 0, fmt.Errorf("%s is no bit", word)
	}
	if err == nil && arg.Set != nil && v&arg.Set.Mask != 0 && arg.Set.Mask != ^uint64(0) && slices.ContainsFunc(arg.Set.Enum, func(e sysno.Value) bool { return e.Name == word }) {
		return 0, fmt.Errorf(`%s is one of several values, not a bit; write "is: %s"`, word, word)
	}
	return v, err
}

// PatternOf puts a condition into words. Cond of the result is the condition again.
func PatternOf(id sysno.ID, c Cond) Pattern {
	arg := argumentAt(id, c.Index)
	raw := Pattern{Arg: arg.Name, Value: c.Value, Mask: c.Mask}
	if int(c.Op) < len(operators) {
		raw.Op = operators[c.Op]
	}
	given := c
	if c.Op == Equal {
		c = Cond{Index: c.Index, Op: MaskedEqual, Value: c.Value, Mask: ^uint64(0)}
	}
	if c.Op != MaskedEqual || c.Mask&^arg.Mask() != 0 || c.Mask == 0 || c.Value&^c.Mask != 0 {
		return raw
	}
	p := Pattern{Arg: arg.Name}
	if c.Mask == arg.Mask() && c.Value == c.Mask && arg.Set != nil { // what asks rather than sets
		p.Is = number(c.Value)
		return p
	}
	left := c.Mask
	if enum := enumBits(arg); enum != 0 && c.Mask&enum == enum {
		p.Is = valueWord(arg, c.Value&enum)
		left &^= enum
	}
	p.Require = bitWords(arg, left&c.Value)
	p.Forbid = bitWords(arg, left&^c.Value)
	rest := arg.Mask() &^ c.Mask &^ enumBits(arg)
	only := append([]string{}, bitWords(arg, rest)...)
	if rest&^flagBits(arg) == 0 && (len(only) < len(p.Forbid) || left&^c.Value&^flagBits(arg) != 0) {
		p.Forbid, p.Only = nil, only
	}
	if back, err := p.Cond(id); err != nil || back != given {
		return raw
	}
	return p
}

// flagBits are the bits that have names.
func flagBits(arg sysno.Arg) uint64 {
	var v uint64
	if arg.Set != nil {
		for _, f := range arg.Set.Flags {
			v |= f.Value
		}
	}
	return v
}

// valueWord names a value of an enum.
func valueWord(arg sysno.Arg, v uint64) string {
	if arg.Set != nil {
		for _, e := range arg.Set.Enum {
			if e.Value&arg.Mask() == v {
				return e.Name
			}
		}
	}
	return number(v)
}

// bitWords names bits, the largest named combinations first; what is left over is a
// number.
func bitWords(arg sysno.Arg, v uint64) []string {
	var words []string
	if arg.Set != nil {
		for _, f := range arg.Set.Flags {
			if f.Value != 0 && v&f.Value == f.Value {
				words = append(words, f.Name)
				v &^= f.Value
			}
		}
	}
	if v != 0 {
		words = append(words, number(v))
	}
	return words
}

// number is decimal for quantities and hexadecimal for bits.
func number(v uint64) string {
	if v < 10 || bits.Len64(v) < 16 && v%10 == 0 {
		return strconv.FormatUint(v, 10)
	}
	return fmt.Sprintf("%#x", v)
}

// String is the pattern as messages show it: "domain is AF_UNIX",
// "prot without PROT_EXEC".
func (p Pattern) String() string {
	switch {
	case p.Op == "&":
		return fmt.Sprintf("%s & %#x == %#x", p.Arg, p.Mask, p.Value)
	case p.Op != "":
		return fmt.Sprintf("%s %s %#x", p.Arg, p.Op, p.Value)
	}
	s := p.Arg
	if p.Is != "" {
		s += " is " + p.Is
	}
	if len(p.Require) > 0 {
		s += " with " + strings.Join(p.Require, " and ")
	}
	if len(p.Forbid) > 0 {
		s += " without " + strings.Join(p.Forbid, ", ")
	}
	switch {
	case p.Only != nil && len(p.Only) == 0:
		s += " without any flag"
	case p.Only != nil:
		s += " with no flag but " + strings.Join(p.Only, ", ")
	}
	return s
}
