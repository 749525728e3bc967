//go:build !amd64

package coverage

import "errors"

// Found is what a trace tells.
type Found struct {
	Blocks    []uint64
	Processes bool
	Handles   bool
	Words     [][]byte
}

// Trace follows a copy and all that it starts.
type Trace struct{}

// Follow fails: there is no fork server for this architecture.
func (*Watch) Follow(int) (*Trace, error) {
	return nil, errors.New("copies are not traced on this architecture")
}

// Wait is never called.
func (*Trace) Wait() (Found, error) { return Found{}, nil }
