package fuzz

import (
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
	dimensions
)

// dimensionNames are what users call the dimensions.
var dimensionNames = [dimensions]string{
	dimBytes: "bytes", dimArgv: "argv", dimEnv: "env", dimStreams: "streams", dimFiles: "files",
}

// Dimensions are the parts of a scenario that mutation changes, by name.
func Dimensions() []string { return dimensionNames[:] }

// varies reports whether Only permits to change the dimension.
func (o *Options) varies(d dimension) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, dimensionNames[d])
}

func (o *Options) checkOnly() error {
	for _, name := range o.Only {
		if !slices.Contains(Dimensions(), name) {
			return fmt.Errorf("%q is nothing that is varied; there are %s", name, strings.Join(Dimensions(), ", "))
		}
	}
	return nil
}

// share recomputes the shares of the dimensions from what they have gained for
// each try, with a floor so that none starves. It is called only when something
// new was shown, so that between two discoveries all draws are alike.
func (c *corpus) share() {
	const floor = 0.06
	var rates [dimensions]float64
	sum := 0.0
	varied := 0
	for d := range dimensions {
		if c.o.varies(d) {
			varied++
			rates[d] = (c.gains[d] + 1) / (c.tries[d] + 50)
			sum += rates[d]
		}
	}
	for d := range dimensions {
		if c.o.varies(d) {
			c.shares[d] = floor + (1-floor*float64(varied))*rates[d]/sum
		}
	}
}

func (c *corpus) pick(r *rand.Rand) dimension {
	x := r.Float64()
	last := dimArgv
	for d := range dimensions {
		if c.shares[d] == 0 {
			continue
		}
		if x -= c.shares[d]; x < 0 {
			return d
		}
		last = d
	}
	return last // rounding
}

// credit books what a draw has gained for the dimensions that it changed.
func (c *corpus) credit(dims [dimensions]bool, gain float64) {
	for d, changed := range dims {
		if changed {
			c.tries[d]++
			c.gains[d] += gain
		}
	}
	if gain > 0 {
		c.share()
	}
}
