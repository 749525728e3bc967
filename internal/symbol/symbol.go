// Package symbol decides which function of which file a place in a process stands
// for: the place is given as a build-id, or the name of a file, and an offset in the
// file. It refuses to know processes. Its main hazard is a name that is wrong: a file
// is taken for the one that was mapped only if its build-id, or where there is none
// its name, says so, and code that no function claims has no name.
package symbol

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Place is what is known of a place. The zero value says: nothing.
type Place struct {
	Path     string // of the file
	Function string // empty where unknown, as are the other two then
	Offset   uint64 // in the function
	Line     string // "file.c:12", empty without debug information, and where that of a library lies in another file
}

// Symbol is the function and the offset in it, as in "read+0x10", or empty.
func (p Place) Symbol() string {
	if p.Function == "" {
		return ""
	}
	return fmt.Sprintf("%s+%#x", p.Function, p.Offset)
}

// Table knows some files. It is not for several goroutines at a time.
type Table struct {
	paths []string         // as given, and the directories of these are searched
	files map[string]*file // by path; nil for what is no ELF file
}

// New makes a table of ELF files: a program and its libraries. Others that lie in the
// directories of these are found too, as plugins often do. What cannot be read has
// no names.
func New(paths ...string) *Table {
	return &Table{paths: slices.Clone(paths), files: map[string]*file{}}
}

// Find returns the place of an instruction, such as a system call, that ends at an
// offset of a file. The file is the one with this build-id in hex, or where that is
// empty the one without any whose name ends in the module's. A build-id is what the
// kernel takes for one, which the note of the Go linker is not. The module "[vdso]" is
// that of this process.
func (t *Table) Find(module, buildID string, offset uint64) Place {
	f := t.find(module, buildID)
	if f == nil {
		return Place{}
	}
	place, known := f.found[offset]
	if !known {
		place = f.at(offset)
		place.Path = f.path
		if len(f.found) == maxFound {
			clear(f.found)
		}
		f.found[offset] = place
	}
	return place
}

func (t *Table) find(module, buildID string) *file {
	if module == vdsoName {
		return t.open(vdsoName)
	}
	name := filepath.Base(module)
	var matches []*file
	for _, path := range t.candidates(name) {
		f := t.open(path)
		if f == nil || f.buildID != buildID || buildID == "" && filepath.Base(path) != name {
			continue
		}
		if buildID != "" {
			return f
		}
		matches = append(matches, f)
	}
	// Of several files of one name nothing says which it was.
	if len(matches) == 1 {
		return matches[0]
	}
	return nil
}

// candidates are the given files, and those of a name in their directories.
func (t *Table) candidates(name string) []string {
	paths := slices.Clone(t.paths)
	if name == "." || strings.ContainsAny(name, "/[") {
		return paths
	}
	for _, path := range t.paths {
		if beside := filepath.Join(filepath.Dir(path), name); !slices.Contains(paths, beside) {
			paths = append(paths, beside)
		}
	}
	return paths
}

// open reads a file once.
func (t *Table) open(path string) *file {
	f, known := t.files[path]
	if !known {
		f = read(path)
		t.files[path] = f
	}
	return f
}

// file is what is read of an ELF file.
type file struct {
	path      string
	buildID   string
	segments  []elf.ProgHeader // that hold code
	functions []function       // sorted by address
	goTable   *goTable         // nil for what is no Go program
	debug     *debug           // nil without debug information
	found     map[uint64]Place // by offset: a program makes most calls in few places, and debug information has no index
}

// maxFound bounds the places of a file that are known at a time.
const maxFound = 1 << 16

// function is some code. Several can begin at one address.
type function struct {
	name       string
	start, end uint64
	unsized    bool // the end is that of what may belong to it
}

