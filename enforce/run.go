// Package enforce decides how a program runs under a policy and what is said
// about the calls that the policy refuses. It builds on what synth generates and
// knows nothing of fuzzing. Its main hazard is a denial that goes unreported: a
// target that was killed by its filter never passes for one that ended by itself.
package enforce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
	"github.com/tjfuzz/tjfuzz/internal/sysno"
)

// Command is a program to run in the world of the caller.
type Command struct {
	Path   string // of the file to execute, as seen from Dir
	Argv   []string
	Env    []string
	Dir    string // working directory, empty for the caller's
	Filter []byte // cBPF in the layout of struct sock_filter[]; nil runs unfiltered

	// Logged makes the kernel's audit system record what the filter refuses.
	Logged bool

	// User, when not nil, is who the program runs as. That needs the rights to change
	// one's user. The program keeps none of the caller's capabilities.
	User *User
	// Unprivileged makes the program run with no_new_privs even where the kernel does
	// not demand that: it gets no rights by executing a file.
	Unprivileged bool

	Files   uint64        // soft limit of open files, 0 for the caller's
	Ignored []unix.Signal // are ignored by the program, and by the caller from now on where they would be passed on

	// Adopt makes what the program leaves behind a child of the caller, so that
	// Status.Left can tell of it. While the program runs, what it has left behind
	// and has ended is waited for, and so is any other child of the caller.
	Adopt bool

	// Linger, when not nil, is called when Adopt finds that something was left
	// behind. The run then goes on until that has ended, or until SIGHUP, SIGINT,
	// SIGQUIT or SIGTERM. It is not called where the Watcher has had another thread
	// wait for the program.
	Linger func()

	// Notified, when not nil, gets the listener of the filter, whose notifications it is to
	// answer, before the program makes its first call. It owns the descriptor, returns at
	// once, and is not called any more when Run has returned.
	Notified func(listener int)

	// Watch, when not nil, is called on the thread that starts the program, and so
	// are the methods of what it returns.
	Watch func() (Watcher, error)
}

// User is a user with groups.
type User struct {
	UID, GID int
	Groups   []int // the supplementary ones
}

// Watcher observes one run of a program.
type Watcher interface {
	Begin(*spawn.Spec) error      // the run is about to start; it may change how
	Started(*spawn.Process) error // it has started; with Spec.Hold, nothing of it has run
	Seen() []sysno.ID             // the syscalls of the run, which has ended; called whenever Started was
	Release() error               // there will be no further run
}

// Status tells how a program ended.
type Status struct {
	unix.WaitStatus
	Left bool       // with Command.Adopt: processes of the program go on
	Seen []sysno.ID // what the Watcher saw
}

// passed are the signals that people and supervisors send to a program.
var passed = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGALRM, unix.SIGTERM,
	unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGIO, unix.SIGPWR, unix.SIGVTALRM,
}

// The real-time signals that C libraries leave to programs.
const firstRealTime, lastRealTime unix.Signal = 35, 64

// Run runs the command with the caller's standard streams and waits for it. No
// system call is made between the load of the filter and execve. SIGTERM, SIGINT
// and the like are passed on, unless the terminal has sent them to the program too.
// Unless the caller has CAP_SYS_ADMIN, a filtered program runs with no_new_privs.
// Where ctx ends before the program begins, it does not begin, and the error is the cause;
// from then on only signals and the program itself decide. The caller may turn signals into
// the end of ctx, with EndedBy as its cause: one that came too early for Run to see, and ends
// ctx when the program has begun, is passed on, too.
func Run(ctx context.Context, c Command) (Status, error) {
	type end struct {
		status Status
		err    error
	}
	done := make(chan end)
	go func() {
		// The recorder marks the thread, so it is given up afterwards.
		runtime.LockOSThread()
		status, err := run(ctx, c)
		done <- end{status, err}
	}()
	e := <-done
	return e.status, e.err
}

// Become makes this process the program of the command, under its filter, where nobody
// is to watch it: there is no Watch, Notified or Adopt. No system call is made between the
// load of the filter and execve. It returns only where that failed; then all that is left
// to do is to say so and to exit; where ctx has ended, with its cause.
func Become(ctx context.Context, c Command) error {
	spec, err := c.spec(false)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return spawn.Become(&spec.Target)
}

// EndedBy is the signal that ended a program, or that came before there was a program to pass it on to.
type EndedBy unix.Signal

func (e EndedBy) Error() string { return "ended by " + unix.SignalName(unix.Signal(e)) }

