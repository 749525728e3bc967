package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/mutate"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

// maxConfig bounds a configuration, in bytes.
const maxConfig = 1 << 20

// configure makes files configurations, of which runs have changed copies in their places: those of a scenario file by
// name, others by path. Where targets start, they can have copies; so where that directory does not hold them all,
// targets start in one that does.
func (s *session) configure(paths []string) error {
	var found []fuzz.File
	for _, p := range paths {
		if slices.ContainsFunc(s.files, func(f fuzz.File) bool { return f.Name == p }) {
			s.confs = append(s.confs, p)
			continue
		}
		f, err := readConfig(p)
		if err != nil {
			return hinted(fmt.Errorf("read the configuration %s: %w", p, err), "--config takes a file as the program reads it")
		}
		if !slices.ContainsFunc(found, func(o fuzz.File) bool { return o.Name == f.Name }) {
			found = append(found, f)
		}
	}
	if s.cage != nil && len(paths) > 0 {
		words := s.args[1:]
		for _, args := range s.more {
			words = slices.Concat(words, args[1:])
		}
		texts := textsOf(s.path, words)
		for _, f := range slices.Concat(s.files, found) {
			texts = append(texts, f.Data)
		}
		s.cage.Run = runDirs(texts, packaged)
	}
	if len(found) == 0 {
		return nil
	}
	if s.cage == nil {
		return hinted(errors.New("without a cage a configuration cannot be changed where the program finds it"),
			"leave --no-cage out, or give a scenario file that has it among its files")
	}
	dir, err := s.homeOf(found)
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Name, err = filepath.Rel(dir, f.Name); err != nil {
			return err
		}
		s.files = append(s.files, f)
		s.confs = append(s.confs, f.Name)
	}
	return nil
}

// guess makes configurations of what looks like them on the command line, where that changes little else: they lie below
// the current directory or in /etc, all in the directory of the first, as targets can start in one only; everybody may read
// them, as everybody may read what learn writes and the copies that targets find; and no long list of runs comes of them.
func (s *session) guess(words []string) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	if here, err = filepath.EvalSymlinks(here); err != nil {
		return err
	}
	likely := slices.DeleteFunc(likelyConfigs(words), func(p string) bool {
		f, err := readConfig(p)
		return err != nil || !guessable(p) || !below("/etc", f.Name) && (here == "/" || !below(here, f.Name))
	})
	for _, p := range likely {
		if filepath.Dir(p) == filepath.Dir(likely[0]) {
			s.guessed = append(s.guessed, p)
		}
	}
	for _, p := range slices.Clone(s.guessed) {
		s.guessed = withIncluded(s.guessed, p)
	}
	return s.configure(s.guessed)
}

// The bounds of what is guessed to be a configuration.
const (
	longGuess    = 64 << 10 // bytes: no long list of runs comes of it
	mostIncluded = 12       // files that others include
)

