package fuzz

import (
	"math/rand/v2"
	"slices"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Abilities says what an executor can carry out beyond what every executor can.
// What it cannot is never drawn.
type Abilities struct {
	Terminal  bool // streams that are terminals
	Faults    bool // make syscalls fail, and do without those of newer kernels
	User      bool // be another user
	Uptime    bool // let the machine have been up for another time
	TimeOfDay bool // let the program see another time of day
	Peers     bool // let somebody answer on the network
	Talk      bool // do something to a service

	Calls []string // the functions that a target that is made to call one can be made to call
}

// Allow reports whether a scenario can be carried out. One that another session has
// stored may need what only that session's executor could do.
func (a Abilities) Allow(s *Scenario) bool {
	w := &s.World
	faults := len(w.Faults) > 0 || w.Kernel != KernelHost
	if _, shifted := w.Clock.Uptime(); shifted && !a.Uptime {
		return false
	}
	if _, shifted := w.Clock.TimeOfDay(); shifted && !a.TimeOfDay {
		return false
	}
	if w.Call != (Call{}) && !slices.Contains(a.Calls, w.Call.Function) {
		return false
	}
	acts := len(s.Acts) > 0 || slices.ContainsFunc(s.Before, func(step Step) bool { return len(step.Acts) > 0 })
	return (a.Talk || !acts) && (a.Terminal || !s.onTerminal()) && (a.Faults || !faults) && (a.User || w.User == UserSame) && (a.Peers || w.Peers == Peers{})
}

// stdins are the kinds of standard input to draw from, the most usual more often.
func (a Abilities) stdins() []StdinKind {
	kinds := []StdinKind{StdinNull, StdinFile, StdinPipe, StdinNull, StdinFile, StdinPipe, StdinSocket, StdinDirectory, StdinClosed}
	if a.Terminal {
		kinds = append(kinds, StdinTerminal)
	}
	return kinds
}

// clocks are those that a run can have instead of the host's.
func (a Abilities) clocks() []Clock {
	var all []Clock
	for c := ClockHost + 1; c < clocks; c++ {
		if a.Allow(&Scenario{World: World{Clock: c}}) {
			all = append(all, c)
		}
	}
	return all
}

// outputs are the kinds of output that a run can have instead of a file.
func (a Abilities) outputs() []OutputKind {
	kinds := []OutputKind{OutputPipe, OutputNull, OutputClosed, OutputFull, OutputBroken, OutputBusy, OutputInput}
	if a.Terminal {
		kinds = append(kinds, OutputTerminal)
	}
	return kinds
}

// drawStreams changes one of the three streams, or makes all of them terminals.
func drawStreams(r *rand.Rand, s *Scenario, can Abilities) {
	output := func() OutputKind {
		if r.IntN(3) == 0 {
			return OutputFile
		}
		return one(r, can.outputs())
	}
	switch n := r.IntN(8); {
	case n == 0 && can.Terminal:
		s.Stdin, s.World.Stdout, s.World.Stderr = StdinTerminal, OutputTerminal, OutputTerminal
	case n < 3:
		if s.World.Stdout = output(); s.World.Stdout == OutputInput {
			s.Stdin = StdinFile
		}
	case n == 3:
		s.World.Stderr = output()
	default:
		s.Stdin = one(r, can.stdins())
	}
}

// inputKinds are what the file that @@ stands for can be instead of a regular file.
func inputKinds() []FileKind {
	return []FileKind{FileMissing, FileDirectory, FileFIFO, FileSocket, FileUnreadable, FileReadOnly, FileSparse, FileSymlink, FileLoop, FileDangling, FileCrowd, FileDeep}
}

// drawFileKind changes what one file is: that of the input half of the time. What mode
// bits forbid, they forbid root only as another user.
func drawFileKind(r *rand.Rand, s *Scenario, can Abilities) {
	change := drawKind(r, s)
	if (change == FileUnreadable || change == FileReadOnly) && can.User {
		s.World.User = UserNobody
	}
}

// drawTimes changes when the files were changed.
func drawTimes(r *rand.Rand, s *Scenario) { s.World.Times = FileTimes(r.IntN(int(fileTimes))) }

// drawKind returns what kind the changed file is now.
func drawKind(r *rand.Rand, s *Scenario) FileKind {
	if s.usesFile() && (len(s.Files) == 0 || r.IntN(2) == 0) {
		s.World.Input = FileRegular
		if r.IntN(4) != 0 {
			s.World.Input = one(r, inputKinds())
		}
		return s.World.Input
	}
	if len(s.Files) == 0 {
		return FileRegular
	}
	s.Files = slices.Clone(s.Files)
	f := &s.Files[r.IntN(len(s.Files))]
	if f.Kind = one(r, inputKinds()); f.Kind == FileMissing {
		f.Kind = FileRegular
	}
	if !f.Kind.holds() {
		f.Data = nil
	}
	return f.Kind
}

// drawProcess changes a limit, the user, the clock, or the signal that comes.
func drawProcess(r *rand.Rand, s *Scenario, can Abilities) {
	switch n := r.IntN(10); {
	case n < 3:
		l := one(r, limits)
		kept := slices.DeleteFunc(slices.Clone(s.World.Limits), func(o Limit) bool { return o.Resource == l.Resource })
		if len(kept) == len(s.World.Limits) || r.IntN(2) == 0 { // else it is gone
			kept = append(kept, l)
		}
		slices.SortFunc(kept, func(a, b Limit) int { return int(a.Resource) - int(b.Resource) })
		s.World.Limits = kept
	case n == 3 && can.User:
		s.World.User = one(r, []User{UserSame, UserNobody})
	case n < 6 && len(can.clocks()) > 0:
		if s.World.Clock == ClockHost || r.IntN(2) == 0 {
			s.World.Clock = one(r, can.clocks())
		} else {
			s.World.Clock = ClockHost
		}
	case r.IntN(4) == 0:
		s.World.Interruption = Interruption{}
	default:
		s.interrupt(one(r, signals), MomentRead+Moment(r.IntN(int(moments-MomentRead))))
	}
}

// drawFaults makes a syscall fail, mostly one of those that the target makes, or has an
// older kernel.
func drawFaults(r *rand.Rand, s *Scenario, ofTarget [][]Fault) {
	faults := slices.Clone(s.World.Faults)
	if len(faults) > 0 && r.IntN(2) == 0 {
		i := r.IntN(len(faults))
		faults = slices.Delete(faults, i, i+1)
	}
	if r.IntN(6) == 0 {
		s.World.Kernel = Kernel(r.IntN(int(kernels)))
	} else if len(faults) < maxFaults/2 {
		from := ofTarget
		if len(from) == 0 || r.IntN(8) == 0 {
			from = possible()
		}
		f := one(r, one(r, from))
		faults = slices.DeleteFunc(faults, func(o Fault) bool { return o.ID == f.ID })
		faults = append(faults, f)
		slices.SortFunc(faults, func(a, b Fault) int { return a.ID.Compare(b.ID) })
	}
	s.World.Faults = faults
}

// faults are those of the syscalls that an entry shows, or that any run has shown.
func (c *corpus) faults(from *entry) [][]Fault {
	return slices.DeleteFunc(slices.Clone(possible()), func(of []Fault) bool {
		id := of[0].ID
		if from == nil {
			return c.books[id] == nil
		}
		_, has := slices.BinarySearchFunc(from.seen, id, sysno.ID.Compare)
		return !has
	})
}

// settle takes from a scenario that was put together what nobody can see, and what
// cannot be.
func (s *Scenario) settle() {
	if !s.usesFile() {
		s.World.Input = FileRegular
	}
	if !s.usesInput() {
		s.Input = nil
	}
	if !s.dates() {
		s.World.Times = TimesMade
	}
	if _, shifted := s.World.Clock.TimeOfDay(); shifted && s.World.Call != (Call{}) { // see checkCall
		s.World.Clock = ClockHost
	}
	if s.World.Interruption.Moment == MomentRead && !s.interruptible() {
		s.World.Interruption = Interruption{}
	}
	if s.World.Interruption.Moment == MomentWrite && !s.World.bringsSignals() {
		s.World.Interruption = Interruption{}
	}
	if !s.onTerminal() && s.Types() {
		s.Acts = slices.DeleteFunc(slices.Clone(s.Acts), func(a Act) bool { return a.Do.atTerminal() })
	}
	s.settleSteps()
}

func one[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }
