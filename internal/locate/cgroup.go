package locate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// hierarchy is a cgroup file system that is mounted somewhere.
type hierarchy struct {
	dir    string   // the mount point
	root   string   // the cgroup that it shows, usually /
	words  []string // v1: its controllers and its name as "name=systemd"; nil for v2
	legacy bool     // v1
}

// hierarchies are those of /proc/self/mountinfo, in the order in which they tell
// processes apart best: v2 and systemd's have every unit and container, pids and
// memory most of them.
func (s System) hierarchies() ([]hierarchy, error) {
	b, err := s.read("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	all := parseMounts(string(b))
	rank := func(h hierarchy) int {
		if !h.legacy {
			return 0
		}
		for i, word := range []string{"name=systemd", "pids", "memory"} {
			if slices.Contains(h.words, word) {
				return i + 1
			}
		}
		return 4
	}
	slices.SortStableFunc(all, func(a, b hierarchy) int { return rank(a) - rank(b) })
	return all, nil
}

// parseMounts picks the cgroup mounts from the lines of a mountinfo file, whose
// form is in proc_pid_mountinfo(5).
func parseMounts(info string) []hierarchy {
	var all []hierarchy
	for line := range strings.Lines(info) {
		mount, super, ok := strings.Cut(line, " - ")
		m, sb := strings.Fields(mount), strings.Fields(super)
		if !ok || len(m) < 6 || len(sb) < 3 {
			continue
		}
		h := hierarchy{dir: unescape(m[4]), root: unescape(m[3])}
		switch sb[0] {
		case "cgroup2":
		case "cgroup":
			h.legacy = true
			for _, word := range strings.Split(sb[2], ",") {
				if !slices.Contains([]string{"rw", "ro", "xattr", "noprefix", "clone_children"}, word) {
					h.words = append(h.words, word)
				}
			}
		default:
			continue
		}
		all = append(all, h)
	}
	return all
}

// unescape undoes the octal escapes of blanks and backslashes in mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// directory is where the hierarchy shows a cgroup, and whether it does: a
// container may see a part of it only.
func (h hierarchy) directory(cgroup string) (string, bool) {
	// From outside of this process' cgroup namespace.
	if strings.HasPrefix(cgroup, "/..") {
		return "", false
	}
	below, ok := within(cgroup, h.root)
	return path.Join(h.dir, below), ok
}

// within cuts the directory off the front of a path that lies in it.
func within(p, dir string) (string, bool) {
	if dir == "/" || p == dir {
		return strings.TrimPrefix(p, dir), true
	}
	return strings.CutPrefix(p, dir+"/")
}

// Cgroup is the processes in a cgroup and below it. Its name is a directory, or a
// path in the hierarchies: /system.slice/nginx.service is all directories that
// have this name there.
func (s System) Cgroup(name string) (Place, error) {
	all, err := s.hierarchies()
	if err != nil {
		return Place{}, err
	}
	if len(all) == 0 {
		return Place{}, &Error{"no cgroup file system is mounted here", "mount -t cgroup2 none /sys/fs/cgroup"}
	}
	p := Place{Name: "cgroup " + name}
	whole := &Error{fmt.Sprintf("cgroup %s is the whole machine", name), "name a cgroup below it; systemd-cgls lists them"}
	if dir, ok := s.mounted(all, name); ok {
		if slices.ContainsFunc(all, func(h hierarchy) bool { return h.dir == dir }) {
			return Place{}, whole
		}
		p.Cgroups = []string{dir}
	} else {
		relative := path.Clean("/" + name)
		if relative == "/" {
			return Place{}, whole
		}
		for _, h := range all {
			if dir, ok := h.directory(relative); ok && s.exists(dir) && !slices.Contains(p.Cgroups, dir) {
				p.Cgroups = append(p.Cgroups, dir)
			}
		}
	}
	if len(p.Cgroups) == 0 {
		return Place{}, &Error{fmt.Sprintf("there is no cgroup %s", name), "systemd-cgls lists them; /proc/PID/cgroup has those of a process"}
	}
	first := 0
	for _, dir := range p.Cgroups {
		if first, err = s.anyone(dir); err != nil {
			return Place{}, fmt.Errorf("read cgroup %s: %w", dir, err)
		} else if first != 0 {
			break
		}
	}
	if first == 0 {
		return Place{}, &Error{fmt.Sprintf("no process is in cgroup %s", name), "start what runs in it, then try again"}
	}
	p.Program = s.program(first)
	return p, nil
}

// mounted resolves a directory in a cgroup file system, as it is there.
func (s System) mounted(all []hierarchy, dir string) (string, bool) {
	if !filepath.IsAbs(dir) {
		return "", false
	}
	// /sys/fs/cgroup/cpu is often a link to cpu,cpuacct.
	real, err := filepath.EvalSymlinks(s.path(dir))
	if err != nil {
		return "", false
	}
	if s.Root != "" {
		below, ok := strings.CutPrefix(real, filepath.Clean(s.Root))
		if !ok {
			return "", false
		}
		real = below
	}
	if st, err := os.Stat(s.path(real)); err != nil || !st.IsDir() {
		return "", false
	}
	for _, h := range all {
		if _, ok := within(real, h.dir); ok {
			return real, true
		}
	}
	return "", false
}

// anyone is the first process in a cgroup or below it, 0 for none.
func (s System) anyone(dir string) (int, error) {
	first := 0
	err := filepath.WalkDir(s.path(dir), func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && p != s.path(dir) {
			return nil // removed meanwhile
		}
		if err != nil || !d.IsDir() {
			return err
		}
		procs, err := os.ReadFile(filepath.Join(p, "cgroup.procs"))
		// A threaded cgroup does not name its processes, the one above it does.
		if err != nil {
			return nil
		}
		if line, _, _ := strings.Cut(string(procs), "\n"); line != "" {
			first, err = strconv.Atoi(line)
			if err != nil {
				return err
			}
			return fs.SkipAll
		}
		return nil
	})
	return first, err
}

// membership is a line of /proc/PID/cgroup: the cgroup of a process in one
// hierarchy.
type membership struct {
	words []string // as in hierarchy
	path  string
}

func parseMemberships(text string) []membership {
	var all []membership
	for line := range strings.Lines(text) {
		// A cgroup's name may hold colons.
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		m := membership{path: strings.TrimSuffix(parts[2], " (deleted)")}
		if parts[1] != "" {
			m.words = strings.Split(parts[1], ",")
		}
		all = append(all, m)
	}
	return all
}

// ofProcess are the cgroups of a process as directories, in the order of the
// hierarchies, with the path that the kernel calls each by.
func (s System) ofProcess(pid int, all []hierarchy) ([]directory, error) {
	b, err := s.read(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, fmt.Errorf("read the cgroups of process %d: %w", pid, err)
	}
	members := parseMemberships(string(b))
	var dirs []directory
	for _, h := range all {
		i := slices.IndexFunc(members, func(m membership) bool {
			if !h.legacy {
				return m.words == nil
			}
			return len(m.words) > 0 && slices.Contains(h.words, m.words[0])
		})
		if i < 0 {
			continue
		}
		if dir, ok := h.directory(members[i].path); ok && s.exists(dir) {
			dirs = append(dirs, directory{hierarchy: h, path: members[i].path, dir: dir})
		}
	}
	return dirs, nil
}

// directory is a cgroup of a process.
type directory struct {
	hierarchy
	path string // in the hierarchy
	dir  string
}
