package image

import (
	"encoding/binary"
	"slices"
)

// span is a range of addresses, the end excluded.
type span struct{ start, end uint64 }

// Pointer encodings of .eh_frame (Linux Standard Base Core 5.0, 10.5.1).
const (
	peUData2 = 0x02
	peUData4 = 0x03
	peUData8 = 0x04
	peSData2 = 0x0a
	peSData4 = 0x0b
	peSData8 = 0x0c
	pePCRel  = 0x10
)

// frames returns the functions that an .eh_frame section at addr describes. It
// leaves out what it does not understand, and ends where the section contradicts
// itself.
func frames(b []byte, addr uint64) []span {
	var all []span
	encodings := map[uint64]byte{} // by the offset of the CIE
	for at := uint64(0); at+4 <= uint64(len(b)); {
		body, size := at+4, uint64(binary.LittleEndian.Uint32(b[at:]))
		switch {
		case size == 0: // ends the part of one object file; others may follow
			at = body
			continue
		case size == 0xffffffff:
			if uint64(len(b))-body < 8 {
				return all
			}
			size = binary.LittleEndian.Uint64(b[body:])
			body += 8
		}
		if size > uint64(len(b))-body || size < 4 {
			return all
		}
		entry := b[body : body+size]
		if id := uint64(binary.LittleEndian.Uint32(entry)); id == 0 {
			if e, ok := frameEncoding(entry[4:]); ok {
				encodings[at] = e
			}
		} else if e, ok := encodings[body-id]; ok {
			if s, ok := frameSpan(entry[4:], addr+body+4, e); ok {
				all = append(all, s)
			}
		}
		at = body + size
	}
	return all
}

// frameEncoding reads how the FDEs of a CIE, given after its id, encode addresses.
func frameEncoding(b []byte) (encoding byte, ok bool) {
	if len(b) < 1 {
		return 0, false
	}
	augmentation, ended := cstring(b[1:])
	if !ended {
		return 0, false
	}
	b = b[1+len(augmentation)+1:]
	if augmentation == "" {
		return peUData8, true
	}
	if augmentation[0] != 'z' {
		return 0, false
	}
	for range 4 { // code and data alignment, return address register, size of what follows
		n := slices.IndexFunc(b, func(c byte) bool { return c < 0x80 })
		if n < 0 {
			return 0, false
		}
		b = b[n+1:]
	}
	encoding = peUData8
	for _, c := range augmentation[1:] {
		size := 1
		switch c {
		case 'R', 'L':
		case 'P':
			if len(b) < 1 {
				return 0, false
			}
			n := encodedSize(b[0])
			if n == 0 {
				return 0, false
			}
			size += n
		case 'B':
			continue
		case 'S':
			// A signal frame, which glibc describes from one byte before the code.
			return 0, false
		default:
			return 0, false
		}
		if len(b) < size {
			return 0, false
		}
		if c == 'R' {
			encoding = b[0]
		}
		b = b[size:]
	}
	return encoding, true
}

// encodedSize is that of a pointer in bytes, 0 where it has no fixed one.
func encodedSize(encoding byte) int {
	switch encoding & 0xf {
	case peUData2, peSData2:
		return 2
	case peUData4, peSData4:
		return 4
	case 0, peUData8, peSData8: // 0: as wide as an address
		return 8
	}
	return 0
}

// frameSpan reads the addresses of an FDE, which stand at addr.
func frameSpan(b []byte, addr uint64, encoding byte) (span, bool) {
	n := encodedSize(encoding)
	relative := encoding & 0xf0
	if n == 0 || len(b) < 2*n || relative != 0 && relative != pePCRel {
		return span{}, false
	}
	var start, size uint64
	switch n {
	case 2:
		start, size = uint64(int16(binary.LittleEndian.Uint16(b))), uint64(binary.LittleEndian.Uint16(b[n:]))
	case 4:
		start, size = uint64(int32(binary.LittleEndian.Uint32(b))), uint64(binary.LittleEndian.Uint32(b[n:]))
	default:
		start, size = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n:])
	}
	switch encoding & 0xf {
	case peUData2:
		start &= 0xffff
	case peUData4:
		start &= 0xffffffff
	}
	if relative == pePCRel {
		start += addr
	}
	return span{start, start + size}, size > 0 && start+size > start
}
