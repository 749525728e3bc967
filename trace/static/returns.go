package static

import (
	"slices"
	"sort"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

func (f *function) flowAt(at uint64) *flow {
	i := sort.Search(len(f.flow), func(i int) bool { return f.flow[i].at >= at })
	if i < len(f.flow) && f.flow[i].at == at {
		return &f.flow[i]
	}
	return nil
}

// continues reports whether a call may come back.
func (x *flow) continues() bool {
	if x.unknown || len(x.beyond().targets) == 0 {
		return true
	}
	return slices.ContainsFunc(x.beyond().targets, func(f *function) bool { return f.returns }) || len(x.beyond().middle) > 0
}

// settle finds out which functions may return: the least set that explains itself.
func settle(functions []*function) {
	for changed := true; changed; {
		changed = false
		for _, f := range functions {
			if !f.returns && f.mayReturn() {
				f.returns, changed = true, true
			}
		}
	}
}

func (f *function) mayReturn() bool {
	seen := map[inner]bool{}
	stack := []inner{{f, f.start}}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		i := sort.Search(len(p.f.flow), func(i int) bool { return p.f.flow[i].at >= p.at })
	follow:
		for ; ; i++ {
			if i == len(p.f.flow) {
				return true // it goes on into what follows, or nothing is known of it
			}
			x := &p.f.flow[i]
			k := inner{p.f, x.at}
			if seen[k] {
				break
			}
			seen[k] = true
			switch x.op {
			case image.OpReturn:
				return true
			case image.OpStop:
				break follow
			case image.OpCall:
				if !x.continues() {
					break follow
				}
			default:
				switch {
				case x.unknown, x.op == image.OpJump && x.to == 0 && len(x.beyond().targets) == 0 && len(x.beyond().middle) == 0:
					return true
				case x.to != 0:
					stack = append(stack, inner{p.f, x.to})
				}
				for _, t := range x.beyond().targets {
					if t.returns {
						return true
					}
				}
				stack = append(stack, x.beyond().middle...)
				if x.op == image.OpJump {
					break follow
				}
			}
		}
	}
	return false
}
