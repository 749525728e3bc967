package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
)

// furnish makes the scenario's files and puts their paths into argv. What is returned
// beside them, if anything, delivers the input, and is to be closed after the run.
func (e *Exec) furnish(p place, s *fuzz.Scenario) ([]string, *fifo, error) {
	argv := slices.Clone(s.Argv)
	input := inputName(s)
	path := filepath.Join(p.Dir(), input)
	if s.World.Input == fuzz.FileFIFO {
		path = p.Pipe(input).Seen
	}
	for i, a := range argv {
		argv[i] = strings.ReplaceAll(a, "@@", path)
	}
	if len(s.Before) > 0 {
		t, err := e.before(s)
		if err == nil {
			err = t.put(p, input)
		}
		if err != nil {
			return nil, nil, err
		}
	} else {
		for _, f := range s.Files {
			if err := makeFile(p, f); err != nil {
				return nil, nil, err
			}
		}
	}
	switch {
	case !named(s):
		return argv, nil, setTimes(p, s, "")
	case s.World.Input == fuzz.FileFIFO:
		if err := setTimes(p, s, ""); err != nil {
			return nil, nil, err
		}
		f, err := newFIFO(p.Pipe(input), s.Input)
		return argv, f, err
	}
	if err := makeFile(p, fuzz.File{Name: input, Data: s.Input, Kind: s.World.Input}); err != nil {
		return nil, nil, err
	}
	return argv, nil, setTimes(p, s, input)
}

// inputName is the name of the @@ file in the working directory: one that no file of the
// scenario has, nor needs for the target of a symbolic link.
func inputName(s *fuzz.Scenario) string {
	name := "input"
	for n := 2; slices.ContainsFunc(s.Files, func(f fuzz.File) bool {
		first, _, _ := strings.Cut(f.Name, "/")
		return strings.TrimSuffix(first, targetSuffix) == name
	}); n++ {
		name = fmt.Sprintf("input%d", n)
	}
	return name
}

// targetSuffix is what the name of a symbolic link's target has more than the link's.
const targetSuffix = ".target"

// named reports whether an argument names the input.
func named(s *fuzz.Scenario) bool {
	return slices.ContainsFunc(s.Argv, func(a string) bool { return strings.Contains(a, "@@") })
}

