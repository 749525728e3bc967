// Package static decides which syscalls a program can reach by its code, and through which
// calls: an upper bound, or an honest list of what may be missing. It never runs the
// program. Its main hazard is a call that it does not see; so what it cannot follow is
// a gap in the result, and what it takes for granted is said there, too.
//
// It follows calls and jumps from the program's beginning through all files that are loaded
// with it. A function whose address reached code or data takes counts as reached, so calls by
// pointers need not be resolved. The numbers of syscalls come from a search backwards from
// each syscall instruction for what the register holds, through the stack and through
// callers, for functions like syscall(2) get the number from these.
package static

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/trace"
)

// Version changes when the same program may make another result.
const Version = 8

// ErrMachine says that the program is not for x86-64, the only machine whose code is known here.
var ErrMachine = errors.New("its code is not x86-64")

// Options are what a program's file does not say. The zero value is the usual choice.
type Options struct {
	LibraryPath  string   // value of LD_LIBRARY_PATH
	Mapped       []string // files that the program was seen to map beside those that it needs
	NameServices string   // the file that says how users and hosts are looked up; empty for /etc/nsswitch.conf
	FollowExec   bool     // add what the programs reach that it executes by constant paths
}

// What bounds the work for one program: its files, the bytes of these, how often their code
// is decoded when functions overlap, and syscall instructions.
const (
	maxModules  = 1000
	maxBytes    = 1 << 30
	maxOverlap  = 4
	maxSyscalls = 1 << 18
	maxSteps    = 1 << 21 // of searches for values, of numbers and of arguments: gdb with 66 files takes 30,000 for numbers
)

// maxTurns bounds how often what was looked up by name may look up more.
const maxTurns = 50

// maxPrograms bounds the programs that execute one another.
const maxPrograms = 20

// Analyze finds what the program at path, or the interpreter of the script there, reaches.
// The same files make the same result. It fails for what is no program, and with ErrMachine.
func Analyze(ctx context.Context, path string, o Options) (*trace.Reach, error) {
	_, r, err := analyze(ctx, path, o, map[string]bool{})
	return r, err
}

func analyze(ctx context.Context, path string, o Options, programs map[string]bool) (*analysis, *trace.Reach, error) {
	id, err := image.Identify(path)
	if err != nil {
		return nil, nil, err
	}
	a := &analysis{
		Options:  o,
		id:       id,
		graph:    graph{paths: map[string]*module{}, texts: map[string]*function{}, lookups: map[string][]target{}, left: maxSteps},
		gaps:     map[string]bool{},
		assumed:  map[string]bool{},
		reached:  map[sysno.ID]trace.Reached{},
		chosen:   map[sysno.ID]choices{},
		makers:   map[sysno.ID][]place{},
		late:     map[sysno.ID]bool{},
		programs: programs,
		done:     map[string]bool{},
	}
	programs[id.Path] = true
	r, err := a.result(ctx)
	return a, r, err
}

// analysis is one program's.
type analysis struct {
	Options
	graph
	id       *image.Identity // of the file that was named
	program  *image.Identity // of the ELF file that is executed
	gaps     map[string]bool
	assumed  map[string]bool
	reached  map[sysno.ID]trace.Reached
	chosen   map[sysno.ID]choices // values of their arguments
	makers   map[sysno.ID][]place // where the numbers come from
	late     map[sysno.ID]bool    // may be called once main has begun
	programs map[string]bool      // that are analyzed, or about to be
	done     map[string]bool      // texts that were looked at
	bytes    int                  // of all files
}

func (a *analysis) gap(format string, args ...any)    { a.gaps[fmt.Sprintf(format, args...)] = true }
func (a *analysis) assume(format string, args ...any) { a.assumed[fmt.Sprintf(format, args...)] = true }

func (a *analysis) result(ctx context.Context) (*trace.Reach, error) {
	if err := a.interpreter(); err != nil {
		return nil, err
	}
	if err := a.load(); err != nil {
		return nil, err
	}
	main := a.modules[0]
	a.reach(main.begin(main.Entry), nil, trace.Begin)
	entry := main.functions[main.Entry]
	if entry == nil {
		return nil, fmt.Errorf("analyze %s: its entry point %#x is not in its code", main.Path, main.Entry)
	}
	for _, m := range a.modules {
		a.root(m, entry)
		a.named(m, entry)
	}
	if err := a.everything(ctx, entry); err != nil {
		return nil, err
	}
	// What the loader does before the program begins. What it leaves behind is among its data.
	a.startup = true
	for _, m := range a.modules {
		if m.Path == a.loader() {
			a.reach(m.functionAt(m.Entry), nil, trace.Begin)
		}
	}
	if err := a.everything(ctx, entry); err != nil {
		return nil, err
	}
	if err := a.numbers(ctx); err != nil {
		return nil, err
	}
	if err := a.executes(ctx); err != nil {
		return nil, err
	}
	a.always()
	a.assume("nothing is preloaded, and the environment does not name other libraries")

	r := &trace.Reach{
		Target: trace.Target{Path: a.id.Path, SHA256: a.id.SHA256, BuildID: a.id.BuildID},
		Arch:   sysno.AMD64, Gaps: slices.Sorted(maps.Keys(a.gaps)), Assumed: slices.Sorted(maps.Keys(a.assumed)),
	}
	for _, m := range a.modules {
		if m.Path != a.id.Path {
			build, _ := image.BuildID(m.Path)
			r.Target.Libraries = append(r.Target.Libraries, trace.Library{Path: m.Path, BuildID: build})
		}
	}
	slices.SortFunc(r.Target.Libraries, func(x, y trace.Library) int { return cmp.Compare(x.Path, y.Path) })
	for _, id := range slices.SortedFunc(maps.Keys(a.reached), sysno.ID.Compare) {
		x := a.reached[id]
		x.Args = a.chosen[id].list(id)
		x.BeforeMain = !a.late[id] && len(x.Path) > 0
		r.Reached = append(r.Reached, x)
	}
	return r, nil
}

