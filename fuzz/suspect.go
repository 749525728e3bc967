package fuzz

import (
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// suspect counts how runs with one word on the command line ended.
type suspect struct{ uses, hangs uint64 }

// blame books how a run ended for the words of its command line. A word is
// banned, as far as draws are concerned, when it was in three timeouts, in most
// of its runs, and clearly more often than runs time out anyway: every run of a
// server does.
func (c *corpus) blame(s *Scenario, hung bool) {
	c.runs++
	if hung {
		c.hung++
	}
	for _, w := range c.added(s) {
		u := c.suspects[w]
		if u == nil {
			if !hung || len(c.suspects) >= maxSuspects {
				continue // a word is watched from its first timeout on
			}
			u = &suspect{}
			c.suspects[w] = u
		}
		u.uses++
		if hung {
			u.hangs++
		}
		rate := float64(u.hangs) / float64(u.uses)
		usual := float64(c.hung) / float64(c.runs)
		if guilty := u.hangs >= 3 && rate >= 0.5 && rate > 2*usual; guilty && !c.banned[w] {
			next := map[string]bool{w: true}
			for old := range c.banned {
				next[old] = true
			}
			c.banned = next
		}
	}
}

// added are the words that mutation put on the command line, an option without
// its value: sorted, without duplicates.
func (c *corpus) added(s *Scenario) []string {
	var out []string
	for _, w := range s.Argv[min(c.o.Fixed, len(s.Argv)):] {
		given := slices.ContainsFunc(c.o.Bases, func(b Scenario) bool { return slices.Contains(b.Argv, w) })
		if w != mutate.Input && !given {
			out = append(out, wordKey(w))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wordKey is the word itself, or the name of the option that it spells.
func wordKey(w string) string {
	if strings.HasPrefix(w, "-") {
		w, _, _ = strings.Cut(w, "=")
	}
	return w[:min(len(w), 64)]
}
