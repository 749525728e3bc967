package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/arch/x86/x86asm"
)

// Block is the first instruction of a basic block.
type Block struct {
	Offset  uint64 // in the file
	Address uint64 // where the file wants it to be loaded
}

// Blocks returns the basic blocks of the x86-64 ELF file at path, program or
// library, in the order of their addresses. It looks where .eh_frame, symbols and
// Go's function table say that functions are; of a file that has none of them there
// are no blocks. What only jump tables and pointers lead to is a block where it
// follows a jump, a return or a conditional jump. A breakpoint may be put on each:
// none lies within an instruction, as far as the file's tables are true and it has
// no data amid a function.
func Blocks(path string) ([]Block, error) {
	x, file, err := openCode(path)
	if err != nil {
		return nil, fmt.Errorf("basic blocks of %s: %w", path, err)
	}
	defer file.Close()
	blocks, err := x.blocks()
	if err != nil {
		return nil, fmt.Errorf("basic blocks of %s: %w", path, err)
	}
	return blocks, nil
}

func blocksOf(r *io.SectionReader) ([]Block, error) {
	x, err := codeOf(r)
	if err != nil {
		return nil, err
	}
	return x.blocks()
}

func (x elfFile) blocks() ([]Block, error) {
	functions, err := x.functions()
	if err != nil {
		return nil, err
	}
	var all []Block
	left, last := uint64(maxCode), uint64(0)
	for _, p := range x.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || p.Filesz == 0 {
			continue
		}
		if p.Vaddr < last || p.Vaddr+p.Filesz < p.Vaddr { // elf(5): ascending
			return nil, errors.New("its segments overlap")
		}
		last = p.Vaddr + p.Filesz
		if p.Filesz > left {
			return nil, fmt.Errorf("more than %d MiB of code", maxCode>>20)
		}
		left -= p.Filesz
		b, err := readAt(x.r, p.Off, p.Filesz)
		if err != nil {
			return nil, err
		}
		t := &text{addr: p.Vaddr, code: b, marks: make([]mark, len(b))}
		t.decode(functions)
		for i, m := range t.marks {
			if m&(leader|first|inner) == leader|first {
				all = append(all, Block{p.Off + uint64(i), p.Vaddr + uint64(i)})
			}
		}
	}
	return all, nil
}

// mark is what is known of a byte of code.
type mark uint8

const (
	known  mark = 1 << iota // of a function
	root                    // where a function begins
	first                   // of an instruction
	inner                   // of an instruction, and not its first
	leader                  // where a block begins, if an instruction does
)

// text is one executable segment.
type text struct {
	addr    uint64
	code    []byte
	marks   []mark
	targets []int // to be decoded from
}

// decode sweeps through the functions. Where an instruction is unknown it goes on
// from the next place that a function or a jump says to be an instruction.
func (t *text) decode(functions []span) {
	end := 0 // of what is known
	for _, f := range functions {
		if f.start < t.addr || f.start-t.addr >= uint64(len(t.code)) || f.end <= f.start {
			continue
		}
		from, to := int(f.start-t.addr), int(min(f.end-t.addr, uint64(len(t.code))))
		t.marks[from] |= root | leader
		for i := max(from, end); i < to; i++ {
			t.marks[i] |= known
		}
		end = max(end, to)
	}
	for i, m := range t.marks {
		if m&root != 0 {
			t.sweep(i)
		}
	}
	for len(t.targets) > 0 {
		i := t.targets[len(t.targets)-1]
		t.targets = t.targets[:len(t.targets)-1]
		if t.marks[i]&(first|inner) == 0 {
			t.sweep(i)
		}
	}
}

// sweep decodes one instruction after the other, until one is unknown, was decoded
// before, is where a function begins or is of none.
func (t *text) sweep(i int) {
	ended := false // after an instruction that does not go on to the next
	for from := i; i < len(t.code) && t.marks[i]&known != 0; {
		if i != from && t.marks[i]&(root|first) != 0 {
			return
		}
		in, err := decode(t.code[i:])
		if err != nil || in.Len > len(t.code)-i {
			return
		}
		t.marks[i] |= first
		for j := i + 1; j < i+in.Len; j++ {
			t.marks[j] |= inner // also of another instruction: neither is then trusted
		}
		if ended && !padding(in) {
			t.marks[i] |= leader
			ended = false
		}
		next := i + in.Len
		if to, ok := in.Args[0].(x86asm.Rel); ok {
			t.target(int64(next) + int64(to))
			if in.Op != x86asm.CALL && in.Op != x86asm.JMP && next < len(t.code) {
				t.marks[next] |= leader
			}
		}
		switch in.Op {
		case x86asm.JMP, x86asm.RET, x86asm.LRET, x86asm.IRET, x86asm.IRETD, x86asm.IRETQ, x86asm.HLT, x86asm.UD2:
			ended = true
		}
		i = next
	}
}

// padding says that an instruction may fill the space up to an aligned address.
func padding(in x86asm.Inst) bool {
	switch in.Op {
	case x86asm.NOP:
		return true
	case x86asm.INT:
		return in.Len == 1
	case x86asm.XCHG:
		return in.Args[0] == in.Args[1]
	}
	return false
}

func (t *text) target(i int64) {
	if i < 0 || i >= int64(len(t.code)) || t.marks[i]&known == 0 {
		return
	}
	t.marks[i] |= leader
	if t.marks[i]&(first|inner) == 0 {
		t.targets = append(t.targets, int(i))
	}
}

func decode(b []byte) (x86asm.Inst, error) {
	// ENDBR64 and ENDBR32, which x86asm does not know.
	if len(b) >= 4 && b[0] == 0xf3 && b[1] == 0x0f && b[2] == 0x1e && (b[3] == 0xfa || b[3] == 0xfb) {
		return x86asm.Inst{Len: 4}, nil
	}
	// VZEROUPPER and VZEROALL, to which x86asm gives an operand that they lack.
	if len(b) >= 3 && b[0] == 0xc5 && b[1]&3 == 0 && b[2] == 0x77 {
		return x86asm.Inst{Len: 3}, nil
	}
	if len(b) >= 4 && b[0] == 0xc4 && b[1]&0x1f == 1 && b[2]&3 == 0 && b[3] == 0x77 {
		return x86asm.Inst{Len: 4}, nil
	}
	in, err := x86asm.Decode(b[:min(len(b), 15)], 64) // no instruction is longer
	if err == nil && in.Len < 1 {
		err = errors.New("no instruction")
	}
	return in, err
}

// ripRelative is the address that an operand has when the next instruction is at
// next. x86asm does not extend the sign of the displacement.
func ripRelative(m x86asm.Mem, next uint64) uint64 {
	return next + uint64(int64(int32(m.Disp&math.MaxUint32)))
}
