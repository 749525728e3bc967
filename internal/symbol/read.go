package symbol

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"debug/gosym"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const vdsoName = "[vdso]"

// read reads a file, or returns nil if it is no ELF file with code. What a separate
// file of debug information knows is read from there.
func read(path string) *file {
	data, closer, err := open(path)
	if err != nil {
		return nil
	}
	defer closer.Close()
	f, err := elf.NewFile(data)
	if err != nil {
		return nil
	}
	r := &file{path: path, buildID: buildIDOf(f), functions: functionsOf(f), goTable: goTableOf(f), found: map[uint64]Place{}}
	if r.goTable == nil {
		r.debug = debugOf(f)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			r.segments = append(r.segments, p.ProgHeader)
		}
	}
	if len(r.buildID) > 2 && f.Section(".symtab") == nil {
		separate, err := elf.Open("/usr/lib/debug/.build-id/" + r.buildID[:2] + "/" + r.buildID[2:] + ".debug")
		if err == nil {
			defer separate.Close()
			functions := functionsOf(separate)
			if len(functions) > 0 {
				r.functions = functions
			}
			// To unpack what there is of libc takes longer than the rest of a short session, and
			// hardly anybody asks for the line in it. So of a library the names are enough.
			if soname, _ := f.DynString(elf.DT_SONAME); r.debug == nil && (len(soname) == 0 || len(functions) == 0) {
				r.debug = debugOf(separate)
			}
		}
	}
	return r
}

// open opens a regular file, or the page of this process that the kernel has put
// there. A pipe would block, and some devices act when they are opened.
func open(path string) (io.ReaderAt, io.Closer, error) {
	if path == vdsoName {
		data, err := vdso()
		return bytes.NewReader(data), io.NopCloser(nil), err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	return f, f, err
}

// vdso reads the vdso, which is the same in all processes of an ABI.
func vdso() ([]byte, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(maps)) {
		var start, end int64
		if !strings.HasSuffix(strings.TrimSpace(line), vdsoName) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			return nil, err
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			return nil, err
		}
		defer mem.Close()
		data := make([]byte, end-start)
		_, err = mem.ReadAt(data, start)
		return data, err
	}
	return nil, errors.New("this process has no vdso")
}

// goTable is the table that the Go runtime itself uses. Stripping leaves it.
type goTable struct{ table *gosym.Table }

// goTableOf reads the table, whose addresses are relative to the start of Go's code:
// that of the section, unless a C linker has put something else before. Then the
// entry point is not Go's either.
func goTableOf(f *elf.File) *goTable {
	text := f.Section(".text")
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
		section := f.Section(name)
		if section == nil || text == nil {
			continue
		}
		data, err := section.Data()
		if err != nil {
			return nil
		}
		table, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
		if err != nil {
			return nil
		}
		if entry := table.PCToFunc(f.Entry); entry == nil || !strings.HasPrefix(entry.Name, "_rt0_") {
			return nil
		}
		return &goTable{table}
	}
	return nil
}

func (t *goTable) find(pc uint64) (fn function, line string, ok bool) {
	if t == nil {
		return function{}, "", false
	}
	path, number, f := t.table.PCToLine(pc)
	if f == nil || f.Sym == nil {
		return function{}, "", false
	}
	return function{name: f.Name, start: f.Entry, end: f.End}, lineOf(path, number), true
}

func lineOf(path string, number int) string {
	if path == "" || number <= 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", filepath.Base(path), number)
}

// debug is DWARF.
type debug struct{ data *dwarf.Data }

func debugOf(f *elf.File) *debug {
	if f.Section(".debug_info") == nil && f.Section(".zdebug_info") == nil {
		return nil
	}
	data, err := f.DWARF()
	if err != nil {
		return nil
	}
	return &debug{data}
}

// function finds a function that no symbol names.
func (d *debug) function(pc uint64) (function, bool) {
	if d == nil {
		return function{}, false
	}
	r := d.data.Reader()
	if _, err := r.SeekPC(pc); err != nil {
		return function{}, false
	}
	for {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == dwarf.TagCompileUnit {
			return function{}, false
		}
		if e.Tag != dwarf.TagSubprogram {
			continue
		}
		ranges, err := d.data.Ranges(e)
		if err != nil {
			return function{}, false
		}
		for _, within := range ranges {
			name, named := e.Val(dwarf.AttrName).(string)
			if named && within[0] <= pc && pc < within[1] {
				return function{name: name, start: within[0], end: within[1]}, true
			}
		}
	}
}

func (d *debug) line(pc uint64) string {
	if d == nil {
		return ""
	}
	unit, err := d.data.Reader().SeekPC(pc)
	if err != nil {
		return ""
	}
	lines, err := d.data.LineReader(unit)
	if err != nil || lines == nil {
		return ""
	}
	var e dwarf.LineEntry
	if err := lines.SeekPC(pc, &e); err != nil || e.File == nil {
		return ""
	}
	return lineOf(e.File.Name, e.Line)
}
