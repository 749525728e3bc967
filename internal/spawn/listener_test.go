package spawn

import (
	"errors"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// answering is a program that gives every call one answer.
func answering(answer uint32) []byte {
	in := [1]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: answer}}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&in)), unsafe.Sizeof(in))...)
}

func socketpair(t *testing.T) [2]int {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(pair[0])
		unix.Close(pair[1])
	})
	return pair
}

// handed is how many descriptors have arrived, which it closes.
func handed(t *testing.T, socket int) int {
	t.Helper()
	for n := 0; ; n++ {
		control := make([]byte, 64)
		_, size, _, _, err := unix.Recvmsg(socket, make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EAGAIN {
			return n
		}
		messages, e := unix.ParseSocketControlMessage(control[:size])
		if err = errors.Join(err, e); err != nil || len(messages) != 1 {
			t.Fatalf("%d messages, %v", len(messages), err)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			t.Fatalf("%v, %v", fds, err)
		}
		unix.Close(fds[0])
	}
}

func TestAListenerIsHandedOverBeforeTheFilterDecides(t *testing.T) {
	for _, init := range []bool{false, true} {
		pair := socketpair(t)
		// execve is the first call that is refused.
		_, err := start(t, &Spec{Init: init, Listener: &Listener{answering(unix.SECCOMP_RET_ERRNO | uint32(unix.EXDEV)), pair[1]}}, Limits{}, "exit 0")
		var step *StepError
		if !errors.As(err, &step) || step.Step != "execve /bin/sh" || step.Errno != unix.EXDEV {
			t.Errorf("init %v: got %v, want execve /bin/sh: EXDEV", init, err)
		}
		if n := handed(t, pair[0]); n != 1 {
			t.Errorf("init %v: %d listeners arrived, want 1", init, n)
		}
	}
}

func TestAListenerThatNobodyTakesIsAnError(t *testing.T) {
	for _, init := range []bool{false, true} {
		pair := socketpair(t)
		if err := unix.Shutdown(pair[0], unix.SHUT_RDWR); err != nil {
			t.Fatal(err)
		}
		_, err := start(t, &Spec{Init: init, Listener: &Listener{answering(unix.SECCOMP_RET_USER_NOTIF), pair[1]}}, Limits{}, "exit 0")
		if err == nil || !strings.HasPrefix(err.Error(), "hand the listener over: ") {
			t.Errorf("init %v: got %v", init, err)
		}
	}
}

func TestTheListenerIsLoadedOrTheStepIsNamed(t *testing.T) {
	pair := socketpair(t)
	nonsense := answering(0)
	nonsense[0] = 0xff
	_, err := start(t, &Spec{Listener: &Listener{nonsense, pair[1]}}, Limits{}, "exit 0")
	if err == nil || err.Error() != "load the filter with a listener: invalid argument" {
		t.Errorf("got %v", err)
	}
}

func TestUnusableListenersAreRefused(t *testing.T) {
	allow := answering(unix.SECCOMP_RET_ALLOW)
	filtered := &Spec{Listener: &Listener{allow, 3}}
	filtered.Target.Exec("/bin/true", nil, nil, allow)
	specs := map[string]*Spec{"with a filter": filtered}
	for name, l := range map[string]*Listener{
		"empty": {nil, 3}, "half an instruction": {allow[:4], 3}, "standard input": {allow, 0},
		"too long": {make([]byte, 8*(MaxProgram+1)), 3},
	} {
		s := &Spec{Listener: l}
		s.Target.Exec("/bin/true", nil, nil, nil)
		specs[name] = s
	}
	for name, s := range specs {
		if p, err := Start(s); err == nil {
			t.Errorf("%s: started", name)
			_, _ = p.Wait(Limits{})
		}
	}
}

func TestALongListenerProgramIsLoaded(t *testing.T) {
	pair := socketpair(t)
	long := make([]byte, 0, 8*MaxProgram)
	for range MaxProgram {
		long = append(long, answering(unix.SECCOMP_RET_ALLOW)...)
	}
	st, err := start(t, &Spec{Listener: &Listener{long, pair[1]}}, Limits{}, "exit 6")
	if err != nil || st.ExitStatus() != 6 {
		t.Errorf("got %+v, %v, want exit 6", st, err)
	}
}

// With few numbers for open files there is none left for the listener.
func TestALimitOnOpenFilesIsSetWhenTheListenerIsHandedOver(t *testing.T) {
	pair := socketpair(t)
	for _, init := range []bool{false, true} {
		spec := &Spec{Init: init, Listener: &Listener{answering(unix.SECCOMP_RET_ALLOW), pair[1]}}
		spec.Target.Rlimit(unix.RLIMIT_NOFILE, 4, 4)
		st, err := start(t, spec, Limits{}, "exec 3</dev/null; trap 'exit 7' EXIT; exec 4</dev/null; trap - EXIT")
		if n := handed(t, pair[0]); err != nil || st.ExitStatus() != 7 || n != 1 {
			t.Errorf("init %v: got %+v, %v and %d listeners, want exit 7 and one", init, st, err, n)
		}
		// Nobody else makes the call unnoticed.
		spec = &Spec{Init: init, Listener: &Listener{refusing(unix.SYS_PRLIMIT64), pair[1]}}
		spec.Target.Rlimit(unix.RLIMIT_NOFILE, 9, 9)
		st, err = start(t, spec, Limits{}, "ulimit -n 8 || exit 7")
		if n := handed(t, pair[0]); err != nil || st.ExitStatus() != 7 || n != 1 {
			t.Errorf("init %v: got %+v, %v and %d listeners, want that ulimit fails", init, st, err, n)
		}
	}
}

// refusing is a program that refuses one call.
func refusing(nr uint32) []byte {
	in := [4]unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&in)), unsafe.Sizeof(in))...)
}