// guessable reports whether a file may be guessed to be a configuration. Everybody may read what learn writes, and the copies that
// targets find.
func guessable(path string) bool {
	f, err := readConfig(path)
	if err != nil || len(f.Data) > longGuess {
		return false
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode()&0o004 != 0
}

// adopt makes configurations of what the program's own file says that it reads from a directory in /etc, and reports whether there is
// such a file. What is in /etc itself is mostly the system's, and targets would have to start there.
func (s *session) adopt() (bool, error) {
	own, err := s.ownConfigs()
	if err != nil {
		return false, err
	}
	for _, p := range own {
		if real, err := filepath.EvalSymlinks(p); err == nil && below("/etc", real) && filepath.Dir(real) != "/etc" && guessable(real) {
			s.guessed = withIncluded([]string{real}, real)
			return true, s.configure(s.guessed)
		}
	}
	return false, nil
}

// ownConfigs are the paths of what the program's file says is its configuration.
func (s *session) ownConfigs() ([]string, error) {
	texts, compiled, err := s.strings()
	if err != nil {
		return nil, err
	}
	if !compiled { // the words of a script are no paths
		data, err := os.ReadFile(s.text)
		if err != nil {
			return nil, err
		}
		texts = []string{string(data)}
	}
	return ownConfigs(filepath.Base(s.text), texts), nil
}

// includable are the files below the directory of the first configuration, by their names there, that it does not include, though some
// others are: a package leaves there what a person may turn on.
func (s *session) includable() []string {
	if len(s.guessed) == 0 {
		return nil
	}
	first, err := filepath.Abs(s.guessed[0])
	if err != nil {
		return nil
	}
	return beside(first, s.guessed)
}

// beside are the files below the directory of a configuration that look like others, and are none of some.
func beside(path string, but []string) (out []string) {
	const most, entries = 64, 1000
	home := filepath.Dir(path)
	if filepath.Dir(home) == "/" || home == "/etc" {
		return nil
	}
	seen := 0
	_ = filepath.WalkDir(home, func(p string, d fs.DirEntry, err error) error { // what cannot be read is not included
		if seen++; seen > entries || len(out) == most {
			return fs.SkipAll
		}
		ext := filepath.Ext(p)
		if err != nil || !d.Type().IsRegular() || ext != ".conf" && ext != ".load" || slices.Contains(but, p) || !guessable(p) {
			return nil
		}
		out = append(out, p)
		return nil
	})
	return out
}

// examples are where packages put a configuration in which everything is explained, for a file of a name.
var examples = []string{"/usr/share/doc/*/examples/", "/usr/share/doc/*/", "/usr/share/*/"}

// references are other texts that the session's configurations may have, by their names: what comes as an example with the program.
func (s *session) references() map[string][][]byte {
	out := map[string][][]byte{}
	for _, name := range s.confs {
		if base := filepath.Base(name); strings.Contains(base, stem(filepath.Base(s.text))) {
			own := s.files[slices.IndexFunc(s.files, func(f fuzz.File) bool { return f.Name == name })].Data
			out[name] = exampleConfigs(base, own, examples)
		}
	}
	return out
}

// exampleConfigs are examples of a configuration in some directories, where they differ from it.
func exampleConfigs(name string, own []byte, dirs []string) (out [][]byte) {
	const most = 2
	for _, dir := range dirs {
		for _, ending := range []string{"", ".example", ".sample", ".default", ".dist"} {
			found, _ := filepath.Glob(dir + name + ending + "*")
			for _, p := range found {
				if strings.TrimSuffix(filepath.Base(p), ".gz") != name+ending {
					continue
				}
				data, err := readExample(p)
				if err == nil && len(out) < most && !bytes.Equal(data, own) && !slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, data) }) {
					out = append(out, data)
				}
			}
		}
	}
	return out
}

// readExample reads an example, which may be packed, if it has the size of one.
func readExample(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	const most = 256 << 10
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && (len(data) == 0 || len(data) > most) {
		err = errors.New("not of the size of a configuration")
	}
	return data, err
}

// adoptAgain adopts what a session on a service has that left its scenarios, where one of them has such a file.
func (s *session) adoptAgain(state *fuzz.State) error {
	stored, err := state.List(fuzz.Witnesses)
	if err != nil {
		return err
	}
	own, err := s.ownConfigs()
	if err != nil {
		return err
	}
	for _, p := range own {
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(stored, func(st fuzz.Stored) bool {
			return len(st.Scenario.Acts) > 0 && slices.ContainsFunc(st.Scenario.Files, func(f fuzz.File) bool { return f.Name == filepath.Base(real) })
		}) {
			_, err := s.adopt()
			return err
		}
	}
	return nil
}

// toldFiles is a list of files for people.
func toldFiles(paths []string) string {
	const most = 4
	if more := len(paths) - most; more > 0 {
		return fmt.Sprintf("%s and %d more that it includes", strings.Join(paths[:most], ", "), more)
	}
	return strings.Join(paths, " and ")
}

var configName = lazyregexp.New(`^[A-Za-z][\w-]*(\.(conf|cfg|cnf|ini|config)|_config|rc)$`)

