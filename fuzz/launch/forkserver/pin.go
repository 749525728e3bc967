package forkserver

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pin makes copies begin with pages of their own where they will write, by the server's addresses. A page that
// was not written to before is the one that the server has, and copying it takes a fault. But pages that a
// device may write to at any time fork(2) copies at once: the device is to find those of the parent. Buffers
// that are registered with an io_uring are such pages, and nothing else is done with it.
//
// That the server is the one to register them, and this process the one to have it, keeps descriptors from copies.
// Where there is no io_uring, and before Linux 6.5 where files are mapped, copies go without; with
// fewer such pages where no more may be locked (RLIMIT_MEMLOCK). Needs Linux 5.12 for fork(2) to do so.
func (s *Server) pin(pages []uint64) error {
	const (
		most            = 512 // pages: other processes of the user may want to lock some, too
		registerBuffers = 0   // IORING_REGISTER_BUFFERS
		paramsSize      = 120 // sizeof(struct io_uring_params)
	)
	data := s.memory[sharedData:]
	if s.pins >= 0 || len(pages) == 0 {
		return nil
	}
	at := uint64(s.mapped) + sharedData
	clear(data[:paramsSize])
	ring, err := s.call(unix.SYS_IO_URING_SETUP, 1, at)
	if err != nil || ring < 0 {
		return err
	}
	for n := min(len(pages), most); n > 0; n /= 2 {
		// struct iovec
		vectors := unsafe.Slice((*[2]uint64)(unsafe.Pointer(&data[0])), most)[:0]
		for _, p := range pages[:n] {
			if last := len(vectors) - 1; last >= 0 && vectors[last][0]+vectors[last][1] == p {
				vectors[last][1] += pageBytes
			} else {
				vectors = append(vectors, [2]uint64{p, pageBytes})
			}
		}
		var failed int64
		failed, err = s.call(unix.SYS_IO_URING_REGISTER, uint64(ring), registerBuffers, at, uint64(len(vectors)))
		if err == nil && failed == 0 {
			s.pins, err = take(s.Pid(), int(ring))
		}
		if err != nil || failed != -int64(unix.ENOMEM) {
			break
		}
	}
	_, closed := s.call(unix.SYS_CLOSE, uint64(ring))
	return errors.Join(err, closed)
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
