package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// person is at the other end of a terminal.
type person struct {
	*os.File
	shown string // and not looked at yet
}

// pty is a terminal with both of its ends.
func pty(t *testing.T) (*person, *Terminal) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	var number int
	c, err := keyboard.SyscallConn()
	if err == nil {
		err = c.Control(func(fd uintptr) {
			number, _ = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			_ = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return &person{File: keyboard}, &Terminal{tty: tty, answers: map[string]Answer{}}
}

// await reads what is shown until some text.
func (p *person) await(t *testing.T, text string) {
	t.Helper()
	buf := make([]byte, 4096)
	for !strings.Contains(p.shown, text) {
		n, err := p.Read(buf)
		if p.shown += string(buf[:n]); err != nil {
			t.Errorf("%v before %q; it shows %q", err, text, p.shown)
			return
		}
	}
	_, p.shown, _ = strings.Cut(p.shown, text)
}

func mode(t *testing.T, screen *Terminal) (m unix.Termios) {
	t.Helper()
	if err := screen.control(func(fd int) {
		got, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		m = *got
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatWasTypedBeforeIsNoAnswer(t *testing.T) {
	keyboard, screen := pty(t)
	if _, err := keyboard.WriteString("before\n"); err != nil {
		t.Fatal(err)
	}
	for waiting := 0; waiting == 0; {
		_ = screen.control(func(fd int) { waiting, _ = unix.IoctlGetInt(fd, unix.TIOCINQ) })
	}
	go func() {
		keyboard.await(t, "well? ")
		_, _ = keyboard.WriteString("after\n")
	}()
	var got []string
	if err := screen.Line(t.Context(), "well? ", func(line string) bool { got = append(got, line); return true }); err != nil || len(got) != 1 || got[0] != "after" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A program has the terminal in a mode of its own: a question is readable, a line is one
// answer, and afterwards the mode is the program's.
func TestTheTerminalIsLeftAsItWas(t *testing.T) {
	keyboard, screen := pty(t)
	raw := mode(t, screen)
	raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	raw.Oflag &^= unix.OPOST
	_ = screen.control(func(fd int) { _ = unix.IoctlSetTermios(fd, unix.TCSETS, &raw) })
	for _, c := range []struct {
		typed string
		end   func(cancel func())
		want  error
	}{
		{"what\nyes\n", nil, nil},
		{"ye", func(cancel func()) { cancel() }, context.Canceled},
		{"ye", func(func()) { _ = unix.Kill(os.Getpid(), unix.SIGINT) }, ErrInterrupted},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			keyboard.await(t, "well? ")
			_, _ = keyboard.WriteString(c.typed)
			if c.end == nil {
				keyboard.await(t, "well? ") // after what is no answer
				return
			}
			keyboard.await(t, c.typed) // the echo
			c.end(cancel)
		}()
		err := screen.Line(ctx, "well? ", func(line string) bool { return line == "yes" })
		<-done
		if cancel(); !errors.Is(err, c.want) || err == nil != (c.want == nil) {
			t.Errorf("%q: got %v, want %v", c.typed, err, c.want)
		}
		if got := mode(t, screen); got != raw {
			t.Errorf("%q: the mode is %+v, was %+v", c.typed, got, raw)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := screen.Line(ctx, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	keyboard.Close()
	if err := screen.Line(t.Context(), "", nil); !errors.Is(err, io.EOF) && !errors.Is(err, unix.EIO) {
		t.Errorf("without anybody: %v", err)
	}
}
