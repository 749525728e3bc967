package coverage

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// armed is a copy of the file of a module, up to the end of its code, with a breakpoint on each block that was not
// reached. Where a process has it in the place of the file, breakpoints make no page the process's own, which would be a
// page that fork(2) gives each copy and that goes at its end. All processes have the same one.
//
// It lies in a file system that is mounted nowhere, by the path of the file: so that is what /proc/PID/maps says.
type armed struct {
	file *os.File // ends when nobody has it any more
	path string
	size uint64
}

const chunk = 64 << 10 // bytes of code that are looked at, at a time

// copied returns the armed copy of a module's file, nil where there can be none. That is tried once: for lack of room it fails
// after most of the work. The caller holds the lock of the map.
func (m *module) copied(name, path string) *armed {
	if !m.tried {
		m.tried = true
		m.armed, _ = m.arm(name, path) // or it goes without
	}
	return m.armed
}

// arm copies the file of a module, which processes know by a path, and puts breakpoints into the copy. The caller holds the
// lock of the map. Needs Linux 5.2 and CAP_SYS_ADMIN.
func (m *module) arm(name, path string) (*armed, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("copy code for breakpoints: %w", err)
	}
	defer file.Close()
	size, err := endOfCode(file)
	if err != nil {
		return nil, fmt.Errorf("copy code for breakpoints: %w", err)
	}
	to, err := unmounted(path)
	if err != nil {
		return nil, fmt.Errorf("copy code for breakpoints: %w", err)
	}
	a := &armed{file: to, path: path, size: size}
	var code [chunk]byte
	block := 0
	for at := uint64(0); at < size; at += chunk {
		n, err := file.ReadAt(code[:min(chunk, size-at)], int64(at))
		for ; block < len(m.offsets) && m.offsets[block] < at+uint64(n); block++ {
			if !m.reached[block] {
				code[m.offsets[block]-at] = breakpoint
			}
		}
		if err == nil || err == io.EOF {
			_, err = to.WriteAt(code[:n], int64(at))
		}
		if err != nil {
			to.Close()
			return nil, fmt.Errorf("copy code for breakpoints: %w", err)
		}
	}
	return a, nil
}

// endOfCode is up to where a file holds code, as it is mapped.
func endOfCode(file *os.File) (end uint64, err error) {
	f, err := elf.NewFile(file)
	if err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			end = max(end, roundUp(p.Off+p.Filesz))
		}
	}
	return min(end, uint64(info.Size())), nil
}

// unmounted makes a file of a path in a file system of its own.
func unmounted(path string) (*os.File, error) {
	system, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(system)
	if err := unix.FsconfigCreate(system); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	root, err := unix.Fsmount(system, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	defer unix.Close(root)
	path = filepath.Clean(path)[1:]
	for at, c := range path {
		if c == '/' {
			if err := unix.Mkdirat(root, path[:at], 0o755); err != nil {
				return nil, os.NewSyscallError("mkdirat", err)
			}
		}
	}
	fd, err := unix.Openat(root, path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o555)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// put changes a byte for all processes that have the copy, and have not made its page their own.
func (a *armed) put(offset uint64, b byte) error {
	_, err := a.file.WriteAt([]byte{b}, int64(offset))
	return err
}

// isOf reports whether a process has, in a part, what it would have if its memory were the copy's, but for the breakpoints.
func (a *armed) isOf(mem io.ReaderAt, p part) bool {
	if p.path != a.path || p.offset+(p.end-p.start) > roundUp(a.size) {
		return false
	}
	var is, want [chunk]byte
	block := p.from
	for at := p.start; at < p.end; at += chunk {
		n := min(chunk, p.end-at)
		if _, err := mem.ReadAt(is[:n], int64(at)); err != nil {
			return false
		}
		offset := at - p.start + p.offset
		got, err := a.file.ReadAt(want[:n], int64(offset))
		if err != nil && err != io.EOF {
			return false
		}
		clear(want[got:n])
		for ; block < p.to && p.module.offsets[block] < offset+n; block++ {
			want[p.module.offsets[block]-offset] = p.module.first[block]
		}
		if !bytes.Equal(is[:n], want[:n]) {
			return false
		}
	}
	return true
}

func roundUp(size uint64) uint64 { return (size + pageSize - 1) &^ (pageSize - 1) }
