package launch

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// covered is a server with breakpoints. What a copy shows counts only where none of them
// can have had a part in it. One that the target comes to ends it with SIGTRAP, which is
// seen; one that a process of the target's comes to, or that the target has a handler for, is
// not. So a run in which there may be either is traced, and so is the first of each server.
type covered struct {
	watch  *coverage.Watch
	traced bool       // a run was
	vetted []sysno.ID // delicate calls that traced runs made, and did no harm; sorted
}

// attempts is how often a scenario is traced until a copy comes to no breakpoint any
// more. Where that is not enough each run takes another way.
const attempts = 4

// delicate returns those of the calls by which a breakpoint can go unnoticed.
func delicate(seen []sysno.ID) []sysno.ID {
	var found []sysno.ID
	for _, id := range seen {
		switch name, _ := id.Name(); name {
		case "clone", "clone3", "fork", "vfork", "rt_sigaction", "sigaction", "signal", "rt_sigreturn", "sigreturn", "ptrace":
			found = append(found, id)
		}
	}
	return found
}

func traces(seen []sysno.ID) bool {
	return slices.ContainsFunc(seen, func(id sysno.ID) bool {
		name, _ := id.Name()
		return name == "ptrace"
	})
}

// doubtful makes what a Rejoiner records be forgotten, unless it is told to keep it.
type doubtful struct{ Rejoiner }

func (d doubtful) Begin(spec *spawn.Spec) error {
	err := d.Rejoiner.Begin(spec)
	d.Doubt()
	return err
}

// replacer is a maker that can have other code.
type replacer interface {
	Replace(start, end uint64, file *os.File, offset uint64) error
}

// cover puts breakpoints into the server of a class. One that gets only some of them goes, and the next has none.
func (v *servers) cover(c *class) {
	// What a run does beside its end is told by a recorder alone.
	if v.e.opts.Coverage == nil || v.watch == nil || c.bare != nil || c.rung == AtAFL {
		return
	}
	var replace coverage.Replace
	if f, ok := c.server.maker.(replacer); ok {
		replace = f.Replace
	}
	watch, err := v.e.opts.Coverage.Watch(c.server.Pid(), replace)
	if err != nil {
		c.bare = err
		if errors.Is(err, coverage.ErrHalf) {
			v.drop(c)
		}
		return
	}
	c.server.covered = &covered{watch: watch}
}

// uncover takes the breakpoints of a class away for good.
func (v *servers) uncover(c *class, why error) {
	c.bare = why
	if c.server == nil || c.server.covered == nil {
		return
	}
	if err := c.server.covered.watch.Clear(); err != nil {
		v.drop(c) // the next server gets none
		return
	}
	_ = c.server.covered.watch.Close()
	c.server.covered = nil
}

// covered runs a scenario as a copy, and returns which blocks of the program no run had
// reached before. The result is nil when no copy can be made.
func (v *servers) covered(ctx context.Context, c *class, s *fuzz.Scenario) (r *fuzz.Result, fresh []fuzz.Signal, err error) {
	for n := 0; c.server != nil && c.server.covered != nil; n++ {
		if n == attempts {
			v.uncover(c, errors.New("each of its runs reaches something else"))
			break
		}
		r, err = v.undisturbed(ctx, c, s)
		if r != nil || err != nil || ctx.Err() != nil {
			return r, fresh, err
		}
		if c.server == nil { // the run left something before it came to a breakpoint
			v.e.onThread(func() { v.start(c, s) })
			continue
		}
		blocks, err := v.trace(ctx, c, s)
		for _, key := range blocks {
			fresh = append(fresh, fuzz.Signal{Kind: fuzz.SignalBlock, Key: key})
		}
		if err != nil || ctx.Err() != nil {
			return nil, fresh, err
		}
	}
	if c.server != nil {
		r, err = v.copy(ctx, c, s, v.watcher())
	}
	return r, fresh, err
}

// withSignals adds signals to a result, if there is one.
func withSignals(r *fuzz.Result, fresh []fuzz.Signal) *fuzz.Result {
	if r == nil || len(fresh) == 0 {
		return r
	}
	all := append(r.Signals, fresh...)
	slices.SortFunc(all, func(a, b fuzz.Signal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	r.Signals = slices.Compact(all)
	return r
}

// undisturbed runs a scenario as a copy. The result is nil where a breakpoint may have
// had a part in it; then nothing is left of the run.
func (v *servers) undisturbed(ctx context.Context, c *class, s *fuzz.Scenario) (*fuzz.Result, error) {
	cov := c.server.covered
	if !cov.traced {
		return nil, nil
	}
	if err := cov.watch.Refresh(); err != nil {
		return nil, err
	}
	r, err := v.copy(ctx, c, s, doubtful{v.watch})
	if err != nil || r.Signal == int(unix.SIGTRAP) || !within(delicate(r.Seen), cov.vetted) {
		return nil, err
	}
	return r, v.watch.Keep()
}

// trace runs a scenario as a copy that breakpoints do not end, and returns what it was
// first to reach. Nothing else is left of the run: a program can tell that it is traced.
func (v *servers) trace(ctx context.Context, c *class, s *fuzz.Scenario) ([]uint64, error) {
	cov := c.server.covered
	err := cov.watch.Refresh()
	if err != nil {
		return nil, err
	}
	t, err := cov.watch.Follow(c.server.Pid())
	if err != nil {
		v.uncover(c, err)
		return nil, nil
	}
	r, err := v.copy(ctx, c, s, doubtful{v.watch})
	if err != nil {
		v.drop(c) // there may be no copy, and the trace would wait for one
	}
	found, failed := t.Wait()
	switch {
	case err != nil:
	case failed != nil:
		v.uncover(c, failed)
	case found.Handles:
		v.uncover(c, coverage.ErrTraps)
	case found.Processes:
		v.uncover(c, errors.New("it starts processes"))
	case r.Signal == int(unix.SIGTRAP):
		v.uncover(c, errors.New("it ends by SIGTRAP"))
	case traces(r.Seen):
		v.uncover(c, errors.New("it traces"))
	default:
		cov.traced = true
		cov.vetted = union(cov.vetted, delicate(r.Seen))
		v.words = append(v.words, found.Words...)
	}
	return found.Blocks, err
}
