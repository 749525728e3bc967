package notify

import (
	"slices"
	"strconv"

	"github.com/tjfuzz/tjfuzz/enforce/denial"
)

// Event is the call as far as it can be read of its caller, for people and logs. It is
// read once, so the first call of Event should come while the caller waits.
func (c *Call) Event() denial.Event {
	c.once.Do(func() { c.event = c.readEvent() })
	return c.event
}

func (c *Call) readEvent() denial.Event {
	e := denial.Event{ID: c.ID, Args: c.Args, TID: c.TID, Count: 1}
	if c.TID == 0 {
		return e
	}
	for arg, s := range c.Texts() {
		const most = 256
		e.Texts = append(e.Texts, denial.Text{Arg: arg, Bytes: s[:min(len(s), most)], Cut: len(s) > most})
	}
	slices.SortFunc(e.Texts, func(a, b denial.Text) int { return a.Arg - b.Arg })
	if pointer, _, has := addressArgs(c.ID); has {
		if a, ok := c.Address(); ok && a != "none" {
			e.Texts = append(e.Texts, denial.Text{Arg: pointer, Bytes: a, Literal: true})
		}
	}
	e.PID, e.Comm = c.Process()
	return e
}

// printable escapes what a terminal would obey.
func printable(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
