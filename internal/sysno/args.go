package sysno

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kind says how to read an argument. The zero value is invalid.
type Kind uint8

// The kinds of arguments.
const (
	KindInvalid Kind = iota
	KindInt          // signed number
	KindUint         // unsigned number, or bits that no set describes
	KindSize         // length or count in bytes
	KindOffset       // signed position in a file
	KindFD           // file descriptor
	KindDirFD        // file descriptor or AT_FDCWD
	KindPtr          // address
	KindPath         // address of a path that ends in NUL
	KindString       // address of another string that ends in NUL
	KindMode         // permission bits, and file type
	KindPID          // process or thread
	KindUID          // user; all bits set mean "no change"
	KindGID          // group; all bits set mean "no change"
	KindSignal       // signal number; Set has the names
	KindEnum         // one value of Set
	KindFlags        // bits of Set, and one value in its mask
)

// Value is a named value of an argument.
type Value struct {
	Name  string // as in the kernel's headers
	Value uint64
}

// ValueSet is what an enum or flags argument can be made of. The bits in Mask hold
// one value of Enum, the others combine Flags; a pure enum has all bits in Mask, a
// pure set of flags none. Flags of several bits come before those that they
// contain. Callers do not change it.
type ValueSet struct {
	Name  string
	Mask  uint64
	Enum  []Value
	Flags []Value
}

// Find returns the value of a name, of Enum or of Flags.
func (s *ValueSet) Find(name string) (uint64, bool) {
	for _, values := range [][]Value{s.Enum, s.Flags} {
		for _, v := range values {
			if v.Name == name {
				return v.Value, true
			}
		}
	}
	return 0, false
}

// Arg describes one argument of a syscall.
type Arg struct {
	Name string
	Kind Kind
	Bits uint8     // how much of the register the kernel reads, from the low end: 16, 32 or 64
	Set  *ValueSet // for KindEnum, KindFlags and KindSignal, nil for the others
}

// Mask has a one for each bit that the kernel reads of the register. What stands in
// the other bits means nothing, and a filter must not compare it.
func (a Arg) Mask() uint64 { return 1<<a.Bits - 1 }

// Args describes the arguments of a syscall, one for each register that the kernel
// reads. It is nil for a syscall that is unknown, or that no kernel implements;
// Described tells this from a syscall without arguments. The result is the caller's.
func (id ID) Args() []Arg {
	return slices.Clone(calls()[id].args)
}

// Described reports whether Args knows the syscall.
func (id ID) Described() bool {
	_, ok := calls()[id]
	return ok
}

// ArgsOf is Args for one call: where the meaning of an argument depends on others,
// these decide. The option of setsockopt is one of its level; openat has no mode
// unless it may create a file. Arguments keep their places; the last ones may be gone.
func (id ID) ArgsOf(values [6]uint64) []Arg {
	c := calls()[id]
	for _, v := range c.variants {
		if v.holds(c.args[v.index].Mask() & values[v.index]) {
			return slices.Clone(v.args)
		}
	}
	return slices.Clone(c.args)
}

// Choices lists the arguments, counted from 0, that are a choice among named values
// whatever the others are: enums, flags and signals. One that is a number to some
// calls and a choice to others is one too, such as the option of setsockopt; one that
// is an address or a descriptor to some is not, such as the third argument of fcntl.
func (id ID) Choices() []int {
	c := calls()[id]
	var choices []int
	for i, arg := range c.args {
		chosen, possible := arg.choice()
		for _, v := range c.variants {
			if i < len(v.args) {
				isChoice, may := v.args[i].choice()
				chosen, possible = chosen || isChoice, possible && may
			}
		}
		if chosen && possible {
			choices = append(choices, i)
		}
	}
	return choices
}

// choice reports whether the argument is a choice, and whether a call could see it
// as one.
func (a Arg) choice() (is, may bool) {
	switch a.Kind {
	case KindEnum, KindFlags, KindSignal:
		return true, true
	case KindInt, KindUint:
		return false, true
	}
	return false, false
}

//go:embed args.txt
var argsText string

// call is one syscall in args.txt.
type call struct {
	args     []Arg
	variants []variant // in the order of the file
}

// variant replaces the arguments when another argument has a certain value.
type variant struct {
	index  int  // of the argument that decides
	none   bool // none of the bits, instead of one of the values
	values []uint64
	args   []Arg
}

func (v variant) holds(value uint64) bool {
	if !v.none {
		return slices.Contains(v.values, value)
	}
	for _, bits := range v.values {
		if value&bits != 0 {
			return false
		}
	}
	return true
}

// calls is args.txt for all ABIs. The file is part of the program, and a test
// parses it: an error in it cannot be met at run time.
var calls = sync.OnceValue(func() map[ID]call {
	table, err := parseCalls(argsText)
	if err != nil {
		panic(err)
	}
	return table
})

// parseCalls reads the notation that the head of args.txt describes.
func parseCalls(text string) (map[ID]call, error) {
	table := map[ID]call{}
	own := map[ID]bool{} // has a row for its ABI alone
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		abis, name, only := Archs(), fields[0], false
		if prefix, rest, ok := strings.Cut(name, ":"); ok {
			a, err := ParseArch(prefix)
			if err != nil {
				return nil, fmt.Errorf("args.txt: %w", err)
			}
			abis, name, only = []Arch{a}, rest, true
		}
		known := false
		for _, a := range abis {
			id, ok := Lookup(a, name)
			if !ok || own[id] && !only {
				known = known || ok
				continue
			}
			known = true
			c, err := addRow(a, table[id], fields[1:])
			if err != nil {
				return nil, fmt.Errorf("args.txt: %s: %w", fields[0], err)
			}
			table[id] = c
			own[id] = own[id] || only
		}
		if !known {
			return nil, fmt.Errorf("args.txt: %s: no such syscall", fields[0])
		}
	}
	return table, nil
}

