package rawtp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/sysno"
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
	eventually(t, "all that was recorded has ended", func() bool {
		n, err := s.Alive()
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
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

// missesNothing attaches to a tree or a cgroup again and again; ten times as often
// with TJFUZZ_LONG.
func missesNothing(t *testing.T, cgroup string, rounds int) {
	recorders := 1
	if os.Getenv("TJFUZZ_LONG") != "" {
		recorders, rounds = 10, 3*rounds
	}
	program := testenv.Compile(t, "testdata/churn.c", "-static", "-pthread")
	for range recorders {
		missesNothingWith(t, program, cgroup, rounds)
	}
}

func missesNothingWith(t *testing.T, program, cgroup string, rounds int) {
	const calls = 300
	b := defaultBounds()
	b.odds = uint32(2*calls*rounds + 4096)
	r := mustOpenBounded(t, Options{Denials: true}, b)
	for round := range rounds {
		c := churn(t, program, cgroup, uint32(1000+round*calls), calls)
		a := Attachment{PIDs: []int{c.cmd.Process.Pid}}
		if cgroup != "" {
			a = Attachment{Cgroups: []string{cgroup}}
		}
		s := c.record(t, r, a)
		c.check(t, s)
		if denied := s.Denied(); len(denied) > 0 {
			t.Errorf("denied %v, but there is no filter", denied)
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
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAttachToATreeThatForksMissesNothing(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	missesNothing(t, "", 10)
}

func TestAttachToACgroupThatForksMissesNothing(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) { missesNothing(t, newCgroup(t, version), 5) })
	}
}

// newCgroup makes a cgroup of a version, in a hierarchy that is mounted for the test.
func newCgroup(t *testing.T, version string) string {
	t.Helper()
	mount := t.TempDir()
	kind, options := "cgroup2", ""
	if version == "v1" {
		// A hierarchy without a controller, which no other has to give up.
		kind, options = "cgroup", "none,name=tjfuzz-test"
	}
	if err := unix.Mount("none", mount, kind, 0, options); err != nil {
		t.Fatalf("mount %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	return subCgroup(t, mount, fmt.Sprintf("tjfuzz-%d", os.Getpid()))
}

func subCgroup(t *testing.T, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, "the cgroup is empty", func() bool { return !errors.Is(unix.Rmdir(dir), unix.EBUSY) })
	})
	return dir
}

func enter(t *testing.T, cgroup string, pid int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), fmt.Append(nil, pid), 0); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// caller is testdata/caller.c while it runs.
type caller struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

func newCaller(t *testing.T, argv ...string) *caller {
	t.Helper()
	c := &caller{cmd: exec.Command(argv[0], argv[1:]...)}
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.end(t) })
	c.answer(t)
	return c
}

func (c *caller) answer(t *testing.T) {
	t.Helper()
	if _, err := c.out.Read(make([]byte, 1)); err != nil {
		t.Fatalf("no answer: %v", err)
	}
}

// call makes it call a number.
func (c *caller) call(t *testing.T, nr uint32) {
	t.Helper()
	if _, err := c.in.Write(binary.NativeEndian.AppendUint32(nil, nr)); err != nil {
		t.Fatal(err)
	}
	c.answer(t)
}

func (c *caller) end(t *testing.T) {
	t.Helper()
	if c.cmd.ProcessState != nil {
		return
	}
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("%v: %v", c.cmd.Args, err)
	}
}

func (c *caller) pid() int { return c.cmd.Process.Pid }

func compileCaller(t *testing.T) string {
	t.Helper()
	return testenv.Compile(t, "testdata/caller.c", "-static")
}

