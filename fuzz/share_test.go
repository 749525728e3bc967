package fuzz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// member is a session on a share that is the only one to have a seed.
func member(t *testing.T, share, state string, seed int) (Options, error) {
	o := options(t, synthetic{})
	o.Seeds = []Seed{{Name: "its own", Data: fmt.Appendf(nil, "secret %d", seed)}}
	o.Execs, o.Seed = 300, uint64(seed)
	o.NewExecutor = func(int) (Executor, error) { return &keeper{synthetic{t: t}}, nil }
	var err, err2 error
	o.State, err = OpenState(state)
	o.Share, err2 = OpenShare(share, filepath.Base(state))
	return o, errors.Join(err, err2)
}

// keeper shows syscall 200+N for an input that holds "secret N".
type keeper struct{ synthetic }

func (k *keeper) Run(ctx context.Context, s *Scenario) (*Result, error) {
	r, err := k.synthetic.Run(ctx, s)
	for n := range uint32(3) {
		if err == nil && s.usesInput() && bytes.Contains(s.Input, fmt.Appendf(nil, "secret %d", n)) {
			r.Seen = append(r.Seen, id(200+n))
		}
	}
	return r, err
}

func observed(out *Outcome) map[sysno.ID]bool {
	all := make(map[sysno.ID]bool)
	for _, o := range out.Observations {
		all[o.ID] = true
	}
	return all
}

// Each has something that no mutation makes, and which only sharing can bring.
func TestWhatOneSessionFindsTheOthersHaveAtTheirEnd(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	share := filepath.Join(root, "share")
	var outs [3]*Outcome
	round := func(i int) {
		o, err := member(t, share, filepath.Join(root, fmt.Sprint("instance", i)), i)
		if err != nil {
			t.Error(err)
			return
		}
		if outs[i], err = Run(t.Context(), o); err != nil || outs[i].Unshared != nil {
			t.Error(err, outs[i].Unshared)
		}
	}
	var all sync.WaitGroup
	for i := range outs {
		all.Go(func() { round(i) })
	}
	all.Wait()
	first := outs
	for i := range outs { // who ended first could not know what the last one found
		round(i)
	}
	if t.Failed() {
		return
	}
	for i, out := range outs {
		for j, other := range first {
			for id := range observed(other) {
				if !observed(out)[id] {
					t.Errorf("instance %d does not know %v, which instance %d knew", i, id, j)
				}
			}
		}
		for n := range uint32(3) {
			if !observed(out)[id(200+n)] {
				t.Errorf("instance %d does not know the secret of %d", i, n)
			}
		}
	}
}

func TestAShareWithstandsWhatOthersPutThere(t *testing.T) {
	root := t.TempDir()
	share := filepath.Join(root, "share")
	bad := stateWith(t, filepath.Join(share, "bad"), nil)
	spoil(t, bad)
	foreign := Scenario{Argv: []string{"/bin/other", "@@"}, Stdin: StdinNull, Input: []byte("secret 2")}
	if err := bad.Save(Queue, &foreign); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(share, "a file"), nil, 0o644),
		os.Mkdir(filepath.Join(share, "no queue"), 0o755),
		os.Symlink("/", filepath.Join(share, "slash")),
		os.Symlink("nowhere", filepath.Join(share, "dangling")),
	); err != nil {
		t.Fatal(err)
	}
	o, err := member(t, share, filepath.Join(root, "good"), 0)
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, o)
	if out.Unshared != nil || !observed(out)[id(202)] {
		t.Errorf("unshared %v, observed %v", out.Unshared, observed(out))
	}
	stored, err := o.State.List(Queue)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stored {
		if s.Scenario.Argv[0] != "target" || bytes.Contains(s.Scenario.Input, []byte("secret\x00")) {
			t.Errorf("ran %+v", s.Scenario)
		}
	}
	given, err := (&State{dir: filepath.Join(share, "good")}).List(Queue)
	if err != nil || len(given) != len(stored) {
		t.Errorf("%d of %d scenarios are shared, %v", len(given), len(stored), err)
	}
}

