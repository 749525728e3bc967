package coverage

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// What a program compares its input with tells what an input has to hold. So the blocks that a
// trace comes to first are looked at: for the numbers that they compare something with, and for calls of
// the C library's comparisons, of which the trace sees the arguments. Only what lies in the
// constants of the program and of its own libraries counts: the rest is the input itself, or
// differs from one process to the next.
const (
	longestBlock = 256  // bytes of it that are looked at
	longestWord  = 64   // bytes
	shortestWord = 2    // one byte is found without help
	mostWords    = 64   // of a trace
	mostCalls    = 1024 // that a trace looks at
)

// comparison says which arguments of a function are what it compares, and which is how much of it.
type comparison struct {
	operands []int
	size     int // none if negative
	text     bool
}

// comparisons are those of string.h and strings.h.
var comparisons = map[string]comparison{
	"memcmp":      {[]int{0, 1}, 2, false},
	"bcmp":        {[]int{0, 1}, 2, false},
	"memmem":      {[]int{2}, 3, false},
	"strcmp":      {[]int{0, 1}, -1, true},
	"strcasecmp":  {[]int{0, 1}, -1, true},
	"strncmp":     {[]int{0, 1}, 2, true},
	"strncasecmp": {[]int{0, 1}, 2, true},
	"strstr":      {[]int{0, 1}, -1, true},
	"strcasestr":  {[]int{0, 1}, -1, true},
}

// call is one of a comparison, by an instruction at an address.
type call struct {
	at, next, to uint64
	first        byte // of the instruction
	comparison
}

// operands returns the numbers that a block compares something with, as they would lie in an
// input, and its calls of comparisons. The block is code that lies at an address; target
// knows where a call leads to.
func operands(code []byte, address uint64, target func(image.Instruction) (comparison, uint64, bool)) (words [][]byte, calls []call) {
	var long []uint64
	compares := false
	for len(code) > 0 {
		in, err := image.Decode(code, address)
		if err != nil || in.Len > len(code) {
			break
		}
		switch {
		case in.Compares && in.Size > 0:
			words = append(words, number(in.Value, in.Size)...)
		case in.Size == 8:
			long = append(long, in.Value)
		case in.Call:
			if c, to, ok := target(in); ok {
				calls = append(calls, call{at: address, next: address + uint64(in.Len), to: to, first: code[0], comparison: c})
			}
		}
		compares = compares || in.Compares
		if in.Ends {
			break
		}
		code, address = code[in.Len:], address+uint64(in.Len)
	}
	if compares { // a number of eight bytes needs a register
		for _, v := range long {
			words = append(words, number(v, 8)...)
		}
	}
	return words, calls
}

// number is a value as bytes in both orders, unless it is small in either, or negative and
// so: such are counts and lengths.
func number(v uint64, size int) [][]byte {
	little := binary.LittleEndian.AppendUint64(nil, v)[:size]
	high := little[size/2:]
	if size < shortestWord || little[0] == 0 || bytes.Count(high, []byte{0}) == len(high) || bytes.Count(high, []byte{0xff}) == len(high) {
		return nil
	}
	big := slices.Clone(little)
	slices.Reverse(big)
	return [][]byte{little, big}
}

// target finds the comparison that a call of a module leads to, which lies at a distance
// from where its file wants it.
func target(mem io.ReaderAt, m *module, distance uint64) func(image.Instruction) (comparison, uint64, bool) {
	return func(in image.Instruction) (comparison, uint64, bool) {
		to, slot := in.To, in.To
		if in.Slot {
			var b [8]byte
			if _, err := mem.ReadAt(b[:], int64(slot)); err != nil {
				return comparison{}, 0, false
			}
			to = binary.LittleEndian.Uint64(b[:])
		} else {
			var b [24]byte
			if _, err := mem.ReadAt(b[:], int64(to)); err != nil {
				return comparison{}, 0, false
			}
			ok := false
			if slot, ok = image.Stub(b[:], to); !ok {
				return comparison{}, 0, false
			}
		}
		c, ok := comparisons[m.imports[slot-distance]]
		return c, to, ok
	}
}

// look studies a block that a trace has come to, in the memory of what is traced.
func (w *Watch) look(mem io.ReaderAt, p point) (words [][]byte, calls []call) {
	m := p.module
	for _, part := range w.parts {
		if part.module != m || p.block < part.from || p.block >= part.to {
			continue
		}
		size := uint64(longestBlock)
		if p.block+1 < len(m.offsets) {
			size = min(size, m.offsets[p.block+1]-m.offsets[p.block])
		}
		at := part.address(p.block)
		code := make([]byte, size)
		n, err := mem.ReadAt(code, int64(at))
		if n == 0 || err != nil && err != io.EOF {
			return nil, nil
		}
		code[0] = m.first[p.block] // a breakpoint may still be there
		distance := at - m.offsets[p.block] - m.shift
		return operands(code[:n], at, target(mem, m, distance))
	}
	return nil, nil
}

// operand returns a constant that a function is given, nil for what is none.
func (w *Watch) operand(mem io.ReaderAt, address, size uint64, text bool) []byte {
	for _, c := range w.constants {
		if address < c.start || address >= c.end {
			continue
		}
		b := make([]byte, min(size, longestWord+1, c.end-address))
		if _, err := mem.ReadAt(b, int64(address)); err != nil {
			return nil
		}
		if end := bytes.IndexByte(b, 0); text && end >= 0 {
			b = b[:end]
		}
		if len(b) < shortestWord || len(b) > longestWord {
			return nil
		}
		return b
	}
	return nil
}

// memory is that of a process, by one of its threads. What the server's would be read for would be its own from then on, and each later
// copy's: the kernel maps the pages around, too.
type memory int

// ReadAt implements [io.ReaderAt].
func (m memory) ReadAt(b []byte, at int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(len(b))
	n, err := unix.ProcessVMReadv(int(m), local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	if err == nil && n < len(b) {
		err = io.EOF
	}
	return n, err
}

// words collects what a trace has found.
type words map[string]bool

func (all words) add(b []byte) {
	if b != nil && len(all) < mostWords {
		all[string(b)] = true
	}
}

// sorted returns them all.
func (all words) sorted() [][]byte {
	var out [][]byte
	for _, s := range slices.Sorted(maps.Keys(all)) {
		out = append(out, []byte(s))
	}
	return out
}
