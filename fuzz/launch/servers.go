package launch

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Rejoiner is a Watcher that can record copies of a process that executed the program
// in another run. Its Begin leaves the Spec of a copy as it is. Leave and Join return a system call that has no
// effect but this.
type Rejoiner interface {
	Watcher
	Leave() (nr uintptr, args [6]uintptr) // a process is no longer recorded from here on
	Join() (nr uintptr, args [6]uintptr)  // a process is recorded, in the run under way, from here on

	// Doubt, right after Begin, makes the run one that Seen tells of, and that nothing is
	// left of otherwise, unless Keep is called when it has ended.
	Doubt()
	Keep() error
}

// servers decides which runs are copies. All that a program can see but its input is the
// same in the runs of a class; each class that is run often gets a server. That a copy does
// what the program does is checked, again and again: in the first runs of a class, then
// ever more rarely, and whenever a copy shows what the program has not shown.
type servers struct {
	e       *Exec
	watch   Rejoiner // nil: nothing is recorded
	classes map[[sha256.Size]byte]*class
	key     []byte // of a class, for its memory
	clock   int
	made    [nowhere]int // copies
	main    int64        // how far main() is from the entry point, 0 where that is not known
	afl     image.AFL
	taken   []uint64 // see take
	words   [][]byte // that traces found, and no result has told of
}

const (
	warmUp     = 2    // runs of a class without a server
	maxServers = 8    // each holds the memory of a process
	maxClasses = 4096 // that are remembered
	checked    = 4    // first copies that are compared
	tries      = 4    // servers that a class may have, however few copies they make
	worth      = 4    // copies that a server makes at least, for another one to be started
)

// Rung is where copies begin: the later the faster, and the more can be wrong.
type Rung int

// The rungs, the highest first.
const (
	AtInput Rung = iota // where the program is about to use its input
	AtAFL               // where the program makes copies for AFL: where main() begins, or where it says
	AtMain              // where main() begins
	AtEntry             // at the entry point of the file
	nowhere
)

type class struct {
	rung    Rung
	server  *server
	refused error // why it is not on the rung above
	bare    error // why its servers have no breakpoints
	startup []sysno.ID
	known   []sysno.ID // sorted; what execve has shown
	always  []sysno.ID // what it has shown in each run
	runs    int        // by execve, as long as there is no server
	copies  int
	starts  int // of servers
	used    int // by the clock
}

// newServers returns nil where copies cannot be had.
func newServers(e *Exec, watch Watcher) *servers {
	if e.opts.Filter != nil || e.cage != nil && watch == nil {
		return nil
	}
	v := &servers{e: e, classes: map[[sha256.Size]byte]*class{}}
	v.main, _ = elsewhere(func() (int64, error) { return mainOf(e.opts.Program) })
	v.afl, _ = elsewhere(func() (image.AFL, error) { return image.FindAFL(e.opts.Program) })
	if watch != nil {
		var ok bool
		if v.watch, ok = watch.(Rejoiner); !ok {
			return nil
		}
	}
	return v
}

// watcher is nil, not an interface around nil, where nothing is recorded.
func (v *servers) watcher() Watcher {
	if v.watch == nil {
		return nil
	}
	return v.watch
}

// startTime is what a server has to start, which is more than a run has: runs that are too slow for
// once are hangs, but to have started too slowly for once would cost all of a class.
func (v *servers) startTime() time.Duration { return 3 * max(v.e.opts.Timeout, time.Second) }

func (v *servers) run(ctx context.Context, s *fuzz.Scenario) (*fuzz.Result, error) {
	// A copy has the world of the program that was executed. Without a cage each copy has files of
	// its own, and steps cannot be made where copies are waited for.
	if !s.Usual() || len(s.Before) > 0 && v.e.cage == nil || v.e.survey != nil {
		return v.execve(s)
	}
	c := v.class(s)
	v.clock++
	c.used = v.clock
	if c.server == nil && c.rung < nowhere {
		if c.runs++; c.runs > warmUp {
			v.e.onThread(func() { v.start(c, s) })
		}
	}
	if c.server != nil {
		v.rehearse(ctx, c, s)
	}
	if c.server == nil {
		return v.exec(c, s)
	}
	r, fresh, err := v.covered(ctx, c, s)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		v.refuse(c, err)
	}
	if r == nil {
		r, err := v.exec(c, s)
		return withSignals(r, fresh), err
	}
	r = withSignals(r, append(fresh, v.edges()...))
	r.Seen = union(r.Seen, c.startup)
	c.copies++
	v.made[c.rung]++
	if c.copies > checked && c.copies&(c.copies-1) != 0 && within(r.Seen, c.known) {
		return r, nil
	}
	return v.compare(ctx, c, s, r)
}

// copy runs a scenario as a copy. A run that may leave something to the next one is the
// last of the server.
func (v *servers) copy(ctx context.Context, c *class, s *fuzz.Scenario, watch Watcher) (*fuzz.Result, error) {
	var r *fuzz.Result
	var err error
	run := func() { r, err = v.e.run(s, watch, c.server) }
	if c.server.kept != nil {
		run()
	} else {
		v.e.onThread(run) // of the devices that are opened a cage's lobby has its own
	}
	if err == nil && c.server.Ended() && !r.TimedOut && !r.Left {
		// Not by us, and nobody knows how the run would have ended.
		r, err = nil, errors.New("the fork server was killed")
	}
	if err == nil {
		v.take(c.server)
	}
	spoilt := err == nil && c.server.spoilt(r.Seen)
	if err == nil && v.e.opts.Trees && c.server.changes(spoilt) {
		err = tellTree(r, c.server.place(), c.server.shape)
	}
	if spoilt || ctx.Err() != nil {
		v.drop(c)
	} else if err == nil && c.server.kept != nil && !c.server.kept.settle(&c.server.seen) {
		if c.server.bound {
			v.drop(c)
		} else {
			c.server.kept.close()
			c.server.kept = nil
		}
	}
	return r, err
}

