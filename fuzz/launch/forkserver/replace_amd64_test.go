package forkserver

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// What the server receives by itself leaves the copies room for as many descriptors as before.
func TestCopiesGetAllDescriptorsAfterCodeWasReplaced(t *testing.T) {
	path, err := filepath.EvalSymlinks(testenv.Program(t, "true"))
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := Start(new(spawn.Spec), Options{Program: path, Argv: []string{"true"}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	code, err := mappingsOf(s.Pid())
	if err != nil {
		t.Fatal(err)
	}
	code = slices.DeleteFunc(code, func(a area) bool { return a.mode != "r-xp" || "/"+a.of != path })
	if len(code) != 1 {
		t.Fatalf("%d mappings of code, want 1", len(code))
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := s.Replace(code[0].start, code[0].end, file, uint64(code[0].offset)); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	spec := new(spawn.Spec)
	for to := range 8 {
		fd, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		spec.Target.Dup(fd, 100+to)
	}
	spec.Target.Exec(path, []string{"true"}, nil, nil)
	p, err := spawn.Start(s.Spec(spec))
	if err != nil {
		t.Fatal(err)
	}
	if status, err := p.Wait(spawn.Limits{}); err != nil || !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("a copy ended with %+v, %v", status, err)
	}
}