// interpreter finds the ELF file that is executed.
func (a *analysis) interpreter() error {
	a.program = a.id
	for range 6 {
		if a.program.Kind != image.Script {
			break
		}
		a.gap("what the script %s makes its interpreter do is the script's choice: programs that it runs are not among these", a.id.Path)
		next, err := image.Identify(a.program.Interpreter)
		if err != nil {
			return fmt.Errorf("the interpreter of %s: %w", a.program.Path, err)
		}
		a.program = next
	}
	if a.program.Kind == image.Unknown || a.program.Kind == image.Script {
		return fmt.Errorf("analyze %s: it is no program: %v", a.id.Path, a.program.Kind)
	}
	return nil
}

func (a *analysis) loader() string {
	if a.program.Interpreter == "" {
		return ""
	}
	path, err := filepath.EvalSymlinks(a.program.Interpreter)
	if err != nil {
		return ""
	}
	return path
}

// load reads the program and all that is loaded with it.
func (a *analysis) load() error {
	if a.program.Machine.String() != "EM_X86_64" {
		return fmt.Errorf("analyze %s: %w", a.program.Path, ErrMachine)
	}
	paths, missing, err := a.program.LoadOrder(a.LibraryPath)
	if err != nil {
		return err
	}
	for _, name := range missing {
		a.gap("%s needs %s, which was not found", a.program.Path, name)
	}
	for i, path := range paths {
		m, err := a.add(path)
		if err != nil && i == 0 {
			return err
		}
		if err != nil {
			a.gap("%s could not be read: %v", path, err)
			continue
		}
		m.main = i == 0
		if m.main {
			m.fine = false
		}
	}
	return nil
}

// add reads a file and makes it the last in which symbols are looked for.
func (a *analysis) add(path string) (*module, error) {
	if len(a.modules) == maxModules {
		return nil, fmt.Errorf("more than %d files", maxModules)
	}
	m, err := newModule(path, len(a.modules))
	if err != nil {
		return nil, err
	}
	for _, s := range m.Segments {
		a.bytes += len(s.Data)
	}
	if a.bytes > maxBytes {
		return nil, fmt.Errorf("more than %d MiB of files", maxBytes>>20)
	}
	if m.Go && !m.Tabled {
		a.gap("%s is a program of Go before 1.18, or without its table of functions: what its code calls is not all known", path)
	}
	for _, r := range m.Text {
		a.limit += maxOverlap * int(r.End-r.Start)
	}
	m.all = &a.graph
	a.modules = append(a.modules, m)
	a.paths[path] = m
	clear(a.lookups)
	return m, nil
}

// everything follows what is reached, and what that loads, until nothing is new.
func (a *analysis) everything(ctx context.Context, entry *function) error {
	for _, path := range a.Mapped {
		if path, err := filepath.EvalSymlinks(path); err == nil {
			a.plugin(path, entry)
		}
	}
	for turn := 0; ; turn++ {
		if err := a.run(ctx); err != nil {
			return err
		}
		if turn == maxTurns {
			a.gap("what it looks up looks up more, %d times in a row, and was not followed further", maxTurns)
			return nil
		}
		before := len(a.modules)
		more := a.lookedUp()
		a.plugins()
		if len(a.modules) == before && !more {
			return a.run(ctx)
		}
	}
}

// functions are those that are reached, in the order of modules and addresses.
func (a *analysis) functions() []*function {
	var all []*function
	for _, m := range a.modules {
		for _, at := range m.starts {
			if f := m.functions[at]; f.reached {
				all = append(all, f)
			}
		}
	}
	return all
}

