package filter

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Line is an instruction in the words of syscalls. Where jumps lead here from further
// than the instruction before, it has a label.
type Line struct {
	Label string // "openat", "allow", "errno_EPERM"; unique, or empty
	Text  string // "if flags & O_CREAT goto errno_EPERM"
}

// Annotate says what the instructions of a valid program compare and where they lead.
func (p Program) Annotate() ([]Line, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	states := p.states()
	labels := p.labels(states)
	lines := make([]Line, len(p))
	for pc, in := range p {
		lines[pc] = Line{labels[pc], states[pc].text(in, func(offset uint32) string { return labels[pc+1+int(offset)] })}
	}
	return lines, nil
}

// state is what is known of the call at an instruction, whichever way leads there.
type state struct {
	reached bool
	word    int    // of Data, that the accumulator holds, or holds in part; -1 for something else
	mask    uint32 // the bits of it
	arch    uint32 // 0 where more than one is possible
	nr      uint32
	one     bool // nr is the only number that is possible
}

func (s state) join(o state) state {
	if !s.reached {
		return o
	}
	if s.word != o.word || s.mask != o.mask {
		s.word = -1
	}
	if s.arch != o.arch {
		s.arch = 0
	}
	s.one = s.one && o.one && s.nr == o.nr
	return s
}

// states follows all paths. Jumps only lead forward, so one pass sees each.
func (p Program) states() []state {
	states := make([]state, len(p)+1)
	states[0] = state{reached: true, word: -1}
	for pc, in := range p {
		s := states[pc]
		to := func(offset uint32, s state) { states[pc+1+int(offset)] = states[pc+1+int(offset)].join(s) }
		switch in.Code {
		case ldAbs:
			s.word, s.mask = int(in.K/4), ^uint32(0)
		case and:
			s.mask &= in.K
		case st, stx, tax, ldxImm, ldxMem, ldxLen:
		case ja:
			to(in.K, s)
			continue
		case jeq:
			equal := s
			if s.mask == ^uint32(0) {
				switch {
				case s.word == offArch/4:
					equal.arch = in.K
				case s.word == offNR/4:
					equal.nr, equal.one = in.K, true
				}
			}
			to(uint32(in.Jt), equal)
			to(uint32(in.Jf), s)
			continue
		case jgt, jge, jset, jeq | regX, jgt | regX, jge | regX, jset | regX:
			to(uint32(in.Jt), s)
			to(uint32(in.Jf), s)
			continue
		case retK, retA:
			continue
		default:
			s.word = -1
		}
		to(0, s)
	}
	return states[:len(p)]
}

// labels names the instructions that are jumped to: an answer by its verdict, the way
// on from a comparison by what was found equal, and the rest by where it stands.
func (p Program) labels(states []state) []string {
	names := make([]string, len(p)) // proposals
	targeted := make([]bool, len(p))
	propose := func(pc int, offset uint32, name string) {
		if offset == 0 {
			return // the next one needs no label
		}
		pc += 1 + int(offset)
		targeted[pc] = true
		if names[pc] == "" {
			names[pc] = name
		}
	}
	for pc, in := range p {
		switch in.Code {
		case ja:
			propose(pc, in.K, "")
		case jeq, jgt, jge, jset, jeq | regX, jgt | regX, jge | regX, jset | regX:
			yes, no := "", ""
			if s := states[pc]; s.mask == ^uint32(0) && in.Code&^regX == in.Code {
				switch word := s.constant(in.K); {
				case s.word != offNR/4 && s.word != offArch/4:
				case in.Code == jeq:
					yes, no = word, "not_"+word
				case in.Code == jgt:
					yes, no = "after_"+word, "up_to_"+word
				case in.Code == jge:
					yes, no = "from_"+word, "before_"+word
				}
			}
			propose(pc, uint32(in.Jt), yes)
			propose(pc, uint32(in.Jf), no)
		}
	}
	used := map[string]int{}
	for pc, in := range p {
		if !targeted[pc] {
			names[pc] = ""
			continue
		}
		name := names[pc]
		switch s := states[pc]; {
		case in.Code == retK:
			name = strings.ReplaceAll(ParseReturn(in.K).String(), " ", "_")
		case name == "" && s.one:
			name = s.call(s.nr)
		case name == "" && s.arch != 0:
			name = s.archName(s.arch)
		case name == "":
			name = "more"
		}
		if used[name]++; used[name] > 1 {
			name = fmt.Sprintf("%s.%d", name, used[name])
		}
		names[pc] = name
	}
	return names
}

