package fuzz

import (
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
)

// join adds what some of the scenarios have, all of which have set something: only together may they do
// what is looked at. It reports whether it did.
func (a *attempt) join(all []Scenario, banned map[string]bool) bool {
	if len(all) == 0 || a.r.IntN(3) != 0 {
		return false
	}
	const most = 4
	n := 1 + a.r.IntN(min(len(all), most))
	for _, i := range a.r.Perm(len(all))[:n] {
		s := &all[i]
		if words := s.Argv[min(a.o.Fixed, len(s.Argv)):]; a.o.varies(dimArgv) {
			words = slices.DeleteFunc(slices.Clone(words), func(w string) bool {
				return w == mutate.Input && slices.Contains(a.s.Argv, w) || avoids(a.r, banned, w)
			})
			if a.r.IntN(2) == 0 { // what is set is the value of an option, perhaps
				a.revalue(words)
			}
			if len(words) > 0 && len(a.s.Argv)-a.o.Fixed+len(words) <= maxWords {
				a.s.Argv = slices.Concat(a.s.Argv[:a.o.Fixed], words, a.s.Argv[a.o.Fixed:])
			}
		}
		for _, e := range s.Env {
			name, v, set := strings.Cut(e, "=")
			switch {
			case !a.o.varies(dimEnv) || len(a.s.Env) >= mutate.MaxEnv:
			case set:
				if a.r.IntN(2) == 0 {
					v = a.term()
				}
				a.set(name, &v)
			default:
				a.set(name, nil)
			}
		}
		for _, f := range s.Files {
			if a.o.varies(dimFiles) && a.s.File(f.Name) == nil && roomFor(a.s.Files, f.Name) && len(a.s.Files) < maxFiles {
				if f.Kind.holds() && len(f.Data) < 1<<12 && a.r.IntN(2) == 0 {
					f.Data = a.amend(f.Data, a.lines())
				}
				a.s.Files = append(slices.Clone(a.s.Files), f)
				slices.SortFunc(a.s.Files, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
			}
		}
	}
	return true
}

// revalue puts a term in the place of one of the words that are values, or have one.
func (a *attempt) revalue(words []string) {
	var values []int
	for i, w := range words {
		if w != mutate.Input && (!strings.HasPrefix(w, "-") || strings.Contains(w, "=") || len(w) > 2 && w[1] != '-') {
			values = append(values, i)
		}
	}
	if len(values) == 0 {
		return
	}
	w := &words[one(a.r, values)]
	key, _, named := strings.Cut(*w, "=")
	switch term := clean(a.term()); {
	case named:
		*w = key + "=" + term
	case strings.HasPrefix(*w, "-"):
		*w = (*w)[:2] + term
	default:
		*w = term
	}
}
