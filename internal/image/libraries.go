package image

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Library is a file that is loaded with a program.
type Library struct {
	Path    string // absolute, symbolic links resolved
	BuildID string // as in Identity
}

// Libraries returns what is loaded before the program's first instruction: its
// interpreter and, transitively, DT_NEEDED; for a script, the program that
// interprets it and what is loaded with that. libraryPath is the value of
// LD_LIBRARY_PATH. The result is sorted by path and has no file twice; missing are
// the names, sorted, that lead to no file for the program's machine.
//
// Files are looked for as glibc's ld.so(8) does, with these differences: of paths,
// only $ORIGIN is expanded; /etc/ld.so.conf is read, not the cache made from it;
// glibc-hwcaps directories are left out; a file that cannot be loaded is passed over
// where ld.so may give up. musl's interpreter, which is its C library too, is taken
// to look into the same directories. Relative directories are relative to the
// caller's. What LD_PRELOAD, /etc/ld.so.preload and dlopen(3) add is not in the result.
func (id *Identity) Libraries(libraryPath string) (libs []Library, missing []string, err error) {
	l, missing, err := id.load(libraryPath)
	if err != nil {
		return nil, nil, err
	}
	return l.libraries(), missing, nil
}

// LoadOrder returns the paths of what Libraries returns, in the order in which a
// loader looks through them for a symbol; before them the program itself, which for a
// script is the one that interprets it.
func (id *Identity) LoadOrder(libraryPath string) (paths, missing []string, err error) {
	l, missing, err := id.load(libraryPath)
	if err != nil {
		return nil, nil, err
	}
	if l.root.kind == Script {
		return nil, missing, nil
	}
	paths = []string{l.root.path}
	for _, path := range l.order {
		if path != l.ld && path != l.root.path {
			paths = append(paths, path)
		}
	}
	if l.ld != "" {
		paths = append(paths, l.ld)
	}
	return paths, missing, nil
}

// Needs returns the paths of the library and of what dlopen(3) loads with it, breadth first,
// in a program that has its loader. Of what is loaded it says nothing of where it
// stands already.
func (id *Identity) Needs(program, libraryPath string) (paths, missing []string, err error) {
	main, err := load(program)
	if err != nil {
		return nil, nil, err
	}
	c, err := load(id.Path)
	if err != nil {
		return nil, nil, err
	}
	c.interpreter = main.interpreter
	l := &loading{names: map[string]bool{}, files: map[string]string{}, root: &object{content: c, path: id.Path, by: &object{content: main, path: program}}}
	missing = l.needed(l.root, libraryPath)
	paths = []string{id.Path}
	for _, path := range l.order {
		if path != id.Path && path != l.ld {
			paths = append(paths, path)
		}
	}
	return paths, missing, nil
}

// Find returns the path of the library that dlopen(3) opens for the program by a name,
// empty if there is none; libraryPath is as in Libraries.
func (id *Identity) Find(name, libraryPath string) string {
	c, err := load(id.Path)
	if err != nil {
		return ""
	}
	root := &object{content: c, path: id.Path}
	found := newSearch(root, libraryPath).find(root, name)
	if found == nil {
		return ""
	}
	path, err := resolve(found.path)
	if err != nil {
		return ""
	}
	return path
}

func (id *Identity) load(libraryPath string) (l *loading, missing []string, err error) {
	l = &loading{names: map[string]bool{}, files: map[string]string{}}
	root := &object{path: id.Path}
	l.root = root
	for scripts := 0; scripts <= maxScripts; scripts++ {
		root.content, err = load(root.path)
		if scripts > 0 && errors.Is(err, fs.ErrNotExist) {
			return l, []string{root.path}, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("libraries of %s: %w", id.Path, err)
		}
		if scripts > 0 {
			root.path = l.add(root)
		}
		if root.kind != Script {
			break
		}
		root.path = root.interpreter
	}
	missing = l.needed(root, libraryPath)
	return l, missing, nil
}

// object is a file that is loaded.
type object struct {
	*content
	path string  // by which it was found
	by   *object // on whose behalf, nil for the program
}

// loading is what a loader has done so far.
type loading struct {
	names map[string]bool   // that ask for no further file
	files map[string]string // resolved path to build ID
	order []string          // in which they were loaded
	root  *object
	ld    string // resolved path of the loader
}

func (l *loading) libraries() []Library {
	libs := make([]Library, 0, len(l.files))
	for path, buildID := range l.files {
		libs = append(libs, Library{path, buildID})
	}
	slices.SortFunc(libs, func(a, b Library) int { return cmp.Compare(a.Path, b.Path) })
	return libs
}

// add notes that o is loaded, and returns its resolved path.
func (l *loading) add(o *object) string {
	path, err := resolve(o.path)
	if err != nil {
		path = o.path // it was there a moment ago
	}
	if _, again := l.files[path]; !again {
		l.order = append(l.order, path)
	}
	l.files[path] = o.buildID
	l.names[o.soname] = true
	return path
}

