//go:build !cgo

package filter

import "golang.org/x/sys/unix"

// Inherited needs cgo; without it, ok is false.
func Inherited() (files uint64, ignored []unix.Signal, ok bool) { return 0, nil, false }
