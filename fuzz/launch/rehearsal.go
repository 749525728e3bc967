package launch

import (
	"context"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/forkserver"
)

// many is how many copies a server has made when it is worth finding out which pages they use: it
// takes as long as about as many copies take less from then on.
const many = 128

// rehearse runs a scenario as a copy from which the later ones profit, if it is time for that. Nothing
// else is left of the run: a program can tell that it is traced.
func (v *servers) rehearse(ctx context.Context, c *class, s *fuzz.Scenario) {
	f, ok := c.server.maker.(*forkserver.Server)
	if c.server.copies++; c.server.copies != many || !ok || v.watch == nil {
		return
	}
	for range forkserver.Rehearsals {
		r, err := f.Rehearse(c.server.rewritten()...)
		if err != nil {
			return // it goes without
		}
		_, failed := v.copy(ctx, c, s, doubtful{v.watch})
		if failed != nil {
			v.drop(c) // there may be no copy, and the rehearsal would wait for one
		}
		if err := r.Wait(); err != nil || c.server == nil {
			return
		}
	}
}
