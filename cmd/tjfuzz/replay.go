package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/launch"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/synth"
)

// replays runs stored scenarios under one policy, one after the other.
type replays struct {
	rec     recorder
	exec    *launch.Exec
	slot    watcher
	can     fuzz.Abilities
	program string
	close   func() error // of what is not shared with others
}

// under prepares to replay under a policy.
func (s *session) under(p *synth.Policy) (*replays, error) {
	rec, err := s.runs.backend.open(recording{slots: 1, policy: p})
	if err != nil {
		return nil, err
	}
	return s.replays(rec, 0, rec.Close)
}

// replays uses a slot of a recorder, and closes it.
func (s *session) replays(rec recorder, slot int, closes func() error) (*replays, error) {
	e, w, err := s.executor(rec, slot)
	if err != nil {
		_ = closes()
		return nil, err
	}
	return &replays{rec, e, w, s.abilities(e), s.args[0], closes}, nil
}

// stages makes replays under many policies, several at a time.
type stages struct {
	s      *session
	shared recorder // one for all, where it does not depend on the policy
	free   chan int // its slots that nobody uses
	lossy  atomic.Bool
}

// stages prepares to replay under variants of a policy. To load the recorder's
// programs costs more than most scenarios. Details are of the shared recorder only.
func (s *session) stages(p *synth.Policy, jobs int, d details) (*stages, error) {
	st := &stages{s: s, free: make(chan int, jobs)}
	if s.runs.backend != backendEBPF {
		return st, nil
	}
	var err error
	if st.shared, err = s.runs.backend.open(recording{slots: jobs, policy: p, details: d}); err != nil {
		return nil, err
	}
	for i := range jobs {
		st.free <- i
	}
	return st, nil
}

// under prepares to replay under one of the variants.
func (st *stages) under(p *synth.Policy) (*replays, error) {
	if st.shared == nil {
		r, err := st.s.under(p)
		if err != nil {
			return nil, err
		}
		closes := r.close
		r.close = func() error {
			st.note(r.rec)
			return closes()
		}
		return r, nil
	}
	code, err := compile(p)
	if err != nil {
		return nil, err
	}
	slot := <-st.free
	return st.s.replays(filtered{st.shared, code}, slot, func() error {
		st.free <- slot
		return nil
	})
}

func (st *stages) note(rec recorder) {
	if !rec.Lost().Complete() {
		st.lossy.Store(true)
	}
}

func (st *stages) Close() error {
	if st.shared == nil {
		return nil
	}
	st.note(st.shared)
	return st.shared.Close()
}

// filtered is a recorder of programs under a filter of their own.
type filtered struct {
	recorder
	code []byte
}

func (f filtered) filter() []byte { return f.code }

// able leaves out the scenarios of which the world cannot be made here.
func (r *replays) able(all []kept) []kept {
	return slices.DeleteFunc(slices.Clone(all), func(k kept) bool { return !r.can.Allow(&k.Scenario) })
}

func (r *replays) replay(ctx context.Context, s *fuzz.Scenario) (enforce.Replayed, error) {
	got, err := r.exec.Run(ctx, s)
	if err != nil {
		return enforce.Replayed{}, runError(err, r.program)
	}
	wrote := sha256.Sum256(r.exec.Output())
	end := fmt.Sprintf("exit %d", got.ExitCode)
	switch {
	case got.TimedOut:
		end = "time limit"
	case got.Signal != 0:
		end = fmt.Sprintf("signal %d", got.Signal)
	}
	return enforce.Replayed{
		Seen: got.Seen, Denied: r.slot.Denied(), Failed: append(madeToFail(s.World), r.exec.Pretended(s)...), Signal: got.Signal, Clean: got.Clean(),
		End: end, Output: hex.EncodeToString(wrote[:]),
	}, nil
}

func (r *replays) Close() error {
	return errors.Join(r.exec.Close(), r.close())
}

// madeToFail are the calls that fail in a scenario's world.
func madeToFail(w fuzz.World) []sysno.ID {
	ids := w.Kernel.Lacks()
	for _, f := range w.Faults {
		ids = append(ids, f.ID)
	}
	return ids
}
