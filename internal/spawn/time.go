package spawn

import "time"

// looks is how often a running target's CPU time is looked at within its limit.
const looks = 4

// patience is how many times its limit a target may take by the clock.
const patience = 4

// timekeeper decides when a target has had its time. The zero value never does.
type timekeeper struct {
	l         Limits
	end, look time.Time     // when the wait ends in any case, and when to look again
	first     time.Duration // Limits.Used at the beginning
	last      time.Duration // and at the last look
	idle      int           // looks in a row at which it had hardly grown
}

func newTimer(l Limits) *timekeeper {
	t := &timekeeper{l: l}
	if l.Timeout <= 0 {
		return t
	}
	now := time.Now()
	t.end = now.Add(l.Timeout)
	t.look = t.end
	if l.Used != nil {
		t.end = now.Add(patience * l.Timeout)
		t.look = now.Add(l.Timeout / looks)
		if !l.FromStart {
			t.first = l.Used()
		}
		t.last = t.first
	}
	return t
}

// next is how long to wait until over is to be asked, in milliseconds for poll(2).
func (t *timekeeper) next() int {
	if t.look.IsZero() {
		return -1
	}
	return int((max(0, time.Until(t.look)) + time.Millisecond - 1) / time.Millisecond)
}

// over reports whether the time is up.
func (t *timekeeper) over() bool {
	now := time.Now()
	if t.look.IsZero() {
		return false
	}
	if !now.Before(t.end) {
		return true
	}
	if now.Before(t.look) {
		return false
	}
	step := t.l.Timeout / looks
	t.look = now.Add(step)
	used := t.l.Used()
	// Whatever can run gets a share of the processor, even where many want it.
	if used-t.last < step/200 {
		t.idle++
	} else {
		t.idle = 0
	}
	t.last = used
	return used-t.first >= t.l.Timeout || t.idle >= looks
}
