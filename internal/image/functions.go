package image

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
)

// What is read of a file's code and of the tables that describe it. Chromium's code
// takes 200 MiB.
const (
	maxCode        = 1 << 28
	maxDescription = 1 << 28
)

// section is one of an ELF file with its name, which elfFile does without.
type section struct {
	elf.SectionHeader
	name string
}

func openCode(path string) (x elfFile, done io.Closer, err error) {
	f, r, err := open(path)
	if err != nil {
		return elfFile{}, nil, err
	}
	x, err = codeOf(r)
	if err != nil {
		f.Close()
		return elfFile{}, nil, err
	}
	return x, f, nil
}

// codeOf reads the headers of a file whose code can be decoded here.
func codeOf(r *io.SectionReader) (elfFile, error) {
	head, err := readAt(r, 0, scriptLine)
	if err != nil {
		return elfFile{}, err
	}
	if !strings.HasPrefix(string(head), elf.ELFMAG) {
		return elfFile{}, errors.New("not an ELF file")
	}
	f, err := parse(r, head)
	if err != nil {
		return elfFile{}, err
	}
	x := elfFile{f, r}
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return elfFile{}, errors.New("not x86-64: " + abi{f.Machine, f.Class, f.Data}.String())
	}
	return x, x.whole()
}

// sections names the sections. Names that are not in the file are empty.
func (x elfFile) sections() ([]section, error) {
	if len(x.Sections) == 0 {
		return nil, nil
	}
	head, err := readAt(x.r, 0, 64)
	if err != nil {
		return nil, err
	}
	headers, err := readAt(x.r, binary.LittleEndian.Uint64(head[40:]), uint64(len(x.Sections))*64)
	if err != nil {
		return nil, err
	}
	var names []byte
	if i := int(binary.LittleEndian.Uint16(head[62:])); i < len(x.Sections) {
		if names, err = x.raw(x.Sections[i].SectionHeader, maxTable); err != nil {
			return nil, err
		}
	}
	all := make([]section, len(x.Sections))
	for i, s := range x.Sections {
		all[i].SectionHeader = s.SectionHeader
		if len(headers) < 64*(i+1) {
			continue
		}
		if at := uint64(binary.LittleEndian.Uint32(headers[64*i:])); at < uint64(len(names)) {
			all[i].name, _ = cstring(names[at:])
		}
	}
	return all, nil
}

// raw reads up to limit bytes of a section; none of one that is not in the file or
// is compressed.
func (x elfFile) raw(s elf.SectionHeader, limit uint64) ([]byte, error) {
	if s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 {
		return nil, nil
	}
	return readAt(x.r, s.Offset, min(s.FileSize, limit))
}

// functions returns where the file says that functions are: sorted, in no way
// checked, and possibly overlapping.
func (x elfFile) functions() ([]span, error) {
	sections, err := x.sections()
	if err != nil {
		return nil, err
	}
	var all []span
	var plt []AddressRange
	framed := false
	for _, s := range sections {
		switch {
		case s.name == ".eh_frame":
			b, err := x.raw(s.SectionHeader, maxDescription)
			if err != nil {
				return nil, err
			}
			all = append(all, frames(b, s.Addr)...)
			framed = true
		case s.Type == elf.SHT_SYMTAB || s.Type == elf.SHT_DYNSYM:
			b, err := x.raw(s.SectionHeader, maxDescription)
			if err != nil {
				return nil, err
			}
			for ; len(b) >= elf.Sym64Size; b = b[elf.Sym64Size:] {
				if sym := symbol(b); sym.function() && sym.size > 0 && sym.value+sym.size > sym.value {
					all = append(all, span{sym.value, sym.value + sym.size})
				}
			}
		case strings.HasPrefix(s.name, ".plt"):
			plt = append(plt, AddressRange{s.Addr, s.Addr + s.Size})
		}
	}
	golang, err := x.goTable(sections)
	if err != nil {
		return nil, err
	}
	all = append(all, golang.functions...)
	if !framed {
		more, err := x.framesWithoutSections()
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	// Of the PLT's stubs nothing is learnt that the calls do not tell.
	plt = Unite(plt)
	all = slices.DeleteFunc(all, func(f span) bool {
		_, ok := RangeOf(plt, f.start)
		return ok
	})
	slices.SortFunc(all, func(a, b span) int {
		switch {
		case a.start < b.start || a.start == b.start && a.end < b.end:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	return all, nil
}

// framesWithoutSections finds .eh_frame through the header that its segment has.
func (x elfFile) framesWithoutSections() ([]span, error) {
	p, ok := x.segment(elf.PT_GNU_EH_FRAME)
	if !ok {
		return nil, nil
	}
	head, err := readAt(x.r, p.Off, 8)
	if err != nil || len(head) < 8 || head[0] != 1 || head[1] != pePCRel|peSData4 {
		return nil, err
	}
	addr := p.Vaddr + 4 + uint64(int32(binary.LittleEndian.Uint32(head[4:])))
	b, err := x.at(addr, maxDescription)
	return frames(b, addr), err
}

// at reads up to n bytes that are loaded at addr from the file.
func (x elfFile) at(addr, n uint64) ([]byte, error) {
	for _, p := range x.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz {
			into := addr - p.Vaddr
			return readAt(x.r, p.Off+into, min(p.Filesz-into, n))
		}
	}
	return nil, nil
}

type elfSymbol struct {
	name        uint32
	info        byte
	section     elf.SectionIndex
	value, size uint64
}

func symbol(b []byte) elfSymbol {
	le := binary.LittleEndian
	return elfSymbol{le.Uint32(b), b[4], elf.SectionIndex(le.Uint16(b[6:])), le.Uint64(b[8:]), le.Uint64(b[16:])}
}

func (s elfSymbol) function() bool {
	return elf.ST_TYPE(s.info) == elf.STT_FUNC && s.section != elf.SHN_UNDEF
}

// data reports whether the symbol is of a variable; hand-written assembly does not say so.
func (s elfSymbol) data() bool {
	kind := elf.ST_TYPE(s.info)
	return (kind == elf.STT_OBJECT || kind == elf.STT_NOTYPE) && s.section != elf.SHN_UNDEF
}

// named returns the address of a function, 0 if no symbol says it.
func (x elfFile) named(sections []section, name string) (uint64, error) {
	return x.symbolAt(sections, name, elfSymbol.function)
}

// symbolAt returns the address of the first symbol of a name and of a kind, 0 without.
func (x elfFile) symbolAt(sections []section, name string, kind func(elfSymbol) bool) (uint64, error) {
	for _, s := range sections {
		if s.Type != elf.SHT_SYMTAB && s.Type != elf.SHT_DYNSYM || int(s.Link) >= len(sections) {
			continue
		}
		b, err := x.raw(s.SectionHeader, maxDescription)
		if err != nil {
			return 0, err
		}
		names, err := x.raw(sections[s.Link].SectionHeader, maxDescription)
		if err != nil {
			return 0, err
		}
		for ; len(b) >= elf.Sym64Size; b = b[elf.Sym64Size:] {
			sym := symbol(b)
			if !kind(sym) || uint64(sym.name) >= uint64(len(names)) {
				continue
			}
			if rest := string(names[sym.name:min(len(names), int(sym.name)+len(name)+1)]); rest == name+"\x00" {
				return sym.value, nil
			}
		}
	}
	return 0, nil
}
