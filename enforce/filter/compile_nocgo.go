//go:build !cgo

package filter

import (
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// Compile needs libseccomp and so cgo; without it, it returns ErrNoCgo.
func Compile(*synth.Policy) (Program, error) { return nil, ErrNoCgo }

// CompileFlat needs libseccomp too.
func CompileFlat(*synth.Policy) (Program, error) { return nil, ErrNoCgo }

// Library says that there is none.
func Library() (version string, lacks []sysno.ID) { return "", nil }
