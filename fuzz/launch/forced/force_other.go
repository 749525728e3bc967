//go:build !amd64

package forced

import "errors"

// Start is what is begun for one run, on x86-64 alone.
type Start struct{}

// Begin fails.
func (*Program) Begin(int, string, Occasion) (*Start, error) {
	return nil, errors.New("a program cannot be made to call a function on this machine")
}

// Wait returns nil.
func (*Start) Wait() error { return nil }

// Made reports that no call was made.
func (*Start) Made() bool { return false }
