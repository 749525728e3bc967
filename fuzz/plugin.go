package fuzz

import (
	"fmt"
	"math/rand/v2"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Mutator makes inputs in a way of its own, beside mutate.Bytes: by a grammar, or by
// a program of the user. Mutate returns a new input of at most limit bytes, made of
// data and perhaps of other, both of which it leaves as they are; its randomness
// comes from r alone. An error ends the session. A Mutator is used by one goroutine.
type Mutator interface {
	Mutate(r *rand.Rand, data, other []byte, limit int) ([]byte, error)
	Close() error
}

// plugin is a worker's Mutator, or none, and the error that it has failed with.
type plugin struct {
	m   Mutator
	err error
}

// bytes changes an input: half of the time by the plug-in, if there is one, and a
// quarter of those results further, since a program also meets what no grammar makes.
func (p *plugin) bytes(r *rand.Rand, data []byte, o mutate.ByteOptions) []byte {
	if o.Max == 0 {
		o.Max = mutate.MaxInput
	}
	if p.m == nil || p.err != nil || r.IntN(2) == 0 {
		return mutate.Bytes(r, data, o)
	}
	made, err := p.m.Mutate(r, data[:min(len(data), o.Max)], o.Other[:min(len(o.Other), o.Max)], o.Max)
	switch {
	case err != nil:
		p.err = fmt.Errorf("mutate an input: %w", err)
		return nil
	case len(made) > o.Max:
		p.err = fmt.Errorf("mutate an input: %d bytes were made, at most %d were asked for", len(made), o.Max)
		return nil
	case r.IntN(4) == 0:
		return mutate.Bytes(r, made, o)
	}
	return made
}

// close ends the plug-in and returns the first error.
func (p *plugin) close() error {
	if p.m == nil {
		return p.err
	}
	if err := p.m.Close(); err != nil && p.err == nil {
		p.err = fmt.Errorf("close mutator: %w", err)
	}
	return p.err
}
