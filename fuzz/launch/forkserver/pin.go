package forkserver

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// pin makes copies begin with pages of their own where they will write, by the server's addresses. A page that
// was not written to before is the one that the server has, and copying it takes a fault. But pages that a
// device may write to at any time fork(2) copies at once: the device is to find those of the parent. Buffers
// that are registered with an io_uring are such pages, and nothing else is done with it.
//
// That the server is the one to register them, and this process the one to have it, keeps descriptors from copies.
// Where there is no io_uring copies go without, before Linux 6.5 without those that are of a mapped file, and with
// fewer where no more may be locked (RLIMIT_MEMLOCK). Needs Linux 5.12 for fork(2) to do so.
func (s *Server) pin(pages []uint64) error {
	const registerBuffers = 0 // IORING_REGISTER_BUFFERS
	if s.pins >= 0 || len(pages) == 0 || !s.mayHaveRings() {
		return nil
	}
	data := s.memory[sharedData:]
	at := uint64(s.mapped) + sharedData
	clear(data[:paramsSize])
	ring, err := s.call(unix.SYS_IO_URING_SETUP, 1, at)
	if err != nil || ring < 0 {
		return err
	}
	registered, err := s.offer(pages, func(pages []uint64) (unix.Errno, error) {
		// struct iovec
		vectors := unsafe.Slice((*[2]uint64)(unsafe.Pointer(&data[0])), mostPinned)[:0]
		for _, p := range pages {
			if last := len(vectors) - 1; last >= 0 && vectors[last][0]+vectors[last][1] == p {
				vectors[last][1] += pageBytes
			} else {
				vectors = append(vectors, [2]uint64{p, pageBytes})
			}
		}
		failed, err := s.call(unix.SYS_IO_URING_REGISTER, uint64(ring), registerBuffers, at, uint64(len(vectors)))
		return unix.Errno(-failed), err
	})
	if registered {
		s.pins, err = take(s.Pid(), int(ring))
	}
	_, closed := s.call(unix.SYS_CLOSE, uint64(ring))
	return errors.Join(err, closed)
}

const (
	mostPinned = 512 // pages: other processes of the user may want to lock some, too
	paramsSize = 120 // sizeof(struct io_uring_params)
)

// offer has as many of some pages registered as the kernel takes, and reports whether that is any.
func (s *Server) offer(pages []uint64, register func([]uint64) (unix.Errno, error)) (bool, error) {
	ofFiles := true
	for n := min(len(pages), mostPinned); n > 0; {
		failed, err := register(pages[:n])
		switch {
		case failed == 0 || err != nil:
			return err == nil, err
		case failed == unix.ENOMEM:
			n /= 2
		case failed == unix.EOPNOTSUPP && ofFiles:
			ofFiles = false
			pages = slices.DeleteFunc(slices.Clone(pages), func(p uint64) bool {
				a := within(s.mappings, p)
				return a == nil || a.of != ""
			})
			n = min(len(pages), mostPinned)
		default:
			return false, nil
		}
	}
	return false, nil
}

// mayHaveRings reports whether the server may make an io_uring. A seccomp filter may kill who tries, so a child of this process
// tries first; what a filter that the program has loaded itself does to the server nobody knows.
func (s *Server) mayHaveRings() bool {
	may, err := elsewhere(func() (bool, error) {
		if may, err := s.unfiltered(); err != nil || !may {
			return false, err
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return makesRing()
	})
	return may && err == nil
}

// unfiltered reports whether the program has loaded no seccomp filter itself. The calling thread must have a /proc.
func (s *Server) unfiltered() (bool, error) {
	here, err := filters("/proc/self/status")
	if err != nil {
		return false, err
	}
	there, err := filters(fmt.Sprintf("/proc/%d/status", s.Pid()))
	return here == there, err
}

// makesRing reports whether a child of the calling thread, which must be locked, can make an io_uring.
func makesRing() (bool, error) {
	spec := new(spawn.Spec)
	t := &spec.Target
	t.Call("dump no core", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, spawn.Struct(t, &unix.Rlimit{}), 0)
	t.Call("make an io_uring", unix.SYS_IO_URING_SETUP, 1, t.Bytes(make([]byte, paramsSize)))
	t.Call("end", unix.SYS_EXIT_GROUP, 0)
	p, err := spawn.Start(spec)
	if err != nil {
		return false, err
	}
	status, err := p.Wait(spawn.Limits{})
	return err == nil && status.Exited(), err
}

// filters is what a /proc/PID/status says of how many seccomp filters a process has.
func filters(status string) (string, error) {
	b, err := os.ReadFile(status)
	if err != nil {
		return "", fmt.Errorf("look for seccomp filters: %w", err)
	}
	_, after, _ := strings.Cut(string(b), "\nSeccomp_filters:")
	n, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(n), nil
}

// take returns a duplicate of another process's descriptor, -1 where there can be none. Needs Linux 5.6.
func take(pid, fd int) (int, error) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, fmt.Errorf("open the fork server: %w", err)
	}
	defer unix.Close(process)
	taken, err := unix.PidfdGetfd(process, fd, 0)
	if err != nil {
		return -1, fmt.Errorf("take a descriptor of the fork server: %w", err)
	}
	return taken, nil
}
