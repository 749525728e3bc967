package enforce

import (
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// call is an ID by the name that people use.
func call(t *testing.T, arch sysno.Arch, name string) sysno.ID {
	t.Helper()
	id, ok := sysno.Lookup(arch, name)
	if !ok {
		t.Fatalf("%v has no syscall %q", arch, name)
	}
	return id
}
