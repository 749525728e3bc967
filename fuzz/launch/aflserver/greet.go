package aflserver

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// The words of the protocol, include/types.h of AFL++. AFL says 0 and waits. AFL++ until
// 4.20 says the same, or what it can do, and waits for an answer only from whom uses more of
// that than the size of the map. From 4.20 on there is a number of the protocol, which is to be
// answered, what the program can do, the parameters of that in the order of the bits, and
// the number again.
const (
	oldEnabled = 0x80000001
	oldSize    = 0x40000000
	oldSizeOf  = 0x00fffffe
	oldError   = 0xf800008f

	number       = 0x41464c00 // "AFL"
	versions     = 0xff       // in its last byte
	version      = 1          // the only one yet
	newError     = 0xeffe0000
	newErrorMask = 0xffff0000

	withSize  = 1 << 0
	withInput = 1 << 1 // the input has to come through memory
	withWords = 1 << 11
)

// mostWords bounds a dictionary that a program brings along, in bytes.
const mostWords = 16 << 20

// greet answers the program's greeting, after which it makes copies.
func (s *Server) greet() error {
	hello, err := s.word()
	if err != nil {
		return err
	}
	if hello&^versions == number {
		return s.greetNew(hello)
	}
	size := uint32(usualEdges)
	switch {
	case hello&oldError == oldError:
		return fmt.Errorf("%w: it fails with %#x", ErrSilent, hello)
	case hello&oldEnabled == oldEnabled && hello&oldSize != 0:
		size = (hello&oldSizeOf)>>1 + 1
	}
	return s.use(size)
}

func (s *Server) greetNew(hello uint32) error {
	if hello&versions != version {
		return fmt.Errorf("%w: it speaks version %d of the protocol", ErrSilent, hello&versions)
	}
	if err := s.say(^hello); err != nil {
		return err
	}
	can, err := s.word()
	switch {
	case err != nil:
		return err
	case can&newErrorMask == newError:
		return fmt.Errorf("%w: it fails with %#x", ErrSilent, can)
	case can&withInput != 0:
		return fmt.Errorf("%w: it takes its input from memory alone", ErrSilent)
	case can&^(withSize|withWords) != 0:
		return fmt.Errorf("%w: what it can do is not known: %#x", ErrSilent, can)
	}
	size := uint32(usualEdges)
	if can&withSize != 0 {
		if size, err = s.word(); err != nil {
			return err
		}
	}
	if can&withWords != 0 {
		n, err := s.word()
		if err != nil {
			return err
		}
		if n > mostWords {
			return fmt.Errorf("%w: it has a dictionary of %d bytes", ErrSilent, n)
		}
		if _, err := io.CopyN(io.Discard, descriptor(s.status), int64(n)); err != nil {
			return fmt.Errorf("%w: its dictionary ends early", ErrSilent)
		}
	}
	switch again, err := s.word(); {
	case err != nil:
		return err
	case again != hello:
		return fmt.Errorf("%w: it greets with %#x and then with %#x", ErrSilent, hello, again)
	}
	return s.use(size)
}

// descriptor is one that is read from.
type descriptor int

func (d descriptor) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), b)
		switch {
		case err == unix.EINTR:
		case err == nil && n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return max(0, n), err
		}
	}
}

// use makes that much of the map the program's.
func (s *Server) use(size uint32) error {
	if size == 0 || size > edges {
		return fmt.Errorf("%w: it has %d edges", ErrSilent, size)
	}
	s.used = int(size)
	return nil
}
