package filter

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Stack is one filter that decides as the kernel does with several that are loaded in
// this order: the strictest answer counts, and of equal actions that of the last
// filter. Loaded one after the other, all but the last would have to permit
// seccomp(2), which the program may not need.
//
// Each return of a filter becomes a jump to a copy of the next one, in which no answer
// is less strict. The filters must return constants, as those of Compile do.
func Stack(programs ...Program) (Program, error) {
	var out Program
	for i, p := range programs {
		if err := p.Validate(); err != nil {
			return nil, fmt.Errorf("stack filters: %w", err)
		}
		if slices.ContainsFunc(p, func(in unix.SockFilter) bool { return in.Code == retA }) {
			return nil, errors.New("stack filters: one computes what it returns")
		}
		if i == 0 {
			out = p
			continue
		}
		out = stackTwo(out, p)
		if len(out) > MaxInstructions {
			return nil, fmt.Errorf("stack filters: %d instructions, and %w; use fewer policies, or fewer argument conditions", len(out), ErrTooLong)
		}
	}
	return out, nil
}

func stackTwo(first, second Program) Program {
	out := slices.Clone(first)
	copies := map[uint32]int{} // where the copy of the second one is for an answer of the first
	for pc, in := range first {
		if in.Code != retK {
			continue
		}
		start, done := copies[in.K]
		if !done {
			atLeast := atLeast(second, in.K)
			if answer, same := constant(atLeast); same {
				out[pc].K = answer
				continue
			}
			start = len(out)
			copies[in.K] = start
			out = append(out, atLeast...)
		}
		out[pc] = unix.SockFilter{Code: ja, K: uint32(start - pc - 1)}
	}
	return out
}

// atLeast is a filter whose answers are as strict as one given.
func atLeast(p Program, answer uint32) Program {
	p = slices.Clone(p)
	for pc, in := range p {
		if in.Code == retK && ParseReturn(in.K).Action.Below(ParseReturn(answer).Action) {
			p[pc].K = answer
		}
	}
	return p
}

// constant reports whether a filter always gives the same answer.
func constant(p Program) (answer uint32, same bool) {
	for _, in := range p {
		if in.Code != retK {
			continue
		}
		if same && in.K != answer {
			return 0, false
		}
		answer, same = in.K, true
	}
	return answer, same
}
