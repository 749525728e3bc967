package static

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/trace"
)

// callsOf are the calls of functions of a name from other modules than those that have it.
func (a *analysis) callsOf(names ...string) []place {
	var calls []place
	for _, name := range names {
		for _, t := range a.lookup(name) {
			if t.f == nil || !t.f.reached {
				continue
			}
			for _, c := range t.f.callers {
				if c.f.module != t.f.module || c.f.main {
					calls = append(calls, c)
				}
			}
		}
	}
	slices.SortFunc(calls, func(x, y place) int {
		if c := compareFunctions(x.f, y.f); c != 0 {
			return c
		}
		return compare(x.at, y.at)
	})
	return slices.Compact(calls)
}

// text is a constant string that a register may hold where a function is called.
type constant struct {
	text string
	f    *function
}

// texts finds the strings that a register may hold. whole says that it holds no others.
func (a *analysis) constants(p place, register uint8) (texts []constant, whole bool) {
	all, unknown := a.values(p, location{reg: register})
	whole = unknown == nil
	for _, v := range all {
		if v.value == 0 {
			continue
		}
		text, ok := v.m.String(v.value)
		if !ok || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			whole = false
			continue
		}
		texts = append(texts, constant{text, v.f})
	}
	return texts, whole
}

// lookedUp reaches what the program looks up by name, and reports whether that is new.
func (a *analysis) lookedUp() (more bool) {
	dlsym := a.callsOf("dlsym", "dlvsym")
	opens := a.callsOf("dlopen", "dlmopen")
	if len(dlsym)+len(opens) > 0 {
		settle(a.functions())
		for _, f := range a.functions() {
			f.code, f.held = nil, nil // more callers are known now
		}
	}
	for _, p := range dlsym {
		texts, whole := a.constants(p, image.RSI)
		if !whole {
			a.gap("%s looks up functions by names that are not constant (dlsym)", where(p.f, p.at))
		}
		for _, c := range texts {
			for _, m := range a.modules {
				for _, sym := range m.Exports[c.text] {
					if !sym.Function {
						continue
					}
					if f := m.begin(sym.Address); f != nil && !(f.reached && f.taken) {
						a.reach(f, p.f, trace.Found)
						more = true
					}
				}
			}
		}
	}
	for _, p := range opens {
		register := uint8(image.RDI)
		texts, whole := a.constants(p, register)
		if !whole {
			a.gap("%s loads libraries whose names are not constant (dlopen); what a recorder saw mapped can be given", where(p.f, p.at))
		}
		for _, c := range texts {
			if _, ok := a.texts[c.text]; !ok {
				a.texts[c.text] = p.f
			}
		}
	}
	return more
}

// plugins loads the libraries that reached code names.
func (a *analysis) plugins() {
	for _, text := range slices.Sorted(maps.Keys(a.texts)) {
		if a.done[text] {
			continue
		}
		a.done[text] = true
		f := a.texts[text]
		switch {
		case strings.HasPrefix(text, "libnss_%s.so"):
			a.nameServices(f)
		case strings.HasSuffix(text, "/gconv"):
			a.converters(text, f)
		case isLibrary(text):
			if path := a.program.Find(text, a.LibraryPath); path != "" {
				a.plugin(path, f)
			}
		}
	}
}

// plugin loads a library, with what it needs, all functions of which may be looked up.
func (a *analysis) plugin(path string, by *function) {
	if m := a.paths[path]; m != nil || path == "" {
		return
	}
	id, err := image.Identify(path)
	if err != nil || id.Kind != image.SharedObject && id.Kind != image.Dynamic || id.Machine.String() != "EM_X86_64" {
		return
	}
	paths, missing, err := id.Needs(a.program.Path, a.LibraryPath)
	if err != nil {
		a.gap("%s could not be read: %v", path, err)
		return
	}
	for _, name := range missing {
		a.gap("%s needs %s, which was not found", path, name)
	}
	var loaded []*module
	for _, p := range paths {
		if a.paths[p] != nil {
			continue
		}
		m, err := a.add(p)
		if err != nil {
			a.gap("%s could not be read: %v", p, err)
			continue
		}
		if p != path {
			m.whom = filepath.Base(path)
		}
		loaded = append(loaded, m)
	}
	for _, m := range loaded {
		a.root(m, by)
		a.named(m, by)
		if len(m.Exports["__libc_start_main"]) > 0 {
			// A C library that a static program loads: only what is looked up in it is called.
			for _, sym := range m.Exports["__libc_early_init"] {
				a.reach(m.functionAt(sym.Address), by, trace.Found)
			}
			continue
		}
		if m.Path != path {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(m.Exports)) {
			for _, sym := range m.Exports[name] {
				if sym.Function {
					a.reach(m.functionAt(sym.Address), by, trace.Found)
				}
			}
		}
	}
}

