package corpora

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// objectFamilies are compiled programs and their parts.
func objectFamilies() []family {
	elf := encodeELF()
	sections := encodeELFSections()
	pe, class := encodePE(), encodeClass()
	return []family{
		{"elf", []Seed{
			valid("program", elf),
			valid("sections", sections),
			valid("elf32-big-endian", encodeELF32()),
			odd("no-code", elf[:64+56]),
			broken("program-header-offset", flip(elf, 36)),
			broken("string-table-index", flip(sections, 62)),
			broken("header-only", elf[:20]),
		}},
		{"pe", []Seed{
			valid("exe", pe),
			odd("dos", pe[:64]),
			broken("header-offset", flip(pe, 62)),
		}},
		{"macho", []Seed{
			valid("object", encodeMachO()),
			broken("commands", "\xcf\xfa\xed\xfe\x07\x00\x00\x01\x03\x00\x00\x00\x02\x00\x00\x00\xff\xff\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"),
			odd("fat", "\xca\xfe\xba\xbe\x00\x00\x00\x00"),
		}},
		{"class", []Seed{
			valid("empty", class),
			broken("pool-count", flip(class, 9)),
			odd("version", slices.Concat(class[:4], []byte{0, 0, 0xff, 0xff}, class[8:])),
		}},
		{"wasm", []Seed{
			valid("function", "\x00asm\x01\x00\x00\x00"+
				"\x01\x05\x01\x60\x00\x01\x7f"+ // type: () -> i32
				"\x03\x02\x01\x00"+ // function 0 has type 0
				"\x07\x05\x01\x01f\x00\x00"+ // export "f"
				"\x0a\x06\x01\x04\x00\x41\x2a\x0b"), // i32.const 42; end
			broken("section-size", "\x00asm\x01\x00\x00\x00\x01\xff\xff\xff\xff\x0f"),
			odd("no-sections", "\x00asm\x01\x00\x00\x00"),
		}},
		{"ihex", []Seed{
			valid("record", ":0300300002337A1E\n:00000001FF\n"),
			broken("checksum", ":0300300002337AFF\n"),
			odd("empty", ":00000001FF\n"),
		}},
		{"srec", []Seed{
			valid("record", "S00600004844521B\nS1060000010203F3\nS9030000FC\n"),
			odd("no-data", "S9030000FC\n"),
			broken("checksum", "S1060000010203FF\nS1FF\n"),
		}},
		{"tzif", []Seed{
			valid("utc", encodeTZif()),
		}},
		{"mo", []Seed{
			valid("one-message", encodeMO("file", "Datei")),
		}},
	}
}

// The program that the ELF seeds hold, for x86-64: mov $60, %eax; xor %edi, %edi;
// syscall, which is exit(0).
const exitCode = "\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"

// elfHeader writes the 64-bit little-endian header of an x86-64 program with one
// program header behind it.
func elfHeader(shoff uint64, shnum, shstrndx uint16) []byte {
	const base, size = 0x400000, 64 + 56 + uint64(len(exitCode))
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 2)  // ET_EXEC
	b = le.AppendUint16(b, 62) // EM_X86_64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base+64+56)
	b = le.AppendUint64(b, 64)
	b = le.AppendUint64(b, shoff)
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 1, 64, shnum, shstrndx} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, 5) // readable, executable
	for _, v := range []uint64{0, base, base, size, size, 0x1000} {
		b = le.AppendUint64(b, v)
	}
	return append(b, exitCode...)
}

func encodeELF() []byte { return elfHeader(0, 0, 0) }

func encodeELFSections() []byte {
	const names = "\x00.text\x00.shstrtab\x00.symtab\x00.strtab\x00"
	const strings = "\x00_start\x00"
	const text = 64 + 56
	le := binary.LittleEndian

	symbols := make([]byte, 24) // the null symbol
	symbols = le.AppendUint32(symbols, 1)
	symbols = append(symbols, 0x12, 0, 1, 0) // global function in section 1
	symbols = le.AppendUint64(symbols, 0x400000+text)
	symbols = le.AppendUint64(symbols, uint64(len(exitCode)))

	body := slices.Concat([]byte(names), []byte(strings), symbols)
	at := uint64(text + len(exitCode))
	shoff := at + uint64(len(body))
	b := append(elfHeader(shoff, 5, 2), body...)

	b = append(b, make([]byte, 64)...) // section 0
	for _, s := range []struct {
		name, typ           uint32
		flags, addr         uint64
		offset, size        uint64
		link, info          uint32
		alignment, elements uint64
	}{
		{1, 1, 6, 0x400000 + text, text, uint64(len(exitCode)), 0, 0, 1, 0},
		{7, 3, 0, 0, at, uint64(len(names)), 0, 0, 1, 0},
		{17, 2, 0, 0, at + uint64(len(names)+len(strings)), uint64(len(symbols)), 4, 1, 1, 24},
		{25, 3, 0, 0, at + uint64(len(names)), uint64(len(strings)), 0, 0, 1, 0},
	} {
		b = le.AppendUint32(b, s.name)
		b = le.AppendUint32(b, s.typ)
		for _, v := range []uint64{s.flags, s.addr, s.offset, s.size} {
			b = le.AppendUint64(b, v)
		}
		b = le.AppendUint32(b, s.link)
		b = le.AppendUint32(b, s.info)
		b = le.AppendUint64(b, s.alignment)
		b = le.AppendUint64(b, s.elements)
	}
	return b
}

