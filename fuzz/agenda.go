package fuzz

import "slices"

// agenda hands out the planned runs: those that come before all draws in their order, then the
// late ones, kind by kind in turns. How many kinds there are of which more than a session can
// make depends on the program; so no kind waits until another is done, and one whose runs
// show something new gets more turns. Which run comes next depends on what the runs before it have shown, and on no clock.
type agenda struct {
	plan     []planned
	next     int        // of the early ones
	at, end  [ranks]int // of the late ones, of each kind
	taken    []bool     // of plan
	words    fair       // among the kinds of late ones that vary nothing but words and inputs
	around   fair       // among the others
	refusals            // of the target, for which some are left out
	stages   stages
	unheard  []int   // what is left of runs, said next
	leading  []int   // others that come before all draws, too: late ones, and what is to be said once more
	open     bool    // which these are
	staged   []int   // of rankStages
	starts   []start // worth to begin draws with
}

func newAgenda(plan []planned, r refusals) agenda {
	a := agenda{plan: plan, taken: make([]bool, len(plan)), words: newFair(prospects[:]), around: newFair(prospects[:]), refusals: r}
	for i, p := range plan {
		if p.leads() {
			a.open = true
		}
		if p.early {
			continue
		}
		if a.end[p.rank] == 0 {
			a.at[p.rank] = i
		}
		a.end[p.rank] = i + 1
	}
	return a
}

// early reports whether a run that comes before all draws is left.
func (a *agenda) early() bool {
	return a.first() || a.open || len(a.unheard)+len(a.leading) > 0
}

// first reports whether one of those is left that come before anything is known of the program.
func (a *agenda) first() bool { return a.next < len(a.plan) && a.plan[a.next].early }

// leads reports whether the run may be one of those that are made soon.
func (p *planned) leads() bool {
	return !p.early && p.stage != (stage{}) && p.guess == "" && p.rank != rankSpellings
}

// lead chooses those runs that try each option once, where that shows most, and what draws may begin with, too.
func (a *agenda) lead() {
	a.open = false
	best := a.stages.best(a.settled)
	a.starts = a.stages.starts()
	for n, st := range best {
		for i, p := range a.plan {
			switch {
			case !p.leads() || p.stage != st:
			case n == 0:
				a.leading = append(a.leading, i)
			default:
				a.staged = append(a.staged, i)
			}
		}
	}
}

// ready reports whether a late run of the kind may be made now.
func (a *agenda) ready(r rank) bool {
	for r == rankStages && len(a.staged) > 0 {
		if !a.taken[a.staged[0]] {
			return true
		}
		a.staged = a.staged[1:]
	}
	for a.at[r] < a.end[r] && (a.taken[a.at[r]] || a.refused(a.plan[a.at[r]].guess)) {
		a.at[r]++
	}
	if r == rankGuessedMore && a.ready(rankGuessed) { // which may spare it
		return false
	}
	return a.at[r] < a.end[r]
}

// late reports whether a late run is left that changes what is around the program, or one that does not.
func (a *agenda) late(around bool) bool {
	for r := range ranks {
		if r.around() == around && a.ready(r) {
			return true
		}
	}
	return false
}

// over reports whether no run is left.
func (a *agenda) over() bool { return !a.early() && !a.late(false) && !a.late(true) }

// take is the next run, of the late ones one of those; there must be one.
func (a *agenda) take(around bool) planned {
	if !a.first() && a.open {
		a.lead()
	}
	i, as := a.next, rankBase
	switch {
	case len(a.unheard) > 0:
		i = a.unheard[0]
		a.unheard = a.unheard[1:]
	case a.first():
		a.next++
	case len(a.leading) > 0:
		i = a.leading[0]
		a.leading = a.leading[1:]
	default:
		as = rank(a.fair(around).pick(func(i int) bool { return rank(i).around() == around && a.ready(rank(i)) }))
		if i = a.at[as]; as == rankStages {
			i = a.staged[0]
		}
	}
	a.taken[i] = true
	p := a.plan[i]
	if as == rankStages {
		p.rank = as
	}
	return p
}