// at finds the function that holds the byte before the offset: a call that does not
// return may be the last instruction of one.
func (f *file) at(offset uint64) Place {
	pc, ok := f.address(offset - 1)
	if !ok {
		return Place{}
	}
	fn, line, ok := f.goTable.find(pc)
	if !ok {
		if fn, ok = innermost(f.functions, pc); !ok || fn.unsized {
			if better, found := f.debug.function(pc); found {
				fn, ok = better, true
			}
		}
		line = f.debug.line(pc)
	}
	if !ok {
		return Place{}
	}
	return Place{Function: fn.name, Offset: pc + 1 - fn.start, Line: line}
}

// address is where an offset of the file is mapped, before relocation.
func (f *file) address(offset uint64) (uint64, bool) {
	for _, s := range f.segments {
		if s.Off <= offset && offset-s.Off < s.Filesz {
			return s.Vaddr + offset - s.Off, true
		}
	}
	return 0, false
}

// innermost finds the last function to begin of those that hold the address.
func innermost(functions []function, pc uint64) (function, bool) {
	after, _ := slices.BinarySearchFunc(functions, pc+1, func(f function, pc uint64) int {
		if f.start < pc {
			return -1
		}
		return 1
	})
	var found *function
	for i := after - 1; i >= 0; i-- {
		f := &functions[i]
		if found != nil && f.start != found.start {
			break
		}
		if pc < f.end && (found == nil || plainer(f.name, found.name)) {
			found = f
		}
	}
	if found == nil {
		return function{}, false
	}
	return *found, true
}

// plainer reports whether a is the better one of two names for one function: read,
// of which libc also has __read and __libc_read.
func plainer(a, b string) bool {
	underscores := func(s string) int { return len(s) - len(strings.TrimLeft(s, "_")) }
	if ua, ub := underscores(a), underscores(b); ua != ub {
		return ua < ub
	}
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

// functionsOf reads the symbol tables. A function without a size, as in assembly,
// goes on to the next one of its section.
func functionsOf(f *elf.File) []function {
	static, _ := f.Symbols() // an error says that there are none
	dynamic, _ := f.DynamicSymbols()
	var functions []function
	for _, s := range append(static, dynamic...) {
		kind := elf.ST_TYPE(s.Info)
		if kind != elf.STT_FUNC && kind != elf.STT_GNU_IFUNC || s.Name == "" ||
			int(s.Section) >= len(f.Sections) || f.Sections[s.Section].Flags&elf.SHF_EXECINSTR == 0 {
			continue
		}
		fn := function{name: s.Name, start: s.Value, end: s.Value + s.Size}
		if s.Size == 0 {
			section := f.Sections[s.Section]
			fn.end, fn.unsized = section.Addr+section.Size, true
		}
		functions = append(functions, fn)
	}
	slices.SortFunc(functions, func(a, b function) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end), cmp.Compare(a.name, b.name))
	})
	next := ^uint64(0) // where the function after begins
	for i := len(functions) - 1; i >= 0; i-- {
		fn := &functions[i]
		if i+1 < len(functions) && functions[i+1].start != fn.start {
			next = functions[i+1].start
		}
		if fn.unsized {
			fn.end = min(fn.end, next)
		}
	}
	return slices.Compact(functions)
}

// buildIDOf reads the GNU build-id, as the kernel does, from a note.
func buildIDOf(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > 1<<16 {
			continue
		}
		data := make([]byte, p.Filesz)
		if _, err := p.ReadAt(data, 0); err != nil {
			continue
		}
		for len(data) >= 12 {
			name, size := uint64(f.ByteOrder.Uint32(data)), uint64(f.ByteOrder.Uint32(data[4:]))
			kind := f.ByteOrder.Uint32(data[8:])
			start := 12 + (name+3)/4*4
			end := start + (size+3)/4*4
			if end > uint64(len(data)) {
				break
			}
			const gnuBuildID = 3
			if kind == gnuBuildID && bytes.Equal(data[12:12+name], []byte("GNU\x00")) {
				return hex.EncodeToString(data[start : start+size])
			}
			data = data[end:]
		}
	}
	return ""
}
