package forkserver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// A new process has no page of a file that is mapped privately and was never written to: fork(2)
// leaves them to be found when they are used. At each such fault the kernel maps the pages around
// too, and all of them are unmapped at the end. For a program with some libraries that is a
// third of what a copy costs. Where the server has pages of its own in a mapping, its copies get all that
// it has there, which costs less for each, but more if most are never used.
//
// So two rehearsals find out which pages a copy uses, and these become the server's own, with
// the content that they have: as breakpoints in them would make them. The first tells where to look closer. The kernel
// does not map what is beyond the mapping, so for the second each page there is one: every other gets an
// advice that its neighbours have not.

// Rehearsals is how many copies are to be rehearsals.
const Rehearsals = 2

// Rehearsal is a copy of which it is looked at what it uses.
type Rehearsal struct {
	s      *Server
	target int // the copy
	used   []uint64
	ended  <-chan error
}

// area is a mapping of a file in which nothing differs from that.
type area struct {
	start, end uint64
	offset     int64 // of the start in the file
}

const (
	pageBytes = 4096
	mostCuts  = 16 << 10 // half of what would make as many mappings as a process may have (vm.max_map_count)
)

// Rehearse makes the next copy a rehearsal, which shows nothing that others do not show, but takes longer.
// The pages of some files are left as they are: those that are written to between copies.
// Needs Linux 5.4, and rights over the server as CAP_SYS_PTRACE and CAP_SYS_ADMIN give them.
func (s *Server) Rehearse(written ...*os.File) (*Rehearsal, error) {
	r := &Rehearsal{s: s}
	var calls []call
	if s.around == nil {
		var err error
		if s.areas, err = elsewhere(func() ([]area, error) { return areasOf(s.Pid(), written) }); err != nil {
			return nil, err
		}
		for _, a := range s.areas {
			calls = append(calls, advise(a.start, a.end, unix.MADV_DONTNEED))
		}
	}
	for _, p := range s.around[:min(len(s.around), mostCuts)] {
		if p/pageBytes%2 == 1 {
			calls = append(calls, advise(p, p+pageBytes, unix.MADV_RANDOM))
		}
	}
	if err := s.makeCalls(calls); err != nil {
		return nil, err
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACEEXIT
	var err error
	if r.ended, err = spawn.Follow(s.Pid(), options, r.serve); err != nil {
		return nil, errors.Join(fmt.Errorf("trace a rehearsal: %w", err), s.mend())
	}
	return r, nil
}

// Wait is called when the copy has ended. Later copies profit from it.
func (r *Rehearsal) Wait() error {
	err := <-r.ended
	if r.s.ended {
		return err
	}
	if r.s.around == nil {
		r.s.around = r.used
		return err
	}
	if err = errors.Join(err, r.s.mend()); err != nil {
		return err
	}
	_, err = elsewhere(func() (struct{}, error) { return struct{}{}, r.s.own(r.used) })
	return err
}

// own makes pages, by their addresses, the server's own. The calling thread must have a /proc.
func (s *Server) own(pages []uint64) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", s.Pid()), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the server's memory: %w", err)
	}
	defer mem.Close()
	for _, a := range s.areas {
		n, _ := slices.BinarySearch(pages, a.end)
		if n == 0 {
			continue
		}
		if err := a.own(s.Pid(), pages[:n], mem); err != nil {
			return err
		}
		pages = pages[n:]
	}
	return nil
}

// own writes what is there anyway to pages of an area. The file tells what that is: the copy may have
// had something else at these addresses, and if the memory was read the kernel would map the
// pages around.
func (a area) own(pid int, pages []uint64, mem *os.File) error {
	file, err := os.Open(a.file(pid))
	if err != nil {
		return nil // nobody can tell
	}
	defer file.Close()
	for _, p := range pages {
		var first [1]byte
		if n, _ := file.ReadAt(first[:], a.offset+int64(p-a.start)); n == 0 {
			continue // the server has no such page
		}
		if _, err := mem.WriteAt(first[:], int64(p)); err != nil {
			return fmt.Errorf("write to the server's memory: %w", err)
		}
	}
	return nil
}

// file is by which name a process's file of an area can be opened.
func (a area) file(pid int) string {
	return fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, a.start, a.end)
}

// mend makes one mapping of each that was cut.
func (s *Server) mend() error {
	calls := make([]call, len(s.areas))
	for i, a := range s.areas {
		calls[i] = advise(a.start, a.end, unix.MADV_NORMAL)
	}
	return s.makeCalls(calls)
}

