package image

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Code is an x86-64 ELF file as it is when it is loaded where it wants to be, as far as
// the flow of control in it is concerned. What the file says of itself is in no way
// checked: functions may overlap, addresses may be of nothing.
type Code struct {
	Path      string
	Fixed     bool // it cannot be loaded elsewhere, so addresses need no relocation
	Entry     uint64
	Segments  []LoadSegment           // sorted by address
	Text      []AddressRange          // where there is code, united
	Functions []Function              // sorted by address, one for each, the end excluded
	Init      []uint64                // functions, or slots that hold such, that loaders call at start and end
	Arrays    []uint64                // the slots
	Ends      map[uint64]bool         // those of both that they call at the end
	Exports   map[string][]Symbol     // by name; several where there are versions
	Variables []AddressRange          // that symbols tell of which loaders have no need, so few files do
	Relocs    map[uint64]Relocation   // by the address of the slot
	Sections  map[string]AddressRange // that have a name
	Go        bool                    // there is code of Go
	Tabled    bool                    // whose functions are from Go's table
}

// LoadSegment is one that is loaded.
type LoadSegment struct {
	Address     uint64
	Offset      uint64 // in the file
	Data        []byte // of the file; zeros follow up to Size
	Size        uint64
	Exec, Write bool
}

// Function is some code, and its name if the file has one.
type Function struct {
	Start, End uint64
	Name       string
}

// Symbol is one that others may refer to.
type Symbol struct {
	Address, Size uint64
	Function      bool
	Resolver      bool // a function that returns the address to use
}

// AddressRange is a range of addresses, the end excluded.
type AddressRange struct{ Start, End uint64 }

// Unite sorts ranges and makes one of those that overlap. Those that only touch stay apart.
func Unite(ranges []AddressRange) []AddressRange {
	slices.SortFunc(ranges, func(a, b AddressRange) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End)) })
	var all []AddressRange
	for _, r := range ranges {
		if last := len(all) - 1; last >= 0 && r.Start < all[last].End {
			all[last].End = max(all[last].End, r.End)
			continue
		}
		all = append(all, r)
	}
	return all
}

// RangeOf returns the one of some united ranges that an address lies in.
func RangeOf(ranges []AddressRange, at uint64) (AddressRange, bool) {
	i := sort.Search(len(ranges), func(i int) bool { return ranges[i].Start > at }) - 1
	if i < 0 || at >= ranges[i].End {
		return AddressRange{}, false
	}
	return ranges[i], true
}

// Relocation is what a loader writes into a slot.
type Relocation struct {
	Symbol  string // of which the address is written; or
	Address uint64 // this one, of this file
	Calls   bool   // what the function at Address returns
	Copy    bool   // the variable itself
}

// What is read of one file: Chromium has 700,000 relocations, glibc up to five versions of
// a symbol.
const (
	maxRelocations = 1 << 22
	maxVersions    = 64
)

// ReadCode reads the x86-64 ELF file at path.
func ReadCode(path string) (*Code, error) {
	x, file, err := openCode(path)
	if err != nil {
		return nil, fmt.Errorf("code of %s: %w", path, err)
	}
	defer file.Close()
	c, err := x.code()
	if err != nil {
		return nil, fmt.Errorf("code of %s: %w", path, err)
	}
	c.Path = path
	return c, nil
}

