package launch

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/forkserver"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// server is a fork server and where it lives.
type server struct {
	maker
	parent int               // of the copies
	world  *cage.World       // nil without a cage
	dir    *lastingDirectory // nil in one
	limits limits
	traits traits

	covered *covered // nil: it has no breakpoints
	copies  int      // that were asked for
	kept    *kept    // nil: each copy gets its own streams
	bound   bool     // a copy cannot get any

	alike *spawn.Spec // of all copies that get no descriptors, nil before the first
	seen  calls       // of the last run
	shape uint64      // of the tree that each copy finds, where that is asked for

	input  *os.File // in the world, nil where the program has no such file
	size   int      // its size
	memory []byte   // its beginning, nil where it is not mapped
}

// maker makes copies, and knows what those of an instrumented program have done.
type maker interface {
	spawn.Forker
	Spec(*spawn.Spec) *spawn.Spec // of a run that is a copy
	Edges() []byte                // how often each edge was taken in the last run, as AFL counts; empty where that is not known
	Ended() bool
	Close() error
}

// rewrite gives the next run its input, in the file that the last one had.
func (s *server) rewrite(input []byte) error {
	if s.input == nil {
		return nil
	}
	// Of what is written so nothing tells, and there is room for it: what was there has
	// this size, or the world would have changed and not have lasted.
	if len(input) == s.size && s.size <= len(s.memory) {
		copy(s.memory, input)
		return nil
	}
	if _, err := s.input.WriteAt(input, 0); err != nil {
		return fmt.Errorf("write the input: %w", err)
	}
	if len(input) < s.size {
		if err := s.input.Truncate(int64(len(input))); err != nil {
			return fmt.Errorf("write the input: %w", err)
		}
	}
	s.size = len(input)
	_, err := s.changed() // which is not the run's doing
	return err
}

// rewritten are the files that all copies have, each with a content of its own.
func (s *server) rewritten() []*os.File {
	all := []*os.File{s.input}
	if s.kept != nil {
		all = append(all, s.kept.input, s.kept.output)
	}
	return slices.DeleteFunc(all, func(f *os.File) bool { return f == nil })
}

// place is where the copies run.
func (s *server) place() place {
	if s.dir != nil {
		return s.dir
	}
	return s.world
}

// changed reports whether something was written there since the last call.
func (s *server) changed() (bool, error) {
	if s.dir != nil {
		return s.dir.Changed()
	}
	return s.world.Changed()
}

// spec is how a copy starts.
func (s *server) spec(st *stage) *spawn.Spec {
	alike := st.streams.kept != nil && st.streams.of[0] == nil
	if alike && s.alike != nil {
		return s.alike
	}
	spec := st.place.Copy()
	st.streams.install(&spec.Target)
	spec = s.Spec(spec)
	if alike {
		s.alike = spec
	}
	return spec
}

// used tells of the CPU time of a copy, for where nothing counts that of the run. Most have
// ended before it is asked for the first time: then the copy does not yet count in what its
// server and its init have waited for.
func (s *server) used(p *spawn.Process) func() time.Duration {
	var before time.Duration
	return func() time.Duration {
		if before == 0 {
			before = spawn.UsedBy(s.Pid())
			if s.parent != s.Pid() {
				before += spawn.UsedBy(s.parent)
			}
		}
		return p.CPUTime() - before
	}
}

func (s *server) close() (err error) {
	if s.maker != nil {
		err = s.Close()
	}
	if s.covered != nil {
		_ = s.covered.watch.Close()
	}
	s.traits.close()
	if s.kept != nil {
		s.kept.close()
	}
	s.forgetInput()
	if s.world != nil {
		s.world.Close()
	}
	if s.dir != nil {
		s.dir.Close()
	}
	return err
}

func (s *server) forgetInput() {
	if s.memory != nil {
		_ = unix.Munmap(s.memory)
		s.memory = nil
	}
	if s.input != nil {
		s.input.Close()
		s.input = nil
	}
}

// startAt makes the server of a class on the rung that it is on.
func (v *servers) startAt(c *class, s *fuzz.Scenario) (err error) {
	if c.rung == AtAFL {
		return v.startAFL(c, s)
	}
	if c.rung == AtMain && v.main == 0 {
		return errors.New("where main begins is not known, or is the entry point")
	}
	made := &server{}
	defer func() {
		if err != nil {
			err = errors.Join(err, made.close())
		}
	}()
	if v.e.cage != nil {
		if made.world, err = v.e.cage.NewLastingWorld(); err != nil {
			return err
		}
	} else {
		if made.dir, err = newLastingDirectory(v.e.room); err != nil {
			return err
		}
	}
	st, err := v.e.stage(s, made.place(), nil)
	if err != nil {
		return err
	}
	defer st.close()
	o := forkserver.Options{
		Program: v.e.opts.Program, Argv: st.argv, Env: st.env,
		Timeout: v.startTime(),
	}
	if v.e.opts.Coverage != nil {
		o.Edges, o.LastEdge = v.afl.Edges, v.afl.Last
	}
	switch c.rung {
	case AtInput:
		o.Input = inputName(s)
	case AtMain:
		o.Main = v.main
	}
	if made.world != nil {
		o.Settle = new(forkserver.Call)
		o.Settle.NR, o.Settle.Args = made.world.Settle()
	}
	spec := st.place.Server()
	st.streams.install(&spec.Target)
	if v.watch != nil {
		var leave, join forkserver.Call
		leave.NR, leave.Args = v.watch.Leave()
		join.NR, join.Args = v.watch.Join()
		o.Leave, o.Join = &leave, &join
		o.Started = func() { c.startup = v.watch.Seen() }
		if err := v.watch.Begin(spec); err != nil {
			return err
		}
	}
	f, err := forkserver.Start(spec, o)
	if err != nil {
		return err
	}
	made.maker, made.parent, made.shape = f, f.Pid(), st.shape
	if err := made.equip(s); err != nil {
		return err
	}
	if v.watch == nil { // nobody sees what a run does
		made.seen.writes, made.dir.clean = true, false
	} else if made.kept, err = keep(st.streams, s); err != nil {
		return err
	}
	c.server = made
	return nil
}

// equip notes what must not change, and finds the input.
func (s *server) equip(first *fuzz.Scenario) (err error) {
	if s.limits, err = limitsOf(s.parent); err != nil {
		return err
	}
	if s.traits, err = elsewhere(func() (traits, error) { return traitsOf(s.parent) }); err != nil {
		return err
	}
	return s.moveIn(first)
}

// moveIn finds the input in the place of the server, and begins to look for changes there.
func (s *server) moveIn(first *fuzz.Scenario) (err error) {
	s.forgetInput()
	if named(first) {
		s.size = len(first.Input)
		if s.input, err = openAt(s.place(), inputName(first)); err != nil {
			return err
		}
		const mapped = 64 << 10 // most inputs are smaller
		if s.memory, err = unix.Mmap(int(s.input.Fd()), 0, mapped, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			return fmt.Errorf("map the input: %w", err)
		}
	}
	if s.dir != nil {
		// Where it cannot be watched, as where a user may not watch more, it is made anew for each run.
		if err := s.dir.watch(); err != nil {
			s.dir.spoilt = futile
		}
		return nil
	}
	_, err = s.world.Changed() // which no run has
	return err
}
