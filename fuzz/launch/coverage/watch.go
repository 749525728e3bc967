package coverage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/image"
)

// Watch is one process of which copies are made, with breakpoints in its memory. It is
// used by one goroutine at a time, and while no copy is being made.
type Watch struct {
	m       *Map
	replace Replace
	mem     *os.File
	pages   *os.File // the pagemap, nil where the kernel has none: then no part is shared
	parts   []part
	done    int // of m.log: what was reached before has no breakpoint here

	constants []mapping // of the program and of its own libraries
}

// part is a mapping with the blocks of its file.
type part struct {
	mapping
	module   *module
	from, to int          // its blocks
	foreign  map[int]bool // those that have a breakpoint of somebody else: a debugger's, or one of the kernel's for a uprobe
	shared   bool         // the mapping is of the armed copy of the file
}

// Replace makes a process map a file, from an offset on, where it has code of another one. An error that is
// [errors.ErrUnsupported] says that the process is as it was.
type Replace func(start, end uint64, file *os.File, offset uint64) error

// Watch puts breakpoints into a process, on all blocks that were not reached. The error is ErrTraps where the program is the
// reason that there can be none, and ErrHalf where the process is of no use any more. The process must run no code that is in
// a file until a copy of it does. Where replace is nil, or a part cannot be replaced, the pages with breakpoints become the
// process's own.
func (m *Map) Watch(pid int, replace Replace) (*Watch, error) {
	w := &Watch{m: m, replace: replace}
	// The calling thread may be where there is no /proc.
	failed := make(chan error)
	go func() { failed <- w.open(pid) }()
	if err := <-failed; err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := w.arm(); err != nil {
		return nil, errors.Join(ErrHalf, err, w.Close())
	}
	return w, nil
}

// open finds the code of a process.
func (w *Watch) open(pid int) error {
	dir := fmt.Sprintf("/proc/%d/", pid)
	switch handled, err := handles(pid, "SigIgn:", "SigCgt:"); {
	case err != nil:
		return err
	case handled:
		return ErrTraps
	}
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		return fmt.Errorf("look at the program's code: %w", err)
	}
	mappings, err := parseMaps(maps)
	if err != nil {
		return fmt.Errorf("look at the program's code: %w", err)
	}
	program, err := os.Readlink(dir + "exe")
	if err != nil {
		return fmt.Errorf("look for the program's file: %w", err)
	}
	needed, err := image.Needed(dir + "exe")
	if err != nil {
		return err
	}
	if w.pages, err = os.Open(dir + "pagemap"); err != nil {
		w.replace = nil // of a shared part it must be known which pages are the process's own
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	var failed []error
	for _, a := range mappings {
		if a.path != program && !own(a.path, needed) {
			continue
		}
		if !a.code {
			w.constants = append(w.constants, a)
			continue
		}
		file := fmt.Sprintf("%smap_files/%x-%x", dir, a.start, a.end) // whatever the path means here
		mod, err := w.m.file(file)
		if errors.Is(err, ErrTraps) {
			return err
		}
		if err != nil {
			failed = append(failed, err) // it has no breakpoints
			continue
		}
		p := part{mapping: a, module: mod, foreign: map[int]bool{}}
		p.from, _ = slices.BinarySearch(mod.offsets, a.offset)
		p.to, _ = slices.BinarySearch(mod.offsets, a.offset+(a.end-a.start))
		if p.from == p.to {
			continue
		}
		if w.replace != nil {
			mod.copied(file, a.path)
		}
		w.parts = append(w.parts, p)
	}
	if len(w.parts) == 0 {
		return errors.Join(append(failed, errors.New("no code of the program is known"))...)
	}
	if w.mem, err = os.OpenFile(dir+"mem", os.O_RDWR, 0); err != nil {
		return fmt.Errorf("open the program's memory: %w", err)
	}
	return nil
}

