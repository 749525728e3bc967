package mutate

import "math/rand/v2"

// Deriver makes inputs by a grammar. It is used by one goroutine.
type Deriver struct {
	g     *Grammar
	known map[string][]phrase // what was parsed lately
}

// Deriver returns a new one. All that it keeps is a cache.
func (g *Grammar) Deriver() *Deriver { return &Deriver{g: g, known: make(map[string][]phrase)} }

// maxKnown bounds the cache; a full one is thrown away.
const maxKnown = 256

// Close does nothing: a Deriver is memory alone.
func (d *Deriver) Close() error { return nil }

// Mutate returns an input of the grammar of at most limit bytes. When data is one too,
// a part of it is derived anew, or replaced by another part of data or of other that
// is derived from the same symbol; once in eight times, and whenever data is not one,
// all of the result is new. A result that would be too long is replaced by a flatter
// one, and cut off only if even the flattest does not fit.
func (d *Deriver) Mutate(r *rand.Rand, data, other []byte, limit int) ([]byte, error) {
	own := d.phrases(data)
	if len(own) > 0 && r.IntN(8) != 0 {
		for range 4 {
			p := one(r, own)
			if out := splice(data, p.span, d.replacement(r, p, data, own, other)); len(out) <= limit {
				return out, nil
			}
		}
	}
	return d.g.generate(r, 0, limit), nil
}

func splice(data []byte, s span, p []byte) []byte {
	out := make([]byte, 0, len(data)-(s.to-s.from)+len(p))
	return append(append(append(out, data[:s.from]...), p...), data[s.to:]...)
}

// replacement is another derivation of the symbol of p, from own, the phrases of data,
// from those of other, or a new one.
func (d *Deriver) replacement(r *rand.Rand, p phrase, data []byte, own []phrase, other []byte) []byte {
	from, list := data, own
	switch r.IntN(4) {
	case 0:
	case 1:
		from, list = other, d.phrases(other)
	default:
		return d.g.generate(r, p.symbol, MaxInput)
	}
	var same []phrase
	for _, q := range list {
		if q.symbol == p.symbol && (q.from != p.from || q.to != p.to || len(from) != len(data)) {
			same = append(same, q)
		}
	}
	if len(same) == 0 {
		return d.g.generate(r, p.symbol, MaxInput)
	}
	q := one(r, same)
	return from[q.from:q.to]
}

// phrases parses data, which is empty for what is not of the grammar.
func (d *Deriver) phrases(data []byte) []phrase {
	if p, ok := d.known[string(data)]; ok {
		return p
	}
	if len(d.known) >= maxKnown {
		clear(d.known)
	}
	p := d.g.parse(data)
	d.known[string(data)] = p
	return p
}

// generate derives a symbol at random, into at most limit bytes.
func (g *Grammar) generate(r *rand.Rand, symbol, limit int) []byte {
	depth, nodes := g.height[symbol]+1+r.IntN(24), 1<<r.IntN(12)
	for {
		b := derivation{g: g, r: r, nodes: nodes, limit: limit}
		b.derive(symbol, depth)
		if len(b.out) <= limit || nodes == 0 {
			return b.out[:min(len(b.out), limit)]
		}
		nodes /= 2
		depth = g.height[symbol] + (depth-g.height[symbol])/2
	}
}

// excess bounds how many symbols are derived when no more should be: the flattest tree
// of a small grammar can be huge.
const excess = 1 << 16

// derivation is a text in the making. When nodes are used up, only the flattest
// alternatives are taken; when the text has grown beyond limit, it ends where it is.
type derivation struct {
	g     *Grammar
	r     *rand.Rand
	out   []byte
	nodes int
	limit int
}

func (b *derivation) derive(symbol, depth int) {
	rules := b.g.rules[symbol]
	if b.nodes--; b.nodes < 0 {
		depth = 0
	}
	if len(b.out) > b.limit || b.nodes < -excess {
		return
	}
	depth = max(depth, b.g.height[symbol])
	var fit, branching []rule
	for _, r := range rules {
		if h := b.g.ruleHeight(r); h < depth {
			if fit = append(fit, r); h > 0 {
				branching = append(branching, r)
			}
		}
	}
	if len(branching) > 0 && b.r.IntN(2) == 0 {
		fit = branching // else most trees were flat
	}
	for _, p := range one(b.r, fit) { // the flattest alternative always fits
		if p.text != nil {
			b.out = append(b.out, p.text...)
		} else {
			b.derive(p.symbol, depth-1)
		}
	}
}
