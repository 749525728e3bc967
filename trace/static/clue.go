package static

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Clue is something that decides whether a program goes a way, or has to do with it.
type Clue struct {
	Kind     ClueKind
	Text     string   // of a text, or the name of a variable or of a file
	Number   uint64   // or an errno, or a signal
	Size     int      // of the number in bytes
	ID       sysno.ID // of a call that may fail
	Distance int      // from the syscall, as in Way.Blocks
}

// ClueKind says what a clue is. The zero value is invalid.
type ClueKind uint8

// The kinds of clues.
const (
	ClueInvalid  ClueKind = iota
	ClueText              // something is perhaps compared with it
	ClueVariable          // of the environment, which is read
	ClueFile              // that is opened or looked at
	ClueNumber            // something is compared with it
	ClueSignal            // for which there is a handler
	ClueFailure           // a syscall whose failure is looked at
	ClueErrno             // that is told apart
)

// role is what a function does with its arguments.
type role uint8

const (
	roleNone role = iota
	roleVariable
	roleFile
	roleSecondFile // its second argument names one
	roleSignal
	roleErrno
)

// roles are those of the C library's functions.
var roles = map[string]role{
	"getenv": roleVariable, "secure_getenv": roleVariable, "__secure_getenv": roleVariable,
	"open": roleFile, "open64": roleFile, "__open_2": roleFile, "__open64_2": roleFile, "fopen": roleFile, "fopen64": roleFile, "freopen": roleFile, "creat": roleFile, "creat64": roleFile,
	"stat": roleFile, "stat64": roleFile, "lstat": roleFile, "lstat64": roleFile, "access": roleFile, "euidaccess": roleFile, "opendir": roleFile,
	"readlink": roleFile, "chdir": roleFile, "mkdir": roleFile, "unlink": roleFile, "rename": roleFile,
	"openat": roleSecondFile, "openat64": roleSecondFile, "fstatat": roleSecondFile, "fstatat64": roleSecondFile, "faccessat": roleSecondFile, "statx": roleSecondFile,
	"signal": roleSignal, "bsd_signal": roleSignal, "sysv_signal": roleSignal, "__sysv_signal": roleSignal, "sigaction": roleSignal, "__sigaction": roleSignal, "sigset": roleSignal,
	"__errno_location": roleErrno, "___errno_location": roleErrno,
}

// The bounds of texts that are clues, in bytes.
const (
	shortestClue = 1
	longestClue  = 128
)

// word is the text at an address, if it can be a word that a program looks for.
func (m *module) word(at uint64) (string, bool) {
	text, ok := m.String(at)
	if !ok || m.Exec(at) || len(text) < shortestClue || len(text) > longestClue || !utf8.ValidString(text) {
		return "", false
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' && r != 0x7f }) && len(text) < 3 {
		return "", false
	}
	return strings.TrimRight(text, "\n"), text != "\n"
}

// clue notes one, once.
func (c *Chart) clue(n int32, k Clue) {
	if !slices.Contains(c.clues[n], k) {
		c.clues[n] = append(c.clues[n], k)
	}
}

// reading is what is known while a block is read.
type reading struct {
	texts   [16]string // that registers point to
	numbers [16]int64
	known   uint16    // which numbers are
	bases   [16]int64 // what was subtracted from registers, 0 for nothing
	errno   bool      // RAX points to it
	handler []int32
}

// failing bounds the calls that a function may make itself to be taken for one of them.
const failing = 3

// read notes what a block of a function tells.
func (d *draftsman) read(f *function, n int32, insns []image.Insn, at []uint64) {
	m, c := f.module, d.c
	var r reading
	forget := func(reg uint8) { r.texts[reg&15], r.bases[reg&15], r.known = "", 0, r.known&^(1<<(reg&15)) }
	var calls []sysno.ID
	for i, in := range insns {
		if x := f.flowAt(at[i]); x != nil && in.Op == image.OpCall {
			for _, t := range x.beyond().targets {
				d.called(n, t, &r)
				if made := d.makes(t); len(made) <= failing {
					calls = append(calls, made...)
				}
			}
			errno := r.errno
			r = reading{errno: errno, handler: r.handler}
			continue
		}
		d.operands(f, n, in)
		switch {
		case in.Op == image.OpBranch:
			for _, id := range calls {
				c.clue(n, Clue{Kind: ClueFailure, ID: id})
			}
		case in.Op == image.OpCompare:
			for _, o := range []image.Operand{in.Src, in.Touched} { // one of eight bytes needs a register
				if v := uint64(r.numbers[o.Reg&15]); o.Kind == image.Register && r.known>>(o.Reg&15)&1 == 1 && in.Size <= 8 && v > 0xff && v != ^uint64(0) {
					c.clue(n, Clue{Kind: ClueNumber, Number: v, Size: int(in.Size)})
				}
			}
			if v, ok := compared(in); ok {
				c.clue(n, v)
				if base := r.bases[in.Touched.Reg&15]; in.Touched.Kind == image.Register && base > 0 { // a range, by one comparison
					c.clue(n, Clue{Kind: ClueNumber, Number: uint64(base) + v.Number/2, Size: v.Size})
				}
				if r.errno && v.Number > 0 && v.Number < 134 && v.Size == 4 {
					c.clue(n, Clue{Kind: ClueErrno, Number: v.Number})
				}
			}
		}
		if in.Op == image.OpAddress && in.Src.Kind == image.Absolute && m.Exec(uint64(in.Src.Value)) {
			if h := m.functions[uint64(in.Src.Value)]; h != nil {
				if to, ok := d.starts[h]; ok {
					d.edge(n, to, costPointer, false)
					r.handler = append(r.handler, to)
				}
			}
		}
		if in.Dst.Kind != image.Register || in.Stores || in.Op == image.OpCompare {
			continue
		}
		forget(in.Dst.Reg)
		switch {
		case in.Op == image.OpAdd && in.Src.Kind == image.Immediate && in.Src.Value < 0, in.Op == image.OpAddress && in.Src.Kind == image.Memory && !in.Src.Indexed && in.Src.Value < 0:
			r.bases[in.Dst.Reg&15] = -in.Src.Value
		case in.Op == image.OpAddress && in.Src.Kind == image.Absolute, in.Op == image.OpMove && in.Src.Kind == image.Immediate && m.Fixed:
			r.texts[in.Dst.Reg&15], _ = m.word(uint64(in.Src.Value))
			if in.Op == image.OpMove {
				r.numbers[in.Dst.Reg&15], r.known = in.Src.Value, r.known|1<<(in.Dst.Reg&15)
			}
		case in.Op == image.OpMove && in.Src.Kind == image.Immediate:
			r.numbers[in.Dst.Reg&15], r.known = in.Src.Value, r.known|1<<(in.Dst.Reg&15)
		}
	}
}

