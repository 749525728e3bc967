package fuzz

import (
	"path"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// maxFiles bounds those of a scenario that is aimed.
const maxFiles = 16

// fileName is what files are called: settings.conf, %s/.toolrc, and not 1.5.
var fileName = lazyregexp.New(`^(?:%s/)?[\w.%-]*\.[\w-]*[a-z][\w-]*$`)

// file makes one that the way depends on, or makes it something else than a file.
func (a *attempt) file() { a.make(nearest(a.r, a.clues[ClueFile]).Text) }

// held are the indices of files that have lines.
func (a *attempt) held() (files []int) {
	for i, f := range a.s.Files {
		if f.Kind.holds() && len(f.Data) < 1<<12 {
			files = append(files, i)
		}
	}
	return files
}

// edit writes lines into one that is there.
func (a *attempt) edit() {
	files := a.held()
	if len(files) == 0 { // any more
		return
	}
	i := one(a.r, files)
	a.s.Files = slices.Clone(a.s.Files)
	a.s.Files[i].Data = a.amend(a.s.Files[i].Data, a.lines())
}

// named makes a file whose name is a text, if it can be one.
func (a *attempt) named() { a.make(a.text()) }

func (a *attempt) make(name string) {
	// A name that is put together begins with a directory mostly: here, that of the run.
	if rest, ok := strings.CutPrefix(name, "%s/"); ok {
		name = rest
		dirs := []string{"HOME"}
		for _, k := range a.clues[ClueVariable] {
			dirs = append(dirs, k.Text)
		}
		here := "."
		a.set(one(a.r, dirs), &here)
	}
	name = directive.ReplaceAllStringFunc(name, func(string) string { return a.some() })
	name = path.Clean(strings.TrimPrefix(name, "./"))
	if name == "" || name == "." || name == ".." || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") || strings.ContainsAny(name, "\n\x00") || len(name) > 64 {
		return
	}
	f := File{Name: name}
	if a.r.IntN(6) == 0 {
		if f.Kind = one(a.r, inputKinds()); f.Kind == FileMissing {
			f.Kind = FileRegular
		}
	}
	if f.Kind.holds() {
		var before []byte
		if old := a.s.File(name); old != nil {
			before = old.Data
		}
		f.Data = a.amend(before, a.lines())
	}
	files := slices.DeleteFunc(slices.Clone(a.s.Files), func(o File) bool { return o.Name == name })
	if !roomFor(files, name) || len(files) > maxFiles {
		return
	}
	a.s.Files = append(files, f)
	slices.SortFunc(a.s.Files, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
}
