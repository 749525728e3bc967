//go:build cgo && amd64

package filter

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A service manager may forbid a service to write files, and a shell limits them: then the filter comes by another way,
// and is the same.
func TestAFilterIsCompiledWhereFilesMayNotGrow(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range policies(t) {
		var got [3]Program // the first with the limit of this machine, which is mostly none
		for i, most := range []uint64{was.Cur, 0, 1024} {
			if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: was.Max}); err != nil {
				t.Fatal(err)
			}
			program, err := Compile(c.policy)
			if err != nil {
				t.Fatalf("%s, at most %d: %v", c.name, most, err)
			}
			got[i] = program
		}
		if !slices.Equal(got[0], got[1]) || !slices.Equal(got[0], got[2]) {
			t.Errorf("%s: the filters differ", c.name)
		}
	}
}