// serve lets the server, the copy or a thread of that go on.
func (r *Rehearsal) serve(tid int, ws unix.WaitStatus) (done bool, err error) {
	if !ws.Stopped() {
		return false, nil
	}
	maker, sig := tid == r.s.Pid(), ws.StopSignal()
	if !maker && r.target == 0 {
		r.target = tid
	}
	switch ws >> 16 {
	case 0:
		return false, spawn.Ptrace(unix.PTRACE_CONT, tid, 0, uintptr(sig))
	case unix.PTRACE_EVENT_STOP:
		if sig != unix.SIGTRAP { // the signal has stopped it, and another one will continue it
			return false, spawn.Ptrace(unix.PTRACE_LISTEN, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_CLONE:
		if maker {
			return false, spawn.Ptrace(unix.PTRACE_DETACH, tid, 0, 0)
		}
	case unix.PTRACE_EVENT_EXEC: // it has none of these pages any more
		return false, spawn.Ptrace(unix.PTRACE_DETACH, tid, 0, 0)
	case unix.PTRACE_EVENT_EXIT:
		if tid == r.target {
			// A copy that is being killed can end meanwhile. Then it was no good rehearsal.
			r.used, _ = used(tid, r.s.areas)
		}
	}
	return false, spawn.Ptrace(unix.PTRACE_CONT, tid, 0, 0)
}

// areasOf lists the mappings of a process that copies get nothing of, but not those of some files.
// The calling thread must have a /proc.
func areasOf(pid int, without []*os.File) ([]area, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		return nil, fmt.Errorf("look at the server's memory: %w", err)
	}
	pages, err := os.Open(dir + "pagemap")
	if err != nil {
		return nil, fmt.Errorf("look at the server's memory: %w", err)
	}
	defer pages.Close()
	mem, err := os.Open(dir + "mem")
	if err != nil {
		return nil, fmt.Errorf("look at the server's memory: %w", err)
	}
	defer mem.Close()
	var all []area
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var (
			a    area
			mode string
		)
		// proc_pid_maps(5)
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %4s %x", &a.start, &a.end, &mode, &a.offset); err != nil {
			return nil, fmt.Errorf("a mapping %q: %w", lines.Text(), err)
		}
		if mode[:2] != "r-" || mode[3] != 'p' || !strings.Contains(lines.Text(), " /") {
			continue
		}
		same, err := a.isOfFile(pid, pages, mem)
		if err != nil {
			return nil, err
		}
		if same && !a.isOfAny(pid, without) {
			all = append(all, a)
		}
	}
	return all, nil
}

// isOfFile reports whether the process has nothing else in an area than the file has
// there. Where the linker has relocated something, or there are breakpoints, it has.
func (a area) isOfFile(pid int, pages, mem *os.File) (bool, error) {
	present, err := a.pagemap(pages)
	if err != nil {
		return false, err
	}
	var file *os.File
	for n, p := range present {
		if p&(isPresent|isSwapped) == 0 || p&isFile != 0 {
			continue
		}
		if file == nil {
			if file, err = os.Open(a.file(pid)); err != nil {
				return false, nil // nobody can tell
			}
			defer file.Close()
		}
		var is, was [pageBytes]byte
		at := int64(n) * pageBytes
		if _, err := mem.ReadAt(is[:], int64(a.start)+at); err != nil {
			return false, fmt.Errorf("read the server's memory: %w", err)
		}
		// Behind the end of the file the page has zeros.
		if n, _ := file.ReadAt(was[:], a.offset+at); n == 0 || is != was {
			return false, nil
		}
	}
	return true, nil
}

// isOfAny reports whether an area of a process is, as far as can be told, one of some files.
func (a area) isOfAny(pid int, files []*os.File) bool {
	if len(files) == 0 {
		return false
	}
	is, err := os.Stat(a.file(pid))
	return err != nil || slices.ContainsFunc(files, func(f *os.File) bool {
		info, err := f.Stat()
		return err != nil || os.SameFile(is, info)
	})
}

// The bits of an entry of /proc/PID/pagemap that are of interest (pagemap.rst).
const (
	isPresent = 1 << 63
	isSwapped = 1 << 62
	isFile    = 1 << 61
)

// pagemap reads an entry for each page.
func (a area) pagemap(pages *os.File) ([]uint64, error) {
	b := make([]byte, (a.end-a.start)/pageBytes*8)
	if _, err := pages.ReadAt(b, int64(a.start/pageBytes*8)); err != nil {
		return nil, fmt.Errorf("look at the pages of a process: %w", err)
	}
	all := make([]uint64, 0, len(b)/8)
	for ; len(b) > 0; b = b[8:] {
		all = append(all, binary.NativeEndian.Uint64(b))
	}
	return all, nil
}

// used lists the addresses, within some areas, where a process has pages of files.
func used(pid int, areas []area) (all []uint64, err error) {
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return nil, fmt.Errorf("look at the pages of a process: %w", err)
	}
	defer pages.Close()
	for _, a := range areas {
		present, err := a.pagemap(pages)
		if err != nil {
			return nil, err
		}
		for n, p := range present {
			if p&isPresent != 0 && p&isFile != 0 {
				all = append(all, a.start+uint64(n)*pageBytes)
			}
		}
	}
	return all, nil
}

// call lies in the shared pages as the stub reads it.
type call struct {
	nr   uint64
	args [6]uint64
	_    uint64
}

func advise(start, end uint64, advice int) call {
	return call{nr: unix.SYS_MADVISE, args: [6]uint64{start, end - start, uint64(advice)}}
}

// makeCalls makes the server make system calls itself. What they return is lost.
func (s *Server) makeCalls(calls []call) error {
	s.ordered, s.image = nil, nil // which lies where the calls are put
	room := unsafe.Slice((*call)(unsafe.Pointer(&s.memory[sharedScript])), (sharedSize-sharedScript)/int(unsafe.Sizeof(call{})))
	for len(calls) > 0 {
		n := copy(room, calls)
		calls = calls[n:]
		*s.header() = header{own: uint64(n)}
		if err := s.ask(); err != nil {
			return err
		}
		var done [1]byte
		var got int
		err := again(func() (err error) {
			got, err = unix.Read(s.control, done[:])
			return err
		})
		if err == nil && got == 0 {
			err = errors.New("it has ended")
		}
		if err != nil {
			return fmt.Errorf("wait for the fork server: %w", err)
		}
	}
	return nil
}
