package fuzz

import (
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// To start and to end a service takes as long as a hundred messages. So most of what is drawn is said to one that
// runs already: a draw is one life with many talks in it. What a life was the first to show is then sought in the talk
// in which it was seen, see Result.Shown.

// The acts of a drawn life, about.
const (
	longLife = 192       // at most
	much     = 128 << 10 // bytes, more than which are not added to
	carried  = 24        // of the life that it begins with
)

// deed is what an act does, whoever does it.
type deed struct {
	do     Deed
	signal syscall.Signal
	data   string
}

func deedOf(a *Act) deed { return deed{a.Do, a.Signal, string(a.Data[:min(len(a.Data), 256)])} }

// fate is how often an act was begun, and how often it was the last one, though others were to follow.
type fate struct{ begun, last int }

// outlive books which acts a service has outlived. What ends it is best said last.
func (c *corpus) outlive(s *Scenario, r *Result) {
	const most = 1 << 12
	begun := min(r.Acts, len(s.Acts))
	for i := range s.Acts[:begun] {
		key := deedOf(&s.Acts[i])
		f, known := c.fates[key]
		if !known && len(c.fates) >= most {
			continue
		}
		f.begun++
		if i == begun-1 && begun < len(s.Acts) {
			f.last++
		}
		c.fates[key] = f
		if ends := 2*f.last >= f.begun; ends != c.endings[key] {
			c.endings = maps.Clone(c.endings)
			if ends {
				c.endings[key] = true
			} else {
				delete(c.endings, key)
			}
		}
	}
}

// live makes acts a life of at most so many acts, with talks that are known. What ends a service comes last mostly.
func live(r *rand.Rand, acts []Act, most int, known [][]Act, change func([]byte) []byte, ends map[deed]bool) []Act {
	for most = min(most, MaxActs-1); len(acts) < most && sent(acts) < much; {
		talk := one(r, known)
		if r.IntN(4) != 0 {
			talk = drawAct(r, slices.Clone(talk), known, change)
		}
		talk = renumbered(talk, uint8(r.IntN(4)))
		if to := talk0(talk); to != nil && r.IntN(2) == 0 { // on a connection of its own
			acts = append(acts, Act{Do: DeedLeave, To: to.To, Client: to.Client})
		}
		acts = append(acts, talk...)
	}
	return endLast(r, acts, ends)
}

// lives puts talks into few lives, one after the other. Whoever has talked leaves before the next one comes; a talk that has
// no room for that has a life of its own.
func lives(talks [][]Act) (out [][]Act) {
	left := false // whoever has talked in the last one
	for _, t := range talks {
		last, before := len(out)-1, left
		leave := partings(t)
		if left = len(t)+len(leave) <= MaxActs; left {
			t = slices.Concat(t, leave)
		}
		if !before || !left || len(out[last])+len(t) > longLife || sent(out[last])+sent(t) > much {
			out = append(out, t)
			continue
		}
		out[last] = append(out[last], t...)
	}
	return out
}

// partings close what connections acts leave open.
func partings(acts []Act) (out []Act) {
	for i := range acts {
		a := &acts[i]
		if !a.Do.connected() {
			continue
		}
		out = slices.DeleteFunc(out, func(o Act) bool { return o.Client == a.Client })
		if a.Do != DeedLeave && a.Do != DeedReset {
			out = append(out, Act{Do: DeedLeave, To: a.To, Client: a.Client})
		}
	}
	slices.SortFunc(out, func(a, b Act) int { return int(a.Client) - int(b.Client) })
	return out
}

// unsaid are the acts of those talks of a life that did not begin, as the service has ended before: all of them where it was
// not ready in time. A talk begins where nobody is connected.
func unsaid(acts []Act, begun int) []Act {
	for i := begun; i < len(acts); i++ {
		if len(partings(acts[:i])) == 0 {
			return acts[i:]
		}
	}
	return nil
}

// talk0 is the first act on a connection.
func talk0(acts []Act) *Act {
	for i := range acts {
		if acts[i].Do.connected() {
			return &acts[i]
		}
	}
	return nil
}

// endLast moves the last act that ends a service to the end, and leaves out the others of that kind.
func endLast(r *rand.Rand, acts []Act, ends map[deed]bool) []Act {
	var last *Act
	out := make([]Act, 0, len(acts)+1)
	for i := range acts {
		a := &acts[i]
		if (ends[deedOf(a)] || a.Do == DeedSignal && slices.Contains(endings, a.Signal)) && r.IntN(8) != 0 {
			last = a
			continue
		}
		out = append(out, *a)
	}
	if last != nil {
		return append(out, *last)
	}
	return out
}

// cutShort makes most services that nobody tells to end, end at once: to end by itself takes many a service the longest, and is always the same.
func cutShort(r *rand.Rand, acts []Act) []Act {
	if n := len(acts); n == 0 || acts[n-1].Do == DeedSignal || r.IntN(4) == 0 {
		return acts
	}
	return killed(acts)
}

// excerpt is some of the acts of a long life, one after the other.
func excerpt(r *rand.Rand, acts []Act) []Act {
	if len(acts) <= carried {
		return slices.Clone(acts)
	}
	from := r.IntN(len(acts) - carried + 1)
	return slices.Clone(acts[from : from+carried])
}

// shortened is the least of a life that shows what was seen by the act at an index: that act alone, what was said on its
// connection up to it, or else all up to it. None of these waits for an end of its own. It reports false where the
// whole life is needed.
func shortened(s Scenario, by int, shows func(*Scenario) bool) (Scenario, bool) {
	if by >= len(s.Acts) || s.Types() {
		return s, false
	}
	lives := [][]Act{nil}
	if by >= 0 {
		lives = [][]Act{s.Acts[by : by+1], connectionOf(s.Acts, by), s.Acts[:by+1]}
	}
	for _, acts := range lives {
		shorter := s
		shorter.Acts = killed(acts)
		if shows(&shorter) {
			return shorter, true
		}
	}
	return s, false
}

// killed makes acts end at once, where there is room for that: many a service takes long to end by itself.
func killed(acts []Act) []Act {
	if isKilled(acts) || len(acts) >= MaxActs {
		return acts
	}
	return append(slices.Clone(acts), send(unix.SIGKILL))
}

func isKilled(acts []Act) bool {
	return len(acts) > 0 && acts[len(acts)-1].Signal == unix.SIGKILL
}

// connectionOf are the acts on the connection of one act, from its beginning up to that act.
func connectionOf(acts []Act, at int) (out []Act) {
	if a := &acts[at]; !a.Do.connected() {
		return acts[at : at+1]
	}
	for i := range acts[:at+1] {
		a := &acts[i]
		if a.Client != acts[at].Client || !a.Do.connected() {
			continue
		}
		out = append(out, *a)
		if i < at && (a.Do == DeedLeave || a.Do == DeedReset) {
			out = nil
		}
	}
	return out
}
