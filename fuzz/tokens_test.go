package fuzz

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// lock is a target that tells what it looks for, as the first run with some input does, and
// makes a syscall where it finds it.
type lock struct{ told bool }

const secret = "Xw7&zQ"

func (l *lock) Run(_ context.Context, s *Scenario) (*Result, error) {
	r := &Result{Seen: []sysno.ID{id(0)}}
	if len(s.Input) > 0 && !l.told {
		l.told, r.Words = true, [][]byte{[]byte(secret), nil, []byte(secret)}
	}
	if bytes.Contains(s.Input, []byte(secret)) {
		r.Seen = append(r.Seen, id(41))
	}
	return r, nil
}

func (*lock) Close() error { return nil }

func TestWhatTheTargetLooksForIsInWhatItGets(t *testing.T) {
	o := Options{
		Bases: []Scenario{{Argv: []string{"target"}}}, Seeds: []Seed{{Data: []byte("some text")}}, Only: []string{"bytes"},
		NewExecutor: func(int) (Executor, error) { return &lock{}, nil }, Execs: 3000, Seed: 1,
	}
	out, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(out.Found, func(f Found) bool { return f.ID == id(41) }) {
		t.Error("the secret was told, and not found")
	}
}

func TestTokensThatRunsShowAreFew(t *testing.T) {
	o := &Options{Dictionary: mutate.Dictionary{[]byte("known")}}
	c := newCorpus(o, nil)
	c.heed([][]byte{[]byte("known"), []byte("new"), []byte("new"), nil})
	c.heed([][]byte{[]byte("new")})
	if len(c.tokens) != 1 || string(c.tokens[0]) != "new" {
		t.Errorf("got %q, want one new token", c.tokens)
	}
	for n := range 2 * maxTokens {
		c.heed([][]byte{fmt.Append(nil, "token ", n)})
	}
	if len(c.tokens) != maxTokens {
		t.Errorf("%d tokens, want %d", len(c.tokens), maxTokens)
	}
}