// handles reports whether SIGTRAP is in one of these sets of a process, see
// proc_pid_status(5).
func handles(pid int, sets ...string) (bool, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false, fmt.Errorf("look at the program's signals: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		for _, field := range sets {
			if set, ok := strings.CutPrefix(line, field); ok {
				bits, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
				if err != nil {
					return false, fmt.Errorf("look at the program's signals: %w", err)
				}
				if bits&(1<<(unix.SIGTRAP-1)) != 0 {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// arm puts the breakpoints there. A part whose memory is not what its file has gets none.
func (w *Watch) arm() error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.done = len(w.m.log)
	var armed []part
	for i := range w.parts {
		p := &w.parts[i]
		ok, err := true, w.substitute(p)
		if errors.Is(err, errors.ErrUnsupported) {
			ok, err = w.fill(*p)
		}
		if err != nil {
			return err
		}
		if ok {
			armed = append(armed, *p)
		}
	}
	w.parts = armed
	return nil
}

// substitute gives the process the armed copy of a part's file. The error is errors.ErrUnsupported where that cannot be,
// and the process is as it was. The caller holds the lock of the map.
func (w *Watch) substitute(p *part) error {
	copied := p.module.armed
	if w.replace == nil || copied == nil || !copied.isOf(w.mem, *p) {
		return errors.ErrUnsupported
	}
	err := w.replace(p.start, p.end, copied.file, p.offset)
	p.shared = err == nil
	return err
}

// fill writes the breakpoints of a part, and reports whether it could: the memory must be what the file has.
func (w *Watch) fill(p part) (bool, error) {
	same := true
	code, err := w.change(p, func(block int, is byte) byte {
		switch {
		case is == breakpoint:
			p.foreign[block] = true
		case is != p.module.first[block]:
			same = false
		case !p.module.reached[block]:
			return breakpoint
		}
		return is
	})
	if err != nil || !same {
		return false, err
	}
	return true, w.write(p, code)
}

// Clear takes all breakpoints away. The pages that had some are the process's own then.
func (w *Watch) Clear() error {
	for _, p := range w.parts {
		code, err := w.change(p, func(block int, is byte) byte {
			if is == breakpoint && !p.foreign[block] {
				return p.module.first[block]
			}
			return is
		})
		if err != nil {
			return err
		}
		if err := w.write(p, code); err != nil {
			return err
		}
	}
	return nil
}

const pageSize = 4096

// change returns the code of a part after each first byte of a block was put through a
// function: the pages that differ from the memory, by number.
func (w *Watch) change(p part, to func(block int, is byte) byte) (map[int][]byte, error) {
	code := make([]byte, p.end-p.start)
	if _, err := w.mem.ReadAt(code, int64(p.start)); err != nil {
		return nil, fmt.Errorf("read the program's code: %w", err)
	}
	pages := map[int][]byte{}
	for block := p.from; block < p.to; block++ {
		at := int(p.module.offsets[block] - p.offset)
		if b := to(block, code[at]); b != code[at] {
			code[at] = b
			n := at / pageSize
			pages[n] = code[n*pageSize : min((n+1)*pageSize, len(code))]
		}
	}
	return pages, nil
}

// write writes pages of a part. Each becomes the process's own.
func (w *Watch) write(p part, pages map[int][]byte) error {
	for n, page := range pages {
		if _, err := w.mem.WriteAt(page, int64(p.start)+int64(n)*pageSize); err != nil {
			return fmt.Errorf("write to the program's code: %w", err)
		}
	}
	return nil
}

// Refresh takes away the breakpoints on what was reached since, in this process or in
// another one of the same Map.
func (w *Watch) Refresh() error {
	w.m.mu.Lock()
	reached := w.m.log[w.done:]
	w.done = len(w.m.log)
	w.m.mu.Unlock()
	for _, r := range reached {
		for _, p := range w.parts {
			if p.module != r.module || r.block < p.from || r.block >= p.to || p.foreign[r.block] {
				continue
			}
			if p.shared { // whoever was first to reach it has taken it away, but for a page that is the process's own
				own, err := w.owns(p.address(r.block))
				if err != nil {
					return err
				}
				if !own {
					continue
				}
			}
			if _, err := w.mem.WriteAt(p.module.first[r.block:r.block+1], int64(p.address(r.block))); err != nil {
				return fmt.Errorf("write to the program's code: %w", err)
			}
		}
	}
	return nil
}

// owns reports whether the page at an address is the process's own, and no file's.
func (w *Watch) owns(address uint64) (bool, error) {
	const present, swapped, ofFile = 1 << 63, 1 << 62, 1 << 61 // pagemap.rst
	var b [8]byte
	if _, err := w.pages.ReadAt(b[:], int64(address/pageSize*8)); err != nil {
		return false, fmt.Errorf("look at the program's pages: %w", err)
	}
	entry := binary.NativeEndian.Uint64(b[:])
	return entry&(present|swapped) != 0 && entry&ofFile == 0, nil
}

// address is where a block lies in the process.
func (p *part) address(block int) uint64 { return p.start + p.module.offsets[block] - p.offset }

// find returns what a breakpoint at an address would be on.
func (w *Watch) find(address uint64) (point, bool) {
	for _, p := range w.parts {
		if address < p.start || address >= p.end {
			continue
		}
		block, found := slices.BinarySearch(p.module.offsets, address-p.start+p.offset)
		return point{p.module, block}, found && !p.foreign[block]
	}
	return point{}, false
}

// Close forgets the process, and leaves it as it is.
func (w *Watch) Close() error {
	var errs []error
	for _, f := range []*os.File{w.mem, w.pages} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the program's memory: %w", err)
	}
	return nil
}
