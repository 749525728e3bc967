package fuzz

import (
	"cmp"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// fileWord is what can be the name of a file in an example.
var fileWord = lazyregexp.New(`^[A-Za-z0-9_.][\w.+-]{0,63}(/[\w.+-]{1,64}){0,3}$`)

// directoryWord is what stands for a directory in an example: not for a file in one, or for an archive of one.
var directoryWord = lazyregexp.New(`(?i)(^|[^a-z])(dir|directory|folder)([^a-z./][^./]*)?$`)

// zeroLetter are option letters of which one is 0.
var zeroLetter = lazyregexp.New(`^-[a-zA-Z]*0[a-zA-Z]*$`)

// staged are the ways to carry out an example: as it stands, with files of the names that
// it seems to mean, and on the files that are there anyway.
func (o *Options) staged(s Scenario, words []string) []Scenario {
	literal, fitted := s, s
	literal.Argv = slices.Concat(s.Argv, words)
	literal.Files = slices.Clone(s.Files)
	fitted.Argv = slices.Clone(literal.Argv)
	there := append([]string{mutate.Input}, operands(s.Files)...)
	n := 0
	for i, w := range words {
		option, name := "", w
		if strings.HasPrefix(w, "-") {
			var ok bool
			if option, name, ok = strings.Cut(w, "="); !ok {
				continue
			}
			option += "="
		}
		directory := directoryWord.MatchString(name)
		absolute := strings.HasPrefix(name, "/") || strings.HasPrefix(name, "~")
		if !absolute && !o.namesFile(name) {
			continue
		}
		fits, made := there[n%len(there)], name
		if directory { // one is there when something lies in it
			fits, made = cmp.Or(firstDirectory(s.Files), "."), name+"/input"
		}
		fitted.Argv[len(s.Argv)+i] = option + fits
		if n++; !absolute && roomFor(literal.Files, name) && len(literal.Files) < len(s.Files)+maxStaged {
			literal.Files = append(literal.Files, File{Name: made, Data: o.dataFor(made, n-1)})
		}
	}
	if n == 0 {
		return []Scenario{literal}
	}
	return []Scenario{literal, fitted}
}

// unmade are further ways to carry out an example: without the files that it may name because the program is to make them.
// Those are the first where it puts others into that one, as archivers do, the last where it converts, and all where it makes keys, or something of
// what it reads on standard input of the kind.
func (o *Options) unmade(s Scenario, words []string, fed StdinKind) (out []Scenario) {
	literal := o.staged(s, words)[0]
	had := len(s.Files)
	made := literal.Files[had:]
	if len(made) == 0 {
		return nil
	}
	without := func(from, to int) *Scenario {
		s := literal
		s.Files = slices.Concat(literal.Files[:had:had], made[:from], made[to:])
		out = append(out, s)
		return &out[len(out)-1]
	}
	if s := without(0, len(made)); fed.carries() {
		s.Stdin = fed
	}
	if n := len(made); n > 1 {
		without(0, 1)
		without(n-1, n)
	}
	return out
}

// firstDirectory is one of those that exist, "" where there is none.
func firstDirectory(files []File) string {
	for _, f := range files {
		if d := filepath.Dir(f.Name); d != "." {
			return d
		}
	}
	return ""
}

// maxStaged bounds the files that are made for an example.
const maxStaged = 6

// namesFile reports whether a word of an example can be the name of a file in the working
// directory.
func (o *Options) namesFile(w string) bool {
	return fileWord.MatchString(w) && strings.ContainsAny(strings.ToLower(w), "abcdefghijklmnopqrstuvwxyz") &&
		filepath.IsLocal(w) && path.Clean(w) == w && !slices.Contains(o.Table.Commands, w)
}

// listed are the names of files, as find(1) lists them for a command line with these words.
func listed(files []File, words []string) []byte {
	var out []byte
	end := byte('\n')
	if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "--null") || zeroLetter.MatchString(w) }) {
		end = 0
	}
	for _, f := range files {
		out = append(append(out, f.Name...), end)
	}
	return out
}

// roomFor reports whether a file of the name can be made beside others.
func roomFor(files []File, name string) bool {
	return !slices.ContainsFunc(files, func(f File) bool {
		return f.Name == name || strings.HasPrefix(f.Name, name+"/") || strings.HasPrefix(name, f.Name+"/")
	})
}

// operands are a file, a directory and so on, of those that exist.
func operands(files []File) []string {
	var names, dirs []string
	for _, f := range files {
		if f.Kind == FileRegular {
			names = append(names, f.Name)
		}
		if d := filepath.Dir(f.Name); d != "." && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	var out []string
	for i := range max(len(names), len(dirs)) {
		out = append(out, slices.Concat(names[min(i, len(names)):min(i+1, len(names))], dirs[min(i, len(dirs)):min(i+1, len(dirs))])...)
	}
	return out
}

// dataFor is what the nth file of an example holds: a seed of which files have such a
// suffix, else one that the target likes.
func (o *Options) dataFor(name string, n int) []byte {
	for _, s := range o.Seeds {
		if ext := path.Ext(s.File); ext != "" && strings.HasSuffix(name, ext) {
			return s.Data
		}
	}
	light := o.Seeds[:min(favoured, len(o.Seeds))]
	if len(light) == 0 {
		return nil
	}
	return light[n%len(light)].Data
}