func attach(t *testing.T, r *Recorder, slot int, a Attachment) *Slot {
	t.Helper()
	s, err := r.Attach(slot, a)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// oddOnes are the numbers that no table knows.
func oddOnes(ids []sysno.ID) []uint32 {
	var nrs []uint32
	for _, id := range ids {
		if id.NR >= 1000 {
			nrs = append(nrs, id.NR)
		}
	}
	return nrs
}

func TestAttachRecordsTheCallThatAThreadWaitsIn(t *testing.T) {
	r := mustOpen(t, Options{Args: true, Sites: true, Returns: true})
	c := newCaller(t, compileCaller(t))
	// The answer comes before the call that it then waits in.
	eventually(t, "it waits for a number", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", c.pid()))
		return err == nil && strings.HasPrefix(string(text), "0 ")
	})
	s := attach(t, r, 0, Attachment{PIDs: []int{c.pid()}})
	want := []trace.Observation{{ID: id(t, sysno.Native(), "read"), Phases: trace.PhaseMain, MoreSites: true}}
	if diff := cmp.Diff(want, s.Observations()); diff != "" {
		t.Errorf("while it waits: want (-), got (+):\n%s", diff)
	}
	c.call(t, 1234)
	c.end(t)
	ended(t, s)
	for _, o := range s.Observations() {
		if o.ID == want[0].ID && !o.Returns.Success {
			t.Errorf("the read that it waited in has succeeded, got %+v", o)
		}
	}
	if got := oddOnes(s.Seen()); !slices.Equal(got, []uint32{1234}) {
		t.Errorf("numbers: got %v, want 1234", got)
	}
}

