package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/tjfuzz/tjfuzz/fuzz/cage"
)

// runDirs are the directories in /run that a program's file names and that its init system makes before it
// starts it: many a service refuses to work without. They are those that the host has now, or that a unit of
// systemd asks for. A cage shows no more of /run.
func runDirs(path, units string) (dirs []cage.RunDir) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	const most = 16
	var names []string
	for _, m := range regexp.MustCompile(`/run/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})`).FindAllSubmatch(data, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	asked := runtimeDirectories(units)
	for _, name := range names {
		if len(dirs) == most {
			break
		}
		st, err := os.Lstat(filepath.Join("/run", name))
		switch {
		case err == nil && st.IsDir():
			d := cage.RunDir{Name: name, Mode: uint32(st.Mode().Perm())}
			if s, ok := st.Sys().(*syscall.Stat_t); ok {
				d.UID, d.GID = int(s.Uid), int(s.Gid)
			}
			dirs = append(dirs, d)
		case err != nil && asked[name]:
			dirs = append(dirs, cage.RunDir{Name: name, Mode: 0o755})
		}
	}
	return dirs
}

// runtimeDirectories are the names that the units in a directory ask for, see RuntimeDirectory= in systemd.exec(5).
func runtimeDirectories(units string) map[string]bool {
	found := make(map[string]bool)
	files, _ := filepath.Glob(filepath.Join(units, "*.service"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if names, ok := strings.CutPrefix(strings.TrimSpace(line), "RuntimeDirectory="); ok {
				for _, name := range strings.Fields(names) {
					found[name] = true
				}
			}
		}
	}
	return found
}

// systemUnits is where packages put the units of systemd.
const systemUnits = "/usr/lib/systemd/system"