// addRow reads the words after the name of a row.
func addRow(a Arch, c call, words []string) (call, error) {
	if len(words) == 0 || strings.Contains(words[0], ":") {
		args, err := parseArgs(a, words)
		return call{args: args, variants: c.variants}, err
	}
	at := strings.IndexAny(words[0], "=!")
	if at < 0 {
		return c, fmt.Errorf("%q: neither argument nor condition", words[0])
	}
	v := variant{none: words[0][at] == '!'}
	v.index = slices.IndexFunc(c.args, func(arg Arg) bool { return arg.Name == words[0][:at] })
	if v.index < 0 {
		return c, fmt.Errorf("%q: no such argument in the row without a condition", words[0])
	}
	for _, word := range strings.Split(words[0][at+1:], ",") {
		value, err := strconv.ParseUint(word, 0, 64)
		if err != nil {
			set, ok := c.args[v.index].Set, false
			if set != nil {
				value, ok = set.Find(word)
			}
			if !ok && set != nil && setHasElsewhere(set.Name, word) {
				continue
			}
			if !ok {
				return c, fmt.Errorf("%q: no value %q", words[0], word)
			}
		}
		v.values = append(v.values, value)
	}
	var err error
	if v.args, err = parseArgs(a, words[1:]); err != nil {
		return c, err
	}
	c.variants = append(c.variants, v)
	return c, nil
}

// parseArgs reads words of the form NAME:TYPE[/64].
func parseArgs(a Arch, words []string) ([]Arg, error) {
	var args []Arg
	for _, word := range words {
		name, kind, ok := strings.Cut(word, ":")
		if !ok {
			return nil, fmt.Errorf("%q: want NAME:TYPE", word)
		}
		kind, width, wide := strings.Cut(kind, "/")
		arg, ok := kindOf(kind)
		if !ok {
			arg = Arg{Kind: KindEnum, Bits: 32, Set: findSet(a, kind)}
			switch {
			case arg.Set == nil:
				return nil, fmt.Errorf("%q: no kind and no set %q", word, kind)
			case kind == "signal":
				arg.Kind = KindSignal
			case len(arg.Set.Flags) > 0:
				arg.Kind = KindFlags
			}
		}
		arg.Name = name
		if wide {
			bits, err := strconv.ParseUint(width, 10, 8)
			if err != nil || bits != 32 && bits != 64 {
				return nil, fmt.Errorf("%q: neither 32 nor 64 bits", word)
			}
			arg.Bits = uint8(bits)
		}
		if a == I386 {
			arg.Bits = min(arg.Bits, 32)
		}
		args = append(args, arg)
	}
	if len(args) > 6 {
		return nil, fmt.Errorf("%d arguments", len(args))
	}
	return args, nil
}

// kindOf is a type in args.txt that needs no set, with the width that it has on 64-bit
// machines. A umode_t has 16 bits.
func kindOf(word string) (arg Arg, ok bool) {
	switch word {
	case "int":
		return Arg{Kind: KindInt, Bits: 32}, true
	case "uint":
		return Arg{Kind: KindUint, Bits: 32}, true
	case "long":
		return Arg{Kind: KindInt, Bits: 64}, true
	case "ulong":
		return Arg{Kind: KindUint, Bits: 64}, true
	case "size":
		return Arg{Kind: KindSize, Bits: 64}, true
	case "offset":
		return Arg{Kind: KindOffset, Bits: 64}, true
	case "fd":
		return Arg{Kind: KindFD, Bits: 32}, true
	case "dirfd":
		return Arg{Kind: KindDirFD, Bits: 32}, true
	case "ptr":
		return Arg{Kind: KindPtr, Bits: 64}, true
	case "path":
		return Arg{Kind: KindPath, Bits: 64}, true
	case "str":
		return Arg{Kind: KindString, Bits: 64}, true
	case "mode":
		return Arg{Kind: KindMode, Bits: 16}, true
	case "pid":
		return Arg{Kind: KindPID, Bits: 32}, true
	case "uid":
		return Arg{Kind: KindUID, Bits: 32}, true
	case "gid":
		return Arg{Kind: KindGID, Bits: 32}, true
	}
	return Arg{}, false
}

// findSet finds a set in the tables of an ABI, or in those of x86_64, which hold
// all that is the same.
func findSet(a Arch, name string) *ValueSet {
	var tables [][]ValueSet
	switch a {
	case I386:
		tables = append(tables, setsI386[:])
	case ARM64:
		tables = append(tables, setsARM64[:])
	}
	for _, table := range append(tables, setsAMD64[:]) {
		for i := range table {
			if table[i].Name == name {
				return &table[i]
			}
		}
	}
	return nil
}

// setHasElsewhere reports whether some ABI has the value: a condition may name what
// not every ABI has.
func setHasElsewhere(set, name string) bool {
	for _, a := range Archs() {
		if _, ok := findSet(a, set).Find(name); ok {
			return true
		}
	}
	return false
}
