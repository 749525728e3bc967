package fuzz

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// dimension is a part of a scenario that mutation changes. The zero value is valid: it indexes arrays.
type dimension uint8

const (
	dimBytes dimension = iota
	dimArgv
	dimEnv
	dimStreams
	dimFiles
	dimFaults
	dimProcess
	dimHistory
	dimPeers
	dimMessages
	dimKeys
	dimConfig
	dimensions
)

// dimensionNames are what users call the dimensions.
var dimensionNames = [dimensions]string{
	dimBytes: "bytes", dimArgv: "argv", dimEnv: "env", dimStreams: "streams", dimFiles: "files",
	dimFaults: "faults", dimProcess: "process", dimHistory: "history", dimPeers: "peers", dimMessages: "messages", dimKeys: "keys", dimConfig: "config",
}

// Dimensions are the parts of a scenario that mutation changes, by name.
func Dimensions() []string { return dimensionNames[:] }

// varies reports whether Only permits, and the executor is able, to change the dimension.
func (o *Options) varies(d dimension) bool {
	if d == dimFaults && !o.Can.Faults || d == dimPeers && !o.Can.Peers {
		return false
	}
	if d == dimMessages && (!o.Can.Talk || len(o.Talks) == 0) {
		return false
	}
	if d == dimKeys && !(o.Can.Talk && o.Can.Terminal) || d == dimConfig && len(o.Configs) == 0 {
		return false
	}
	return len(o.Only) == 0 || slices.Contains(o.Only, dimensionNames[d])
}

func (o *Options) checkOnly() error {
	if slices.Equal(o.Only, []string{dimensionNames[dimFaults]}) && !o.Can.Faults {
		return errors.New("no syscall can be made to fail here")
	}
	if slices.Equal(o.Only, []string{dimensionNames[dimPeers]}) && !o.Can.Peers {
		return errors.New("there can be nobody to talk to here")
	}
	for _, name := range o.Only {
		if !slices.Contains(Dimensions(), name) {
			return fmt.Errorf("%q is nothing that is varied; there are %s", name, strings.Join(Dimensions(), ", "))
		}
	}
	return nil
}

// budget shares the draws out among the dimensions.
type budget struct {
	varies       func(dimension) bool
	tries, gains [dimensions]float64
	shares       [dimensions]float64 // sums to 1
}

func newBudget(varies func(dimension) bool) budget {
	b := budget{varies: varies}
	b.gains = expected
	b.share()
	return b
}

// expected is what to expect of each dimension before anything is known, and what none falls far
// below: arguments show most, as far as that was measured for programs, bytes less.
var expected = [dimensions]float64{
	dimBytes: 2, dimArgv: 6, dimEnv: 1, dimStreams: 1, dimFiles: 1, dimFaults: 1, dimProcess: 1, dimHistory: 1.5, dimPeers: 2, dimMessages: 8, dimKeys: 4, dimConfig: 6,
}

// share recomputes the shares of the dimensions from what they have gained for
// each try, with a floor so that none starves. It is called only when something
// new was shown, so that between two discoveries all draws are alike in this.
func (b *budget) share() {
	varies := func(d int) bool { return b.varies(dimension(d)) }
	copy(b.shares[:], shares(expected[:], b.tries[:], b.gains[:], varies))
}

func (b *budget) pick(r *rand.Rand) dimension {
	x := r.Float64()
	last := dimArgv
	for d := range dimensions {
		if b.shares[d] == 0 {
			continue
		}
		if x -= b.shares[d]; x < 0 {
			return d
		}
		last = d
	}
	return last // rounding
}

// spend books what a draw has gained for the dimensions that it changed. What was long
// ago counts less: the share follows where novelty comes from now.
func (b *budget) spend(dims [dimensions]bool, gain float64) {
	const memory = 4096
	sum := 0.0
	for d, changed := range dims {
		if changed {
			b.tries[d]++
			b.gains[d] += gain
		}
		sum += b.tries[d]
	}
	if sum > memory {
		for d := range dimensions {
			b.tries[d] /= 2
			b.gains[d] /= 2
		}
	}
	if gain > 0 {
		b.share()
	}
}
