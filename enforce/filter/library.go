//go:build cgo

package filter

import (
	"fmt"

	seccomp "github.com/seccomp/libseccomp-golang"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Library says which libseccomp this program has, and which syscalls of this machine it
// has no name for. Compile names them by number.
func Library() (version string, lacks []sysno.ID) {
	major, minor, micro := seccomp.GetLibraryVersion()
	for _, id := range sysno.All(sysno.Native()) {
		name, _ := id.Name()
		if nr, err := seccomp.GetSyscallFromName(name); err != nil || nr < 0 {
			lacks = append(lacks, id)
		}
	}
	return fmt.Sprintf("%d.%d.%d", major, minor, micro), lacks
}
