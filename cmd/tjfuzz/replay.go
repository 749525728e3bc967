package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

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
}

// under prepares to replay under a policy.
func (s *session) under(p *synth.Policy) (*replays, error) {
	rec, err := s.runs.backend.open(recording{slots: 1, policy: p})
	if err != nil {
		return nil, err
	}
	e, slot, err := s.executor(rec, 0)
	if err != nil {
		_ = rec.Close()
		return nil, err
	}
	return &replays{rec, e, slot, s.abilities(e), s.args[0]}, nil
}

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
		Seen: got.Seen, Denied: r.slot.Denied(), Failed: madeToFail(s.World), Signal: got.Signal, Clean: got.Clean(),
		End: end, Output: hex.EncodeToString(wrote[:]),
	}, nil
}

func (r *replays) Close() error {
	err := r.exec.Close()
	if e := r.rec.Close(); err == nil {
		err = e
	}
	return err
}

// madeToFail are the calls that fail in a scenario's world.
func madeToFail(w fuzz.World) []sysno.ID {
	ids := w.Kernel.Lacks()
	for _, f := range w.Faults {
		ids = append(ids, f.ID)
	}
	return ids
}