// text is an instruction; target is the label that an offset from the next one leads to.
func (s state) text(in unix.SockFilter, target func(offset uint32) string) string {
	branch := func(test string) string {
		yes, no := target(uint32(in.Jt)), target(uint32(in.Jf))
		switch {
		case in.Jt == in.Jf:
			return "test " + test
		case in.Jf == 0:
			return fmt.Sprintf("if %s goto %s", test, yes)
		case in.Jt == 0:
			return fmt.Sprintf("unless %s goto %s", test, no)
		}
		return fmt.Sprintf("if %s goto %s else %s", test, yes, no)
	}
	switch in.Code {
	case ldAbs:
		return "load " + state{word: int(in.K / 4), mask: ^uint32(0), arch: s.arch, nr: s.nr, one: s.one}.subject()
	case ja:
		return "goto " + target(in.K)
	case retK:
		return "return " + ParseReturn(in.K).String()
	case jeq:
		return branch(s.subject() + " == " + s.constant(in.K))
	case jgt:
		return branch(s.subject() + " > " + s.constant(in.K))
	case jge:
		return branch(s.subject() + " >= " + s.constant(in.K))
	case jset:
		return branch(s.subject() + " & " + s.bits(in.K))
	case and:
		return "keep " + s.subject() + " & " + s.bits(in.K)
	case jeq | regX:
		return branch("a == x")
	case jgt | regX:
		return branch("a > x")
	case jge | regX:
		return branch("a >= x")
	case jset | regX:
		return branch("a & x")
	}
	return listing(0, in) // no jump, so its place does not matter
}

// argument is the argument that a word of Data is part of, or -1.
func argumentOf(word int) (index int, high bool) {
	at := word*4 - offArgs
	if word < 0 || at < 0 {
		return -1, false
	}
	half := at%8/4 == 1
	if !littleEndian {
		half = !half
	}
	return at / 8, half
}

// littleEndian says that the low half of an argument comes first.
var littleEndian = func() bool {
	d := Data{IP: 1}
	return d.words()[offIP/4] == 1
}()

// subject names what the accumulator holds.
func (s state) subject() string {
	name := "a"
	switch index, high := argumentOf(s.word); {
	case s.word == offNR/4:
		name = "nr"
	case s.word == offArch/4:
		name = "arch"
	case s.word == offIP/4 || s.word == offIP/4+1:
		name = "ip"
	case index >= 0:
		name = fmt.Sprintf("arg%d", index)
		if a, ok := s.argument(index); ok {
			name = a.Name
		}
		if high {
			name += ".high"
		}
	}
	if s.word >= 0 && s.mask != ^uint32(0) {
		name = fmt.Sprintf("(%s & %s)", name, s.bits(s.mask))
	}
	return name
}

func (s state) argument(index int) (sysno.Arg, bool) {
	if !s.one || s.arch == 0 {
		return sysno.Arg{}, false
	}
	args := sysno.FromRaw(s.arch, s.nr).Args()
	if index >= len(args) {
		return sysno.Arg{}, false
	}
	return args[index], true
}

// constant names what the accumulator is compared with.
func (s state) constant(k uint32) string {
	switch index, high := argumentOf(s.word); {
	case s.word == offArch/4:
		return s.archName(k)
	case s.word == offNR/4:
		return s.call(k)
	case index >= 0 && !high:
		if a, ok := s.argument(index); ok && a.Set != nil && s.mask == ^uint32(0) {
			return a.Format(uint64(k))
		}
	}
	if s.mask != ^uint32(0) {
		return s.bits(k)
	}
	return fmt.Sprintf("%#x", k)
}

// bits names bits that are masked out, or what is left of them.
func (s state) bits(k uint32) string {
	index, high := argumentOf(s.word)
	if a, ok := s.argument(max(index, 0)); ok && index >= 0 && !high && a.Kind == sysno.KindFlags && k != ^uint32(0) && k&^uint32(a.Set.Mask) != 0 {
		if k&uint32(a.Set.Mask) == 0 { // not the value of the enum that is 0
			a.Set = &sysno.ValueSet{Flags: a.Set.Flags}
		}
		return a.Format(uint64(k))
	}
	return fmt.Sprintf("%#x", k)
}

func (s state) archName(audit uint32) string {
	for _, a := range sysno.Archs() {
		if a.Audit() == audit {
			return a.String() // X32 has the value of AMD64, which comes first
		}
	}
	return fmt.Sprintf("arch_%#x", audit)
}

// call names a number, of which an ordering may mean the number alone.
func (s state) call(nr uint32) string {
	id := sysno.FromRaw(s.arch, nr)
	name, known := id.Name()
	switch {
	case nr == x32First:
		return "x32"
	case !known:
		return fmt.Sprintf("%d", nr)
	case id.Arch == sysno.X32:
		return "x32:" + name
	}
	return name
}
