package main

import (
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
	"github.com/tjfuzz/tjfuzz/internal/lazyregexp"
)

var inRun = lazyregexp.New(`/run(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){1,4}`)

// runDirs are the directories in /run that a program's file names, or a text file that its command line names, and that
// the init system makes before it starts the program: many a service refuses to work without. They are those that the host
// has now, or that a packaged unit of systemd or a line for systemd-tmpfiles asks for. A cage shows no more of /run.
func runDirs(program string, words []string, from initFiles) (dirs []cage.RunDir) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil
	}
	texts := [][]byte{data}
	for _, w := range words {
		if f, err := readConfig(w); err == nil {
			texts = append(texts, f.Data)
		}
	}
	const most = 16
	var names []string
	for _, text := range texts {
		for _, m := range inRun.FindAllString(string(text), -1) {
			for name := strings.TrimPrefix(m, "/run/"); name != "."; name = path.Dir(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names) // what lies in another comes behind it
	asked := from.directories()
	there := map[string]bool{".": true}
	for _, name := range slices.Compact(names) {
		if len(dirs) == most {
			break
		}
		if !there[path.Dir(name)] { // it is behind a link
			continue
		}
		st, err := os.Lstat(filepath.Join("/run", name))
		switch d, ask := asked[name]; {
		case err == nil && st.IsDir():
			if s, ok := st.Sys().(*syscall.Stat_t); ok {
				dirs = append(dirs, cage.RunDir{Name: name, Mode: s.Mode & 0o7777, UID: int(s.Uid), GID: int(s.Gid)})
				there[name] = true
			}
		case err != nil && ask:
			dirs = append(dirs, d)
			there[name] = true
		}
	}
	return dirs
}

// initFiles say where an init system's files are that ask for directories: services of systemd, and lines of tmpfiles.d(5).
type initFiles struct{ units, tmpfiles string }

// packaged is where packages put them.
var packaged = initFiles{"/usr/lib/systemd/system", "/usr/lib/tmpfiles.d"}

// directories are those in /run that are asked for, with those around them, by their names there.
func (i initFiles) directories() map[string]cage.RunDir {
	found := map[string]cage.RunDir{}
	add := func(d cage.RunDir) {
		found[d.Name] = d
		for name := path.Dir(d.Name); name != "."; name = path.Dir(name) {
			if _, known := found[name]; !known {
				found[name] = cage.RunDir{Name: name, Mode: 0o755}
			}
		}
	}
	for _, line := range fieldsOf(filepath.Join(i.units, "*.service")) {
		// See systemd.exec(5).
		if first, ok := strings.CutPrefix(line[0], "RuntimeDirectory="); ok {
			for _, name := range append([]string{first}, line[1:]...) {
				if name != "" {
					add(cage.RunDir{Name: name, Mode: 0o755})
				}
			}
		}
	}
	for _, line := range fieldsOf(filepath.Join(i.tmpfiles, "*.conf")) {
		if len(line) < 2 || !strings.ContainsAny(line[0][:1], "dDv") {
			continue
		}
		name, ok := strings.CutPrefix(strings.TrimPrefix(line[1], "/var"), "/run/")
		if ok {
			add(tmpfile(strings.TrimRight(name, "/"), line[2:]))
		}
	}
	return found
}

// tmpfile is a directory with the mode, the user and the group of a line of tmpfiles.d(5), as far as it has them.
func tmpfile(name string, of []string) cage.RunDir {
	d := cage.RunDir{Name: name, Mode: 0o755}
	of = append(slices.Clone(of), "-", "-", "-")
	if mode, err := strconv.ParseUint(strings.TrimLeft(of[0], "~:"), 8, 12); err == nil {
		d.Mode = uint32(mode)
	}
	if u, err := user.Lookup(of[1]); err == nil {
		d.UID, _ = strconv.Atoi(u.Uid)
	}
	if g, err := user.LookupGroup(of[2]); err == nil {
		d.GID, _ = strconv.Atoi(g.Gid)
	}
	return d
}

// fieldsOf are the words of each line of files that is not empty.
func fieldsOf(pattern string) (lines [][]string) {
	files, _ := filepath.Glob(pattern)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) > 0 {
				lines = append(lines, words)
			}
		}
	}
	return lines
}
