package fuzz

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// stamp is a Mutator that makes inputs which nothing else makes.
type stamp struct {
	size   int
	fail   error
	calls  int
	closed int
}

func (s *stamp) Mutate(r *rand.Rand, data, other []byte, limit int) ([]byte, error) {
	s.calls++
	if s.fail != nil && s.calls == 3 {
		return nil, s.fail
	}
	return bytes.Repeat([]byte("made by the plug-in "), 1+s.size/20), nil
}

func (s *stamp) Close() error { s.closed++; return nil }

// seeing is an Executor that counts the inputs which hold a text.
type seeing struct {
	text       string
	with, runs int
}

func (s *seeing) Run(_ context.Context, sc *Scenario) (*Result, error) {
	s.runs++
	if strings.Contains(string(sc.Input), s.text) {
		s.with++
	}
	return &Result{}, nil
}

func (s *seeing) Close() error { return nil }

func TestAPlugInMakesInputsAndIsClosed(t *testing.T) {
	e, m := &seeing{text: "made by the plug-in"}, &stamp{}
	o := Options{
		Bases: []Scenario{{Argv: []string{"t"}}}, Seed: 1, Execs: 2000,
		NewExecutor: func(int) (Executor, error) { return e, nil },
		NewMutator:  func(int) (Mutator, error) { return m, nil },
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if e.with < 50 || e.with > e.runs/2 {
		t.Errorf("%d of %d inputs were made by the plug-in", e.with, e.runs)
	}
	if m.closed != 1 {
		t.Errorf("closed %d times", m.closed)
	}
}

func TestAPlugInThatFailsEndsTheSession(t *testing.T) {
	broken := errors.New("no more")
	for name, c := range map[string]struct {
		m    *stamp
		want string
	}{
		"error":    {&stamp{fail: broken}, "mutate an input: no more"},
		"too long": {&stamp{size: 1 << 20}, "at most 65536 were asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{
				Bases: []Scenario{{Argv: []string{"t"}}}, Seed: 1, Execs: 2000,
				NewExecutor: func(int) (Executor, error) { return &seeing{}, nil },
				NewMutator:  func(int) (Mutator, error) { return c.m, nil },
			}
			_, err := Run(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if c.m.closed != 1 {
				t.Errorf("closed %d times", c.m.closed)
			}
		})
	}
	o := Options{
		Bases: []Scenario{{Argv: []string{"t"}}}, Execs: 10,
		NewExecutor: func(int) (Executor, error) { return &seeing{}, nil },
		NewMutator:  func(int) (Mutator, error) { return nil, broken },
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, broken) {
		t.Errorf("one that does not start: %v", err)
	}
}
