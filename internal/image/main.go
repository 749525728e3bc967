package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// Main returns the ELF file that the kernel executes for the program at path, as
// Entry does, and where in it main() begins: by its symbol, or by what the startup
// code of glibc or musl passes to __libc_start_main. For a Go program it is the
// entry point of the runtime: when main.main begins there are threads. It fails for
// what is not x86-64, and where other startup code leads to main.
func Main(path string) (file string, offset uint64, err error) {
	file, offset, err = Entry(path)
	if err != nil {
		return "", 0, err
	}
	x, f, err := openCode(file)
	if err != nil {
		return "", 0, fmt.Errorf("main of %s: %w", path, err)
	}
	defer f.Close()
	sections, err := x.sections()
	if err != nil {
		return "", 0, fmt.Errorf("main of %s: %w", path, err)
	}
	addr, err := x.named(sections, "main")
	if err != nil {
		return "", 0, fmt.Errorf("main of %s: %w", path, err)
	}
	if addr == 0 {
		if addr, err = x.started(); err != nil {
			for _, s := range sections {
				if strings.HasSuffix(s.name, ".gopclntab") {
					return file, offset, nil
				}
			}
			return "", 0, fmt.Errorf("main of %s: %w", path, err)
		}
	}
	for _, p := range x.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && p.Vaddr <= addr && addr-p.Vaddr < p.Filesz {
			return file, addr - p.Vaddr + p.Off, nil
		}
	}
	return "", 0, fmt.Errorf("main of %s: it would be at %#x, where there is no code", path, addr)
}

var errStartup = errors.New("its startup code is neither that of glibc nor of musl")

// started decodes _start. That of glibc (sysdeps/x86_64/start.S) passes main in the
// first argument of a call that is followed by hlt; that of musl (crt_arch.h,
// crt1.c) passes the stack pointer to a function which calls or jumps on with main.
func (x elfFile) started() (uint64, error) {
	const length = 128 // glibc's takes 38 bytes, musl's less
	b, err := x.at(x.Entry, length)
	if err != nil {
		return 0, err
	}
	c := firstCall(b, x.Entry)
	switch {
	case c.known && c.next == x86asm.HLT:
		return c.argument, nil
	case c.stack && c.to != 0:
		b, err := x.at(c.to, length)
		if err != nil {
			return 0, err
		}
		if c := firstCall(b, c.to); c.known {
			return c.argument, nil
		}
	}
	return 0, errStartup
}

// call is one that straight code makes.
type call struct {
	to       uint64 // 0 if it is indirect
	argument uint64 // the first
	known    bool   // whether that is an address that the code says
	stack    bool   // whether it is the stack pointer
	next     x86asm.Op
}

func firstCall(b []byte, addr uint64) call {
	var c call
	for len(b) > 0 {
		in, err := decode(b)
		if err != nil || in.Len > len(b) {
			break
		}
		b, addr = b[in.Len:], addr+uint64(in.Len)
		switch {
		case in.Op == x86asm.CALL || in.Op == x86asm.JMP:
			if to, ok := in.Args[0].(x86asm.Rel); ok {
				c.to = addr + uint64(int64(to))
			}
			if next, err := decode(b); err == nil {
				c.next = next.Op
			}
			return c
		case in.Args[0] == x86asm.RDI || in.Args[0] == x86asm.EDI:
			c = call{stack: in.Op == x86asm.MOV && in.Args[1] == x86asm.RSP}
			switch from := in.Args[1].(type) {
			case x86asm.Mem:
				if in.Op == x86asm.LEA && from.Base == x86asm.RIP {
					c.argument, c.known = ripRelative(from, addr), true
				}
			case x86asm.Imm:
				if in.Op == x86asm.MOV {
					c.argument, c.known = uint64(from), true
				}
			}
		case in.Op >= x86asm.JA && in.Op <= x86asm.JS:
			return call{}
		}
	}
	return call{}
}
