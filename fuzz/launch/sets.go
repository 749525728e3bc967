package launch

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// common returns what is in both.
func common(a, b []sysno.ID) []sysno.ID {
	return slices.DeleteFunc(slices.Clone(a), func(id sysno.ID) bool { return !slices.Contains(b, id) })
}

// union merges sorted sets. It is the first one where the second adds nothing.
func union(a, b []sysno.ID) []sysno.ID {
	if within(b, a) {
		return a
	}
	all := make([]sysno.ID, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := a[0].Compare(b[0]); {
		case order < 0:
			all, a = append(all, a[0]), a[1:]
		case order > 0:
			all, b = append(all, b[0]), b[1:]
		default:
			all, a, b = append(all, a[0]), a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// within reports whether a sorted set has all that another one has.
func within(some, all []sysno.ID) bool {
	for _, id := range some {
		for len(all) > 0 && all[0].Compare(id) < 0 {
			all = all[1:]
		}
		if len(all) == 0 || all[0] != id {
			return false
		}
	}
	return true
}