func (x elfFile) code() (*Code, error) {
	c := &Code{Entry: x.Entry, Fixed: x.Type == elf.ET_EXEC, Ends: map[uint64]bool{}, Exports: map[string][]Symbol{}, Relocs: map[uint64]Relocation{}, Sections: map[string]AddressRange{}}
	if err := x.segments(c); err != nil {
		return nil, err
	}
	sections, err := x.sections()
	if err != nil {
		return nil, err
	}
	for _, s := range sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.name != "" {
			c.Sections[s.name] = AddressRange{s.Addr, s.Addr + s.Size}
		}
		if s.Flags&(elf.SHF_ALLOC|elf.SHF_EXECINSTR) == elf.SHF_ALLOC|elf.SHF_EXECINSTR && s.Type == elf.SHT_PROGBITS {
			c.text(s.Addr, s.Addr+s.Size)
		}
		c.Go = c.Go || s.isGo()
	}
	if len(c.Text) == 0 {
		for _, s := range c.Segments {
			c.text(s.Address, s.Address+s.Size)
		}
	}
	c.Text = Unite(c.Text)
	spans, err := x.functions()
	if err != nil {
		return nil, err
	}
	names := map[uint64]string{}
	if err := x.names(sections, c, names); err != nil {
		return nil, err
	}
	golang, err := x.goTable(sections)
	if err != nil {
		return nil, err
	}
	if c.Tabled = len(golang.functions) > 0; c.Tabled && len(names) == 0 {
		golang.names(names)
	}
	if err := x.linked(c, names); err != nil {
		return nil, err
	}
	for _, s := range spans {
		if c.Exec(s.start) {
			c.Functions = append(c.Functions, Function{Start: s.start, End: s.end})
		}
	}
	for at := range names { // those without a size
		if c.Exec(at) {
			c.Functions = append(c.Functions, Function{Start: at, End: at})
		}
	}
	// Of several that begin at one address the longest stays.
	slices.SortFunc(c.Functions, func(a, b Function) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End))
	})
	c.Functions = slices.CompactFunc(c.Functions, func(a, b Function) bool { return a.Start == b.Start })
	for i := range c.Functions {
		c.Functions[i].Name = names[c.Functions[i].Start]
	}
	return c, nil
}

// text notes a range of code, as far as it is in an executable segment of the file.
func (c *Code) text(from, to uint64) {
	s := c.Segment(from)
	if s == nil || !s.Exec || to < from {
		return
	}
	if to = min(to, s.Address+uint64(len(s.Data))); to > from {
		c.Text = append(c.Text, AddressRange{from, to})
	}
}

func (x elfFile) segments(c *Code) error {
	left := uint64(maxCode)
	for _, p := range x.Progs {
		if p.Type != elf.PT_LOAD || p.Vaddr+p.Memsz < p.Vaddr {
			continue
		}
		if p.Filesz > left {
			return fmt.Errorf("more than %d MiB to load", maxCode>>20)
		}
		left -= p.Filesz
		b, err := readAt(x.r, p.Off, min(p.Filesz, p.Memsz))
		if err != nil {
			return err
		}
		c.Segments = append(c.Segments, LoadSegment{p.Vaddr, p.Off, b, p.Memsz, p.Flags&elf.PF_X != 0, p.Flags&elf.PF_W != 0})
	}
	slices.SortStableFunc(c.Segments, func(a, b LoadSegment) int { return cmp.Compare(a.Address, b.Address) })
	for i := 1; i < len(c.Segments); i++ {
		if before := c.Segments[i-1]; before.Address+before.Size > c.Segments[i].Address {
			return errors.New("its segments overlap")
		}
	}
	return nil
}

// names notes those of functions, of several the plainest, and where variables are.
func (x elfFile) names(sections []section, c *Code, names map[uint64]string) error {
	for _, s := range sections {
		if s.Type != elf.SHT_SYMTAB || int(s.Link) >= len(sections) {
			continue
		}
		b, err := x.raw(s.SectionHeader, maxDescription)
		if err != nil {
			return err
		}
		text, err := x.raw(sections[s.Link].SectionHeader, maxDescription)
		if err != nil {
			return err
		}
		for ; len(b) >= elf.Sym64Size; b = b[elf.Sym64Size:] {
			sym := symbol(b)
			kind := elf.ST_TYPE(sym.info)
			if (sym.function() || kind == elf.STT_GNU_IFUNC && sym.section != elf.SHN_UNDEF) && uint64(sym.name) < uint64(len(text)) {
				name, _ := cstring(text[sym.name:])
				note(names, sym.value, name)
			}
			if kind == elf.STT_OBJECT && sym.section != elf.SHN_UNDEF && sym.value < sym.value+sym.size {
				c.Variables = append(c.Variables, AddressRange{sym.value, sym.value + sym.size})
			}
		}
	}
	return nil
}

