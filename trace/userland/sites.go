package userland

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/tjfuzz/tjfuzz/internal/image"
	"github.com/tjfuzz/tjfuzz/trace"
)

// maxBuilds bounds the files whose build ids are remembered.
const maxBuilds = 4096

// locator finds call sites. The zero value is ready; it belongs to one goroutine.
type locator struct {
	builds map[string]string // by what the mapping says of the file
}

// at says which file holds the instruction before ip in the memory of a task, which
// must be stopped. The zero Site stands for memory that is of no file.
func (l *locator) at(tid int, ip uint64) trace.Site {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", tid))
	if err != nil {
		return trace.Site{} // it was killed
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m, ok := parseMapping(lines.Text())
		if !ok || ip <= m.start || ip > m.end || m.path == "" {
			continue
		}
		site := trace.Site{Module: m.path, Offset: ip - m.start + m.offset}
		if m.file != "" {
			site.Module = strings.TrimSuffix(m.path, " (deleted)")
			site.BuildID = l.buildID(tid, m)
		}
		return site
	}
	return trace.Site{}
}

// mapping is a line of /proc/PID/maps (proc_pid_maps(5)).
type mapping struct {
	start, end, offset uint64
	file               string // device and inode, empty for memory that is of no file
	path               string // as the process sees it, or a name such as "[vdso]"
}

func parseMapping(line string) (m mapping, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 5 {
		return m, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	var errs [3]error
	m.start, errs[0] = strconv.ParseUint(from, 16, 64)
	m.end, errs[1] = strconv.ParseUint(to, 16, 64)
	m.offset, errs[2] = strconv.ParseUint(fields[2], 16, 64)
	if fields[4] != "0" {
		m.file = fields[3] + " " + fields[4]
	}
	// The path may hold blanks, so it is all that follows the inode's column.
	rest := line
	for range 5 {
		rest = strings.TrimLeft(rest, " ")
		_, rest, _ = strings.Cut(rest, " ")
	}
	m.path = strings.ReplaceAll(strings.TrimLeft(rest, " "), `\012`, "\n")
	return m, errs == [3]error{}
}

func (l *locator) buildID(tid int, m mapping) string {
	key := m.file + " " + m.path
	id, known := l.builds[key]
	if !known {
		id = readBuildID(tid, m)
		if l.builds == nil || len(l.builds) == maxBuilds {
			l.builds = map[string]string{}
		}
		l.builds[key] = id
	}
	return id
}

// readBuildID reads the mapped file itself where the rights suffice (CAP_SYS_ADMIN or
// CAP_CHECKPOINT_RESTORE), or else what has its name in the process's world.
func readBuildID(tid int, m mapping) string {
	for _, path := range []string{
		fmt.Sprintf("/proc/%d/map_files/%x-%x", tid, m.start, m.end),
		fmt.Sprintf("/proc/%d/root%s", tid, m.path),
	} {
		if id, err := image.BuildID(path); err == nil {
			return id
		}
	}
	return ""
}
