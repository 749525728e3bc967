package forkserver

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

func TestSmoke(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	null, _ := os.Open("/dev/null")
	spec := &spawn.Spec{Init: true, Namespaces: unix.CLONE_NEWPID}
	spec.World.DieWithParent()
	spec.World.Chdir("/")
	spec.Target.Dup(int(null.Fd()), 0)
	spec.Target.Dup(int(out.Fd()), 1)
	spec.Target.Dup(int(out.Fd()), 2)
	s, err := Start(spec, Options{Program: "/bin/sh", Argv: []string{"sh", "-c", "echo $$ $PPID; exit 3"}, Env: os.Environ(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 3 {
		p, err := spawn.Start(s.Spec(spec))
		if err != nil {
			t.Fatal(err)
		}
		st, err := p.Wait(spawn.Limits{Timeout: time.Second, Grace: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(out.Name())
		t.Logf("%+v %d %q", st, st.ExitStatus(), b)
	}
}
