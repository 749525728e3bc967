package rawtp

import "github.com/tjfuzz/tjfuzz/internal/sysno"

// archOf names what the C calls NATIVE. 32-bit calls have no table: the kernel
// side counts them as lost and does not report a number.
func archOf(abi recorderAbi) sysno.Arch {
	if abi == recorderAbiNATIVE {
		return sysno.ARM64
	}
	return sysno.ArchInvalid
}
