package image

import (
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"slices"
)

// goTable is the table of functions that Go keeps in a program.
type goTable struct {
	data      []byte // runtime.pclntab
	text      uint64 // what it counts from
	functions []span
}

// isGo reports whether a section is one that Go's linker makes in any program.
func (s section) isGo() bool {
	return s.name == ".go.buildinfo" || s.name == ".gopclntab" || s.name == ".data.rel.ro.gopclntab"
}

// goTable finds the table of a program of Go since 1.18. Where another linker has put it
// together with C, to be loaded anywhere, the table has no section of its own.
func (x elfFile) goTable(sections []section) (goTable, error) {
	if !slices.ContainsFunc(sections, section.isGo) {
		return goTable{}, nil
	}
	for _, s := range sections {
		if s.name != ".gopclntab" && s.name != ".data.rel.ro.gopclntab" && s.name != ".data.rel.ro" {
			continue
		}
		b, err := x.raw(s.SectionHeader, maxDescription)
		if err != nil {
			return goTable{}, err
		}
		for at := 0; at+goHeader <= len(b); at += 32 { // as the linker aligns it
			if !isGoTable(b[at:]) {
				continue
			}
			text, err := x.goText(sections, b[at:], s.Addr+uint64(at))
			if err != nil {
				return goTable{}, err
			}
			if all := goFunctions(b[at:], text); len(all) > 0 {
				return goTable{b[at:], text, all}, nil
			}
		}
	}
	return goTable{}, nil
}

// names notes those of the functions.
func (t goTable) names(names map[uint64]string) {
	table, err := gosym.NewTable(nil, gosym.NewLineTable(t.data, t.text))
	if err != nil {
		return // a hostile file's
	}
	for _, f := range table.Funcs {
		names[f.Entry] = f.Name
	}
}

// goHeader is the size of what the table begins with (runtime/symtab.go: pcHeader).
const goHeader = 8 + 8*8

// isGoTable reports whether a table begins here: of Go 1.18, or since 1.20, for x86-64.
func isGoTable(b []byte) bool {
	magic := binary.LittleEndian.Uint32(b)
	return (magic == 0xfffffff0 || magic == 0xfffffff1) && b[4] == 0 && b[5] == 0 && b[6] == 1 && b[7] == 8
}

// goText is the address that Go's table of functions, which lies at an address, counts from.
// The table says it until Go 1.26. The module's own description does (runtime/symtab.go:
// moduledata), or a symbol; or it is where the code begins, if Go's linker alone has made the program.
func (x elfFile) goText(sections []section, table []byte, at uint64) (uint64, error) {
	if text := binary.LittleEndian.Uint64(table[24:]); text != 0 {
		return text, nil
	}
	const text = 8 + 6*24 + 3*8 // of moduledata, which begins with the address of the table
	for _, s := range sections {
		if s.Type != elf.SHT_RELA && s.Flags&(elf.SHF_ALLOC|elf.SHF_WRITE) != elf.SHF_ALLOC|elf.SHF_WRITE {
			continue
		}
		b, err := x.raw(s.SectionHeader, maxDescription)
		if err != nil {
			return 0, err
		}
		if s.Type != elf.SHT_RELA {
			for ; len(b) >= text+8; b = b[8:] {
				if binary.LittleEndian.Uint64(b) == at {
					if found := binary.LittleEndian.Uint64(b[text:]); found != 0 {
						return found, nil
					}
				}
			}
			continue
		}
		moved := map[uint64]uint64{}
		var slots []uint64
		for ; len(b) >= 24; b = b[24:] {
			if elf.R_X86_64(binary.LittleEndian.Uint32(b[8:])) != elf.R_X86_64_RELATIVE {
				continue
			}
			slot, to := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[16:])
			if moved[slot] = to; to == at {
				slots = append(slots, slot)
			}
		}
		for _, slot := range slots {
			if found := moved[slot+text]; found != 0 {
				return found, nil
			}
		}
	}
	found, err := x.named(sections, "runtime.text")
	if found != 0 || err != nil {
		return found, err
	}
	for _, s := range sections {
		if s.name == ".text" && goEnters(table, s.Addr, x.Entry) {
			return s.Addr, nil
		}
	}
	return 0, nil
}

// goEnters reports whether a program's entry point is a function of the table, if that counts
// from text.
func goEnters(table []byte, text, entry uint64) bool {
	return slices.ContainsFunc(goFunctions(table, text), func(f span) bool { return f.start == entry })
}

// goFunctions reads the table (runtime/symtab.go: functab); none without what it counts from.
func goFunctions(b []byte, text uint64) []span {
	le := binary.LittleEndian
	n, at := le.Uint64(b[8:]), le.Uint64(b[64:])
	if text == 0 || at > uint64(len(b)) || n > (uint64(len(b))-at)/8 || (uint64(len(b))-at)-8*n < 4 {
		return nil
	}
	table := b[at:]
	var all []span
	for ; n > 0; n-- {
		f := span{text + uint64(le.Uint32(table)), text + uint64(le.Uint32(table[8:]))}
		table = table[8:]
		if f.end <= f.start {
			return nil
		}
		all = append(all, f)
	}
	return all
}