func note(names map[uint64]string, at uint64, name string) {
	rank := func(s string) int { return len(s) + 100*(len(s)-len(strings.TrimLeft(s, "_"))) }
	if old, ok := names[at]; !ok || rank(name) < rank(old) || rank(name) == rank(old) && name < old {
		names[at] = name
	}
}

// linked reads what the dynamic segment says, as a loader does.
func (x elfFile) linked(c *Code, names map[uint64]string) error {
	p, ok := x.segment(elf.PT_DYNAMIC)
	if !ok {
		return x.irelative(c)
	}
	table, err := readAt(x.r, p.Off, min(p.Filesz, maxTable))
	if err != nil {
		return err
	}
	tags := map[elf.DynTag]uint64{}
	for ; len(table) >= 16; table = table[16:] {
		tag := elf.DynTag(binary.LittleEndian.Uint64(table))
		if tag == elf.DT_NULL {
			break
		}
		tags[tag] = binary.LittleEndian.Uint64(table[8:])
	}
	for _, tag := range []elf.DynTag{elf.DT_INIT, elf.DT_FINI} {
		if at := tags[tag]; at != 0 {
			c.Init = append(c.Init, at)
			if tag == elf.DT_FINI {
				c.Ends[at] = true
			}
		}
	}
	for _, a := range [][2]elf.DynTag{{elf.DT_PREINIT_ARRAY, elf.DT_PREINIT_ARRAYSZ}, {elf.DT_INIT_ARRAY, elf.DT_INIT_ARRAYSZ}, {elf.DT_FINI_ARRAY, elf.DT_FINI_ARRAYSZ}} {
		for i := uint64(0); i+8 <= min(tags[a[1]], maxTable); i += 8 {
			c.Arrays = append(c.Arrays, tags[a[0]]+i)
			if a[0] == elf.DT_FINI_ARRAY {
				c.Ends[tags[a[0]]+i] = true
			}
		}
	}
	// Linkers put the strings behind the symbols; there is no count.
	symbols, text := tags[elf.DT_SYMTAB], c.Bytes(tags[elf.DT_STRTAB], tags[elf.DT_STRSZ])
	var dyn []byte
	if symbols != 0 && tags[elf.DT_STRTAB] > symbols {
		dyn = c.Bytes(symbols, tags[elf.DT_STRTAB]-symbols)
	}
	name := func(s elfSymbol) string {
		if uint64(s.name) >= uint64(len(text)) {
			return ""
		}
		text, _ := cstring(text[s.name:min(len(text), int(s.name)+maxPath)])
		return text
	}
	for b := dyn; len(b) >= elf.Sym64Size; b = b[elf.Sym64Size:] {
		s := symbol(b)
		kind, bind := elf.ST_TYPE(s.info), elf.ST_BIND(s.info)
		if s.section == elf.SHN_UNDEF || bind == elf.STB_LOCAL || kind == elf.STT_TLS {
			continue
		}
		n := name(s)
		if len(c.Exports[n]) >= maxVersions {
			return fmt.Errorf("more than %d symbols of the name %q", maxVersions, n)
		}
		sym := Symbol{s.value, s.size, kind == elf.STT_FUNC || kind == elf.STT_GNU_IFUNC || kind == elf.STT_NOTYPE && c.Exec(s.value), kind == elf.STT_GNU_IFUNC}
		c.Exports[n] = append(c.Exports[n], sym)
		if sym.Function {
			note(names, s.value, n)
		}
	}
	if err := c.relr(tags[elf.DynTag(36)], tags[elf.DynTag(35)]); err != nil { // DT_RELR, DT_RELRSZ
		return err
	}
	for _, t := range [][2]uint64{{tags[elf.DT_RELA], tags[elf.DT_RELASZ]}, {tags[elf.DT_JMPREL], tags[elf.DT_PLTRELSZ]}} {
		if err := c.rela(c.Bytes(t[0], t[1]), dyn, name); err != nil {
			return err
		}
	}
	return nil
}

