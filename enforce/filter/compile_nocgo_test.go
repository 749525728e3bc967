//go:build !cgo

package filter

import (
	"errors"
	"testing"

	"github.com/tjfuzz/tjfuzz/synth"
)

func TestCompileSaysThatItNeedsCgo(t *testing.T) {
	if program, err := Compile(&synth.Policy{}); program != nil || !errors.Is(err, ErrNoCgo) {
		t.Errorf("Compile() = %v, %v, want ErrNoCgo", program, err)
	}
}
