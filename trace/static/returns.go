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

// settling finds out which functions may return: the least set that explains itself. Each
// function is walked through once; where a call is not known to return the walk waits.
type settling struct {
	waiting map[*function][]waiter // for that one to return
	ready   []*function            // that return, of which those that wait do not know
	left    int                    // instructions that may still be looked at
}

// waiter is a walk that goes on behind an instruction, or whose function returns as soon as
// another does.
type waiter struct {
	walk *walk
	next inner
	tail bool
}

// walk is one through the function, and those that it jumps into.
type walk struct {
	f      *function
	seen   []bool         // of its own flow
	beyond map[inner]bool // of that of others
}

// maxWalks is how often an instruction may be walked over on average: it belongs to more
// than one function where others jump into the middle of its own.
const maxWalks = 16

func settle(functions []*function) {
	s := settling{waiting: map[*function][]waiter{}, left: 1 << 20}
	for _, f := range functions {
		s.left += maxWalks * len(f.flow)
	}
	for _, f := range functions {
		if f.returns {
			continue
		}
		w := &walk{f: f, seen: make([]bool, len(f.flow))}
		s.follow(w, inner{f, f.start})
		s.tell()
	}
	if s.left < 0 { // what was not looked at may do anything
		for _, f := range functions {
			f.returns = true
		}
	}
}

// tell goes on with the walks that have waited for functions to return.
func (s *settling) tell() {
	for len(s.ready) > 0 {
		f := s.ready[len(s.ready)-1]
		s.ready = s.ready[:len(s.ready)-1]
		waiting := s.waiting[f]
		delete(s.waiting, f)
		for _, w := range waiting {
			switch {
			case w.walk.f.returns:
			case w.tail:
				s.returns(w.walk.f)
			default:
				s.follow(w.walk, w.next)
			}
		}
	}
}

func (s *settling) returns(f *function) {
	f.returns = true
	s.ready = append(s.ready, f)
}

// visit notes that a walk comes by an instruction, and is false if it was there before.
func (w *walk) visit(f *function, i int) bool {
	if f == w.f {
		was := w.seen[i]
		w.seen[i] = true
		return !was
	}
	k := inner{f, f.flow[i].at}
	if w.beyond[k] {
		return false
	}
	if w.beyond == nil {
		w.beyond = map[inner]bool{}
	}
	w.beyond[k] = true
	return true
}

// follow walks on from a place, until the function is known to return or there is nothing
// more to see.
func (s *settling) follow(w *walk, from inner) {
	stack := []inner{from}
	for len(stack) > 0 {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		i := sort.Search(len(p.f.flow), func(i int) bool { return p.f.flow[i].at >= p.at })
	on:
		for ; ; i++ {
			if i == len(p.f.flow) { // it goes on into what follows, or nothing is known of it
				s.returns(w.f)
				return
			}
			if s.left--; s.left < 0 {
				return
			}
			if !w.visit(p.f, i) {
				break
			}
			x := &p.f.flow[i]
			switch x.op {
			case image.OpReturn:
				s.returns(w.f)
				return
			case image.OpStop:
				break on
			case image.OpCall:
				if !x.continues() {
					s.wait(x, waiter{walk: w, next: inner{p.f, x.at + 1}})
					break on
				}
			default:
				if x.unknown || x.op == image.OpJump && x.to == 0 && len(x.beyond().targets) == 0 && len(x.beyond().middle) == 0 ||
					slices.ContainsFunc(x.beyond().targets, func(t *function) bool { return t.returns }) {
					s.returns(w.f)
					return
				}
				s.wait(x, waiter{walk: w, tail: true})
				if x.to != 0 {
					stack = append(stack, inner{p.f, x.to})
				}
				stack = append(stack, x.beyond().middle...)
				if x.op == image.OpJump {
					break on
				}
			}
		}
	}
}

// wait has a walk wait for one of the functions to return that an instruction leads to.
func (s *settling) wait(x *flow, w waiter) {
	for _, t := range x.beyond().targets {
		s.waiting[t] = append(s.waiting[t], w)
	}
}
