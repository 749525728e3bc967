package mine

import (
	"debug/elf"
	"encoding/binary"
	"io"
	"maps"
	"slices"
)

// maxApart is how many words lie between the name of a function and its address, at most, in the tables that
// programs have of them.
const maxApart = 3

// Named returns the words that stand in tables of a 64-bit little-endian ELF file beside the address of a function, in
// the order of the tables: what an interpreter calls by name is mostly there. A file of another
// kind has none, nor has one whose addresses are fixed when it is linked.
func Named(r io.ReaderAt) ([]string, error) {
	f, err := elf.NewFile(r)
	if err != nil || f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian {
		return nil, nil
	}
	text := f.Section(".rodata")
	names, _, err := readOnlyData(r)
	if err != nil || text == nil {
		return nil, err
	}
	fix, err := relatives(f)
	if err != nil {
		return nil, err
	}
	code := func(addr uint64) bool {
		return slices.ContainsFunc(f.Sections, func(s *elf.Section) bool {
			return s.Flags&elf.SHF_EXECINSTR != 0 && addr >= s.Addr && addr-s.Addr < s.Size
		})
	}
	var out []string
	for _, at := range slices.Sorted(maps.Keys(fix)) {
		ptr := fix[at]
		if ptr < text.Addr || ptr-text.Addr >= uint64(len(names)) {
			continue
		}
		name := cString(names[ptr-text.Addr:])
		if !word.MatchString(name) {
			continue
		}
		for i := uint64(1); i <= maxApart; i++ {
			if code(fix[at+8*i]) {
				out = append(out, name)
				break
			}
		}
	}
	return out, nil
}