// encodeELF32 writes a big-endian PowerPC object file without sections.
func encodeELF32() []byte {
	be := binary.BigEndian
	b := append([]byte("\x7fELF\x01\x02\x01"), make([]byte, 9)...)
	b = be.AppendUint16(b, 1)  // ET_REL
	b = be.AppendUint16(b, 20) // EM_PPC
	b = be.AppendUint32(b, 1)
	b = append(b, make([]byte, 16)...) // entry, program headers, section headers, flags
	for _, v := range []uint16{52, 0, 0, 40, 0, 0} {
		b = be.AppendUint16(b, v)
	}
	return b
}

// encodePE writes an x86-64 image with one section and the smallest optional
// header that readers accept.
func encodePE() []byte {
	le := binary.LittleEndian
	b := append([]byte("MZ"), make([]byte, 58)...)
	b = le.AppendUint32(b, 64)
	b = append(b, "PE\x00\x00"...)
	b = le.AppendUint16(b, 0x8664)
	b = le.AppendUint16(b, 1)
	b = append(b, make([]byte, 12)...) // time, symbols
	b = le.AppendUint16(b, 112)        // optional header, without data directories
	b = le.AppendUint16(b, 0x22)       // executable, large addresses

	optional := le.AppendUint16(nil, 0x20b) // PE32+
	optional = append(optional, make([]byte, 14)...)
	optional = le.AppendUint32(optional, 0x1000) // entry
	optional = le.AppendUint32(optional, 0x1000)
	optional = le.AppendUint64(optional, 0x140000000)
	optional = le.AppendUint32(optional, 0x1000) // section alignment
	optional = le.AppendUint32(optional, 0x200)
	optional = append(optional, 6, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0) // versions
	optional = le.AppendUint32(optional, 0)
	optional = le.AppendUint32(optional, 0x2000) // image size
	optional = le.AppendUint32(optional, 0x200)  // header size
	optional = le.AppendUint32(optional, 0)
	optional = le.AppendUint16(optional, 3)             // console
	optional = append(optional, make([]byte, 2+4*8)...) // stacks and heaps
	optional = append(optional, make([]byte, 4+4)...)   // flags, no directories
	b = append(b, optional...)

	b = append(b, ".text\x00\x00\x00"...)
	for _, v := range []uint32{1, 0x1000, 0x200, 0x200, 0, 0, 0, 0x60000020} {
		b = le.AppendUint32(b, v)
	}
	b = append(b, make([]byte, 0x200-len(b))...)
	b = append(b, 0xc3) // ret
	return append(b, make([]byte, 0x1ff)...)
}

// encodeMachO writes an x86-64 object with an empty 64-bit segment.
func encodeMachO() []byte {
	le := binary.LittleEndian
	var b []byte
	for _, v := range []uint32{0xfeedfacf, 0x01000007, 3, 1, 1, 72, 0, 0} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint32(b, 0x19) // LC_SEGMENT_64
	b = le.AppendUint32(b, 72)
	b = append(b, "__TEXT\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	return append(b, make([]byte, 4*8+4*4)...)
}

// encodeClass writes "public class A extends Object", of Java 8.
func encodeClass() []byte {
	be := binary.BigEndian
	b := []byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 52, 0, 5}
	for i, name := range []string{"A", "java/lang/Object"} {
		b = append(b, 7, 0, byte(2*i+2)) // class, named by the next constant
		b = append(b, 1)                 // UTF-8
		b = be.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	for _, v := range []uint16{0x21, 1, 3, 0, 0, 0, 0} { // access, this, super, nothing inside
		b = be.AppendUint16(b, v)
	}
	return b
}

// encodeTZif writes UTC in version 1 of the format (RFC 9636).
func encodeTZif() []byte {
	b := append([]byte("TZif"), make([]byte, 16)...)
	for _, n := range []uint32{0, 0, 0, 0, 1, 4} { // one type, four bytes of names
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = append(b, 0, 0, 0, 0, 0, 0) // offset 0, no daylight saving, name 0
	return append(b, "UTC\x00"...)
}

// encodeMO writes a compiled catalogue of gettext with one message.
func encodeMO(from, to string) []byte {
	const strings = 28 + 8 + 8
	var b []byte
	for _, v := range []int{
		0x950412de, 0, 1, 28, 36, 0, strings,
		len(from), strings,
		len(to), strings + len(from) + 1,
	} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return fmt.Appendf(b, "%s\x00%s\x00", from, to)
}