func TestAttachRefuses(t *testing.T) {
	r := mustOpen(t, Options{Slots: 3})
	c := newCaller(t, compileCaller(t))
	attach(t, r, 0, Attachment{PIDs: []int{c.pid()}})
	gone := newCaller(t, compileCaller(t))
	gone.end(t)
	zombie, err := start([]string{"/bin/true"}, devNull(t), devNull(t), devNull(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, zombie, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	defer wait(zombie)
	thread := 0
	eventually(t, "the test has a second thread", func() bool {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(tasks, func(e os.DirEntry) bool { return e.Name() != strconv.Itoa(os.Getpid()) })
		if i >= 0 {
			thread, err = strconv.Atoi(tasks[i].Name())
		}
		return i >= 0 && err == nil
	})
	cgroup := newCgroup(t, "v2")
	for _, refused := range []struct {
		name string
		slot int
		a    Attachment
		want string
	}{
		{"nothing", 1, Attachment{}, "neither a process nor a cgroup"},
		{"a slot beyond", 3, Attachment{PIDs: []int{c.pid()}}, "slot 3 of 3"},
		{"a taken slot", 0, Attachment{PIDs: []int{c.pid()}}, "slot 0 is taken"},
		{"no id", 1, Attachment{PIDs: []int{-4}}, "-4 is no process id"},
		{"itself", 1, Attachment{PIDs: []int{os.Getpid()}}, "is the recorder itself"},
		{"init", 1, Attachment{PIDs: []int{1}}, "parent of the whole system"},
		{"a thread", 1, Attachment{PIDs: []int{thread}}, "is a thread, not a process"},
		{"nobody", 1, Attachment{PIDs: []int{gone.pid()}}, "there is no process"},
		{"a zombie", 1, Attachment{PIDs: []int{zombie}}, "has ended, its parent has not waited"},
		{"what another slot records", 1, Attachment{PIDs: []int{c.pid()}}, "is recorded already, in slot 0"},
		{"no directory", 1, Attachment{Cgroups: []string{"/no/cgroup"}}, "no such file"},
		{"another directory", 1, Attachment{Cgroups: []string{"/tmp"}}, "is no directory of a cgroup file system"},
		{"a file", 1, Attachment{Cgroups: []string{filepath.Join(cgroup, "cgroup.procs")}}, "is no directory of a cgroup file system"},
		{"everything", 1, Attachment{Cgroups: []string{filepath.Dir(cgroup)}}, "is the whole system"},
		{"nothing in it", 1, Attachment{Cgroups: []string{cgroup}}, "nothing is left to record"},
	} {
		t.Run(refused.name, func(t *testing.T) {
			if _, err := r.Attach(refused.slot, refused.a); err == nil || !strings.Contains(err.Error(), refused.want) {
				t.Errorf("got %v, want %q", err, refused.want)
			}
		})
	}
	if kthreadd, err := os.ReadFile("/proc/2/comm"); err == nil && string(kthreadd) == "kthreadd\n" {
		if _, err := r.Attach(1, Attachment{PIDs: []int{2}}); err == nil || !strings.Contains(err.Error(), "thread of the kernel") {
			t.Errorf("a thread of the kernel: got %v", err)
		}
	}
	// What failed has left nothing behind.
	c2 := newCaller(t, compileCaller(t))
	s := attach(t, r, 1, Attachment{PIDs: []int{c2.pid()}})
	c2.call(t, 1234)
	c.call(t, 1235)
	if got := oddOnes(s.Seen()); !slices.Equal(got, []uint32{1234}) {
		t.Errorf("got %v, want 1234", got)
	}
}

func TestWhatEntersACgroupIsRecordedFromItsExecOn(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			r := mustOpen(t, Options{Denials: true})
			program := compileCaller(t)
			cgroup := newCgroup(t, version)
			inside, outside := newCaller(t, program), newCaller(t, program)
			enter(t, cgroup, inside.pid())
			s := attach(t, r, 0, Attachment{Cgroups: []string{cgroup}})

			// umask stands for what a runtime sets up.
			sub := subCgroup(t, cgroup, "sub")
			for i, dir := range []string{cgroup, sub} {
				c := newCaller(t, "/bin/sh", "-c", `echo $$ >"$0/cgroup.procs" && umask 077 && exec "$1"`, dir, program)
				c.call(t, 2000+uint32(i))
				c.end(t)
			}
			inside.call(t, 2002)
			outside.call(t, 2003)
			if got := oddOnes(s.Seen()); !slices.Equal(got, []uint32{2000, 2001, 2002}) {
				t.Errorf("got %v, want what was inside: 2000 to 2002", got)
			}
			if got := names(s.Seen()); slices.Contains(got, "umask") || !slices.Contains(got, "execve") {
				t.Errorf("got %v, want no umask, which came before the execve, and that", got)
			}

			enter(t, cgroup, outside.pid())
			outside.call(t, 2004)
			if n, err := s.Waiting(); n != 1 || err != nil {
				t.Errorf("%d threads, %v; want 1 that has entered and executed nothing", n, err)
			}
			// Who was there goes on being recorded.
			enter(t, filepath.Dir(cgroup), inside.pid())
			inside.call(t, 2005)
			if got := oddOnes(s.Seen()); slices.Contains(got, 2004) || !slices.Contains(got, 2005) {
				t.Errorf("got %v, want 2005 and not 2004", got)
			}
			enter(t, filepath.Dir(cgroup), outside.pid())
			if got := r.Lost(); got != (trace.Lost{}) {
				t.Errorf("lost %+v, want nothing", got)
			}
		})
	}
}

func TestWhatIsCreatedIntoACgroupIsRecordedFromItsExecOn(t *testing.T) {
	r := mustOpen(t, Options{})
	program := compileCaller(t)
	cgroup := newCgroup(t, "v2")
	inside := newCaller(t, program)
	enter(t, cgroup, inside.pid())
	s := attach(t, r, 0, Attachment{Cgroups: []string{cgroup}})
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command(trivial(t))
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"execve", "exit", "read"}, names(s.Seen())); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestTheRecorderIsNotInItsOwnRecord(t *testing.T) {
	testenv.Require(t, testenv.BPF)
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			r := mustOpen(t, Options{})
			cgroup := newCgroup(t, version)
			c := newCaller(t, compileCaller(t))
			enter(t, cgroup, c.pid())
			enter(t, cgroup, os.Getpid())
			defer enter(t, filepath.Dir(cgroup), os.Getpid())
			s := attach(t, r, 0, Attachment{Cgroups: []string{cgroup}})
			unix.RawSyscall(3000, 0, 0, 0)
			c.call(t, 3001)
			if got := oddOnes(s.Seen()); !slices.Equal(got, []uint32{3001}) {
				t.Errorf("got %v, want 3001", got)
			}
			if n, err := s.Waiting(); n != 0 || err != nil {
				t.Errorf("%d threads wait, %v; the recorder's do not", n, err)
			}
		})
	}
	t.Run("tree", func(t *testing.T) {
		parent := os.Getppid()
		if parent <= 1 {
			t.Skip("the test has no parent but init")
		}
		r := mustOpen(t, Options{})
		s := attach(t, r, 0, Attachment{PIDs: []int{parent}})
		unix.RawSyscall(3002, 0, 0, 0)
		run(t, trivial(t))
		if got := oddOnes(s.Seen()); slices.Contains(got, 3002) {
			t.Errorf("got %v, want none of the recorder's", got)
		}
	})
}

