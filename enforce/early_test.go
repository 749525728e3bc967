package enforce_test

import (
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

func TestASignalBeforeTheStartEndsIt(t *testing.T) {
	for s, ends := range map[unix.Signal]bool{unix.SIGINT: true, unix.SIGQUIT: true, unix.SIGABRT: true, unix.SIGUSR1: true, unix.Signal(64): true, unix.SIGWINCH: false} {
		made := filepath.Join(t.TempDir(), "made")
		_, err := enforce.Run(t.Context(), enforce.Command{Path: "/usr/bin/touch", Argv: []string{"touch", made}, Env: os.Environ(),
			Watch: func() (enforce.Watcher, error) { return interrupting(s), nil }})
		var early enforce.Interrupted
		if got := errors.As(err, &early); got != ends || got && unix.Signal(early) != s {
			t.Errorf("%v: %v", s, err)
		}
		if _, err := os.Lstat(made); (err == nil) == ends {
			t.Errorf("%v: the program has made its file: %v, want %v", s, err == nil, !ends)
		}
	}
}
