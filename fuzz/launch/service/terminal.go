package service

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/fuzz"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Terminal is a terminal that the program has. Both ends stay open until the conversation has
// ended, but for a hang-up, which closes Keyboard.
type Terminal struct {
	Keyboard *os.File // the end of the person, which does not block
	Program  *os.File // the other end
}

// patience is for how long a program rests that does not wait at its terminal until something is typed
// nevertheless: a person would interrupt it, or type ahead.
const patience = 100 * time.Millisecond

// attend waits until the program rests and waits at its terminal for what is typed there. Where it rests
// and does not, unending decides: for as long as it likes, or until a person would lose patience.
func (t *talker) attend(unending bool) error {
	began := time.Now()
	for {
		if err := t.settle(); err != nil {
			return err
		}
		if t.waits() {
			t.waited = true
			state, err := unix.IoctlGetTermios(int(t.terminal.Program.Fd()), unix.TCGETS)
			t.keyed = t.keyed || err == nil && state.Lflag&unix.ICANON == 0
			return nil
		}
		if !unending && (t.busy || time.Since(began) > patience) {
			return nil
		}
		if _, err := t.poll(5 * time.Millisecond); err != nil {
			return err
		}
	}
}

// atTerminal does an act that is done at the terminal.
func (t *talker) atTerminal(a *fuzz.Act) error {
	if t.terminal == nil || t.hungUp {
		return nil
	}
	switch a.Do {
	case fuzz.DeedType:
		return t.typeKeys(a.Data)
	case fuzz.DeedResize:
		size := sizes[t.resized%len(sizes)]
		t.resized++
		return t.control(func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &size) })
	}
	return t.hangUp()
}

// sizes are those that a terminal gets one after the other.
var sizes = [...]unix.Winsize{{Row: 10, Col: 40}, {Row: 60, Col: 200}, {Row: 24, Col: 80}}

// typeKeys types what has room: who reads nothing loses the rest, as at any terminal.
func (t *talker) typeKeys(data []byte) error {
	for _, c := range data {
		if sig, ok := typedSignals[c]; ok {
			t.sent(sig)
		}
	}
	return t.control(func(fd int) error {
		for len(data) > 0 {
			n, err := unix.Write(fd, data)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EAGAIN || err == unix.EIO {
				return nil
			}
			if err != nil {
				return err
			}
			data = data[n:]
		}
		return nil
	})
}

// typedSignals are the keys that are signals, unless the program has it otherwise (termios(3)).
var typedSignals = map[byte]syscall.Signal{3: unix.SIGINT, 0x1c: unix.SIGQUIT}

// hangUp ends the terminal, when all that was written there is read.
func (t *talker) hangUp() error {
	for range 100 {
		fds := []unix.PollFd{{Events: unix.POLLIN}}
		if err := t.control(func(fd int) error { fds[0].Fd = int32(fd); _, err := unix.Poll(fds, 0); return err }); err != nil && err != unix.EINTR {
			return err
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			break
		}
		if _, err := t.poll(time.Millisecond); err != nil {
			return err
		}
	}
	t.hungUp = true
	t.sent(unix.SIGHUP)
	if err := t.terminal.Keyboard.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("hang a terminal up: %w", err)
	}
	return nil
}

// control does something with the end of the person.
func (t *talker) control(f func(fd int) error) error {
	c, err := t.terminal.Keyboard.SyscallConn()
	if err == nil {
		err = errors.Join(err, c.Control(func(fd uintptr) { err = f(int(fd)) }))
	}
	if errors.Is(err, os.ErrClosed) { // nobody has the other end any more
		return nil
	}
	if err != nil {
		return fmt.Errorf("use a terminal: %w", err)
	}
	return nil
}

// waits reports whether a thread sleeps until something is typed, and nothing is there to be read.
func (t *talker) waits() bool {
	if t.terminal == nil || t.hungUp {
		return false
	}
	// To ask makes the kernel hand over first what was typed (n_tty_poll in drivers/tty/n_tty.c).
	fds := []unix.PollFd{{Fd: int32(t.terminal.Program.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err != nil || n > 0 {
		return false
	}
	for pid, tids := range t.tasks {
		for _, tid := range tids {
			if t.waitsAt(pid, tid) {
				return true
			}
		}
	}
	return false
}

// waitsAt reports whether a thread sleeps in a call that ends when something is typed.
func (t *talker) waitsAt(pid, tid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", pid, tid))
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 7 {
		return false // it runs
	}
	nr, err := strconv.ParseUint(string(fields[0]), 10, 32)
	if err != nil {
		return false
	}
	var args [3]uint64
	for i := range args {
		args[i], _ = strconv.ParseUint(string(fields[i+1]), 0, 64)
	}
	switch name, _ := (sysno.ID{Arch: sysno.Native(), NR: uint32(nr)}).Name(); name {
	case "read", "readv":
		return t.isTerminal(pid, int(args[0]))
	case "poll", "ppoll":
		return t.polls(pid, uintptr(args[0]), int(args[1]))
	case "select", "pselect6":
		return t.selects(pid, uintptr(args[1]), int(args[0]))
	case "epoll_wait", "epoll_pwait", "epoll_pwait2":
		return t.epolls(pid, int(args[0]))
	}
	return false
}

// isTerminal reports whether a descriptor of a process is the terminal, by its own name or as /dev/tty.
func (t *talker) isTerminal(pid, fd int) bool {
	const devTTY = 5 << 8
	var of, ours unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), &of) != nil || unix.Fstat(int(t.terminal.Program.Fd()), &ours) != nil {
		return false
	}
	return of.Mode&unix.S_IFMT == unix.S_IFCHR && (of.Rdev == ours.Rdev || of.Rdev == devTTY)
}

// maxPolled bounds the descriptors of one call that are looked at.
const maxPolled = 1024

// polls reports whether the terminal is among the pollfds at an address.
func (t *talker) polls(pid int, at uintptr, n int) bool {
	const size = int(unsafe.Sizeof(unix.PollFd{}))
	memory := readMemory(pid, at, min(max(n, 0), maxPolled)*size)
	for ; len(memory) >= size; memory = memory[size:] {
		fd, events := int32(binary.NativeEndian.Uint32(memory)), binary.NativeEndian.Uint16(memory[4:])
		if fd >= 0 && events&unix.POLLIN != 0 && t.isTerminal(pid, int(fd)) {
			return true
		}
	}
	return false
}

// selects reports whether the terminal is in the fd_set at an address, of which n bits count.
func (t *talker) selects(pid int, at uintptr, n int) bool {
	if at == 0 {
		return false
	}
	n = min(max(n, 0), maxPolled)
	for i, b := range readMemory(pid, at, (n+7)/8) {
		for bit := range 8 {
			if fd := 8*i + bit; b>>bit&1 != 0 && fd < n && t.isTerminal(pid, fd) {
				return true
			}
		}
	}
	return false
}

// epolls reports whether the terminal is among what an epoll descriptor waits for.
func (t *talker) epolls(pid, fd int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	for line := range bytes.Lines(text) { // "tfd:        0 events:       19 ..."
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "tfd:" {
			if n, err := strconv.Atoi(string(f[1])); err == nil && t.isTerminal(pid, n) {
				return true
			}
		}
	}
	return false
}

// readMemory is memory of a process, none where it cannot be read.
func readMemory(pid int, at uintptr, size int) []byte {
	if size == 0 {
		return nil
	}
	buf := make([]byte, size)
	local := []unix.Iovec{{Base: &buf[0]}}
	local[0].SetLen(size)
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: at, Len: size}}, 0)
	if err != nil {
		return nil
	}
	return buf[:n]
}
