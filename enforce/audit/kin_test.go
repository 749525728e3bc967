package audit

import (
	"encoding/binary"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

func fork(parent, child uint32) []byte {
	b := make([]byte, 16)
	for i, v := range []uint32{parent, parent, child, child} {
		binary.NativeEndian.PutUint32(b[4*i:], v)
	}
	return b
}

func thread(process, thread uint32) []byte {
	b := fork(process, process)
	binary.NativeEndian.PutUint32(b[8:], thread)
	return b
}

func TestKinAreAllThatDescend(t *testing.T) {
	const self, child, grandchild, stranger = 10, 20, 30, 40
	k := &kin{own: self, pids: map[uint32]bool{}}
	for _, e := range [][]byte{
		fork(stranger, 41),
		thread(self, 11),
		fork(self, child),
		thread(child, 21),
		fork(child, grandchild),
		fork(grandchild, 31),
		fork(stranger, 31), // which has ended meanwhile
		fork(31, 32),
		fork(11, 12), // no process, but a thread's number
		{1, 2, 3},
	} {
		k.event(eventFork, e)
	}
	const exit = 0x80000000
	k.event(exit, fork(child, child)) // its records may still come
	if got := slices.Sorted(maps.Keys(k.pids)); !slices.Equal(got, []uint32{child, grandchild}) {
		t.Errorf("got %v, want %v", got, []uint32{child, grandchild})
	}
}

// kernels skips where no privilege helps, and demands the rest.
func kernels(t *testing.T) *kin {
	t.Helper()
	testenv.Require(t, testenv.Root)
	k, err := openKin()
	if err != nil && strings.Contains(err.Error(), "initial user, pid and network namespaces") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(k.fd) })
	return k
}

func TestTheKernelTellsOfChildren(t *testing.T) {
	k := kernels(t)
	c := exec.Command("/bin/sh", "-c", "(echo $(exec sh -c 'echo $$')) & wait; echo $$")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.catchUp(); err != nil {
		t.Fatal(err)
	}
	if !k.pids[uint32(c.Process.Pid)] || len(k.pids) < 3 || k.lost > 0 {
		t.Errorf("process %d, which wrote %q, and what descends from it: got %v, lost %d", c.Process.Pid, out, k.pids, k.lost)
	}
}

func TestWhatTheSocketCannotHoldIsCounted(t *testing.T) {
	k := kernels(t)
	if err := unix.SetsockoptInt(k.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 0); err != nil {
		t.Fatal(err)
	}
	for range 32 {
		if err := exec.Command("/bin/true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.catchUp(); err != nil {
		t.Fatal(err)
	}
	if k.lost == 0 {
		t.Error("nothing is said to be lost")
	}
}
