package image

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// Imports returns, for the x86-64 ELF file at path, the names of the functions of others that
// it calls, by the addresses of the slots which the dynamic linker fills with theirs, as the
// file wants them to be loaded.
func Imports(path string) (map[uint64]string, error) {
	x, file, err := openCode(path)
	if err != nil {
		return nil, fmt.Errorf("imports of %s: %w", path, err)
	}
	defer file.Close()
	imports, err := x.imports()
	if err != nil {
		return nil, fmt.Errorf("imports of %s: %w", path, err)
	}
	return imports, nil
}

func (x elfFile) imports() (map[uint64]string, error) {
	sections, err := x.sections()
	if err != nil {
		return nil, err
	}
	found := map[uint64]string{}
	for _, s := range sections {
		if s.Type != elf.SHT_RELA || int(s.Link) >= len(sections) || sections[s.Link].Type != elf.SHT_DYNSYM {
			continue
		}
		symbols := sections[s.Link]
		if int(symbols.Link) >= len(sections) {
			continue
		}
		var parts [3][]byte
		for i, part := range []elf.SectionHeader{s.SectionHeader, symbols.SectionHeader, sections[symbols.Link].SectionHeader} {
			if parts[i], err = x.raw(part, maxDescription); err != nil {
				return nil, err
			}
		}
		// Elf64_Rela of elf(5).
		const size = 24
		for b := parts[0]; len(b) >= size; b = b[size:] {
			info := binary.LittleEndian.Uint64(b[8:])
			kind, at := elf.R_X86_64(info&0xffffffff), info>>32*elf.Sym64Size
			if kind != elf.R_X86_64_JMP_SLOT && kind != elf.R_X86_64_GLOB_DAT || at+elf.Sym64Size > uint64(len(parts[1])) {
				continue
			}
			if name := uint64(symbol(parts[1][at:]).name); name < uint64(len(parts[2])) {
				found[binary.LittleEndian.Uint64(b)], _ = cstring(parts[2][name:])
			}
		}
	}
	return found, nil
}

// Instruction is what the operands of one tell, for those who look for comparisons.
type Instruction struct {
	Len int

	// Ends says that another block follows: it is a jump, or a return.
	Ends bool

	// Size is that of Value in bytes, 0 without one: what Compares says that something is
	// compared with, or what is put into a register otherwise.
	Value    uint64
	Size     int
	Compares bool

	// Call says that a function is called: at To, or at the address that lies there, where Slot says so.
	Call bool
	Slot bool
	To   uint64
}

// Decode decodes the instruction in b, which lies at an address. It fails for what is none.
func Decode(b []byte, address uint64) (Instruction, error) {
	in, err := decode(b)
	if err != nil {
		return Instruction{}, err
	}
	next := address + uint64(in.Len)
	out := Instruction{Len: in.Len}
	out.classify(in, next)
	return out, nil
}

// Stub returns the slot by which a stub of the procedure linkage table, which begins with b at an
// address, jumps on. It is false for other code.
func Stub(b []byte, address uint64) (slot uint64, ok bool) {
	for range 2 { // it may begin with endbr64
		in, err := decode(b)
		if err != nil || in.Len > len(b) {
			return 0, false
		}
		next := address + uint64(in.Len)
		if slot, ok = jumpSlot(in, next); ok {
			return slot, true
		}
		if in.Op != 0 {
			return 0, false
		}
		b, address = b[in.Len:], next
	}
	return 0, false
}
