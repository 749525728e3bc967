package rawtp

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
	"github.com/tjfuzz/tjfuzz/trace"
)

// churning is testdata/churn.c while it runs.
type churning struct {
	cmd    *exec.Cmd
	said   *bufio.Reader
	shared *churnShared
	first  uint32
	count  int
}

// churnShared is the head of the C file's struct shared.
type churnShared struct {
	epoch uint32
	made  uint32
	log   [1 << 16]uint32
}

const (
	churnAttaching = iota + 1
	churnRecorded
	churnOver
)

// churn starts it, in the cgroup unless that is "", and returns when it is in full
// swing. It has to end with finish.
func churn(t *testing.T, program, cgroup string, first uint32, count int) *churning {
	t.Helper()
	const size = 16 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "shared"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	c := &churning{shared: (*churnShared)(unsafe.Pointer(&mem[0])), first: first, count: count}
	words := []string{program, f.Name(), fmt.Sprint(first), fmt.Sprint(count), "tree"}
	if cgroup != "" {
		words[4] = "all"
		words = append([]string{"/bin/sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(cgroup, "cgroup.procs")}, words...)
	}
	c.cmd = exec.Command(words[0], words[1:]...)
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.said = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { atomic.StoreUint32(&c.shared.epoch, churnOver) })
	c.expect(t, 'w')
	return c
}

func (c *churning) expect(t *testing.T, want byte) {
	t.Helper()
	if got, err := c.said.ReadByte(); err != nil || got != want {
		t.Fatalf("churn says %q, %v; want %q", got, err, want)
	}
}

// record attaches, lets it make its calls, and returns the slot when it has ended.
func (c *churning) record(t *testing.T, r *Recorder, a Attachment) *Slot {
	t.Helper()
	r.bounds.noting = func() { atomic.StoreUint32(&c.shared.epoch, churnAttaching) }
	s, err := r.Attach(0, a)
	if err != nil {
		t.Fatal(err)
	}
	atomic.StoreUint32(&c.shared.epoch, churnRecorded)
	c.expect(t, 'k')
	atomic.StoreUint32(&c.shared.epoch, churnOver)
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("churn: %v", err)
	}
	ended(t, s)
	return s
}

// ended waits until nothing is recorded any more.
func ended(t *testing.T, s *Slot) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		n, err := s.Alive()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d threads are alive", n)
		}
	}
}

// check demands that every call which the tree says it made was seen.
func (c *churning) check(t *testing.T, s *Slot) {
	t.Helper()
	seen := map[uint32]bool{}
	for _, id := range s.Seen() {
		seen[id.NR] = true
	}
	missed := map[uint32]int{}
	for i := range c.count {
		kind := atomic.LoadUint32(&c.shared.log[i])
		if kind != 0 && !seen[c.first+uint32(i)] {
			missed[kind]++
		}
	}
	if len(missed) > 0 {
		t.Errorf("missed calls, by kind of task: %v", missed)
	}
}

func rounds() int {
	if os.Getenv("TJFUZZ_LONG") != "" {
		return 300
	}
	return 30
}

// Bar: every call that any task of the tree makes after Attach has returned is seen.
func TestAttachToATreeThatForksMissesNothing(t *testing.T) {
	const calls = 300
	b := defaultBounds()
	b.odds = uint32(2*calls*rounds() + 4096)
	r := mustOpenBounded(t, Options{Denials: true}, b)
	program := testenv.Compile(t, "testdata/churn.c", "-static", "-pthread")
	for round := range rounds() {
		c := churn(t, program, "", uint32(1000+round*calls), calls)
		s := c.record(t, r, Attachment{PIDs: []int{c.cmd.Process.Pid}})
		c.check(t, s)
		if denied := s.Denied(); len(denied) > 0 {
			t.Errorf("round %d: denied %v, but there is no filter", round, denied)
		}
		if err := s.Release(); err != nil {
			t.Fatal(err)
		}
		if len(s.Observations()) == 0 {
			t.Errorf("round %d: no observations after Release", round)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}