func TestSeveralAttachmentsAreKeptApart(t *testing.T) {
	r := mustOpen(t, Options{Slots: 3})
	program := compileCaller(t)
	cgroup := newCgroup(t, "v2")
	a, b, c := newCaller(t, program), newCaller(t, program), newCaller(t, program)
	enter(t, cgroup, b.pid())
	enter(t, cgroup, c.pid())
	slots := []*Slot{
		attach(t, r, 0, Attachment{PIDs: []int{a.pid()}}),
		attach(t, r, 1, Attachment{PIDs: []int{b.pid()}}),
		attach(t, r, 2, Attachment{Cgroups: []string{cgroup}}), // without b, which has a slot
	}
	for i, v := range []*caller{a, b, c} {
		v.call(t, 4000+uint32(i))
	}
	for i, s := range slots {
		if got, want := oddOnes(s.Seen()), []uint32{4000 + uint32(i)}; !slices.Equal(got, want) {
			t.Errorf("slot %d: got %v, want %v", i, got, want)
		}
		if n, err := s.Alive(); n != 1 || err != nil {
			t.Errorf("slot %d: %d alive, %v; want 1", i, n, err)
		}
	}

	// One is released, and recorded in another place.
	if err := slots[0].Release(); err != nil {
		t.Fatal(err)
	}
	a.call(t, 4003)
	if n, err := slots[0].Alive(); n != 0 || err != nil {
		t.Errorf("released: %d alive, %v", n, err)
	}
	if err := slots[1].Release(); err != nil {
		t.Fatal(err)
	}
	again := attach(t, r, 1, Attachment{PIDs: []int{a.pid()}})
	a.call(t, 4004)
	b.call(t, 4005)
	if got := oddOnes(again.Seen()); !slices.Equal(got, []uint32{4004}) {
		t.Errorf("attached again: got %v, want 4004", got)
	}
	if got := oddOnes(r.Seen()); !slices.Equal(got, []uint32{4000, 4001, 4002, 4004}) {
		t.Errorf("session: got %v, want what was called while it was recorded", got)
	}
	if got := r.Lost(); got != (trace.Lost{}) {
		t.Errorf("lost %+v, want nothing", got)
	}
}

func TestAttachSaysWhatItCouldNotNote(t *testing.T) {
	b := defaultBounds()
	b.kin = 2
	r := mustOpenBounded(t, Options{Slots: 1}, b)
	c := newCaller(t, compileCaller(t))
	_, err := r.Attach(0, Attachment{PIDs: []int{c.pid()}})
	if lost := r.Lost(); err == nil && lost.Complete() {
		t.Errorf("with room for 2 processes: no error, and lost %+v", lost)
	}
}

func TestAClosedRecorderDoesNotAttach(t *testing.T) {
	r := mustOpen(t, Options{Slots: 1})
	c := newCaller(t, compileCaller(t))
	s := attach(t, r, 0, Attachment{PIDs: []int{c.pid()}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Attach(0, Attachment{PIDs: []int{c.pid()}}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if _, err := s.Alive(); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
