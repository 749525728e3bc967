package mutate

import "bytes"

// phrase is a part of an input that is derived from a symbol.
type phrase struct {
	symbol int
	span
}

// The bounds of parsing: a parse costs much more than a run of most targets.
const (
	maxParsed = 4 << 10
	maxWork   = 1 << 18 // states looked at
)

// state is an alternative of a symbol that has been recognized up to a dot.
type state struct {
	symbol, rule, dot int
	origin            int // where its text begins
}

// how a state came about: from the same one with the dot further left, before, and
// the state that ended there, ended; no state for a text, or for a symbol that stands
// for nothing.
type how struct{ before, ended *entry }

type entry struct {
	state
	how
	end int
}

// parse returns the phrases of one derivation of data, outermost first, in the order
// of the text. It returns nil when data is not of the grammar or too much for it.
//
// It is Earley's algorithm (1970), with the completion of symbols that can be empty
// when they are predicted (Aycock and Horspool, 2002).
func (g *Grammar) parse(data []byte) []phrase {
	if len(data) > maxParsed {
		return nil
	}
	c := chart{g: g, data: data, sets: make([][]*entry, len(data)+1), seen: make([]map[state]bool, len(data)+1)}
	c.predict(0, 0)
	for at := range c.sets {
		for i := 0; i < len(c.sets[at]); i++ { // the set grows meanwhile
			if c.work > maxWork {
				return nil
			}
			c.step(c.sets[at][i], at)
		}
		c.seen[at] = nil
	}
	for _, e := range c.sets[len(data)] {
		if e.symbol == 0 && e.origin == 0 && e.dot == len(g.rules[0][e.rule]) {
			return g.collect(nil, e)
		}
	}
	return nil
}

// chart is a parse in the making: for each place the states that end there.
type chart struct {
	g    *Grammar
	data []byte
	sets [][]*entry
	seen []map[state]bool
	work int
}

func (c *chart) add(s state, h how, end int) {
	c.work++
	if c.seen[end] == nil {
		c.seen[end] = make(map[state]bool)
	}
	if c.seen[end][s] {
		return
	}
	c.seen[end][s] = true
	c.sets[end] = append(c.sets[end], &entry{s, h, end})
}

func (c *chart) predict(symbol, at int) {
	for i := range c.g.rules[symbol] {
		c.add(state{symbol, i, 0, at}, how{}, at)
	}
}

// step goes on from one state: over the text or the symbol behind its dot, or, at its
// end, from the states that waited for its symbol.
func (c *chart) step(e *entry, at int) {
	r := c.g.rules[e.symbol][e.rule]
	if e.dot == len(r) {
		c.work += len(c.sets[e.origin])
		for _, w := range c.sets[e.origin] {
			if r := c.g.rules[w.symbol][w.rule]; w.dot < len(r) && r[w.dot].text == nil && r[w.dot].symbol == e.symbol {
				c.add(w.next(), how{w, e}, at)
			}
		}
		return
	}
	p := r[e.dot]
	if p.text != nil {
		if bytes.HasPrefix(c.data[at:], p.text) {
			c.add(e.next(), how{e, nil}, at+len(p.text))
		}
		return
	}
	c.predict(p.symbol, at)
	if c.g.empty[p.symbol] {
		c.add(e.next(), how{e, nil}, at)
	}
}

// next is the state with the dot one further.
func (s state) next() state {
	s.dot++
	return s
}

// collect appends the phrase of an ended state and those in it.
func (g *Grammar) collect(out []phrase, e *entry) []phrase {
	out = append(out, phrase{e.symbol, span{e.origin, e.end}})
	var inner []*entry // right to left
	for ; e.dot > 0; e = e.before {
		if e.ended != nil {
			inner = append(inner, e.ended)
		}
	}
	for i := len(inner) - 1; i >= 0; i-- {
		out = g.collect(out, inner[i])
	}
	return out
}
