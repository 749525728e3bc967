package notify

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// decide is a Decider that is a function.
type decide func(*Call) (Answer, func(context.Context) Answer)

func (d decide) Decide(_ context.Context, c *Call) (Answer, func(context.Context) Answer) {
	return d(c)
}

// served is a victim whose calls are answered.
type served struct {
	kill   func()
	status chan unix.WaitStatus
	counts chan Counts
}

// start runs the victim under a filter that hands two syscalls over.
func start(t *testing.T, ctx context.Context, d Decider, args ...string) served {
	t.Helper()
	return startProgram(t, ctx, d, testenv.Compile(t, "testdata/victim.c", "-pthread"), args...)
}

func startProgram(t *testing.T, ctx context.Context, d Decider, program string, args ...string) served {
	t.Helper()
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_GETPGID, Jt: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
	}
	spec := &spawn.Spec{Listener: &spawn.Listener{Socket: sockets[1], Program: unsafe.Slice((*byte)(unsafe.Pointer(&filter[0])), 8*len(filter))}}
	if os.Getenv(agentOnly) == "" {
		spec.Target.DieWithParent()
	}
	spec.Target.Exec(program, append([]string{program}, args...), nil, nil)
	s := served{status: make(chan unix.WaitStatus, 1), counts: make(chan Counts, 1)}
	pid := make(chan int)
	go func() {
		runtime.LockOSThread()
		p, err := spawn.Start(spec)
		if err != nil {
			t.Error(err)
			close(pid)
			return
		}
		pid <- p.Pid
		st, err := p.Wait(spawn.Limits{})
		if err != nil {
			t.Error(err)
		}
		s.status <- st.WaitStatus
	}()
	victim := <-pid
	unix.Close(sockets[1])
	s.kill = func() { _ = unix.Kill(victim, unix.SIGKILL) }
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sockets[0], make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
	unix.Close(sockets[0])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := descriptors(control[:n])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors %v, %v", fds, err)
	}
	go func() {
		counts, err := Serve(ctx, fds[0], d, nil)
		if err != nil {
			t.Error(err)
		}
		unix.Close(fds[0])
		s.counts <- counts
	}()
	return s
}

// others lets the loader's calls pass.
func others(d decide) decide {
	return func(c *Call) (Answer, func(context.Context) Answer) {
		if c.ID.NR != unix.SYS_GETPGID {
			return Answer{Kind: Continue}, nil
		}
		return d(c)
	}
}

// TJFUZZ_LONG makes it 200,000.
func TestEveryNotificationIsAnswered(t *testing.T) {
	each := 2500
	if os.Getenv("TJFUZZ_LONG") != "" {
		each = 50000
	}
	var got int
	s := start(t, t.Context(), others(func(*Call) (Answer, func(context.Context) Answer) {
		got++
		return Answer{Kind: Value, Value: 42}, nil
	}), "calls", strconv.Itoa(each))
	if status := <-s.status; status != 0 {
		t.Errorf("the program ended with %#x", status)
	}
	counts := <-s.counts
	if got != 4*each || counts.Gone != 0 || counts.Answered != counts.Received {
		t.Errorf("answered %d calls, want %d; %+v", got, 4*each, counts)
	}
}

func TestAnswersDoWhatTheySay(t *testing.T) {
	program := testenv.Compile(t, "testdata/victim.c", "-pthread")
	for _, c := range []struct {
		name   string
		answer Answer
		want   unix.WaitStatus
	}{
		{"errno", Answer{Kind: Errno, Errno: unix.EACCES}, unix.WaitStatus(unix.EACCES) << 8},
		{"value", Answer{Kind: Value, Value: 7}, 0},
		{"continue", Answer{Kind: Continue}, unix.WaitStatus(unix.ESRCH) << 8},
		{"kill", Answer{Kind: Kill}, unix.WaitStatus(unix.SIGSYS)},
		{"nothing", Answer{}, unix.WaitStatus(unix.ENOSYS) << 8},
	} {
		s := startProgram(t, t.Context(), others(func(*Call) (Answer, func(context.Context) Answer) { return c.answer, nil }), program, "once", "999999999")
		if got := <-s.status; got&^0x80 != c.want { // 0x80: a core was dumped
			t.Errorf("%s: status %#x, want %#x", c.name, got, c.want)
		}
		<-s.counts
	}
}

// A caller that is killed while somebody thinks about its call hears no answer, and nothing
// is read of whoever has its number now.
func TestACallerThatIsKilledIsGone(t *testing.T) {
	asked, think := make(chan *Call), make(chan struct{})
	s := start(t, t.Context(), others(func(c *Call) (Answer, func(context.Context) Answer) {
		return Answer{}, func(context.Context) Answer {
			asked <- c
			<-think
			return Answer{Kind: Continue}
		}
	}), "once", "7")
	c := <-asked
	if !c.Valid() {
		t.Error("the caller waits and is not valid")
	}
	if pid, comm := c.Process(); pid == 0 || comm != "victim" {
		t.Errorf("process %d, %q", pid, comm)
	}
	s.kill()
	<-s.status
	if e := c.Event(); c.Valid() || e.PID != 0 || e.Texts != nil {
		t.Errorf("the caller is dead, and there is %+v of it", e)
	}
	close(think)
	if counts := <-s.counts; counts.Gone != 1 {
		t.Errorf("%+v, want one that is gone", counts)
	}
}

// While somebody thinks about one call, others are answered.
func TestASlowAnswerKeepsNobodyElseWaiting(t *testing.T) {
	var once sync.Once
	rest, first := make(chan struct{}), true
	s := start(t, t.Context(), others(func(*Call) (Answer, func(context.Context) Answer) {
		answer := Answer{Kind: Value, Value: 42}
		if first {
			first = false
			return Answer{}, func(context.Context) Answer {
				<-rest
				return answer
			}
		}
		once.Do(func() { close(rest) })
		return answer, nil
	}), "calls", "10")
	if status := <-s.status; status != 0 {
		t.Errorf("the program ended with %#x", status)
	}
	<-s.counts
}

// Where the agent goes away, calls fail, and nothing hangs.
func TestWithoutAnAgentCallsFail(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := start(t, ctx, others(func(*Call) (Answer, func(context.Context) Answer) {
		return Answer{}, func(ctx context.Context) Answer {
			cancel()
			<-ctx.Done()
			return Answer{}
		}
	}), "once", "7")
	if got, want := <-s.status, unix.WaitStatus(unix.ENOSYS)<<8; got != want {
		t.Errorf("status %#x, want %#x", got, want)
	}
	<-s.counts
}

// The file that is opened is the one whose path was compared: no link leads elsewhere.
func TestFilesAreOpenedForTheCaller(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program := testenv.Compile(t, "testdata/victim.c", "-pthread")
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte{77}, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	rules, err := ReadRules([]byte("version: 1\nrules:\n- {syscall: openat, path: " + dir + "/*, answer: open}\n- {syscall: openat, path: [/lib*/**, /usr/lib*/**, /etc/ld*], answer: continue}\notherwise: errno EXDEV\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]unix.Errno{
		file: 77, link: unix.ELOOP, dir + "/none": unix.ENOENT, dir + "/../x": unix.EXDEV, "/etc/passwd": unix.EXDEV, dir[1:] + "/./file": 77,
	} {
		s := startProgram(t, t.Context(), &Agent{Rules: rules}, program, "open", path)
		if got := <-s.status; got != unix.WaitStatus(want)<<8 {
			t.Errorf("%s: status %#x, want exit %d", path, got, want)
		}
		<-s.counts
	}
}
