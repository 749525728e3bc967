package enforce

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func TestTheProgramHasTheGivenLimitAndIgnoresTheGivenSignals(t *testing.T) {
	dir := t.TempDir()
	c := Command{
		Path: testenv.Program(t, "cp"), Argv: []string{"cp", "/proc/self/limits", "/proc/self/status", dir},
		Files: 100, Ignored: []unix.Signal{unix.SIGPIPE, unix.SIGCHLD, 64},
	}
	if st, err := Run(t.Context(), c); err != nil || st.WaitStatus != 0 {
		t.Fatalf("%+v, %v", st, err)
	}
	for name, want := range map[string]string{"limits": `Max open files +100 `, "status": `SigIgn:\t8000000000011000\n`} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("nothing like %q in\n%s", want, b)
		}
	}
}

func TestLeftIsToldOnlyWhereOrphansAreAdopted(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, adopt := range []bool{true, false} {
		st, err := Run(t.Context(), Command{
			Path: "/bin/sh", Argv: []string{"sh", "-c", "cat <fifo & exit 3"}, Env: os.Environ(),
			Dir: dir, Adopt: adopt,
		})
		if err != nil || st.ExitStatus() != 3 || st.Left != adopt {
			t.Errorf("adopt %v: %+v, %v", adopt, st, err)
		}
		// This waits until it reads, and ends it.
		if err := os.WriteFile(fifo, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestForfeitsNamesWhatNoNewPrivsTakesAway(t *testing.T) {
	testenv.Require(t, testenv.Root)
	// struct vfs_cap_data of version 2 (linux/capability.h): net_bind_service, permitted and effective.
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, c := range []struct {
		uid        uintptr
		mode       uint32
		capability string
		want       string
	}{
		{65534, unix.S_ISUID | 0o755, "", "setuid"},
		{65534, unix.S_ISGID | 0o755, "", "setgid"},
		{65534, unix.S_ISGID | 0o745, "", ""},
		{65534, 0o755, capability, "file capabilities"},
		{65534, 0o755, "", ""},
		{0, unix.S_ISUID | 0o755, capability, ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "prog")
		err := os.WriteFile(path, nil, 0o755)
		if c.capability != "" {
			err = errors.Join(err, unix.Setxattr(path, "security.capability", []byte(c.capability), 0))
		}
		// Another user has to reach it.
		if err := errors.Join(err, unix.Chmod(path, c.mode), unix.Chmod(dir, 0o755), unix.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		if got := forfeitsAs(t, c.uid, path); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

// forfeitsAs asks as another user, on a thread that is given up for it.
func forfeitsAs(t *testing.T, uid uintptr, path string) string {
	t.Helper()
	type answer struct {
		rights string
		errno  syscall.Errno
	}
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread()
		_, _, _ = unix.RawSyscall(unix.SYS_SETRESGID, uid, uid, uid)
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid)
		answers <- answer{Forfeits(path), errno}
	}()
	a := <-answers
	if a.errno != 0 {
		t.Fatal(a.errno)
	}
	return a.rights
}

func TestNoProgramBeginsAfterASignal(t *testing.T) {
	cause := errors.New("a signal")
	ctx, end := context.WithCancelCause(t.Context())
	end(cause)
	made := filepath.Join(t.TempDir(), "made")
	c := Command{Path: testenv.Program(t, "touch"), Argv: []string{"touch", made}}
	if _, err := Run(ctx, c); err != cause {
		t.Errorf("Run: got %v, want %v", err, cause)
	}
	if err := Become(ctx, c); err != cause {
		t.Errorf("Become: got %v, want %v", err, cause)
	}
	if _, err := os.Lstat(made); err == nil {
		t.Error("the program has run")
	}
}
