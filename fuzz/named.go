package fuzz

import (
	"slices"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// named gives the target the seed under the name that such files have, in the place of
// the words that stand for the input: some programs take no file that is not called as
// theirs are, and some make the name of their output from it. It reports whether there is
// such a name and such a word.
func named(s Scenario, seed *Seed) (Scenario, bool) {
	if seed.File == "" || !slices.Contains(s.Argv, mutate.Input) {
		return s, false
	}
	s.Argv = slices.Clone(s.Argv)
	for i, w := range s.Argv {
		if w == mutate.Input {
			s.Argv[i] = seed.File
		}
	}
	s.Files = slices.DeleteFunc(slices.Clone(s.Files), func(f File) bool { return f.Name == seed.File })
	s.Files = append(s.Files, File{Name: seed.File, Data: seed.Data})
	if !s.usesFile() {
		s.Stdin, s.Input = StdinNull, nil // it has its input already
	}
	return s, true
}

// operand is the index of a regular file that a word of the command line names, -1 when
// there is none.
func (s *Scenario) operand() int {
	return slices.IndexFunc(s.Files, func(f File) bool { return f.Kind == FileRegular && slices.Contains(s.Argv[1:], f.Name) })
}
