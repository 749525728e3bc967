package launch

import (
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// stage is all that a run needs: its place, and the program's arguments and streams.
type stage struct {
	place   place
	lasts   bool // the place is not this run's only
	argv    []string
	env     []string
	streams *streams
	fifo    *fifo      // nil where the input is none
	faults  []byte     // a filter, nil where nothing is made to fail
	bell    *bell      // nil where no signal comes when the time is up
	peers   *peers     // nil where nobody is on the network
	shape   uint64     // of the tree that the run finds, where that is asked for
	sought  []sysno.ID // see Seek; nil in other runs, and in what a scenario does before
}

// stage prepares a run, in a place of its own or in a lasting one, and with streams of its
// own or kept ones.
func (e *Exec) stage(s *fuzz.Scenario, in place, has *kept) (_ *stage, err error) {
	st := &stage{env: Environ(e.opts.Env, s.Env)}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if st.place, st.lasts = in, in != nil; in == nil {
		if st.place, err = e.newPlace(); err != nil {
			return nil, err
		}
	}
	if st.faults, err = faultFilter(s, e.Pretended(s)); err != nil {
		return nil, err
	}
	if s.World.Peers != (fuzz.Peers{}) {
		if st.peers, err = e.invite(st.place, s); err != nil {
			return nil, err
		}
	}
	if s.World.Interruption.Moment == fuzz.MomentLimit && !s.World.TypesSignal() {
		if st.bell, err = newBell(); err != nil {
			return nil, err
		}
	}
	if st.argv, st.fifo, err = e.furnish(st.place, s); err != nil {
		return nil, err
	}
	if e.opts.Trees {
		if st.shape, err = shape(st.place); err != nil {
			return nil, err
		}
	}
	if st.streams, err = streamsOf(s, has); err != nil {
		return nil, err
	}
	return st, nil
}

// newPlace is nil where there is an error, which a nil of either kind in its stead would not be.
func (e *Exec) newPlace() (place, error) {
	if e.cage == nil {
		d, err := newDirectory(e.room)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	w, err := e.cage.NewWorld()
	if err != nil {
		return nil, err
	}
	return w, nil
}

func streamsOf(s *fuzz.Scenario, has *kept) (*streams, error) {
	if has != nil {
		return has.streams(s)
	}
	return openStreams(s)
}

// rehouse prepares a run in the directory of a server, which the last run has changed.
func (e *Exec) rehouse(from *server, s *fuzz.Scenario) (*stage, error) {
	if err := from.dir.renew(); err != nil {
		return nil, err
	}
	st, err := e.stage(s, from.dir, from.kept)
	if err == nil && from.dir.spoilt < futile && e.watch != nil {
		if err = from.moveIn(s); err != nil {
			st.close()
		}
	}
	return st, err
}

// restage prepares a run in the place of a server, which has the scenario's files already.
func (e *Exec) restage(from *server, s *fuzz.Scenario) (*stage, error) {
	if err := from.rewrite(s.Input); err != nil {
		return nil, err
	}
	streams, err := streamsOf(s, from.kept)
	if err != nil {
		return nil, err
	}
	return &stage{place: from.place(), lasts: true, streams: streams}, nil
}

func (st *stage) close() {
	if st.streams != nil {
		st.streams.close()
	}
	if st.fifo != nil {
		st.fifo.close()
	}
	if st.bell != nil {
		st.bell.close()
	}
	if st.peers != nil {
		_ = st.peers.leave()
	}
	if st.place != nil && !st.lasts {
		st.place.Close()
	}
}
