package forkserver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
)

// area is a mapping.
type area struct {
	start, end uint64
	offset     int64 // of the start in the file
	mode       string
	of         string // a file, by its path; empty where it is of none
}

const pageBytes = 4096

// mappingsOf lists all that a process has, in the order of their addresses. The calling thread must have a /proc.
func mappingsOf(pid int) (all []area, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, fmt.Errorf("look at the memory of a process: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var a area
		// proc_pid_maps(5)
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %4s %x", &a.start, &a.end, &a.mode, &a.offset); err != nil {
			return nil, fmt.Errorf("a mapping %q: %w", lines.Text(), err)
		}
		_, a.of, _ = strings.Cut(lines.Text(), " /")
		all = append(all, a)
	}
	return all, nil
}

// mostLookedAt is of how many bytes a mapping is looked at. What is larger is mostly a reservation: the kernel tells
// of each page whether there is one, and of a sanitizer's shadow there would be 28 GiB to be told.
const mostLookedAt = 1 << 30

// survey finds the mappings of which copies are looked at: those that they get nothing of, and those that they write to, but not
// those of some files. The calling thread must have a /proc.
func (s *Server) survey(without []*os.File) error {
	var err error
	if s.mappings, err = mappingsOf(s.Pid()); err != nil {
		return err
	}
	dir := fmt.Sprintf("/proc/%d/", s.Pid())
	pages, err := os.Open(dir + "pagemap")
	if err != nil {
		return fmt.Errorf("look at the server's memory: %w", err)
	}
	defer pages.Close()
	mem, err := os.Open(dir + "mem")
	if err != nil {
		return fmt.Errorf("look at the server's memory: %w", err)
	}
	defer mem.Close()
	for _, a := range s.mappings {
		switch {
		case a.mode[3] != 'p', a.end-a.start > mostLookedAt, a.of != "" && a.isOfAny(s.Pid(), without):
		case a.mode[:2] == "rw":
			s.data = append(s.data, a)
		case a.mode[0] == 'r' && a.of != "":
			same, err := a.isOfFile(s.Pid(), pages, mem)
			if err != nil {
				return err
			}
			if same {
				s.files = append(s.files, a)
			}
		}
	}
	return nil
}

// lookAt tells what a copy, which is about to end, has used.
func (s *Server) lookAt(pid int) (f found, err error) {
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return f, fmt.Errorf("look at the pages of a process: %w", err)
	}
	defer pages.Close()
	if f.used, err = pagesWith(isPresent|isFile, s.files, pages); err != nil {
		return f, err
	}
	if f.written, err = pagesWith(isPresent|isAlone, s.data, pages); err != nil {
		return f, err
	}
	f.bound, err = s.bindings(pid, f.written)
	return f, err
}

// pagesWith lists the addresses, within some areas, of the pages that have all of these bits.
func pagesWith(bits uint64, areas []area, pages *os.File) (all []uint64, err error) {
	for _, a := range areas {
		found, err := a.pages(pages, func(entry uint64) bool { return entry&bits == bits })
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// own makes pages, by their addresses, the server's own. The calling thread must have a /proc.
func (s *Server) own(pages []uint64) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", s.Pid()), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the server's memory: %w", err)
	}
	defer mem.Close()
	for _, a := range s.files {
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

// isOfFile reports whether the process has nothing else in an area than the file has
// there. Where the linker has relocated something, or there are breakpoints that no copy of the file has (see [Server.Replace]), it has.
func (a area) isOfFile(pid int, pages, mem *os.File) (bool, error) {
	own, err := a.pages(pages, func(entry uint64) bool { return entry&(isPresent|isSwapped) != 0 && entry&isFile == 0 })
	if err != nil || len(own) == 0 {
		return err == nil, err
	}
	file, err := os.Open(a.file(pid))
	if err != nil {
		return false, nil // nobody can tell
	}
	defer file.Close()
	for _, p := range own {
		var is, was [pageBytes]byte
		if _, err := mem.ReadAt(is[:], int64(p)); err != nil {
			return false, fmt.Errorf("read the server's memory: %w", err)
		}
		// Behind the end of the file the page has zeros.
		if n, _ := file.ReadAt(was[:], a.offset+int64(p-a.start)); n == 0 || is != was {
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
	isAlone   = 1 << 56 // no other process has it, since Linux 4.2
)

// pages lists the addresses of those of an area's pages of which the entries are wanted.
func (a area) pages(pagemap *os.File, wanted func(entry uint64) bool) (all []uint64, err error) {
	const entry, most = 8, 1 << 20 // bytes; the latter at a time
	b := make([]byte, min(most, (a.end-a.start)/pageBytes*entry))
	for page := a.start; page < a.end; {
		b = b[:min(uint64(len(b)), (a.end-page)/pageBytes*entry)]
		if _, err := pagemap.ReadAt(b, int64(page/pageBytes*entry)); err != nil {
			return nil, fmt.Errorf("look at the pages of a process: %w", err)
		}
		for n := 0; n < len(b); n += entry {
			if wanted(binary.NativeEndian.Uint64(b[n:])) {
				all = append(all, page)
			}
			page += pageBytes
		}
	}
	return all, nil
}