// numbers finds out which syscalls the instructions make that are reached.
func (a *analysis) numbers(ctx context.Context) error {
	functions := a.functions()
	settle(functions)
	spread(functions)
	if a.exhausted {
		a.gap("its functions overlap so much that not all were looked at")
	}
	sites := 0
	arguments := a.arguments()
	for _, f := range functions {
		if err := ctx.Err(); err != nil {
			return err
		}
		if sites += len(f.sites); sites > maxSyscalls {
			a.gap("it has more than %d syscall instructions", maxSyscalls)
			break
		}
		for _, s := range f.sites {
			if s.op == image.OpSysenter {
				a.gap("%v uses sysenter", f)
				continue
			}
			arch := sysno.AMD64
			if s.op == image.OpInt80 {
				arch = sysno.I386
			}
			all, unknown := a.values(place{f, s.at}, location{reg: image.RAX})
			if unknown != nil && unknown.f.name != goThreads {
				a.gap("the number of the syscall at %s is not known: it comes from %s", where(f, s.at), where(unknown.f, unknown.at))
			}
			for _, v := range all {
				id, startup := idOf(arch, uint32(v.value)), v.f.startup || f.startup
				if f.late && (v.f.late || v.kept) {
					a.late[id] = true
				}
				if !a.longer(id, startup, v) {
					a.note(id, startup, append(pathTo(v.f), v.via.steps()...))
				}
				a.makers[id] = append(a.makers[id], place{v.f, v.at})
			}
			arguments.of(place{f, s.at}, arch, all)
		}
	}
	if a.left < 0 {
		a.gap("its values are handed on so much that not all were followed")
	}
	return nil
}

// goThreads is the function by which the Go runtime makes all threads repeat a syscall that
// one has made already (runtime/os_linux.go: syscall_runtime_doAllThreadsSyscall).
const goThreads = "runtime.runPerThreadSyscall"

// x32 is the bit by which the numbers of that ABI are told (arch/x86/include/uapi/asm/unistd.h).
const x32 = 1 << 30

func idOf(arch sysno.Arch, nr uint32) sysno.ID {
	if arch == sysno.AMD64 && nr&x32 != 0 && nr>>31 == 0 {
		return sysno.ID{Arch: sysno.X32, NR: nr &^ x32}
	}
	return sysno.ID{Arch: arch, NR: nr}
}

func where(f *function, at uint64) string {
	name := cmp.Or(f.name, "no name")
	if f.whom != "" {
		name += ", loaded for " + f.whom
	}
	return fmt.Sprintf("%s+%#x (%s)", filepath.Base(f.Path), at, name)
}

// note keeps a syscall with the shortest of its paths.
func (a *analysis) note(id sysno.ID, startup bool, path []trace.Step) {
	old, known := a.reached[id]
	if known && (old.Startup != startup && startup || old.Startup == startup && comparePaths(old.Path, path) <= 0) {
		return
	}
	a.reached[id] = trace.Reached{ID: id, Startup: startup, Path: path}
}

// longer reports whether a syscall has a path already that is shorter than that of a value. It
// spares to write down very many long ones.
func (a *analysis) longer(id sysno.ID, startup bool, v found) bool {
	old, known := a.reached[id]
	if !known || old.Startup && !startup {
		return false
	}
	n := v.f.steps()
	for h := v.via; h != nil; h = h.next {
		n++
	}
	return n > len(old.Path)
}

// steps is the length of the path by which a function was first reached. These are all
// known when it is asked for.
func (f *function) steps() int {
	var unknown []*function
	n := 0
	for x := f; x != nil; x = x.from {
		if x.path > 0 {
			n = x.path
			break
		}
		unknown = append(unknown, x)
	}
	for _, x := range slices.Backward(unknown) {
		n++
		x.path = n
	}
	return n
}

func comparePaths(a, b []trace.Step) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), slices.CompareFunc(a, b, func(x, y trace.Step) int {
		return cmp.Or(cmp.Compare(x.Module, y.Module), cmp.Compare(x.Offset, y.Offset), cmp.Compare(x.Link, y.Link))
	}))
}

// pathTo is the path by which a function was first reached.
func pathTo(f *function) []trace.Step {
	var path []trace.Step
	for ; f != nil; f = f.from {
		path = append(path, f.step())
	}
	slices.Reverse(path)
	return path
}

// steps are the functions that a value is handed on through.
func (h *hop) steps() []trace.Step {
	var steps []trace.Step
	for ; h != nil; h = h.next {
		s := h.f.step()
		s.Link = trace.Called
		steps = append(steps, s)
	}
	return steps
}

// always adds what programs may be made to call by others than their code.
func (a *analysis) always() {
	// As in synth: the launcher, the kernel and the vDSO.
	for _, name := range []string{"execve", "rt_sigreturn", "restart_syscall", "exit", "exit_group",
		"clock_gettime", "clock_getres", "gettimeofday", "time", "getcpu"} {
		id, ok := sysno.Lookup(sysno.AMD64, name)
		if _, known := a.reached[id]; ok && !known {
			a.reached[id] = trace.Reached{ID: id}
		}
		a.choices(id).free()
	}
}

// exists reports whether a path is of a regular file.
func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// isLibrary reports whether a text looks like the name of a library.
func isLibrary(text string) bool {
	if strings.ContainsAny(text, " %\n:=,<>()[]{}'\"") {
		return false
	}
	base := filepath.Base(text)
	return strings.HasSuffix(base, ".so") || strings.Contains(base, ".so.")
}