// openAt opens a regular file for reading and writing.
func openAt(p place, name string) (*os.File, error) {
	at, err := p.File(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Openat(at.Dir, at.Path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// makeFile makes a file of any kind.
func makeFile(p place, f fuzz.File) error {
	at, err := p.File(f.Name)
	if err != nil {
		return err
	}
	write := func(name string, mode uint32) (*os.File, error) {
		fd, err := unix.Openat(at.Dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_CLOEXEC, mode)
		if err != nil {
			return nil, err
		}
		file := os.NewFile(uintptr(fd), name)
		if _, err := file.Write(f.Data); err != nil {
			file.Close()
			return nil, err
		}
		return file, nil
	}
	regular := func(name string, mode uint32) error {
		file, err := write(name, mode)
		if err != nil {
			return err
		}
		return file.Close()
	}
	base := filepath.Base(at.Path)
	switch f.Kind {
	case fuzz.FileRegular:
		err = regular(at.Path, 0o644)
	case fuzz.FileMissing:
	case fuzz.FileDirectory:
		err = unix.Mkdirat(at.Dir, at.Path, 0o755)
	case fuzz.FileFIFO:
		err = unix.Mknodat(at.Dir, at.Path, unix.S_IFIFO|0o644, 0)
	case fuzz.FileSocket:
		err = unix.Mknodat(at.Dir, at.Path, unix.S_IFSOCK|0o644, 0)
	case fuzz.FileUnreadable:
		err = regular(at.Path, 0)
	case fuzz.FileReadOnly:
		err = regular(at.Path, 0o444)
	case fuzz.FileSparse:
		var file *os.File
		if file, err = write(at.Path, 0o644); err == nil {
			err = errors.Join(file.Truncate(fuzz.SparseSize), file.Close())
		}
	case fuzz.FileSymlink:
		if err = regular(at.Path+targetSuffix, 0o644); err == nil {
			err = unix.Symlinkat(base+targetSuffix, at.Dir, at.Path)
		}
	case fuzz.FileLoop:
		err = unix.Symlinkat(base, at.Dir, at.Path)
	case fuzz.FileDangling:
		err = unix.Symlinkat("nowhere", at.Dir, at.Path)
	case fuzz.FileCrowd:
		err = makeCrowd(at.Dir, at.Path)
	case fuzz.FileDeep:
		err = makeDeep(at.Dir, at.Path)
	default:
		err = errors.New("its kind is unknown")
	}
	if err != nil {
		return fmt.Errorf("make the file %s, %v: %w", f.Name, f.Kind, err)
	}
	return nil
}

func makeCrowd(dir int, path string) error {
	if err := unix.Mkdirat(dir, path, 0o755); err != nil {
		return err
	}
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	long := strings.Repeat("n", fuzz.LongName-4)
	for n := range fuzz.CrowdSize {
		if err := unix.Mknodat(fd, fmt.Sprintf("%04d%s", n, long), unix.S_IFREG|0o644, 0); err != nil {
			return err
		}
	}
	return nil
}

func makeDeep(dir int, path string) error {
	in := -1 // the directory that was made last
	defer func() { unix.Close(in) }()
	for range fuzz.DeepSize {
		if err := unix.Mkdirat(dir, path, 0o755); err != nil {
			return err
		}
		next, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		unix.Close(in)
		in, dir, path = next, next, strings.Repeat("d", fuzz.LongName)
	}
	return nil
}

// fifo delivers data to whoever opens it first, and then ends.
type fifo struct {
	itself       int // descriptor of the FIFO, which no name leads to reliably once the target runs
	opened, done chan struct{}
}

func newFIFO(at cage.Location, data []byte) (*fifo, error) {
	if err := unix.Mknodat(at.Dir, at.Path, unix.S_IFIFO|0o644, 0); err != nil {
		return nil, fmt.Errorf("make a FIFO: %w", err)
	}
	itself, err := unix.Openat(at.Dir, at.Path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a FIFO: %w", err)
	}
	f := &fifo{itself: itself, opened: make(chan struct{}), done: make(chan struct{})}
	go f.deliver(data)
	return f, nil
}

// open opens the FIFO, on a thread that is in no cage: a lobby has no /proc.
func (f *fifo) open(flags int) (int, error) {
	for {
		fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.itself), flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func (f *fifo) deliver(data []byte) {
	defer close(f.done)
	fd, err := f.open(unix.O_WRONLY) // waits for a reader
	close(f.opened)
	if err != nil {
		return
	}
	w := os.NewFile(uintptr(fd), "fifo")
	_, _ = w.Write(data) // the target need not read it all
	w.Close()
}

// close ends the delivery; the target has ended. Who waits for a reader gets one, and
// then loses it.
func (f *fifo) close() {
	go func() {
		if reader, err := f.open(unix.O_RDONLY | unix.O_NONBLOCK); err == nil {
			<-f.opened
			unix.Close(reader)
		}
	}()
	<-f.done
	unix.Close(f.itself)
}

// Furnish makes the files of a scenario in an empty directory of the host, for a program that
// something else starts there, and returns the program's arguments. at is where the program sees the
// directory. Earlier steps, an input that is a FIFO and the times of files are not for it.
func Furnish(dir, at string, s *fuzz.Scenario) ([]string, error) {
	if len(s.Before) > 0 || s.World.Input == fuzz.FileFIFO || s.World.Times != fuzz.TimesMade {
		return nil, errors.New("the scenario needs more than files")
	}
	p := &directory{path: dir}
	for _, f := range s.Files {
		if err := makeFile(p, f); err != nil {
			return nil, err
		}
	}
	argv, input := slices.Clone(s.Argv), inputName(s)
	for i, a := range argv {
		argv[i] = strings.ReplaceAll(a, "@@", filepath.Join(at, input))
	}
	if !named(s) {
		return argv, nil
	}
	return argv, makeFile(p, fuzz.File{Name: input, Data: s.Input, Kind: s.World.Input})
}
