package fuzz

import (
	"cmp"
	"fmt"
)

// Shard is the part of the planned runs that a session makes where several divide them: that
// with the number Index, from 0, of Of parts. The zero value is the whole.
type Shard struct{ Index, Of int }

func (s Shard) check() error {
	if s != (Shard{}) && (s.Index < 0 || s.Index >= s.Of) {
		return fmt.Errorf("there is no shard %d of %d", s.Index, s.Of)
	}
	return nil
}

// part are the runs of the whole plan that fall to the shard, counted anew. The command lines of
// the user are in each, for all that follows is held against them; so are the runs that tell what
// an unknown word does, and where the program does most. What is known of a guess decides whether more is tried of it, so all of that
// is in one shard. Nothing else is in two.
func (s Shard) part(whole []planned) []planned {
	if s.Of < 2 {
		return whole
	}
	var out []planned
	units := 0
	unit := make(map[string]int) // of a guess
	for _, p := range whole {
		guess := cmp.Or(p.guess, p.trial.word)
		n, known := unit[guess]
		common := p.phase == PhaseBase || p.bare != (stage{}) || p.trial.setting != settingNone && (guess == "" || guess == unknownWord)
		if !common && !known {
			n = units
			units++
			if guess != "" {
				unit[guess] = n
			}
		}
		if common || n%s.Of == s.Index {
			p.turn = len(out) + 1
			out = append(out, p)
		}
	}
	return out
}

// stream tells the random numbers of a worker from those of all others, in all sessions and shards.
func (s Shard) stream(session uint64, worker int) uint64 {
	return uint64(s.Index)<<48 | session<<32&(1<<48-1) | uint64(worker)
}
