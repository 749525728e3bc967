package fuzz

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// Step is a run of the program before the one that a scenario is about, in the same
// working directory: what it leaves there is what the next one finds. It meets the usual
// world, and nothing of it is evidence. A scenario names steps, and not the files that they leave, so
// that it is the same each time although these files hold times, numbers of processes and chance.
type Step struct {
	Argv  []string // as in Scenario, but that no word stands for the input
	Env   []string // as in Scenario
	Stdin string   // the name of the file, of Scenario.Files, that standard input is; "" is /dev/null
	Acts  []Act    // as in Scenario
}

// The bounds of what comes before a run.
const (
	maxSteps     = 6
	maxPastBytes = 256 << 10 // in the files that the first step finds
)

// past is a scenario's run as the last step of another scenario, with the files that the first
// step finds. It is not ok for a run that a step cannot be.
func (s *Scenario) past() (before []Step, files []File, ok bool) {
	w := s.World
	w.Stdout, w.Stderr = OutputFile, OutputFile // which makes no difference to what is left
	if len(s.Before) == maxSteps || s.Stdin > StdinPipe || s.Types() || len((&Scenario{World: w}).world()) > 0 {
		return nil, nil, false
	}
	step := Step{Argv: slices.Clone(s.Argv), Env: s.Env, Acts: s.Acts}
	files = slices.Clone(s.Files)
	if s.usesInput() {
		name := s.spareName()
		if s.Stdin.carries() {
			step.Stdin = name
		}
		for i, word := range step.Argv {
			before, found := strings.CutSuffix(word, mutate.Input)
			switch {
			case found && (before == "" || strings.HasSuffix(before, "=")):
				step.Argv[i] = before + name
			case strings.Contains(word, mutate.Input): // it stands for a whole path there
				return nil, nil, false
			}
		}
		files = append(files, File{Name: name, Data: s.Input})
	}
	size := 0
	for _, f := range files {
		size += len(f.Data)
	}
	return append(slices.Clip(s.Before), step), files, size <= maxPastBytes
}

// spareName is a name that no file of the scenario has.
func (s *Scenario) spareName() string {
	name := "input"
	for n := 2; !roomFor(s.Files, name); n++ {
		name = fmt.Sprintf("input%d", n)
	}
	return name
}

// checkSteps reports what makes the steps of a scenario impossible to run.
func (s *Scenario) checkSteps() error {
	if len(s.Before) > maxSteps {
		return fmt.Errorf("%d steps come before, more than %d", len(s.Before), maxSteps)
	}
	for _, step := range s.Before {
		if len(step.Argv) == 0 || step.Argv[0] == "" {
			return errors.New("a step without a program")
		}
		if err := checkWords(step.Argv, step.Env); err != nil {
			return fmt.Errorf("a step: %w", err)
		}
		if err := checkActs(step.Acts); err != nil {
			return fmt.Errorf("a step: %w", err)
		}
		if step.Stdin != "" && s.File(step.Stdin) == nil {
			return fmt.Errorf("no file has the name of a step's standard input, %q", step.Stdin)
		}
	}
	return nil
}

// File is the regular file of a name, nil where the scenario has none.
func (s *Scenario) File(name string) *File {
	i := slices.IndexFunc(s.Files, func(f File) bool { return f.Name == name && f.Kind == FileRegular })
	if i < 0 {
		return nil
	}
	return &s.Files[i]
}

// settleSteps takes the standard input from steps whose file is gone.
func (s *Scenario) settleSteps() {
	for i, step := range s.Before {
		if step.Stdin != "" && s.File(step.Stdin) == nil {
			s.Before = slices.Clone(s.Before)
			s.Before[i].Stdin = ""
		}
	}
}

// steps are all words of the steps, which are part of a scenario's ID.
func (s *Scenario) steps() (out []string) {
	for _, step := range s.Before {
		out = append(out, fmt.Sprint(len(step.Argv), " ", len(step.Env)))
		out = append(append(append(out, step.Argv...), step.Env...), step.Stdin)
		out = append(out, ActWords(step.Acts)...)
	}
	return out
}

// leaving is how a state of the working directory came about.
type leaving struct {
	before []Step
	files  []File // that the first step finds
	cost   int
	drawn  int
}

// maxLeavings bounds the states that are remembered.
const maxLeavings = 64

// remember keeps how a state of the working directory came about, of each kind of state the
// cheapest way. It returns a state of a new kind.
func (c *corpus) remember(s *Scenario, r *Result) *leaving {
	if !r.Clean() || r.ExitCode != 0 || r.Left || !c.o.varies(dimHistory) {
		return nil
	}
	i := slices.IndexFunc(r.Signals, func(sig Signal) bool { return sig.Kind == SignalTree })
	if i < 0 {
		return nil
	}
	before, files, ok := s.past()
	if !ok {
		return nil
	}
	key, cost := r.Signals[i].Key, costOf(&Scenario{Before: before, Files: files}, false)
	old := c.byTree[key]
	switch {
	case old == nil && len(c.leavings) < maxLeavings:
		c.byTree[key] = &leaving{before: before, files: files, cost: cost}
		c.leavings = append(c.leavings, c.byTree[key])
		return c.byTree[key]
	case old != nil && cost < old.cost:
		old.before, old.files, old.cost = before, files, cost
	}
	return nil
}

