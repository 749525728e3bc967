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

var (
	inRun = lazyregexp.New(`/run(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){1,4}`)
	inEtc = lazyregexp.New(`/etc(?:/[A-Za-z0-9][A-Za-z0-9_.-]*){1,4}`)
)

// Of the names of files in /etc in a program's file, few are of files that are there.
const maxTexts, maxNames = 16, 1024

// textsOf are the program's file and what may be its configuration: the text files that its command line names, and those in
// /etc that its own file does.
func textsOf(program string, words []string) (texts [][]byte) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil
	}
	texts = append(texts, data)
	add := func(path string) {
		// Those of /proc have no size: what they say is the host's, such as its mounts.
		if st, err := os.Stat(path); err != nil || st.Size() == 0 {
			return
		}
		if f, err := readConfig(path); err == nil {
			texts = append(texts, f.Data)
		}
	}
	for _, w := range words {
		add(w)
	}
	names := inEtc.FindAllString(string(data), -1)
	slices.Sort(names)
	names = slices.Compact(names)
	most := len(texts) + maxTexts
	for _, name := range names[:min(len(names), maxNames)] {
		if real, err := filepath.EvalSymlinks(name); len(texts) < most && err == nil && below("/etc", real) {
			add(name)
		}
	}
	return texts
}

// runDirs are the directories in /run that texts name, and that the init system makes before it starts the program: many a
// service refuses to work without. They are those that the host has now, or that a packaged unit of systemd or a line for
// systemd-tmpfiles asks for. A cage shows no more of /run.
func runDirs(texts [][]byte, from initFiles) (dirs []cage.RunDir) {
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

// inRun are the directories there that the cage has, if there is a cage.
func (s *session) inRun() []cage.RunDir {
	if s.cage == nil {
		return nil
	}
	return s.cage.Run
}

// initFiles say where an init system's files are that ask for directories: services of systemd, and lines of tmpfiles.d(5).
type initFiles struct{ units, tmpfiles string }

// packaged is where packages put them.
var packaged = initFiles{"/usr/lib/systemd/system", "/usr/lib/tmpfiles.d"}

// directories are those in /run that are asked for, with those around them, by their names there.
func (i initFiles) directories() map[string]cage.RunDir {
	found := map[string]cage.RunDir{}
	add := func(d cage.RunDir) {
		if d.Name = path.Clean(d.Name); d.Name == "." || !filepath.IsLocal(d.Name) {
			return
		}
		found[d.Name] = d
		for name := path.Dir(d.Name); name != "."; name = path.Dir(name) {
			if _, known := found[name]; !known {
				found[name] = cage.RunDir{Name: name, Mode: 0o755}
			}
		}
	}
	for _, file := range linesOf(filepath.Join(i.units, "*.service")) {
		for _, d := range slices.Concat(runtimeDirectories(file), preparedDirectories(file)) {
			add(d)
		}
	}
	for _, line := range slices.Concat(linesOf(filepath.Join(i.tmpfiles, "*.conf"))...) {
		if len(line) < 2 || !strings.ContainsAny(line[0][:1], "dDv") {
			continue
		}
		if name, ok := strings.CutPrefix(strings.TrimPrefix(path.Clean(line[1]), "/var"), "/run/"); ok {
			add(tmpfile(name, line[2:]))
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
	d.UID, _ = userNumbers(of[1])
	d.GID = groupNumber(of[2], 0)
	return d
}

// runtimeDirectories are those that the lines of a unit ask for, see systemd.exec(5): they belong to whom the service runs as.
func runtimeDirectories(unit [][]string) (dirs []cage.RunDir) {
	var owner, group string
	of := cage.RunDir{Mode: 0o755}
	for _, line := range unit {
		key, value, _ := strings.Cut(strings.Join(line, " "), "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "RuntimeDirectory":
			for _, w := range strings.Fields(value) {
				name, _, _ := strings.Cut(w, ":") // what follows is a link to it
				dirs = append(dirs, cage.RunDir{Name: name})
			}
		case "RuntimeDirectoryMode":
			if mode, err := strconv.ParseUint(value, 8, 12); err == nil {
				of.Mode = uint32(mode)
			}
		case "User":
			owner = value
		case "Group":
			group = value
		}
	}
	if len(dirs) == 0 { // of most units: who is asked for users may be far away
		return nil
	}
	of.UID, of.GID = userNumbers(owner)
	of.GID = groupNumber(group, of.GID)
	for i := range dirs {
		of.Name = dirs[i].Name
		dirs[i] = of
	}
	return dirs
}

// preparedDirectories are those in /run that the commands of a unit make before its service starts.
func preparedDirectories(unit [][]string) (dirs []cage.RunDir) {
	for _, line := range unit {
		command, ok := strings.CutPrefix(line[0], "ExecStartPre=")
		if command = path.Base(command); !ok || command != "mkdir" && command != "chown" && (command != "install" || !slices.Contains(line, "-d")) {
			continue
		}
		d := cage.RunDir{Mode: 0o755}
		var before string
		for _, word := range line[1:] {
			switch before {
			case "-m":
				if mode, err := strconv.ParseUint(word, 8, 12); err == nil {
					d.Mode = uint32(mode)
				}
			case "-o":
				d.UID, _ = userNumbers(word)
			case "-g":
				d.GID = groupNumber(word, 0)
			}
			before = word
			if d.Name, ok = strings.CutPrefix(strings.TrimPrefix(word, "/var"), "/run/"); !ok {
				continue
			}
			known := slices.IndexFunc(dirs, func(o cage.RunDir) bool { return o.Name == d.Name })
			switch {
			case command != "chown":
				dirs = append(dirs, d)
			case known >= 0:
				to := slices.IndexFunc(line[1:], func(w string) bool { return !strings.HasPrefix(w, "-") })
				owner, group, _ := strings.Cut(line[1+to], ":")
				dirs[known].UID, _ = userNumbers(owner)
				dirs[known].GID = groupNumber(group, 0)
			}
		}
	}
	return dirs
}

// userNumbers are those of a user and of its group, root's where nobody is called that.
func userNumbers(name string) (uid, gid int) {
	if u, err := user.Lookup(name); err == nil {
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
	}
	return uid, gid
}

func groupNumber(name string, otherwise int) int {
	g, err := user.LookupGroup(name)
	if err != nil {
		return otherwise
	}
	gid, _ := strconv.Atoi(g.Gid)
	return gid
}

// linesOf are the words of each line that is not empty, of each of some files.
func linesOf(pattern string) (all [][][]string) {
	files, _ := filepath.Glob(pattern)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var lines [][]string
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) > 0 {
				lines = append(lines, words)
			}
		}
		all = append(all, lines)
	}
	return all
}
