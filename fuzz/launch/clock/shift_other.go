//go:build !amd64

package clock

// Shift is how the time of day of programs is shifted, on x86-64 alone.
type Shift struct{}

// Prepare returns ErrFixed.
func Prepare(string) (*Shift, error) { return nil, fixed("not on this machine") }

// Start is what is begun for one run.
type Start struct{}

// Begin returns ErrFixed.
func (*Shift) Begin(int, int64) (*Start, error) { return nil, fixed("not on this machine") }

// Wait returns nil.
func (*Start) Wait() error { return nil }
