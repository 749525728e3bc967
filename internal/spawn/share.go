package spawn

import (
	"cmp"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// share is memory that a child has in common with this process, and not by way of the heap: the
// plan, and after it the calls and what they point to.
type share struct {
	plan *plan
	size uintptr
}

// newShare prepares the share of a child that carries out the scripts of a Spec, with the
// given calls as those of Target.
func newShare(spec *Spec, target []call) (*share, error) {
	keep := slices.Concat(spec.World.keep, spec.Target.keep)
	slices.SortFunc(keep, func(a, b kept) int { return cmp.Compare(uintptr(a.at), uintptr(b.at)) })
	calls := slices.Concat(spec.World.calls, target)
	size := aligned(unsafe.Sizeof(plan{})) + uintptr(len(calls))*CallSize
	moved := make([]uintptr, len(keep)) // from where the share begins
	for i, k := range keep {
		moved[i] = size
		size += aligned(k.bytes)
	}
	at, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map the memory shared with the child: %w", err)
	}
	// to is the address in the share of what lies at another in what is kept. Others stay as they are.
	to := func(a uintptr) uintptr {
		i, found := slices.BinarySearchFunc(keep, a, func(k kept, a uintptr) int { return cmp.Compare(uintptr(k.at), a) })
		if !found {
			i--
		}
		if i < 0 || a-uintptr(keep[i].at) >= keep[i].bytes {
			return a
		}
		return uintptr(at) + moved[i] + a - uintptr(keep[i].at)
	}
	for i, k := range keep {
		here := unsafe.Add(at, moved[i])
		copy(unsafe.Slice((*byte)(here), k.bytes), unsafe.Slice((*byte)(k.at), k.bytes))
		if !k.flat {
			for w := range k.bytes / unsafe.Sizeof(uintptr(0)) {
				p := (*uintptr)(unsafe.Add(here, w*unsafe.Sizeof(uintptr(0))))
				*p = to(*p)
			}
		}
	}
	first := (*call)(unsafe.Add(at, aligned(unsafe.Sizeof(plan{}))))
	for i, c := range calls {
		for j, a := range c.args {
			c.args[j] = to(a)
		}
		unsafe.Slice(first, len(calls))[i] = c
	}
	s := &share{plan: (*plan)(at), size: size}
	s.plan.world, s.plan.nWorld = first, uintptr(len(spec.World.calls))
	s.plan.target = (*call)(unsafe.Add(unsafe.Pointer(first), s.plan.nWorld*CallSize))
	s.plan.nTarget = uintptr(len(target))
	return s, nil
}

func aligned(n uintptr) uintptr { return (n + 7) &^ 7 }

func (s *share) release() { _ = unix.MunmapPtr(unsafe.Pointer(s.plan), s.size) }
