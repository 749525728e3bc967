package image

import (
	"debug/elf"
	"fmt"

	"golang.org/x/arch/x86/x86asm"
)

// Returns finds the offset in the file at path of an address that lies from bytes behind
// where its code begins, as the kernel says that of a process (mm->start_code), if a call ends
// right there: a function returns to such a place. It is false for others.
func Returns(path string, from uint64) (offset uint64, ok bool, err error) {
	x, done, err := openCode(path)
	if err != nil {
		return 0, false, fmt.Errorf("read %s: %w", path, err)
	}
	defer done.Close()
	for _, p := range x.Progs { // in the order of their addresses
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 {
			continue
		}
		const longest = 8 // FF /2 with a SIB byte, a displacement of 4 bytes and a prefix
		if from > p.Filesz {
			return 0, false, nil
		}
		n := min(from, longest)
		b, err := readAt(x.r, p.Off+from-n, n)
		return p.Off + from, err == nil && endsInCall(b), err
	}
	return 0, false, nil
}

// endsInCall reports whether the last bytes are a call.
func endsInCall(b []byte) bool {
	for n := 2; n <= len(b); n++ {
		in, err := x86asm.Decode(b[len(b)-n:], 64)
		if err == nil && in.Op == x86asm.CALL && in.Len == n {
			return true
		}
	}
	return false
}