// ownConfigs are files in /etc that may be configurations of the program of a name, as the texts in it name them: by a path, or by a name
// in a directory that another text names, or by the name of such a directory. Others are those of other programs, of which it may make use.
func ownConfigs(program string, texts []string) (out []string) {
	stem := stem(program)
	var dirs, names []string
	for _, t := range texts {
		for _, m := range inEtc.FindAllString(t, -1) {
			if !strings.Contains(m, stem) {
				continue
			}
			if configName.MatchString(filepath.Base(m)) {
				out = append(out, m)
			} else {
				dirs = append(dirs, m)
			}
		}
		if configName.MatchString(t) && strings.Contains(t, stem) {
			names = append(names, t)
		}
	}
	for _, d := range dirs {
		for _, n := range append(slices.Clone(names), filepath.Base(d)+".conf") {
			out = append(out, filepath.Join(d, n))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// stem is what the names of a program's files mostly have of its own: of apache2ctl, sshd and redis-server apache, ssh and redis.
func stem(program string) string {
	s, _, _ := strings.Cut(strings.TrimRight(strings.TrimSuffix(program, "ctl"), "0123456789.d"), "-")
	if len(s) < 3 {
		return program
	}
	return s
}

// withIncluded adds files to a list that the configuration at a path includes, and those that these do, where they lie below its directory.
func withIncluded(all []string, path string) []string {
	home := filepath.Dir(path)
	most := len(all) + mostIncluded
	for todo := []string{path}; len(todo) > 0; todo = todo[1:] {
		f, err := readConfig(todo[0])
		if err != nil {
			continue
		}
		for _, pattern := range mutate.Included(f.Data) {
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(home, pattern)
			}
			if st, err := os.Stat(pattern); err == nil && st.IsDir() {
				pattern = filepath.Join(pattern, "*")
			}
			found, _ := filepath.Glob(pattern) // a wrong pattern has no files
			for _, p := range found {
				real, err := filepath.EvalSymlinks(p)
				if err != nil || len(all) == most || slices.Contains(all, real) || !below(home, real) || !likeConfig(real) || !guessable(real) {
					continue
				}
				all, todo = append(all, real), append(todo, real)
			}
		}
	}
	return all
}

// likeConfig reports whether the name of an included file does not speak of something else, as that of a list of types does.
func likeConfig(path string) bool {
	return filepath.Ext(path) == "" || configName.MatchString(filepath.Base(path)) || filepath.Ext(path) == ".conf"
}

// likelyConfigs are the words of a command line, or the values in them, that name files which look like
// configurations. What is as often data is one as the value of an option that speaks of them.
func likelyConfigs(words []string) (out []string) {
	for i, w := range words {
		option := ""
		if i > 0 && strings.HasPrefix(words[i-1], "-") {
			option = words[i-1]
		}
		if o, value, ok := strings.Cut(w, "="); ok && strings.HasPrefix(w, "-") {
			w, option = value, o
		}
		switch strings.ToLower(filepath.Ext(w)) {
		case ".conf", ".cfg", ".cnf", ".ini", ".config", ".properties":
		case ".yaml", ".yml", ".toml", ".json":
			if !ofConfig.MatchString(option) {
				continue
			}
		default:
			continue
		}
		if _, err := readConfig(w); err == nil {
			out = append(out, w)
		}
	}
	return out
}

// ofConfig matches options whose value is a configuration.
var ofConfig = lazyregexp.New(`(?i)conf|cfg|setting|^-[cf]$`)

// readConfig reads a file; its name is absolute, in a directory without links.
func readConfig(path string) (fuzz.File, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return fuzz.File{}, err
	case !st.Mode().IsRegular():
		return fuzz.File{}, errors.New("not a regular file")
	case st.Size() > maxConfig:
		return fuzz.File{}, fmt.Errorf("larger than %d bytes", maxConfig)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fuzz.File{}, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return fuzz.File{}, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	return fuzz.File{Name: filepath.Join(dir, filepath.Base(path)), Data: data}, err
}

// homeOf makes targets start in a directory that files, which have absolute names, are below, and returns it: the
// current one, or the innermost one that will do.
func (s *session) homeOf(files []fuzz.File) (string, error) {
	here := func() bool {
		return s.cage.Dir != "" && !slices.ContainsFunc(files, func(f fuzz.File) bool { return !below(s.cage.Dir, f.Name) })
	}
	if s.cage.Dir == "" {
		before := s.exec
		if err := s.startHere(); err != nil {
			return "", err
		}
		if !here() { // where nothing needs it
			s.cage.Dir, s.cage.Hide, s.exec = "", nil, before
		}
	}
	if here() {
		return s.cage.Dir, nil
	}
	dir := filepath.Dir(files[0].Name)
	for slices.ContainsFunc(files, func(f fuzz.File) bool { return !below(dir, f.Name) }) {
		dir = filepath.Dir(dir)
	}
	if dir == "/" {
		return "", hinted(errors.New("the configurations are in no directory but /"), "name those of one directory")
	}
	return dir, s.startIn(dir)
}

// below reports whether a path is in a directory or deeper.
func below(dir, path string) bool { return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") }

// startIn makes targets start in a directory that their command lines have nothing to do with.
func (s *session) startIn(dir string) error {
	if err := s.resolveArgs(); err != nil {
		return err
	}
	before := s.cage.Dir
	s.cage.Dir, s.cage.Hide, s.moved = dir, nil, dir
	if before != "" {
		s.expose([]string{before}) // what the command line names there
	}
	return nil
}
