package sysno

import (
	"fmt"
	"strings"
)

// x32Bit is __X32_SYSCALL_BIT of asm/unistd.h. The kernel enters x32 when it is set
// in the number of a 64-bit syscall.
const x32Bit = 0x40000000

// The AUDIT_ARCH_* values of linux/audit.h, as seccomp_data.arch shows them.
const (
	auditX86_64  = 0xc000003e
	auditI386    = 0x40000003
	auditAARCH64 = 0xc00000b7
)

// Archs lists the ABIs that have tables, in the order in which IDs sort.
func Archs() []Arch { return []Arch{AMD64, I386, X32, ARM64} }

// String is the name that uname -m and libseccomp's headers use for the ABI:
// x86_64, i386, x32, aarch64. It is "invalid" for anything else.
func (a Arch) String() string {
	switch a {
	case AMD64:
		return "x86_64"
	case I386:
		return "i386"
	case X32:
		return "x32"
	case ARM64:
		return "aarch64"
	}
	return "invalid"
}

// ParseArch reads what Arch.String writes, and the GOARCH names amd64, 386 and
// arm64. Every other word is an error.
func ParseArch(word string) (Arch, error) {
	switch word {
	case "x86_64", "amd64":
		return AMD64, nil
	case "i386", "386":
		return I386, nil
	case "x32":
		return X32, nil
	case "aarch64", "arm64":
		return ARM64, nil
	}
	var known []string
	for _, a := range Archs() {
		known = append(known, a.String())
	}
	return ArchInvalid, fmt.Errorf("unknown architecture %q; known are %s", word, strings.Join(known, ", "))
}

// Audit is the ABI's AUDIT_ARCH_* value, 0 for an invalid one. X32 has that of
// AMD64: the kernel tells the two apart by the number alone.
func (a Arch) Audit() uint32 {
	switch a {
	case AMD64, X32:
		return auditX86_64
	case I386:
		return auditI386
	case ARM64:
		return auditAARCH64
	}
	return 0
}

// FromRaw makes an ID from what the kernel shows in seccomp_data: an AUDIT_ARCH_*
// value and a number that still has the x32 bit. The kernel reads a number as signed
// and enters x32 by the bit of a positive one only: -1 is none of x32. The ID of an
// architecture without a table is invalid.
func FromRaw(audit, nr uint32) ID {
	switch audit {
	case auditX86_64:
		if nr&(x32Bit|1<<31) == x32Bit {
			return ID{X32, nr &^ x32Bit}
		}
		return ID{AMD64, nr}
	case auditI386:
		return ID{I386, nr}
	case auditAARCH64:
		return ID{ARM64, nr}
	}
	return ID{}
}

// Raw is the number as the kernel sees it: with the x32 bit for X32.
func (id ID) Raw() uint32 {
	if id.Arch == X32 {
		return id.NR | x32Bit
	}
	return id.NR
}