// sayOn plans what a service that has ended did not hear in the run of a turn: next, for most of what there is to say to it
// may stand behind one word that ends it. The run is not done before. Where nothing at all was heard, all is said once more
// when the other early runs are made, and not again; and not where more is tried than what is said: with an option the program
// may well be none that listens. A service of one connection ends after each talk: what it has not heard after some runs is left
// to draws, which else would wait for all of it.
func (a *agenda) sayOn(turn int, acts []Act) {
	i := slices.IndexFunc(a.plan, func(p planned) bool { return p.turn == turn })
	p := &a.plan[i]
	whole := len(acts) == len(p.s.Acts)
	if whole && (p.again || p.rank != rankTalks && p.rank != rankFavoured) {
		return
	}
	const enough = 8
	if p.saidOn++; p.saidOn > enough {
		return
	}
	p.again, p.s.Acts = whole, acts
	a.taken[i] = false
	if whole {
		a.leading = append(a.leading, i)
	} else {
		a.unheard = append(a.unheard, i)
	}
}

func (a *agenda) fair(around bool) *fair {
	if around {
		return &a.around
	}
	return &a.words
}

// phase is that of the next run, as far as that can be told, of draws where none is left.
func (a *agenda) phase() Phase {
	switch {
	case len(a.unheard) > 0:
		return a.plan[a.unheard[0]].phase
	case a.first():
		return a.plan[a.next].phase
	case len(a.leading) > 0:
		return a.plan[a.leading[0]].phase
	}
	for r := range ranks {
		if a.ready(r) {
			return a.plan[a.at[r]].phase
		}
	}
	return PhaseExplore
}

// left are the runs that were not taken.
func (a *agenda) left(yield func(planned) bool) {
	for i, p := range a.plan {
		if a.taken[i] || a.refused(p.guess) {
			continue
		}
		if !yield(p) {
			return
		}
	}
}

// fair gives turns to several by their shares: half of that is what was expected of each, and half
// what its turns have gained. Shares are of those that are ready, and none of these starves.
type fair struct {
	expected, tries, gains, credit []float64
}

func newFair(expected []float64) fair {
	n := len(expected)
	return fair{expected, make([]float64, n), make([]float64, n), make([]float64, n)}
}

// pick says whose turn it is: of those that are ready, at least one, the one that is most behind its share.
func (f *fair) pick(ready func(int) bool) int {
	const debt = 64
	best := -1
	now := shares(f.expected, f.tries, f.gains, ready)
	for i, share := range now {
		if share == 0 {
			continue
		}
		if f.credit[i] += share; best < 0 || f.credit[i] > f.credit[best] {
			best = i
		}
	}
	for i, share := range now { // nobody saves turns while there is nothing to do, or owes many
		if share == 0 {
			f.credit[i] = min(f.credit[i], f.credit[best])
		} else {
			f.credit[i] = max(f.credit[i], f.credit[best]-debt)
		}
	}
	f.credit[best]--
	return best
}

// spend books what a turn has cost, in those that are usual, and gained. Shares are of what all costs: who has had a
// dear turn waits until the others have had as much. What was long ago counts less.
func (f *fair) spend(i int, cost, gain float64) {
	const memory = 1024
	f.credit[i] -= cost - 1
	f.tries[i] += cost
	f.gains[i] += gain
	sum := 0.0
	for _, n := range f.tries {
		sum += n
	}
	if sum > memory {
		for i := range f.tries {
			f.tries[i] /= 2
			f.gains[i] /= 2
		}
	}
}

// shares sum to 1 over those that are ready. With few tries a share is near what is expected of one among equals.
func shares(expected, tries, gains []float64, ready func(int) bool) []float64 {
	const floors = 0.5 // of all together
	out := make([]float64, len(expected))
	sum, floor := 0.0, 0.0
	for i := range out {
		if ready(i) {
			floor += expected[i]
			out[i] = (gains[i] + 1) / (tries[i] + 50)
			sum += out[i]
		}
	}
	for i := range out {
		if ready(i) {
			out[i] = floors*expected[i]/floor + (1-floors)*out[i]/sum
		}
	}
	return out
}
