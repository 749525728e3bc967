package launch

import "github.com/tjfuzz/tjfuzz/internal/sysno"

// Teller is a Watcher that knows what a run has shown before it has ended.
type Teller interface {
	Watcher
	SoFar() []sysno.ID // as Seen, of what has come to rest; called from any goroutine
}

// course is in which order a service showed its syscalls: by which act each was seen first. A nil
// course knows nothing.
type course struct {
	watch Teller
	first map[sysno.ID]int
}

func newCourse(watch Watcher) *course {
	t, ok := watch.(Teller)
	if !ok {
		return nil
	}
	return &course{t, make(map[sysno.ID]int)}
}

// rested is told that the service rests after an act. It is not called concurrently.
func (c *course) rested(act int) {
	if c == nil {
		return
	}
	for _, id := range c.watch.SoFar() {
		if _, known := c.first[id]; !known {
			c.first[id] = act
		}
	}
}

// of is by which act each syscall was first seen, where so many of all were begun. What came when all
// were done has their number.
func (c *course) of(seen []sysno.ID, begun, all int) []int {
	if c == nil {
		return nil
	}
	last := begun
	if begun < all { // in that one it has ended
		last--
	}
	shown := make([]int, len(seen))
	for i, id := range seen {
		act, known := c.first[id]
		if !known {
			act = last
		}
		shown[i] = act
	}
	return shown
}
