// Package coverage decides which code of a program no run has reached yet. It puts a
// breakpoint on each such basic block of a process that copies are made of (see package
// forkserver), and takes it away when a copy has come there: so the copies that reach
// nothing new run as fast as ever, and one that does dies of SIGTRAP. The same scenario
// is then to be run once more, followed by a Trace, which tells what is new. The package
// knows no scenarios. Its main hazard is a program that is not what it would be without
// breakpoints; what could be is told by Found, or is a reason to have none.
//
// Of libraries only those count that the program itself says to need. Those of the languages and libcrypto are
// left alone: they are the same in every program, and much of them is written by hand,
// with data amid the code.
//
// Needs x86-64, CAP_CHECKPOINT_RESTORE, and that a process may write to the memory of its
// children.
package coverage

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// ErrTraps says that a program has a use of its own for breakpoints.
var ErrTraps = errors.New("the program handles SIGTRAP itself")

// ErrHalf says that a process may have some breakpoints, or lack code: it is of no use.
var ErrHalf = errors.New("only some breakpoints could be put there")

// Map is the code of programs and what of it was reached. It may be shared by all that
// run the same program; the zero value is a map of nothing.
type Map struct {
	mu    sync.Mutex
	files map[string]file // by what identifies them
	log   []point         // what was reached, in this order
	edges []byte          // of each edge that the program counts itself, the classes that were seen; see Take
}

// file is a module, or why it is none.
type file struct {
	module *module
	err    error
}

// module is the code of one file.
type module struct {
	id      string
	offsets []uint64 // of its blocks, in the file; ascending
	first   []byte   // the first byte of each
	reached []bool   // guarded by Map.mu
	armed   *armed   // see copied; guarded by Map.mu
	tried   bool     // to make it; guarded by Map.mu

	shift   uint64            // from an offset to where the file wants the code
	imports map[uint64]string // see image.Imports
}

// point is a block of a module.
type point struct {
	module *module
	block  int
}

// key names a block in all processes and all sessions alike.
func (p point) key() uint64 { return BlockKey(p.module.id, p.module.offsets[p.block]) }

// BlockKey names the block at an offset of the file with an ID, as Found does.
func BlockKey(id string, offset uint64) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s+%x", id, offset)
	return h.Sum64()
}

// breakpoint is the instruction int3.
const breakpoint = 0xcc

// FileID is what identifies a file: the same file has the same one in all processes and sessions.
func FileID(path string) (string, error) {
	id, err := image.BuildID(path)
	if err != nil || id != "" {
		return id, err
	}
	whole, err := image.Identify(path)
	if err != nil {
		return "", err
	}
	return whole.SHA256, nil
}

// Reached reports whether a run was seen to come to the block at an offset of the file with an ID.
func (m *Map) Reached(id string, offset uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[id]
	if f.module == nil {
		return false
	}
	i, found := slices.BinarySearch(f.module.offsets, offset)
	return found && f.module.reached[i]
}

// file returns the module of a file, which is read if need be. The caller holds m.mu.
func (m *Map) file(path string) (*module, error) {
	id, err := FileID(path)
	if err != nil {
		return nil, err
	}
	f, ok := m.files[id]
	if !ok {
		f.module, f.err = read(path, id)
		if m.files == nil {
			m.files = map[string]file{}
		}
		m.files[id] = f
	}
	return f.module, f.err
}

func read(path, id string) (*module, error) {
	if _, err := buildinfo.ReadFile(path); err == nil {
		return nil, ErrTraps // the runtime of Go handles all signals
	}
	blocks, err := image.Blocks(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mod := &module{id: id}
	const size = 64 << 10
	window, at := []byte(nil), uint64(0)
	for _, b := range blocks {
		if b.Offset-at >= uint64(len(window)) {
			window, at = make([]byte, size), b.Offset
			n, err := f.ReadAt(window, int64(at))
			if n == 0 {
				return nil, fmt.Errorf("read the code of %s: %w", path, err)
			}
			if err != nil && err != io.EOF {
				return nil, fmt.Errorf("read the code of %s: %w", path, err)
			}
			window = window[:n]
		}
		// One that the program has itself could not be told from ours.
		if first := window[b.Offset-at]; first != breakpoint {
			mod.offsets = append(mod.offsets, b.Offset)
			mod.first = append(mod.first, first)
		}
	}
	mod.reached = make([]bool, len(mod.offsets))
	if len(blocks) > 0 {
		mod.shift = blocks[0].Address - blocks[0].Offset
	}
	if mod.imports, err = image.Imports(path); err != nil {
		return nil, err
	}
	return mod, nil
}

// reach notes that points were reached, and returns the keys of those that had not been,
// sorted. With an error, too: then some processes may still have breakpoints there.
func (m *Map) reach(points []point) ([]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var fresh []uint64
	var failed []error
	for _, p := range points {
		mod := p.module
		if mod.reached[p.block] {
			continue
		}
		mod.reached[p.block] = true
		m.log = append(m.log, p)
		fresh = append(fresh, p.key())
		if mod.armed != nil && mod.offsets[p.block] < mod.armed.size {
			if err := mod.armed.put(mod.offsets[p.block], mod.first[p.block]); err != nil {
				failed = append(failed, fmt.Errorf("take a breakpoint away: %w", err))
			}
		}
	}
	slices.Sort(fresh)
	return fresh, errors.Join(failed...)
}

// others are the libraries of everybody, by the part of their name before a version.
var others = []string{
	"ld-linux-x86-64", "ld-musl-x86_64", "libc", "libc.musl-x86_64", "libm", "libmvec", "libpthread", "libdl", "librt", "libresolv",
	"libutil", "libanl", "libnsl", "libcrypto", "libgcc_s", "libstdc++", "libc++", "libc++abi",
}

// stem is the part of a library's name before its version.
func stem(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".so")
	return name
}

// own reports whether a library that is mapped is one of those that a program says to
// need, and is made for few programs.
func own(path string, needed []string) bool {
	return !slices.Contains(others, stem(path)) &&
		slices.ContainsFunc(needed, func(name string) bool { return stem(name) == stem(path) })
}

// Own returns what tells, of the files that are loaded with the program at path, those whose blocks are
// looked at.
func Own(path string) (func(file string) bool, error) {
	program, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("look for the program's file: %w", err)
	}
	needed, err := image.Needed(program)
	if err != nil {
		return nil, err
	}
	return func(file string) bool { return file == program || own(file, needed) }, nil
}

// mapping is a line of /proc/PID/maps that has code or constants of a file.
type mapping struct {
	start, end, offset uint64
	code               bool
	path               string
}

// parseMaps reads /proc/PID/maps, see proc_pid_maps(5).
func parseMaps(maps []byte) ([]mapping, error) {
	var all []mapping
	for line := range bytes.Lines(maps) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var m mapping
		var mode, device string
		var inode uint64
		if _, err := fmt.Sscanf(string(line), "%x-%x %4s %x %s %d", &m.start, &m.end, &mode, &m.offset, &device, &inode); err != nil {
			return nil, fmt.Errorf("a mapping %q: %w", line, err)
		}
		if len(mode) != 4 || m.start >= m.end {
			return nil, fmt.Errorf("a mapping %q", line)
		}
		at := bytes.IndexByte(line, '/')
		if m.code = mode[2] == 'x'; at < 0 || !m.code && mode[:2] != "r-" {
			continue
		}
		m.path = strings.ReplaceAll(string(line[at:]), `\012`, "\n") // mangle_path() in fs/proc
		if !strings.HasSuffix(m.path, " (deleted)") {
			all = append(all, m)
		}
	}
	return all, nil
}