func run(ctx context.Context, c Command) (_ Status, err error) {
	var watch Watcher
	if c.Watch != nil {
		if watch, err = c.Watch(); err != nil {
			return Status{}, err
		}
		defer func() {
			if e := watch.Release(); err == nil {
				err = e
			}
		}()
	}
	spec, err := c.spec(true)
	if err != nil {
		return Status{}, err
	}
	signals, children := make(chan os.Signal, 16), make(chan os.Signal, 1)
	pass := slices.Clone(passed)
	for s := firstRealTime; s <= lastRealTime; s++ {
		pass = append(pass, s)
	}
	for _, s := range pass {
		if slices.Contains(c.Ignored, s) {
			signal.Ignore(s)
		} else {
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	// A shell that the program is or starts may have the terminal when there is
	// something to say.
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, unix.SIGCONT)
	defer signal.Stop(continued)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	if c.Adopt {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return Status{}, fmt.Errorf("become the parent of orphans: %w", err)
		}
		defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	}
	if watch != nil {
		if err := watch.Begin(spec); err != nil {
			return Status{}, err
		}
	}
	if c.Notified != nil {
		handedOver, err := c.listen(spec)
		if err != nil {
			return Status{}, err
		}
		defer handedOver()
	}
	// What came before there was somebody to pass it on to. Until here is long on a busy machine.
	if ctx.Err() != nil {
		return Status{}, context.Cause(ctx)
	}
	if s, ok := fatal(signals); ok {
		return Status{}, EndedBy(s)
	}
	p, err := spawn.Start(spec)
	if err != nil {
		return Status{}, err
	}
	var unwatched error
	if watch != nil {
		if unwatched = watch.Started(p); unwatched != nil {
			p.Kill()
		}
	}
	if p.Delegated() {
		// Who traces the program's processes waits for them too: what reap would wait
		// for is their stops. There is a SIGCHLD at each of their calls.
		signal.Stop(children)
		children = nil
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		stoppedToo := false // with the program
		came := map[os.Signal]bool{}
		passOn := func(s os.Signal) {
			came[s] = true
			if !terminalSent(s, p.Pid) {
				_ = unix.Kill(p.Pid, s.(unix.Signal))
			}
		}
		ended := ctx.Done()
		for {
			select {
			case s := <-signals:
				passOn(s)
			case <-ended:
				ended = nil
				var early EndedBy
				if !errors.As(context.Cause(ctx), &early) {
					continue
				}
				delivered()
				for range len(signals) {
					passOn(<-signals)
				}
				if !came[unix.Signal(early)] { // no terminal can have sent it to the program
					_ = unix.Kill(p.Pid, unix.Signal(early))
				}
			case <-children:
				if c.Adopt {
					reap(p.Pid)
				}
				if !stoppedToo { // else SIGCONT is on its way
					stoppedToo = stopWith(p.Pid)
				}
			case <-continued:
				stoppedToo = false
				if children != nil {
					resume(p.Pid)
				}
			case <-stop:
				return
			}
		}
	}()
	st, err := p.Wait(spawn.Limits{})
	close(stop)
	<-stopped
	status := Status{WaitStatus: st.WaitStatus, Left: c.Adopt && reap(0)}
	if status.Left && c.Linger != nil && children != nil {
		c.Linger()
		status.Left = linger(signals, children)
	}
	if watch != nil {
		status.Seen = watch.Seen()
	}
	return status, errors.Join(unwatched, err)
}

// delivered returns when all who have asked for the signals that have come have them.
func delivered() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGCONT) // which run asks for all the while
	signal.Stop(c)                 // which waits for that
}

// fatal is the first of the signals that have come that ends who does not handle it, as all that are passed on do but one.
func fatal(signals <-chan os.Signal) (unix.Signal, bool) {
	for {
		select {
		case s := <-signals:
			if s != unix.SIGWINCH {
				return s.(unix.Signal), true
			}
		default:
			return 0, false
		}
	}
}

// spec is what starts the command, as a child that ends with this process or as the process
// itself.
func (c *Command) spec(child bool) (*spawn.Spec, error) {
	s := &spawn.Spec{}
	if c.Files != 0 {
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
			return nil, fmt.Errorf("get the limit of open files: %w", err)
		}
		s.Target.Rlimit(unix.RLIMIT_NOFILE, min(c.Files, now.Max), now.Max)
	}
	for _, sig := range c.Ignored {
		s.Target.Ignore(sig)
	}
	unprivileged := c.Unprivileged || c.Filter != nil && NeedsNoNewPrivs()
	if c.User != nil {
		s.Target.Become(c.User.UID, c.User.GID, c.User.Groups, c.Filter != nil && !unprivileged)
	}
	if child {
		s.Target.DieWithParent() // another user undoes that
	}
	if c.Dir != "" {
		s.Target.Chdir(c.Dir)
	}
	if unprivileged {
		s.Target.NoNewPrivs()
	}
	if c.Logged {
		s.Target.Logged()
	}
	if c.Notified != nil {
		s.Target.Exec(c.Path, c.Argv, c.Env, nil)
	} else {
		s.Target.Exec(c.Path, c.Argv, c.Env, c.Filter)
	}
	return s, nil
}

