package fuzz

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// minimize returns a smaller scenario for which shows is true, or s, for which
// the caller knows it to be. In this order it wants: the usual world, little done to a service, nothing before, no files, default
// environment, fewest arguments after the first fixed ones, smallest input, no
// standard input, short arguments. It stops when no single removal is possible any
// more, or after tries calls of shows. It is a pure function around its
// predicate and does not change s.
func minimize(s Scenario, fixed, tries int, shows func(*Scenario) bool) Scenario {
	m := minimizer{best: s, fixed: fixed, tries: tries, shows: shows}
	for m.progress = true; m.progress && m.tries > 0; {
		m.progress = false
		m.world()
		m.acts()
		m.steps()
		m.files()
		m.env()
		m.args()
		m.input()
		m.stdin()
		m.words()
	}
	return m.best
}

type minimizer struct {
	best     Scenario
	fixed    int
	tries    int
	progress bool
	shows    func(*Scenario) bool
}

// try makes the changed copy the best one if it still shows.
func (m *minimizer) try(change func(*Scenario)) bool {
	if m.tries <= 0 {
		return false
	}
	m.tries--
	candidate := m.best
	change(&candidate)
	candidate.settle()
	if !m.shows(&candidate) {
		return false
	}
	m.best, m.progress = candidate, true
	return true
}

// world tries the usual in everything, then one thing after the other.
func (m *minimizer) world() {
	if n := len(m.best.world()); n == 0 || n > 1 && m.try(func(s *Scenario) { s.World, s.Files = World{}, plainFiles(s.Files) }) {
		return
	}
	usual := func(varied bool, change func(*Scenario)) {
		if varied {
			m.try(change)
		}
	}
	w := &m.best.World
	usual(w.Stdout != OutputFile, func(s *Scenario) { s.World.Stdout = OutputFile })
	usual(w.Stderr != OutputFile, func(s *Scenario) { s.World.Stderr = OutputFile })
	usual(w.Input != FileRegular, func(s *Scenario) { s.World.Input = FileRegular })
	for i := len(w.Faults) - 1; i >= 0; i-- {
		m.try(func(s *Scenario) { s.World.Faults = without(s.World.Faults, i, i+1) })
	}
	for i := len(w.Limits) - 1; i >= 0; i-- {
		m.try(func(s *Scenario) { s.World.Limits = without(s.World.Limits, i, i+1) })
	}
	usual(w.User != UserSame, func(s *Scenario) { s.World.User = UserSame })
	usual(w.Interruption != (Interruption{}), func(s *Scenario) { s.World.Interruption = Interruption{} })
	usual(w.Call != (Call{}), func(s *Scenario) { s.World.Call = Call{} })
	usual(w.Call.At > OccasionMain, func(s *Scenario) { s.World.Call.At = OccasionMain })
	usual(w.Clock != ClockHost, func(s *Scenario) { s.World.Clock = ClockHost })
	usual(w.Times != TimesMade, func(s *Scenario) { s.World.Times = TimesMade })
	m.peers()
	usual(w.Kernel != KernelHost, func(s *Scenario) { s.World.Kernel = KernelHost })
	for i := range m.best.Files {
		usual(m.best.Files[i].Kind != FileRegular, func(s *Scenario) {
			s.Files = slices.Clone(s.Files)
			s.Files[i].Kind = FileRegular
		})
	}
}

// peers tries none, then proper ones, then what is usual in one thing after the other.
func (m *minimizer) peers() {
	if m.best.World.Peers == (Peers{}) || m.try(func(s *Scenario) { s.World.Peers = Peers{} }) {
		return
	}
	proper := Peers{Conduct: ConductProper}
	if m.best.World.Peers == proper || m.try(func(s *Scenario) { s.World.Peers = proper }) {
		return
	}
	if p := m.best.World.Peers; p.Conduct != ConductProper {
		m.try(func(s *Scenario) { s.World.Peers.Conduct = ConductProper })
	}
	if p := m.best.World.Peers; p.Names != NamesFound {
		m.try(func(s *Scenario) { s.World.Peers.Names = NamesFound })
	}
	if p := m.best.World.Peers; p.Trust != TrustGood {
		m.try(func(s *Scenario) { s.World.Peers.Trust = TrustGood })
	}
	if p := m.best.World.Peers; p.Reply != ReplyDone {
		m.try(func(s *Scenario) { s.World.Peers.Reply = ReplyDone })
	}
}

// shrink drops the half of a list, then quarters and so on: from the end, and nothing
// before the index from.
func (m *minimizer) shrink(from int, length func() int, drop func(s *Scenario, from, to int)) {
	for size := (length() - from + 1) / 2; size > 0 && m.tries > 0; size /= 2 {
		for to := length(); to > from && m.tries > 0; to -= size {
			m.try(func(s *Scenario) { drop(s, max(to-size, from), to) })
		}
	}
}

