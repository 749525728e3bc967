// Package forced decides how a program is made to call a function that its code calls somewhere, at a
// moment when it would not: so that it ends as it does when it finds itself broken, for which there
// is mostly no input. The program is traced from its execve to the call and not beyond it. What
// the call does is the program's own doing, on its own stack, with the handlers that it has by
// then; nothing is written to its memory but a breakpoint, which is taken away again. The package knows no scenarios. Its main
// hazard is a call for which the function was not meant, so there are only functions that need no meaning in what
// they are given; see [Find].
package forced

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tjfuzz/tjfuzz/fuzz/launch/coverage"
	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// Function is one that a program, or a library of its own, calls.
type Function struct {
	Name string // as the linker calls it

	file   string       // that calls it
	callee image.Callee // for that file
}

// Program is what is known of one that can be made to call functions.
type Program struct {
	Functions []Function // sorted by name

	file string // that the kernel executes
	main uint64 // where in that main() begins
}

// ends are the functions: none returns, and all take strings and a number, or nothing. The next list is
// tried where a file calls none of the one before, for all of a list end in the same way.
//
// Left out is what compilers have nearly every program call when its memory was corrupted, as __stack_chk_fail: a policy need not
// help who has brought that about. So are raise(3) and kill(2), which programs call in handlers of signals, and signals are sent
// anyway; and the signal would be one of our choice.
var ends = [][]string{
	{"abort"},
	{"__assert_fail"}, // of glibc and musl
	{
		"_ZSt9terminatev", "_ZSt19__throw_logic_errorPKc", "_ZSt20__throw_length_errorPKc", "_ZSt20__throw_out_of_rangePKc", "_ZSt24__throw_out_of_range_fmtPKcz",
		"_ZSt17__throw_bad_allocv", "_ZSt28__throw_bad_array_new_lengthv",
	},
}

// Search is what is found of one program, for all who want to know: its code is looked through once. The zero value has
// looked at nothing.
type Search struct {
	once  sync.Once
	found *Program
	err   error
}

// Find is the function Find for the first path that it gets. It may be called concurrently.
func (s *Search) Find(path string) (*Program, error) {
	s.once.Do(func() { s.found, s.err = Find(path) })
	return s.found, s.err
}

// Find looks which of the functions by which programs end the program at path calls itself, or the libraries that it
// names and that are not everybody's. There are none in a program of which main() is not found.
func Find(path string) (*Program, error) {
	file, main, err := image.Main(path)
	if err != nil {
		return nil, err
	}
	id, err := image.Identify(file)
	if err != nil {
		return nil, err
	}
	files, _, err := id.LoadOrder("")
	if err != nil {
		return nil, err
	}
	own, err := coverage.Own(file)
	if err != nil {
		return nil, err
	}
	p := &Program{file: file, main: main}
	names := slices.Concat(ends...)
	found := map[string]Function{}
	for _, f := range files {
		if !own(f) {
			continue
		}
		callees, err := image.Callees(f, names)
		if err != nil {
			return nil, err
		}
		for name, callee := range callees {
			if _, before := found[name]; !before {
				found[name] = Function{name, f, callee}
			}
		}
	}
	for _, alike := range ends {
		if i := slices.IndexFunc(alike, func(name string) bool { return found[name].Name != "" }); i >= 0 {
			p.Functions = append(p.Functions, found[alike[i]])
		}
	}
	slices.SortFunc(p.Functions, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
	return p, nil
}

// Occasion is when the call is made.
type Occasion int

// The occasions.
const (
	InPlaceOfMain Occasion = iota
	AfterWriting           // to standard output or standard error, for the first time
)

// mapping is a line of /proc/PID/maps.
type mapping struct {
	start, end, offset uint64
	code               bool
	path               string
}

// mappings are those of a process that are of files, see proc_pid_maps(5).
func mappings(pid int) ([]mapping, error) {
	b, err := spawn.Look(pid, "maps")
	if err != nil {
		return nil, err
	}
	var all []mapping
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var m mapping
		var mode string
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "%x-%x %4s %x", &m.start, &m.end, &mode, &m.offset); err != nil {
			return nil, fmt.Errorf("a mapping %q: %w", line, err)
		}
		if at := strings.IndexByte(line, '/'); at >= 0 {
			m.code, m.path = strings.Contains(mode, "x"), line[at:]
			all = append(all, m)
		}
	}
	return all, nil
}

// of reports whether a mapping is of a file. What has another root may be seen below what that is here.
func (m *mapping) of(file string) bool { return strings.HasSuffix(m.path, file) }

// code is where an offset of a file is executed in a process.
func code(all []mapping, file string, offset uint64) (at uint64, ok bool) {
	for _, m := range all {
		if m.code && m.of(file) && offset >= m.offset && offset-m.offset < m.end-m.start {
			return m.start + offset - m.offset, true
		}
	}
	return 0, false
}

// begin is where a file begins in a process.
func begin(all []mapping, file string) (at uint64, ok bool) {
	for _, m := range all {
		if m.of(file) && m.offset == 0 {
			return m.start, true
		}
	}
	return 0, false
}