// compared is what an instruction compares something with.
func compared(in image.Insn) (Clue, bool) {
	if in.Src.Kind != image.Immediate || in.Size == 0 || in.Size > 8 {
		return Clue{}, false
	}
	v := uint64(in.Src.Value)
	if in.Size < 8 {
		v &= 1<<(8*in.Size) - 1
	}
	// With 0 and -1 results are compared, and what is not there.
	return Clue{Kind: ClueNumber, Number: v, Size: int(in.Size)}, v != 0 && v != 1<<(8*in.Size)-1
}

// called notes what a call tells.
func (d *draftsman) called(n int32, t *function, r *reading) {
	arg := func(reg uint8, kind ClueKind) {
		if text := r.texts[reg]; text != "" {
			d.c.clue(n, Clue{Kind: kind, Text: text})
		}
	}
	switch d.roles[t] {
	case roleVariable:
		arg(image.RDI, ClueVariable)
	case roleFile:
		arg(image.RDI, ClueFile)
	case roleSecondFile:
		arg(image.RSI, ClueFile)
	case roleSignal:
		if r.known>>image.RDI&1 == 1 {
			signal := Clue{Kind: ClueSignal, Number: uint64(r.numbers[image.RDI])}
			d.c.clue(n, signal)
			for _, h := range r.handler {
				d.c.clue(h, signal)
			}
		}
		r.handler = nil
	case roleErrno:
		r.errno = true
	}
}

// operands notes which texts, data and variables an instruction knows.
func (d *draftsman) operands(f *function, n int32, in image.Insn) {
	m := f.module
	for _, o := range []image.Operand{in.Dst, in.Src, in.Touched} {
		var at uint64
		switch {
		case o.Kind == image.Absolute, o.Kind == image.Immediate && m.Fixed && o.Value > 0 && in.Op == image.OpMove:
			at = uint64(o.Value)
		case o.Kind == image.Memory && m.Fixed && o.Value > 0:
			at = uint64(o.Value)
		}
		seg := m.Segment(at)
		if at == 0 || seg == nil || m.Exec(at) {
			continue
		}
		d.refers = append(d.refers, reference{m, at, n})
		if text, ok := m.word(at); ok && !m.Go && in.Op != image.OpCompare {
			d.c.clue(n, Clue{Kind: ClueText, Text: text})
		}
	}
	place := func(o image.Operand) (variable, bool) {
		switch {
		case o.Kind == image.Absolute && !o.Indexed:
			s := m.Segment(uint64(o.Value))
			return variable{int32(f.index), -1, o.Value}, s != nil && s.Write
		case o.Kind == image.Memory && !o.Indexed && (o.Reg == image.RSP || o.Reg == image.RBP):
			return variable{int32(f.index), d.c.nodes[n].function, o.Value<<4 | int64(o.Reg)}, true
		}
		return variable{}, false
	}
	if in.Stores {
		if v, ok := place(in.Dst); ok {
			d.c.sets[v] = append(d.c.sets[v], n)
		}
	}
	for _, o := range []image.Operand{in.Src, in.Touched} {
		if v, ok := place(o); ok && in.Op != image.OpAddress {
			d.c.tests[n] = append(d.c.tests[n], v)
		}
	}
}

// makes are the syscalls that a function, or what it calls at once, makes itself.
func (d *draftsman) makes(f *function) []sysno.ID {
	if f.makes == nil {
		f.makes = []sysno.ID{}
		within := map[*function]bool{f: true}
		for i := range f.flow {
			for _, t := range f.flow[i].beyond().targets {
				within[t] = true
			}
		}
		for id, places := range d.makers {
			if slices.ContainsFunc(places, func(p place) bool { return within[p.f] }) {
				f.makes = append(f.makes, id)
			}
		}
		slices.SortFunc(f.makes, sysno.ID.Compare)
	}
	return f.makes
}