// goBack makes a draw begin where runs have left something, with its own command line or
// with one of those that the plan tries. Where nothing was left it changes the files.
func (c *corpus) goBack(r *rand.Rand, d *draft) {
	if len(c.leavings) == 0 {
		d.dims[dimFiles] = true
		return
	}
	l := one(r, c.leavings) // of two, the one that was drawn less
	if other := one(r, c.leavings); other.drawn < l.drawn {
		l = other
	}
	l.drawn++
	if len(c.lines) > 0 && r.IntN(2) == 0 {
		d.s = one(r, c.lines).s
	}
	d.s = l.then(d.s)
	// What a step was told to make, the next one may be told to use.
	if words := l.before[len(l.before)-1].Argv[c.o.Fixed:]; len(words) > 0 && len(d.s.Argv) < maxWords && r.IntN(4) == 0 {
		d.s.Argv = slices.Concat(d.s.Argv, []string{one(r, words)})
	}
}

// then makes a scenario begin in the state.
func (l *leaving) then(s Scenario) Scenario {
	files := s.Files
	s.Before, s.Files, s.World.Times = l.before, slices.Clone(l.files), TimesMade
	for _, f := range files { // an example may come with files of its own
		if roomFor(s.Files, f.Name) {
			s.Files = append(s.Files, f)
		}
	}
	return s
}

// again is the last step once more, which finds what it has made.
func (l *leaving) again() Scenario {
	step := l.before[len(l.before)-1]
	s := Scenario{Argv: step.Argv, Env: step.Env, Stdin: StdinNull, Files: l.files, Before: l.before, Acts: step.Acts}
	if f := s.File(step.Stdin); f != nil {
		s.Stdin, s.Input = StdinFile, f.Data
	}
	return s
}

// The bounds of a sweep: so many runs with sub-commands, which depend most on what there is, with examples
// and with options, and so many sweeps.
const (
	sweepCommands = 24
	sweepExamples = 12
	sweepOptions  = 12
	maxSweeps     = 12
)

// sweep lists what is tried in a new state before chance decides: sub-commands, examples and
// options, others in each state where there are many.
func (c *corpus) sweep(l *leaving) (out []Scenario) {
	turn := len(c.leavings)
	if turn > maxSweeps {
		return nil
	}
	var commands, examples, options []Scenario
	for _, p := range c.lines {
		switch {
		case p.rank == rankExamples, p.rank == rankMoreExamples:
			examples = append(examples, p.s)
		case p.rank == rankCommands:
			commands = append(commands, p.s)
		case p.rank == rankOptions, p.rank == rankOperands:
			options = append(options, p.s)
		}
	}
	out = append(out, l.again())
	made, commanded := c.o.made(l)
	use := func(s Scenario) Scenario {
		if made != "" {
			s.Argv = c.o.using(s.Argv, made, commanded)
		}
		return s
	}
	take := func(of []Scenario, most int, use func(Scenario) Scenario) {
		n := min(len(of), most)
		for i := range n {
			out = append(out, use(l.then(of[(i*len(of)/n+turn)%len(of)])))
		}
	}
	as := func(s Scenario) Scenario { return s }
	take(commands, sweepCommands, as)
	take(examples, sweepExamples, use)
	take(options, sweepOptions, use)
	return out
}

// made is what the last step may have been told to make: the first of its words that can be the name of a file, and of none that
// it found; commanded says that a word before that is a command, for it could be such a name, too. Where it named none, what it has made
// is mostly called after a file that it found, and may be meant by the name of that. It is "" where there is none of these either.
func (o *Options) made(l *leaving) (name string, commanded bool) {
	words := l.before[len(l.before)-1].Argv[o.Fixed:]
	found := ""
	for i, w := range words {
		switch {
		case slices.ContainsFunc(l.files, func(f File) bool { return f.Name == w }):
			found = w
		case !o.namesFile(w) || !roomFor(l.files, w):
		case i == 0:
			name = w
		default:
			return w, name != ""
		}
	}
	if found != "" {
		return found, name != ""
	}
	return name, false
}

// using is a command line with a file in the place of the first that it names, else behind all other words.
func (o *Options) using(argv []string, name string, commanded bool) []string {
	argv = slices.Clone(argv)
	for i, w := range argv[o.Fixed:] {
		if w == mutate.Input || o.namesFile(w) && (i > 0 || !commanded) {
			argv[o.Fixed+i] = name
			return argv
		}
	}
	return append(argv, name)
}
