package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal asks a person, one question after the other. The terminal may be in use by
// programs: it is read only while there is a question, and is left as it was.
type Terminal struct {
	tty *os.File

	mu      sync.Mutex        // one question at a time
	answers map[string]Answer // what was said of all equal calls
}

// ErrInterrupted says that a question was answered by an interrupt.
var ErrInterrupted = errors.New("interrupted")

// OpenTerminal opens the terminal that controls this process.
func OpenTerminal() (*Terminal, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return &Terminal{tty: tty, answers: map[string]Answer{}}, nil
}

// Close closes the terminal.
func (t *Terminal) Close() error { return t.tty.Close() }

// Line asks until the first line that accept takes. What was typed before is no answer, and is
// lost. The error is that of ctx, ErrInterrupted where SIGINT came, and io.EOF where nobody answers any more.
func (t *Terminal) Line(ctx context.Context, question string, accept func(line string) bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.line(ctx, question, accept)
}

// line is called with the lock.
func (t *Terminal) line(ctx context.Context, question string, accept func(line string) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.tty.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("ask at the terminal: %w", err)
	}
	// The signal may come for the program, too. It is no answer to later questions.
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, unix.SIGINT)
	defer signal.Stop(interrupt)
	answered, watched := make(chan struct{}), make(chan error)
	go func() {
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-interrupt:
			err = ErrInterrupted
		case <-answered:
		}
		if err != nil {
			_ = t.tty.SetReadDeadline(time.Now())
		}
		watched <- err
	}()
	giveBack := t.take()
	err := t.read(question, accept)
	giveBack()
	close(answered)
	if why := <-watched; err != nil && why != nil {
		fmt.Fprintln(t.tty)
		return why
	}
	return err
}

func (t *Terminal) read(question string, accept func(string) bool) error {
	buf, line := make([]byte, 4096), ""
	for {
		if _, err := io.WriteString(t.tty, question); err != nil {
			return err
		}
		for !strings.Contains(line, "\n") {
			n, err := t.tty.Read(buf) // a line, but for very long ones
			line += string(buf[:n])
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				return err
			case err != nil: // EIO once the other end is closed
				return io.EOF
			}
		}
		first, rest, _ := strings.Cut(line, "\n")
		if accept(strings.TrimSpace(first)) {
			return nil
		}
		line = rest
	}
}

// take makes the terminal one at which this process can ask, whatever a program has made of it. The
// function that it returns undoes that.
func (t *Terminal) take() (giveBack func()) {
	var undo []func(fd int)
	_ = t.control(func(fd int) {
		// A shell that this process has started may have put another group in front.
		own := unix.Getpgrp()
		front, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		if err == nil && front != own && signal.Ignored(unix.SIGTTOU) && unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, own) == nil {
			undo = append(undo, func(fd int) {
				if now, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && now == own {
					_ = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, front)
				}
			})
		}
		mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return
		}
		lines := *mode
		lines.Iflag |= unix.ICRNL
		lines.Oflag |= unix.OPOST | unix.ONLCR
		lines.Lflag |= unix.ICANON | unix.ISIG | unix.ECHO | unix.ECHOE | unix.ECHOK
		if lines != *mode && unix.IoctlSetTermios(fd, unix.TCSETS, &lines) == nil {
			undo = append(undo, func(fd int) { _ = unix.IoctlSetTermios(fd, unix.TCSETS, mode) })
		}
		_ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH)
	})
	return func() {
		_ = t.control(func(fd int) {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i](fd)
			}
		})
	}
}

// control does not make the descriptor a blocking one, as os.File.Fd may.
func (t *Terminal) control(f func(fd int)) error {
	c, err := t.tty.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(func(fd uintptr) { f(int(fd)) })
}