// acts tries none but that the service is told to end, then fewer, then less of each: a service that
// nobody tells to end takes its whole time. That it is killed is kept, for that is the quickest end.
func (m *minimizer) acts() {
	alone, end := []Act{ending()}, 0
	switch {
	case m.best.Types():
		alone = glance()
	case isKilled(m.best.Acts):
		alone, end = killed(nil), 1
	}
	if len(m.best.Acts) == 0 || len(m.best.Acts) == 1 && m.best.Acts[0].Do == alone[0].Do {
		return
	}
	if m.try(func(s *Scenario) { s.Acts = alone }) {
		return
	}
	m.shrink(0, func() int { return len(m.best.Acts) - end }, func(s *Scenario, from, to int) {
		if s.Acts = without(s.Acts, from, to); len(s.Acts) == 0 {
			s.Acts = alone
		}
	})
	for i := range m.best.Acts {
		less := func(change func(*Act)) bool {
			return m.try(func(s *Scenario) {
				s.Acts = slices.Clone(s.Acts)
				change(&s.Acts[i])
			})
		}
		if a := &m.best.Acts[i]; a.Do == DeedDrip || a.Do == DeedShout || a.Do == DeedCrowd {
			less(func(a *Act) { a.Do, a.Client, a.Times = DeedSend, max(1, a.Client), 0 })
		}
		if m.best.Acts[i].Times > 0 && !less(func(a *Act) { a.Times = 0 }) {
			for m.best.Acts[i].Times > 3 && less(func(a *Act) { a.Times /= 2 }) {
			}
		}
		for len(m.best.Acts[i].Data) > 0 && less(func(a *Act) { a.Data = a.Data[:len(a.Data)/2] }) {
		}
	}
}

// steps tries none before, then fewer.
func (m *minimizer) steps() {
	if len(m.best.Before) > 1 && m.try(func(s *Scenario) { s.Before = nil }) {
		return
	}
	m.shrink(0, func() int { return len(m.best.Before) }, func(s *Scenario, from, to int) { s.Before = without(s.Before, from, to) })
}

// files tries none, then those alone that words name, then fewer, then empty ones.
func (m *minimizer) files() {
	if len(m.best.Files) > 1 && m.try(func(s *Scenario) { s.Files = nil }) {
		return
	}
	if named := m.best.namedFiles(); len(named) > 0 && len(named) < len(m.best.Files)-1 {
		m.try(func(s *Scenario) { s.Files = named })
	}
	m.shrink(0, func() int { return len(m.best.Files) }, func(s *Scenario, from, to int) { s.Files = without(s.Files, from, to) })
	for i := range m.best.Files {
		if len(m.best.Files[i].Data) > 0 {
			m.try(func(s *Scenario) {
				s.Files = slices.Clone(s.Files)
				s.Files[i].Data = nil
			})
		}
	}
}

func (m *minimizer) env() {
	if len(m.best.Env) > 1 && m.try(func(s *Scenario) { s.Env = nil }) {
		return
	}
	m.shrink(0, func() int { return len(m.best.Env) }, func(s *Scenario, from, to int) { s.Env = without(s.Env, from, to) })
}

// args tries none, then fewer words, then to drop pairs: an option goes together with its
// value.
func (m *minimizer) args() {
	if len(m.best.Argv) > m.fixed+1 && m.try(func(s *Scenario) { s.Argv = slices.Clone(s.Argv[:m.fixed]) }) {
		return
	}
	m.shrink(m.fixed, func() int { return len(m.best.Argv) }, func(s *Scenario, from, to int) { s.Argv = without(s.Argv, from, to) })
	for i := len(m.best.Argv) - 2; i >= m.fixed; i-- {
		if m.try(func(s *Scenario) { s.Argv = without(s.Argv, i, i+2) }) {
			i--
		}
	}
}

// input tries none, then fewer bytes. The front of a file, which is what its format is known
// by, is tried last.
func (m *minimizer) input() {
	if len(m.best.Input) == 0 || m.try(func(s *Scenario) { s.Input = nil }) {
		return
	}
	m.shrink(0, func() int { return len(m.best.Input) }, func(s *Scenario, from, to int) { s.Input = without(s.Input, from, to) })
}

func (m *minimizer) stdin() {
	if m.best.Stdin != StdinNull {
		m.try(func(s *Scenario) { s.Stdin = StdinNull })
	}
	m.best.settle() // the target cannot tell
}

// words halves arguments that are too long to read.
func (m *minimizer) words() {
	const readable = 16
	for i := m.fixed; i < len(m.best.Argv); i++ {
		for n := len(m.best.Argv[i]); n > readable && m.best.Argv[i] != mutate.Input; n = len(m.best.Argv[i]) {
			if !m.try(func(s *Scenario) {
				s.Argv = slices.Clone(s.Argv)
				s.Argv[i] = s.Argv[i][:n/2]
			}) {
				break
			}
		}
	}
}

// without is a copy of s that lacks s[from:to].
func without[T any](s []T, from, to int) []T {
	return slices.Concat(s[:from], s[to:])
}