// listen makes the child load the filter with a listener and hand that over. The function
// that it returns is called when the child has ended: where none came, that ends the wait.
func (c *Command) listen(spec *spawn.Spec) (done func(), err error) {
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make the socket for the listener: %w", err)
	}
	spec.Listener = &spawn.Listener{Program: c.Filter, Socket: sockets[1]}
	received := make(chan struct{})
	go func() {
		defer close(received)
		fd, err := receiveDescriptor(sockets[0])
		if err != nil {
			return // the child has failed before, which its end tells
		}
		c.Notified(fd)
	}()
	return func() {
		unix.Close(sockets[1])
		<-received
		unix.Close(sockets[0])
	}, nil
}

// receiveDescriptor waits for a message with one descriptor.
func receiveDescriptor(socket int) (int, error) {
	var payload [1]byte
	control := make([]byte, unix.CmsgSpace(4))
	for {
		n, m, _, _, err := unix.Recvmsg(socket, payload[:], control, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return -1, err
		case n == 0 || m == 0:
			return -1, unix.EBADMSG
		}
		messages, err := unix.ParseSocketControlMessage(control[:m])
		if err != nil || len(messages) != 1 {
			return -1, unix.EBADMSG
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			return -1, unix.EBADMSG
		}
		return fds[0], nil
	}
}

// terminalSent reports whether a signal probably came from the terminal, which
// sends to all of its foreground group, and so has reached the program as well. A
// program that gets one twice may take the second for impatience. SIGHUP does not
// count: when it comes, the terminal is gone and cannot be asked, and shells send
// it a second time anyway.
func terminalSent(s os.Signal, program int) bool {
	if s != unix.SIGINT && s != unix.SIGQUIT && s != unix.SIGWINCH {
		return false
	}
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(tty)
	foreground, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	if err != nil || foreground != unix.Getpgrp() {
		return false
	}
	group, err := unix.Getpgid(program)
	return err == nil && group == foreground
}

// stopWith stops this process where the program has stopped, so that the shell that
// waits for it takes the terminal back. Without a terminal nobody does job control: who
// has stopped the program continues it.
// It reports whether it has. Threads of this process may go on for a moment, so what
// is to be done after the stop has to wait for SIGCONT.
func stopWith(program int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, program, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil || siPid(&info) == 0 || !jobControl() {
		return false
	}
	return unix.Kill(unix.Getpid(), unix.SIGSTOP) == nil
}

// jobControl reports whether this process belongs to a terminal, and whether there is
// somebody in another group who can continue it.
func jobControl() bool {
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	unix.Close(tty)
	parents, err := unix.Getpgid(unix.Getppid())
	return err == nil && parents != unix.Getpgrp()
}

// resume continues the program, with its group if that is not ours: then whoever has
// continued us did not reach it.
func resume(program int) {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, program, &info, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil || siPid(&info) == 0 {
		return // it runs
	}
	if group, err := unix.Getpgid(program); err == nil && group != unix.Getpgrp() {
		_ = unix.Kill(-group, unix.SIGCONT)
		return
	}
	_ = unix.Kill(program, unix.SIGCONT)
}

// siPid is the first of the fields that depend on the signal (sigaction(2)).
func siPid(info *unix.Siginfo) int {
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), 16)))
}

// linger waits for what the program has left behind, and reports whether some is left
// because a signal has ended the wait.
func linger(signals, children <-chan os.Signal) (left bool) {
	for reap(0) {
		select {
		case s := <-signals:
			switch s {
			case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
				return true
			}
		case <-children:
		}
	}
	return false
}

// reap waits for children that have ended, until it comes upon the program, and
// reports whether there are others. Without it, a program that waits for the end of
// what it has left behind would see it stay for ever.
func reap(program int) bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != nil { // ECHILD
			return false
		}
		pid := siPid(&info)
		if pid == 0 || pid == program {
			return true
		}
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}
}

// Forfeits says which rights the file at path gives to who executes it, and which
// a filtered program will not get because Run sets no_new_privs; "" for none.
func Forfeits(path string) string {
	var st unix.Stat_t
	if !NeedsNoNewPrivs() || unix.Stat(path, &st) != nil {
		return ""
	}
	// Without the group's x bit, setgid marks a file for locking (inode(7)).
	const setgid = unix.S_ISGID | unix.S_IXGRP
	switch size, _ := unix.Getxattr(path, "security.capability", nil); {
	case st.Mode&unix.S_ISUID != 0 && int(st.Uid) != os.Geteuid():
		return "setuid"
	case st.Mode&setgid == setgid && int(st.Gid) != os.Getegid():
		return "setgid"
	case size > 0 && os.Geteuid() != 0:
		return "file capabilities"
	}
	return ""
}

// NeedsNoNewPrivs reports whether seccomp(2) demands no_new_privs of us.
func NeedsNoNewPrivs() bool {
	var caps [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &caps[0]); err != nil {
		return true
	}
	return caps[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0
}

// ExitCode is what a shell makes of a wait status.
func ExitCode(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// Describe puts a wait status into words.
func Describe(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return fmt.Sprintf("killed by %s", unix.SignalName(ws.Signal()))
	}
	return fmt.Sprintf("exit %d", ws.ExitStatus())
}
