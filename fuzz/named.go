package fuzz

import (
	"slices"
	"strings"

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

// lying puts the seed into the working directory under the one name by which programs find such files without
// being told. It reports whether there is such a name.
func lying(s Scenario, seed *Seed) (Scenario, bool) {
	suffixed := strings.Contains(seed.File, ".") // of which there may be any number
	if seed.File == "" || suffixed || s.usesFile() || !roomFor(s.Files, seed.File) {
		return s, false
	}
	s.Files = append(slices.Clone(s.Files), File{Name: seed.File, Data: seed.Data})
	return s, true
}

// namedFiles are those that a word names, of a step also, or that lie in what a word names.
func (s *Scenario) namedFiles() (out []File) {
	words := slices.Clone(s.Argv[1:])
	for _, step := range s.Before {
		words = append(append(words, step.Argv[1:]...), step.Stdin)
	}
	for _, f := range s.Files {
		if slices.ContainsFunc(words, func(w string) bool { return w == f.Name || strings.HasPrefix(f.Name, w+"/") }) {
			out = append(out, f)
		}
	}
	return out
}

// operand is the index of a regular file that a word of the command line names, -1 when
// there is none.
func (s *Scenario) operand() int {
	return slices.IndexFunc(s.Files, func(f File) bool { return f.Kind == FileRegular && slices.Contains(s.Argv[1:], f.Name) })
}
