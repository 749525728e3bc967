package fuzz

import (
	"math/rand/v2"
	"slices"
)

// Abilities says what an executor can carry out beyond what every executor can.
// What it cannot is never drawn.
type Abilities struct {
	Terminal bool // streams that are terminals
}

// stdins are the kinds of standard input to draw from, the most usual more often.
func (a Abilities) stdins() []StdinKind {
	kinds := []StdinKind{StdinNull, StdinFile, StdinPipe, StdinNull, StdinFile, StdinPipe, StdinSocket, StdinDirectory, StdinClosed}
	if a.Terminal {
		kinds = append(kinds, StdinTerminal)
	}
	return kinds
}

// outputs are the kinds of output that a run can have instead of a file.
func (a Abilities) outputs() []OutputKind {
	kinds := []OutputKind{OutputPipe, OutputNull, OutputClosed, OutputFull, OutputBroken, OutputBusy}
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
		s.World.Stdout = output()
	case n == 3:
		s.World.Stderr = output()
	default:
		s.Stdin = one(r, can.stdins())
	}
}

// inputKinds are what the file that @@ stands for can be instead of a regular file.
func inputKinds() []FileKind {
	return []FileKind{FileMissing, FileDirectory, FileFIFO, FileSocket, FileUnreadable, FileReadOnly, FileSparse, FileSymlink, FileLoop, FileDangling}
}

// drawFileKind changes what one file is: that of the input half of the time.
func drawFileKind(r *rand.Rand, s *Scenario) {
	if s.usesFile() && (len(s.Files) == 0 || r.IntN(2) == 0) {
		s.World.Input = FileRegular
		if r.IntN(4) != 0 {
			s.World.Input = one(r, inputKinds())
		}
		return
	}
	if len(s.Files) == 0 {
		return
	}
	s.Files = slices.Clone(s.Files)
	f := &s.Files[r.IntN(len(s.Files))]
	if f.Kind = one(r, inputKinds()); f.Kind == FileMissing {
		f.Kind = FileRegular
	}
	if !f.Kind.holds() {
		f.Data = nil
	}
}

// surroundings are the most telling worlds, each tried once: every kind of stream and of
// input file, with something to work on.
func surroundings(o *Options, base *Scenario, ways []Scenario, seed func() []byte, add func(Scenario)) {
	try := func(s Scenario, change func(*Scenario)) {
		if s.Input == nil {
			s.Input = seed()
		}
		change(&s)
		s.settle()
		add(s)
	}
	way := ways[0]
	if o.varies(dimStreams) {
		for _, k := range o.Can.stdins() {
			if k > StdinPipe && base.Stdin == StdinInvalid { // what the user gave is kept until mutation
				try(way, func(s *Scenario) { s.Stdin = k })
			}
		}
		for _, k := range o.Can.outputs() {
			try(way, func(s *Scenario) { s.World.Stdout = k })
			try(way, func(s *Scenario) { s.World.Stderr = k })
		}
		if o.Can.Terminal && base.Stdin == StdinInvalid {
			try(way, func(s *Scenario) {
				s.Stdin, s.World.Stdout, s.World.Stderr = StdinTerminal, OutputTerminal, OutputTerminal
			})
		}
	}
	if i := slices.IndexFunc(ways, func(s Scenario) bool { return s.usesFile() }); i >= 0 && o.varies(dimFiles) {
		for _, k := range inputKinds() {
			try(ways[i], func(s *Scenario) { s.World.Input = k })
		}
	}
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
}

func one[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }
