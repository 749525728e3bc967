package rawtp

import "github.com/tjfuzz/tjfuzz/internal/sysno"

// archOf names what the C calls NATIVE, I386 and X32.
func archOf(abi recorderAbi) sysno.Arch {
	switch abi {
	case recorderAbiNATIVE:
		return sysno.AMD64
	case recorderAbiI386:
		return sysno.I386
	case recorderAbiX32:
		return sysno.X32
	}
	return sysno.ArchInvalid
}