func TestAHalfWrittenScenarioIsTakenWhenItIsWhole(t *testing.T) {
	dir := t.TempDir()
	x, err := OpenShare(dir, "me")
	if err != nil {
		t.Fatal(err)
	}
	sc := Scenario{Argv: []string{"x"}, Stdin: StdinFile, Input: []byte("late")}
	other := stateWith(t, filepath.Join(dir, "other"), map[Folder][]Scenario{Queue: {sc}})
	input := other.Prefix(Queue, sc.ID()) + ".input"
	if err := os.Rename(input, input+"~"); err != nil {
		t.Fatal(err)
	}
	take := func(want int) {
		t.Helper()
		if news, more, err := x.take(); len(news) != want || more || err != nil {
			t.Errorf("took %d, %v, %v, want %d", len(news), more, err, want)
		}
	}
	take(0)
	if err := os.Rename(input+"~", input); err != nil {
		t.Fatal(err)
	}
	take(1)
	take(0)
}

func TestAnExchangeIsBounded(t *testing.T) {
	dir := t.TempDir()
	x, err := OpenShare(dir, "me")
	if err != nil {
		t.Fatal(err)
	}
	var many []Scenario
	for i := range maxTaken + 10 {
		many = append(many, Scenario{Argv: []string{"x", fmt.Sprint(i)}, Stdin: StdinNull})
	}
	stateWith(t, filepath.Join(dir, "other"), map[Folder][]Scenario{Queue: many})
	if news, more, err := x.take(); len(news) != maxTaken || !more || err != nil {
		t.Errorf("first %d, %v, %v", len(news), more, err)
	}
	if news, more, err := x.take(); len(news) != 10 || more || err != nil {
		t.Errorf("then %d, %v, %v", len(news), more, err)
	}
}

func TestAnInstanceIsNoPath(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"", ".", "..", "a/b", "../x", ".hidden", "-x", "a b", "a\x00"} {
		if _, err := OpenShare(dir, name); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("there are %v, %v", entries, err)
	}
	o := options(t, synthetic{})
	var err error
	if o.Share, err = OpenShare(dir, "host.example-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("a share without a state was taken")
	}
}

// Without a share nothing reads a clock; with one, a session does not stop before
// it has asked the others.
func TestSaturationAsksTheOthersFirst(t *testing.T) {
	root := t.TempDir()
	share := filepath.Join(root, "share")
	o, err := member(t, share, filepath.Join(root, "one"), 0)
	if err != nil {
		t.Fatal(err)
	}
	o.Execs, o.Confidence = 0, 0.01
	last := Scenario{Argv: target("@@"), Stdin: StdinNull, Input: []byte("secret 1")}
	hidden := false
	o.NewExecutor = func(int) (Executor, error) {
		return &late{keeper{synthetic{t: t}}, func(run uint64) {
			if run == 500 { // it comes when the first exchange is long over
				stateWith(t, filepath.Join(share, "two"), map[Folder][]Scenario{Queue: {last}})
				hidden = true
			}
		}}, nil
	}
	out := run(t, o)
	if !hidden || out.Stop != StopSaturated || !observed(out)[id(201)] || slices.Contains(out.Unstable, id(201)) {
		t.Errorf("stop %v after %d runs, observed %v, unstable %v", out.Stop, out.Stats.Runs, observed(out), out.Unstable)
	}
	if out.Stats.Chance >= o.Confidence {
		t.Errorf("saturated with a chance of %v", out.Stats.Chance)
	}
}

type late struct {
	keeper
	before func(run uint64)
}

func (l *late) Run(ctx context.Context, s *Scenario) (*Result, error) {
	l.before(l.runs + 1)
	return l.keeper.Run(ctx, s)
}
