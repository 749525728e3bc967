package enforce_test

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// interrupting gets a signal just before the program is started.
type interrupting unix.Signal

func (i interrupting) Begin(*spawn.Spec) error {
	came := make(chan os.Signal, 1)
	signal.Notify(came, unix.Signal(i))
	defer signal.Stop(came) // which waits until all others who have asked for it have it
	if err := unix.Kill(os.Getpid(), unix.Signal(i)); err != nil {
		return err
	}
	select {
	case <-came:
		return nil
	case <-time.After(time.Minute):
		return errors.New("the signal did not come")
	}
}

func (interrupting) Started(*spawn.Process) error { return nil }
func (interrupting) Seen() []sysno.ID             { return nil }
func (interrupting) Release() error               { return nil }

// late ends a context when the program has started.
type late struct {
	interrupting
	end func()
}

func (late) Begin(*spawn.Spec) error        { return nil }
func (l late) Started(*spawn.Process) error { l.end(); return nil }

// A signal that came before Run asked for it may end the context only when the program has begun.
func TestASignalThatEndsTheContextTooLateReachesTheProgram(t *testing.T) {
	for _, c := range []struct {
		cause error
		want  string
	}{
		{enforce.EndedBy(unix.SIGTERM), "killed by SIGTERM"},
		{enforce.EndedBy(unix.SIGUSR2), "killed by SIGUSR2"},
		{context.Canceled, "exit 3"},
	} {
		ctx, end := context.WithCancelCause(t.Context())
		st, err := enforce.Run(ctx, enforce.Command{Path: "/bin/sh", Argv: []string{"sh", "-c", "sleep 1; exit 3"}, Env: os.Environ(),
			Watch: func() (enforce.Watcher, error) { return late{end: func() { end(c.cause) }}, nil }})
		if got := enforce.Describe(st.WaitStatus); err != nil || got != c.want {
			t.Errorf("%v: %s, %v, want %s", c.cause, got, err, c.want)
		}
	}
}

// counting gets a signal, which ends a context as well, when the program has said that it is ready.
type counting struct {
	interrupting
	ready *os.File
	end   func()
}

func (counting) Begin(*spawn.Spec) error { return nil }
func (c counting) Started(*spawn.Process) error {
	if _, err := c.ready.Read(make([]byte, 1)); err != nil {
		return err
	}
	if err := c.interrupting.Begin(nil); err != nil {
		return err
	}
	c.end()
	return nil
}

func TestASignalThatEndsTheContextTooReachesTheProgramOnce(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ready, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	// Of real-time signals, two that come at once are two (signal(7)).
	const counts = `
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {64})
open(sys.argv[1], "w").write("ready")
signal.sigwaitinfo({64})
n = 1
while signal.sigtimedwait({64}, 0.5):
    n += 1
sys.exit(n)
`
	python := testenv.Program(t, "/usr/bin/python3")
	st, err := enforce.Run(ctx, enforce.Command{Path: python, Argv: []string{"python3", "-c", counts, fifo}, Env: os.Environ(),
		Watch: func() (enforce.Watcher, error) {
			return counting{interrupting(64), ready, func() { end(enforce.EndedBy(64)) }}, nil
		}})
	if got := enforce.Describe(st.WaitStatus); err != nil || got != "exit 1" {
		t.Errorf("%s, %v, want one signal", got, err)
	}
}

func TestASignalBeforeTheStartEndsIt(t *testing.T) {
	for s, ends := range map[unix.Signal]bool{unix.SIGINT: true, unix.SIGQUIT: true, unix.SIGABRT: true, unix.SIGUSR1: true, unix.Signal(64): true, unix.SIGWINCH: false} {
		made := filepath.Join(t.TempDir(), "made")
		_, err := enforce.Run(t.Context(), enforce.Command{Path: "/usr/bin/touch", Argv: []string{"touch", made}, Env: os.Environ(),
			Watch: func() (enforce.Watcher, error) { return interrupting(s), nil }})
		var early enforce.EndedBy
		if got := errors.As(err, &early); got != ends || got && unix.Signal(early) != s {
			t.Errorf("%v: %v", s, err)
		}
		if _, err := os.Lstat(made); (err == nil) == ends {
			t.Errorf("%v: the program has made its file: %v, want %v", s, err == nil, !ends)
		}
	}
}