// needed loads, breadth first, the interpreter of root and what root needs.
func (l *loading) needed(root *object, libraryPath string) (missing []string) {
	if root.interpreter == "" {
		return nil // nobody loads what it says it needs
	}
	if ld := try(root, root.interpreter); ld != nil {
		l.ld = l.add(ld)
	} else {
		missing = append(missing, root.interpreter)
	}
	s := newSearch(root, libraryPath)
	musl := strings.HasPrefix(filepath.Base(root.interpreter), "ld-musl-")
	for queue := []*object{root}; len(queue) > 0; queue = queue[1:] {
		for _, name := range queue[0].needed {
			if l.names[name] || musl && muslHas(name) {
				continue
			}
			l.names[name] = true
			o := s.find(queue[0], name)
			if o == nil {
				missing = append(missing, name)
				continue
			}
			before := len(l.files)
			if l.add(o); len(l.files) > before {
				queue = append(queue, o)
			}
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// try returns the object at path if it can be loaded beside by.
func try(by *object, path string) *object {
	c, err := load(path)
	if err != nil || c.abi != by.abi {
		return nil
	}
	return &object{content: c, path: path, by: by}
}

// search is where a loader looks for names, beside what the files themselves say.
type search struct {
	env    []string // from LD_LIBRARY_PATH
	system []string
}

func newSearch(root *object, libraryPath string) search {
	return search{
		env:    root.split(strings.ReplaceAll(libraryPath, ";", ":")),
		system: append(confDirs("/etc/ld.so.conf", map[string]bool{}), defaultDirs(root.abi)...),
	}
}

// find returns the first object that o's need of name leads to, nil if none.
func (s search) find(o *object, name string) *object {
	if strings.Contains(name, "/") {
		return try(o, o.expand(name))
	}
	for _, dir := range s.dirs(o) {
		if found := try(o, filepath.Join(dir, name)); found != nil {
			return found
		}
	}
	return nil
}

// dirs returns where o's needs are looked for.
func (s search) dirs(o *object) []string {
	if o.runpath != "" {
		return slices.Concat(s.env, o.split(o.runpath), s.system)
	}
	var inherited []string // from o and those on whose behalf it was loaded
	for by := o; by != nil; by = by.by {
		if by.runpath == "" {
			inherited = append(inherited, by.split(by.rpath)...)
		}
	}
	return slices.Concat(inherited, s.env, s.system)
}

// split splits a search path of o. An empty directory is the current one.
func (o *object) split(list string) []string {
	if list == "" {
		return nil
	}
	dirs := strings.Split(list, ":")
	for i, dir := range dirs {
		dirs[i] = o.expand(dir)
	}
	return dirs
}

func (o *object) expand(path string) string {
	origin := filepath.Dir(o.path)
	return strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(path)
}

// defaultDirs are those that ld.so knows by itself. Debian's multiarch directories
// come first; elsewhere they do not exist.
func defaultDirs(a abi) []string {
	dirs := []string{"/lib", "/usr/lib"}
	if a.class == elf.ELFCLASS64 {
		dirs = append(dirs, "/lib64", "/usr/lib64")
	}
	triplets := map[elf.Machine]string{
		elf.EM_X86_64:  "x86_64-linux-gnu",
		elf.EM_386:     "i386-linux-gnu",
		elf.EM_AARCH64: "aarch64-linux-gnu",
		elf.EM_ARM:     "arm-linux-gnueabihf",
	}
	if t, ok := triplets[a.machine]; ok {
		dirs = append([]string{"/lib/" + t, "/usr/lib/" + t}, dirs...)
	}
	return dirs
}

// confDirs reads a file of the form of /etc/ld.so.conf, see ldconfig(8). One that
// cannot be read adds nothing; done are the files that were read before.
func confDirs(path string, done map[string]bool) (dirs []string) {
	if done[path] {
		return nil
	}
	done[path] = true
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "hwcap" {
			continue
		}
		if fields[0] != "include" {
			dirs = append(dirs, strings.TrimSpace(line))
			continue
		}
		for _, pattern := range fields[1:] {
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(path), pattern)
			}
			files, _ := filepath.Glob(pattern) // sorted; a bad pattern has none
			for _, file := range files {
				dirs = append(dirs, confDirs(file, done)...)
			}
		}
	}
	return dirs
}

// muslHas reports whether musl's loader takes name for itself, which has all of
// the C library in it (load_library in ldso/dynlink.c).
func muslHas(name string) bool {
	rest, isLib := strings.CutPrefix(name, "lib")
	part, _, dotted := strings.Cut(rest, ".")
	return isLib && dotted && slices.Contains([]string{"c", "pthread", "rt", "m", "dl", "util", "xnet"}, part)
}
