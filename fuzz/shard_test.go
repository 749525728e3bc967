package fuzz

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// divided are options of which the plan has runs of all kinds, guesses among them.
func divided(t *testing.T, s Shard) Options {
	o := options(t, synthetic{})
	o.Table.Options = append(o.Table.Options,
		mutate.Option{Name: "--perhaps", Arity: mutate.NoValue, Guessed: true}, mutate.Option{Name: "--maybe", Arity: mutate.NoValue, Guessed: true})
	o.Shard = s
	return o
}

func TestShardsMakeEachPlannedRunOnce(t *testing.T) {
	whole := begun(t, divided(t, Shard{})).agenda.plan
	for _, of := range []int{1, 2, 3, 4, 8} {
		made := map[string]int{}
		for i := range of {
			part := begun(t, divided(t, Shard{i, of})).agenda.plan
			if least := len(whole) / of / 2; len(part) < least {
				t.Errorf("shard %d of %d makes %d of %d runs", i, of, len(part), len(whole))
			}
			for j, p := range part {
				made[p.s.ID()]++
				if p.turn != j+1 {
					t.Fatalf("shard %d of %d: the run with the number %d is in the place %d", i, of, p.turn, j+1)
				}
			}
		}
		common := 0
		for _, p := range whole {
			switch n := made[p.s.ID()]; {
			case n == of && of > 1:
				common++
			case n != 1:
				t.Errorf("of %d shards %d make %s", of, n, p.s.Command(""))
			}
			delete(made, p.s.ID())
		}
		if len(made) > 0 {
			t.Errorf("%d shards make %d runs that are not in the plan", of, len(made))
		}
		if common > 8 {
			t.Errorf("%d runs are made by all of %d shards", common, of)
		}
	}
}

// What is refused is known to the shard that would build on it.
func TestAllThatIsTriedOfAGuessIsInOneShard(t *testing.T) {
	const of = 3
	for _, guess := range []string{"--perhaps", "--maybe"} {
		var in []int
		for i := range of {
			if slices.ContainsFunc(begun(t, divided(t, Shard{i, of})).agenda.plan, func(p planned) bool { return p.guess == guess || p.trial.word == guess }) {
				in = append(in, i)
			}
		}
		if len(in) != 1 {
			t.Errorf("%s is tried in the shards %v", guess, in)
		}
	}
}

func TestShardsDrawOtherNumbers(t *testing.T) {
	seen := map[uint64]string{}
	for shard := range 4 {
		for session := range uint64(3) {
			for worker := range 3 {
				is := fmt.Sprint(shard, session, worker)
				n := Shard{shard, 4}.stream(session, worker)
				if other, twice := seen[n]; twice {
					t.Errorf("%s draws the numbers of %s", is, other)
				}
				seen[n] = is
			}
		}
	}
}

func TestAShardThatIsNoneIsRefused(t *testing.T) {
	for _, s := range []Shard{{-1, 2}, {2, 2}, {1, 0}, {0, -1}} {
		o := options(t, synthetic{})
		o.Shard = s
		if err := o.fill(); !mentions(err, "shard") {
			t.Errorf("%v: %v", s, err)
		}
	}
}
