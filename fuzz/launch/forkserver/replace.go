package forkserver

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Replace maps a file, from an offset on, where the server has code of another one, for all copies to come. The pages of that
// which were the server's own are gone. No copy may be under way.
//
// The error is [errors.ErrUnsupported] where the server is as it was: where the kernel does not let it map the file, say,
// or the mapping is none of nothing but code.
func (s *Server) Replace(start, end uint64, file *os.File, offset uint64) error {
	unsupported := func(err error) error {
		return fmt.Errorf("map other code: %w: %w", errors.ErrUnsupported, err)
	}
	may, err := elsewhere(func() (bool, error) {
		// What a filter of the program's own does to the server nobody knows.
		if may, err := s.unfiltered(); err != nil || !may {
			return false, err
		}
		all, err := mappingsOf(s.Pid())
		return slices.ContainsFunc(all, func(a area) bool { return a.start == start && a.end == end && a.mode == "r-xp" }), err
	})
	if err != nil {
		return unsupported(err)
	}
	if !may {
		return unsupported(errors.New("the program has a filter, or no such mapping"))
	}
	fd := 3
	for slices.Contains(s.occupied, fd) {
		fd++
	}
	if err := unix.Sendmsg(s.pass, []byte{0}, unix.UnixRights(int(file.Fd())), nil, unix.MSG_NOSIGNAL); err != nil {
		return unsupported(err)
	}
	// What the server receives it notes in the message, which must not be that of the copies.
	const vector, rights = 56, 80 // behind a struct msghdr
	at := uint64(s.mapped) + sharedData
	message := unsafe.Slice((*uint64)(unsafe.Pointer(&s.memory[sharedData])), 13)
	copy(message, []uint64{0, 0, at + vector, 1, at + rights, uint64(unix.CmsgSpace(4)), 0, at + vector + 16, 1, 0})
	const received, mapped = 0, 1
	length := end - start
	calls := []call{
		received: {nr: unix.SYS_RECVMSG, args: [6]uint64{uint64(s.pass), at}},
		mapped:   {nr: unix.SYS_MMAP, args: [6]uint64{0, length, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_PRIVATE, uint64(fd), offset}},
		{nr: unix.SYS_CLOSE, args: [6]uint64{uint64(fd)}},
	}
	if err := s.makeCalls(calls); err != nil {
		return err
	}
	for _, c := range calls {
		if failed := unix.Errno(-c.result); c.result < 0 && c.result >= -4095 {
			return unsupported(failed)
		}
	}
	const how = unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED
	at = uint64(calls[mapped].result)
	calls = []call{{nr: unix.SYS_MREMAP, args: [6]uint64{at, length, length, how, start}}}
	if err := s.makeCalls(calls); err != nil {
		return err
	}
	switch failed := unix.Errno(-calls[0].result); {
	case calls[0].result == int64(start):
		return nil
	case failed == unix.EPERM: // mseal(2)
		_, err := s.call(unix.SYS_MUNMAP, at, length)
		return unsupported(errors.Join(failed, err))
	default:
		return fmt.Errorf("map other code: %w", failed)
	}
}