// irelative reads the relocations that a static program applies to itself.
func (x elfFile) irelative(c *Code) error {
	for _, s := range x.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		b, err := x.raw(s.SectionHeader, maxDescription)
		if err != nil {
			return err
		}
		if err := c.rela(b, nil, nil); err != nil {
			return err
		}
	}
	for _, s := range x.Sections {
		switch s.Type {
		case elf.SHT_INIT_ARRAY, elf.SHT_FINI_ARRAY, elf.SHT_PREINIT_ARRAY:
			for i := uint64(0); i+8 <= min(s.Size, maxTable); i += 8 {
				c.Arrays = append(c.Arrays, s.Addr+i)
				if s.Type == elf.SHT_FINI_ARRAY {
					c.Ends[s.Addr+i] = true
				}
			}
		}
	}
	return nil
}

// rela reads Elf64_Rela entries.
func (c *Code) rela(b, dyn []byte, name func(elfSymbol) string) error {
	le := binary.LittleEndian
	for ; len(b) >= 24; b = b[24:] {
		if len(c.Relocs) > maxRelocations {
			return fmt.Errorf("more than %d relocations", maxRelocations)
		}
		slot, info, addend := le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
		kind, index := elf.R_X86_64(info&0xffffffff), info>>32
		var r Relocation
		switch kind {
		case elf.R_X86_64_RELATIVE:
			r.Address = addend
		case elf.R_X86_64_IRELATIVE:
			r.Address, r.Calls = addend, true
		case elf.R_X86_64_GLOB_DAT, elf.R_X86_64_JMP_SLOT, elf.R_X86_64_64, elf.R_X86_64_COPY:
			if (index+1)*elf.Sym64Size > uint64(len(dyn)) {
				continue
			}
			s := symbol(dyn[index*elf.Sym64Size:])
			r.Symbol, r.Copy = name(s), kind == elf.R_X86_64_COPY
			if elf.ST_BIND(s.info) == elf.STB_LOCAL { // no other one can be meant
				r = Relocation{Address: s.value + addend}
			}
		default:
			continue
		}
		c.Relocs[slot] = r
	}
	return nil
}

// relr reads the packed relative relocations (generic ABI, draft of 2022).
func (c *Code) relr(at, size uint64) error {
	le := binary.LittleEndian
	next := uint64(0)
	add := func(slot uint64) {
		if word := c.Bytes(slot, 8); len(word) == 8 {
			c.Relocs[slot] = Relocation{Address: le.Uint64(word)}
		}
	}
	for b := c.Bytes(at, size); len(b) >= 8; b = b[8:] {
		if len(c.Relocs) > maxRelocations {
			return fmt.Errorf("more than %d relocations", maxRelocations)
		}
		entry := le.Uint64(b)
		if entry&1 == 0 {
			add(entry)
			next = entry + 8
			continue
		}
		for i := range uint64(63) {
			if entry>>(i+1)&1 != 0 {
				add(next + 8*i)
			}
		}
		next += 63 * 8
	}
	return nil
}

// Segment returns the segment that an address lies in, nil if none.
func (c *Code) Segment(at uint64) *LoadSegment {
	i := sort.Search(len(c.Segments), func(i int) bool { return c.Segments[i].Address > at }) - 1
	if i < 0 || at-c.Segments[i].Address >= c.Segments[i].Size {
		return nil
	}
	return &c.Segments[i]
}

// Exec reports whether there is code of the file at an address.
func (c *Code) Exec(at uint64) bool {
	_, ok := RangeOf(c.Text, at)
	return ok
}

// Bytes are up to n bytes of the file at an address.
func (c *Code) Bytes(at, n uint64) []byte {
	s := c.Segment(at)
	if s == nil || at-s.Address >= uint64(len(s.Data)) {
		return nil
	}
	b := s.Data[at-s.Address:]
	return b[:min(n, uint64(len(b)))]
}

// Word is what lies at an address before relocation.
func (c *Code) Word(at uint64) (uint64, bool) {
	b := c.Bytes(at, 8)
	if len(b) < 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// String is the text at an address of data that is never written, up to a NUL.
func (c *Code) String(at uint64) (string, bool) {
	s := c.Segment(at)
	if s == nil || s.Write {
		return "", false
	}
	return cstring(c.Bytes(at, maxPath))
}
