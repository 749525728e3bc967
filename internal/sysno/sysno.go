// Package sysno decides what a syscall is called: architectures, numbers, names
// and the types of arguments, from generated tables. It knows nothing of
// processes, policies or files. Its main hazard is a number taken for another
// architecture's: names are therefore parsed once, at the edge, and an ID always
// carries its Arch.
package sysno

import (
	"fmt"
	"runtime"
)

// Arch is a syscall ABI as the kernel's seccomp sees it. The zero value is invalid.
type Arch uint8

// The ABIs that have tables.
const (
	ArchInvalid Arch = iota
	AMD64            // x86_64, AUDIT_ARCH_X86_64
	I386             // 32-bit x86, native or through int80 in a 64-bit process
	X32              // x86_64 with bit 30 of the number set; NR is kept without that bit
	ARM64            // aarch64
)

// Native is the ABI that this program was built for, or ArchInvalid.
func Native() Arch {
	switch runtime.GOARCH {
	case "amd64":
		return AMD64
	case "386":
		return I386
	case "arm64":
		return ARM64
	}
	return ArchInvalid
}

// ID names one syscall of one ABI. The zero value is invalid. A number that no
// table knows is a valid ID: it is kept as a number and never dropped.
type ID struct {
	Arch Arch
	NR   uint32
}

// Valid reports whether the ID names an ABI.
func (id ID) Valid() bool { return id.Arch != ArchInvalid }

// Compare orders by architecture, then number.
func (id ID) Compare(o ID) int {
	if id.Arch != o.Arch {
		return int(id.Arch) - int(o.Arch)
	}
	switch {
	case id.NR < o.NR:
		return -1
	case id.NR > o.NR:
		return 1
	}
	return 0
}

// String is the table's name, prefixed with the ABI unless it is the native
// one, or "syscall_NNN" where the table has no name.
func (id ID) String() string {
	name, ok := id.Name()
	if !ok {
		name = fmt.Sprintf("syscall_%d", id.NR)
	}
	if id.Arch == Native() {
		return name
	}
	return id.Arch.String() + ":" + name
}