// looks is how often a scenario is run by execve at most, to find that a copy of it did what the
// program does, and slowLooks where each such run lasts until its time is up.
const looks, slowLooks = 6, 3

// compare runs by execve what was run as a copy. A program that does not always do the
// same is run again: the copy must show nothing that the program never does, and all
// that it does each time.
func (v *servers) compare(ctx context.Context, c *class, s *fuzz.Scenario, copied *fuzz.Result) (*fuzz.Result, error) {
	var r *fuzz.Result
	var err error
	var always []sysno.ID
	ended := false // some run ended as the copy did
	for n := range looks {
		if r, err = v.exec(c, s); err != nil || ctx.Err() != nil || same(r, copied) {
			return withSignals(r, copied.Signals), err
		}
		if n == 0 {
			always = slices.Clone(r.Seen)
		}
		always = common(always, r.Seen)
		ended = ended || sameEnd(r, copied)
		if ended && n > 0 && within(copied.Seen, c.known) && within(always, copied.Seen) {
			return withSignals(r, copied.Signals), nil
		}
		if r.TimedOut && n+1 >= slowLooks {
			break
		}
	}
	v.differs(c)
	return withSignals(r, copied.Signals), nil
}

// differs puts an end to what made a copy do something else than the program.
func (v *servers) differs(c *class) {
	why := errors.New("a copy does something else than the program")
	if c.bare != nil || v.e.opts.Coverage == nil || v.watch == nil || c.rung == AtAFL { // as in cover
		v.refuse(c, why)
		return
	}
	c.bare = why
	v.drop(c) // its code is mapped from elsewhere, which a program can see
	c.copies, c.starts = 0, 0
}

// exec runs a scenario by execve.
func (v *servers) exec(c *class, s *fuzz.Scenario) (*fuzz.Result, error) {
	r, err := v.execve(s)
	if err == nil {
		if c.known == nil {
			c.always = slices.Clone(r.Seen)
		}
		c.known = union(c.known, r.Seen)
		c.always = common(c.always, r.Seen)
		if c.rung == AtAFL {
			c.startup = common(c.startup, c.always)
		}
	}
	return r, err
}

func (v *servers) execve(s *fuzz.Scenario) (r *fuzz.Result, err error) {
	v.e.onThread(func() { r, err = v.e.run(s, v.watcher(), nil) })
	return r, err
}

// same reports whether two runs of a scenario show the same.
func same(a, b *fuzz.Result) bool { return slices.Equal(a.Seen, b.Seen) && sameEnd(a, b) }

func sameEnd(a, b *fuzz.Result) bool {
	return a.ExitCode == b.ExitCode && a.Signal == b.Signal && a.TimedOut == b.TimedOut && a.Left == b.Left
}

// class returns the class of a scenario.
func (v *servers) class(s *fuzz.Scenario) *class {
	v.key = appendClass(v.key[:0], s)
	key := sha256.Sum256(v.key)
	c := v.classes[key]
	if c == nil {
		if len(v.classes) >= maxClasses {
			for key, c := range v.classes {
				if c.server == nil {
					delete(v.classes, key)
				}
			}
		}
		c = &class{rung: v.e.opts.Highest}
		v.classes[key] = c
	}
	return c
}

// appendClass appends what the scenarios of a class have in common, and no others.
func appendClass(b []byte, s *fuzz.Scenario) []byte {
	b = append(b, byte(s.Stdin))
	b = appendWords(appendWords(b, s.Argv), s.Env)
	return appendPast(b, s)
}

// start makes the server of a class, in the place of the least used one if need be.
func (v *servers) start(c *class, s *fuzz.Scenario) {
	var oldest *class
	n := 0
	for _, other := range v.classes {
		if other.server == nil {
			continue
		}
		if n++; oldest == nil || other.used < oldest.used {
			oldest = other
		}
	}
	if n >= maxServers {
		v.drop(oldest)
		oldest.runs, oldest.starts = 0, 0
	}
	if c.starts++; c.starts > tries && c.copies < worth*c.starts {
		c.refused, c.rung = errors.New("most runs leave something"), nowhere
	}
	for c.server == nil && c.rung < nowhere {
		err := v.startAt(c, s)
		if errors.Is(err, cage.ErrShortLived) {
			c.rung = nowhere
		}
		if err != nil {
			v.refuse(c, err)
		} else {
			v.cover(c)
		}
	}
}

// mainOf is how far main() is from the entry point of a program, in the file and so in
// memory: both are code.
func mainOf(program string) (int64, error) {
	_, entry, err := image.Entry(program)
	if err != nil {
		return 0, err
	}
	_, main, err := image.Main(program)
	if err != nil {
		return 0, err
	}
	return int64(main - entry), nil
}

// elsewhere calls a function on a thread that is not in the cage's lobby.
func elsewhere[T any](f func() (T, error)) (v T, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = f()
	}()
	<-done
	return v, err
}

// drop ends the server of a class.
func (v *servers) drop(c *class) {
	if c.server != nil {
		_ = c.server.close()
		c.server = nil
	}
}

// refuse ends the server of a class; the next one stands a rung lower.
func (v *servers) refuse(c *class, why error) {
	v.drop(c)
	c.refused = why
	c.copies, c.starts = 0, 0
	if c.rung < nowhere {
		c.rung++
	}
}

func (v *servers) close() {
	for _, c := range v.classes {
		v.drop(c)
	}
}
