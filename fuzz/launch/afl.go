package launch

import (
	"errors"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/aflserver"
	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Adopter is a Rejoiner that can record copies which a process of the run under way makes by
// itself: each from the end of its first close of a descriptor on.
type Adopter interface {
	Rejoiner
	Serve(pid, descriptor int) error
}

// startAFL makes the program, which AFL's compilers have built, the server of a class. A
// copy has the descriptors of the server, so these are of the kinds that can be begun anew,
// and the world is one that tells what a run has left.
func (v *servers) startAFL(c *class, s *fuzz.Scenario) (err error) {
	watch, ok := v.watch.(Adopter)
	switch {
	case !v.afl.Instrumented:
		return errors.New("it was not built by AFL's compilers")
	case !ok || v.e.cage == nil:
		return errors.New("AFL's fork server needs a cage and a recorder of copies")
	case s.Stdin != fuzz.StdinNull && s.Stdin != fuzz.StdinFile:
		return errors.New("copies of AFL's fork server cannot have such a standard input")
	}
	made := &server{}
	defer func() {
		if err != nil {
			err = errors.Join(err, made.close())
		}
	}()
	if made.world, err = v.e.cage.NewLastingWorld(); err != nil {
		return err
	}
	st, err := v.e.stage(s, made.world, nil)
	if err != nil {
		return err
	}
	defer st.close()
	spec := made.world.Spec()
	st.streams.install(&spec.Target)
	if err := watch.Begin(spec); err != nil {
		return err
	}
	watch.Doubt() // some of what it shows is of AFL's runtime
	var seen []sysno.ID
	a, err := aflserver.Start(spec, aflserver.Options{
		Program: v.e.opts.Program, Argv: st.argv, Env: st.env, Deferred: v.afl.Deferred,
		Timeout: v.startTime(),
		Started: func() { seen = watch.Seen() },
	})
	if err != nil {
		return err
	}
	made.maker, made.parent, made.shape = a, a.Server(), st.shape
	if err := watch.Serve(made.parent, aflserver.Descriptor); err != nil {
		return err
	}
	// What the program does before copies begin it does in every run. What AFL's runtime does
	// there beside, greeting and mapping, it does for a fuzzer only.
	c.startup = common(seen, c.always)
	if err := made.equip(s); err != nil {
		return err
	}
	if made.kept, err = keep(st.streams, s); err != nil {
		return err
	}
	made.bound = true
	c.server = made
	return nil
}

// meddles reports whether a call can change a server that is no more than its copies are.
func meddles(id sysno.ID) bool {
	switch name, _ := id.Name(); name {
	case "ptrace", "process_vm_writev":
		return true
	}
	return false
}

// taken notes which edges the last copy has taken, where the program counts them.
func (v *servers) take(from *server) {
	v.taken = v.taken[:0]
	if v.e.opts.Coverage != nil {
		v.taken = coverage.Taken(v.taken, from.Edges())
	}
}

// edges returns what the last copy has taken and no run before, for a run that counts.
func (v *servers) edges() []fuzz.Signal {
	var fresh []fuzz.Signal
	if len(v.taken) > 0 {
		for _, key := range v.e.opts.Coverage.Take(v.taken) {
			fresh = append(fresh, fuzz.Signal{Kind: fuzz.SignalEdge, Key: key})
		}
	}
	return fresh
}
