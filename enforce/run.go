// Package enforce decides how a program runs under a policy and what is said
// about the calls that the policy refuses. It builds on what synth generates and
// knows nothing of fuzzing. Its main hazard is a denial that goes unreported: a
// target that was killed by its filter never passes for one that ended by itself.
package enforce

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/spawn"
)

// Command is a program to run in the world of the caller.
type Command struct {
	Path   string // of the file to execute, as seen from Dir
	Argv   []string
	Env    []string
	Dir    string // working directory, empty for the caller's
	Filter []byte // cBPF in the layout of struct sock_filter[]; nil runs unfiltered

	// Watch, when not nil, is called on the thread that starts the program,
	// right before; the function that it returns, when all is over.
	Watch func() (release func() error, err error)
}

// Run runs the command with the caller's standard streams and waits for it. No
// system call is made between the load of the filter and execve. SIGTERM, SIGHUP
// and the like are passed on; what the terminal sends reaches the program by
// itself. Unless the caller has CAP_SYS_ADMIN, the program runs with no_new_privs.
func Run(c Command) (unix.WaitStatus, error) {
	type end struct {
		status unix.WaitStatus
		err    error
	}
	done := make(chan end)
	go func() {
		// The recorder marks the thread, so it is given up afterwards.
		runtime.LockOSThread()
		status, err := run(c)
		done <- end{status, err}
	}()
	e := <-done
	return e.status, e.err
}

func run(c Command) (_ unix.WaitStatus, err error) {
	if c.Watch != nil {
		release, err := c.Watch()
		if err != nil {
			return 0, err
		}
		defer func() {
			if e := release(); err == nil {
				err = e
			}
		}()
	}
	spec := &spawn.Spec{}
	spec.Target.DieWithParent()
	if c.Dir != "" {
		spec.Target.Chdir(c.Dir)
	}
	if c.Filter != nil && needsNoNewPrivs() {
		spec.Target.NoNewPrivs()
	}
	spec.Target.Exec(c.Path, c.Argv, c.Env, c.Filter)

	// A terminal signals its whole foreground group, so the program has those
	// signals already; this process must merely survive them.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
	defer signal.Stop(signals)
	p, err := spawn.Start(spec)
	if err != nil {
		return 0, err
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case s := <-signals:
				if s != unix.SIGINT && s != unix.SIGQUIT && s != unix.SIGWINCH {
					_ = unix.Kill(p.Pid, s.(unix.Signal))
				}
			case <-stop:
				return
			}
		}
	}()
	st, err := p.Wait(spawn.Limits{})
	return st.WaitStatus, err
}

// needsNoNewPrivs reports whether seccomp(2) demands no_new_privs of us.
func needsNoNewPrivs() bool {
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