// nameServices loads what glibc's name service switch is configured for (nsswitch.conf(5)).
func (a *analysis) nameServices(by *function) {
	file := cmp.Or(a.NameServices, "/etc/nsswitch.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		text = nil // files and dns are in the C library
	}
	var named []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		_, services, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		for _, word := range strings.Fields(services) {
			if strings.ContainsAny(word, "[]=!/") {
				continue
			}
			name := "libnss_" + word + ".so.2"
			if path := a.program.Find(name, a.LibraryPath); path != "" {
				a.plugin(path, by)
				named = append(named, name)
			}
		}
	}
	with := ""
	if slices.Sort(named); len(named) > 0 {
		with = ", by " + strings.Join(slices.Compact(named), " ")
	}
	a.assume("names of users, hosts and the like are looked up as %s says here%s", file, with)
}

// converters reaches what glibc's modules for character sets import. They make no
// syscalls themselves, which is checked; which of them is loaded the environment decides.
func (a *analysis) converters(dir string, by *function) {
	files, err := filepath.Glob(filepath.Join(dir, "*.so"))
	if err != nil || len(files) == 0 {
		return
	}
	names := map[string]bool{}
	for _, path := range files {
		m, err := newModule(path, 0)
		if err != nil {
			continue
		}
		enters := false
		m.everything(func(_ uint64, in image.Insn) {
			enters = enters || in.Op == image.OpSyscall || in.Op == image.OpInt80 || in.Op == image.OpSysenter
		})
		if enters {
			a.plugin(path, by)
		}
		for _, r := range m.Relocs {
			if r.Symbol != "" {
				names[r.Symbol] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, t := range a.lookup(name) {
			if t.f != nil {
				a.reach(t.f, by, trace.Found)
			}
		}
	}
}

// executes looks at the programs that are executed: their syscalls meet the same filter.
func (a *analysis) executes(ctx context.Context) error {
	entries := []struct {
		name     string
		register uint8
		shell    bool
	}{
		{"execve", image.RDI, false}, {"execv", image.RDI, false}, {"execvp", image.RDI, false}, {"execvpe", image.RDI, false},
		{"execl", image.RDI, false}, {"execlp", image.RDI, false}, {"execle", image.RDI, false},
		{"posix_spawn", image.RSI, false}, {"posix_spawnp", image.RSI, false},
		{"system", image.RDI, true}, {"popen", image.RDI, true}, {"fexecve", image.RDI, false}, {"execveat", image.RSI, false},
	}
	understood := false
	for _, e := range entries {
		for _, p := range a.callsOf(e.name) {
			understood = true
			if e.shell {
				a.gap("%s has a shell run commands (%s), whose calls are not among these", where(p.f, p.at), e.name)
				continue
			}
			texts, whole := a.constants(p, e.register)
			if !whole || e.name == "fexecve" {
				a.gap("%s executes programs whose names are not constant (%s)", where(p.f, p.at), e.name)
			}
			for _, c := range texts {
				if err := a.execute(ctx, p, c.text, e.name); err != nil {
					return err
				}
			}
		}
	}
	if understood {
		return nil
	}
	for _, id := range slices.Collect(maps.Keys(a.reached)) {
		if name, _ := id.Name(); name != "execve" && name != "execveat" {
			continue
		}
		// The loader executes a program when it is told to by its own command line.
		if path := a.reached[id].Path; len(path) > 0 && !(a.reached[id].Startup && path[len(path)-1].Module == a.loader()) {
			last := path[len(path)-1]
			a.gap("it executes programs, by %s in %s, and which is not known", nameOf(last), filepath.Base(last.Module))
		}
	}
	return nil
}

func nameOf(s trace.Step) string {
	if s.Function != "" {
		return s.Function
	}
	return "a function without a name"
}

// execute adds what a program reaches that is executed.
func (a *analysis) execute(ctx context.Context, p place, name, by string) error {
	if name == "" { // no program has this name
		return nil
	}
	if !strings.Contains(name, "/") {
		for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"} {
			if exists(filepath.Join(dir, name)) {
				name = filepath.Join(dir, name)
				break
			}
		}
	}
	path, err := filepath.EvalSymlinks(name)
	switch {
	case err != nil || !exists(path):
		a.assume("%s, which %s executes, is not there", name, where(p.f, p.at))
		return nil
	case a.programs[path]:
		return nil
	case !a.FollowExec:
		a.gap("%s executes %s (%s), whose calls are added by --follow-exec", where(p.f, p.at), name, by)
		return nil
	case len(a.programs) >= maxPrograms:
		a.gap("more than %d programs execute one another", maxPrograms)
		return nil
	}
	_, r, err := analyze(ctx, path, a.Options, a.programs)
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		a.gap("%s executes %s, which could not be analyzed: %v", where(p.f, p.at), name, err)
		return nil
	}
	for _, gap := range r.Gaps {
		a.gap("%s, which it executes: %s", name, gap)
	}
	for _, text := range r.Assumed {
		a.assume("%s", text)
	}
	before := pathTo(p.f)
	for _, x := range r.Reached {
		a.choices(x.ID).merge(x.Args)
		if len(x.Path) == 0 {
			continue
		}
		a.late[x.ID] = true
		steps := slices.Clone(x.Path)
		steps[0].Link = trace.Exec
		a.note(x.ID, false, append(slices.Clone(before), steps...))
	}
	return nil
}
