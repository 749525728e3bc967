package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/enforce"
	"github.com/tjfuzz/tjfuzz/fuzz/cage"
)

// admit runs this very command again where it may make cages, and passes its end on.
// It reports whether it did: not where no cage is wanted, nor where this process may
// make cages itself.
func (s *session) admit(ctx context.Context, c *cobra.Command, v voice, asked backend) (done bool, err error) {
	if s.cage == nil || cage.Permitted() {
		return false, nil
	}
	if s.runs.backend == backendEBPF {
		const why = "an ordinary user's cage is in a user namespace, whose capabilities do not reach the recorder"
		if asked == backendEBPF {
			rec, err := asked.open(recording{slots: 1})
			if err != nil {
				return false, err
			}
			_ = rec.Close()
			return false, hinted(errors.New("cannot record by eBPF: "+why), "run as root, or without --backend; --no-cage runs the target without protection")
		}
		s.runs.backend = backendNotify
		v.say("recording by seccomp notification, not by eBPF: %s", why)
	}
	args := slices.Clone(os.Args[1:])
	args = slices.Insert(args, slices.Index(args, c.Name())+1, "--backend="+s.runs.backend.String())
	again := itself(ctx, args)
	again.Stdin, again.Stdout, again.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
	status, err := runAdmitted(again)
	if err == nil {
		if code := enforce.ExitCode(status); code != 0 {
			err = exitStatus(code)
		}
	}
	return true, err
}

// itself is a command that is this very program.
func itself(ctx context.Context, args []string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/proc/self/exe", args...)
	c.Args[0] = os.Args[0]
	return c
}

// runAdmitted runs a command in a user namespace where it may make cages. When the
// command's context ends, it is asked to end too; with this process, it is killed.
func runAdmitted(c *exec.Cmd) (unix.WaitStatus, error) {
	// The signal at a parent's death is for that of the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.SysProcAttr = cage.Admission()
	c.SysProcAttr.Pdeathsig = unix.SIGKILL
	c.Cancel = func() error { return c.Process.Signal(unix.SIGTERM) }
	if err := c.Start(); err != nil {
		return 0, notAdmitted(err)
	}
	_ = c.Wait() // the state tells more
	return unix.WaitStatus(c.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// notAdmitted says why a user namespace could not be made.
func notAdmitted(err error) error {
	why, mend := refusesUsers(err)
	return hinted(fmt.Errorf("%w, or a user namespace, and %s", cage.ErrRights, why), "%s--no-cage runs the target without protection", mend)
}

// refusesUsers says what keeps ordinary users from user namespaces or from what they
// are for, and what can be done about it.
func refusesUsers(err error) (why, mend string) {
	for _, s := range []struct{ file, value, allow string }{
		{"user.max_user_namespaces", "0", "10000"},
		{"kernel.unprivileged_userns_clone", "0", "1"}, // of Debian's kernels
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
	} {
		b, e := os.ReadFile("/proc/sys/" + strings.ReplaceAll(s.file, ".", "/"))
		if e == nil && strings.TrimSpace(string(b)) == s.value {
			return fmt.Sprintf("%s is %s, so users may not make one", s.file, s.value),
				fmt.Sprintf("run as root, or allow it with: sysctl %s=%s\n", s.file, s.allow)
		}
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return fmt.Sprintf("none can be made here (%v), as in most containers", number), "run as root of the host\n"
	}
	return err.Error(), "run as root\n"
}

// examineAdmitted is examineRuns for an ordinary user.
func examineAdmitted(ctx context.Context) []finding {
	var out bytes.Buffer
	again := itself(ctx, []string{"doctor", "--json"})
	again.Stdout = &out
	_, err := runAdmitted(again)
	var found []finding
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &found)
	}
	if err == nil {
		if i := slices.IndexFunc(found, func(f finding) bool { return f.What == "cage" }); i >= 0 && i+1 < len(found) {
			return found[i : i+2]
		}
		err = errors.New("the examination in a user namespace says nothing of it")
	}
	return uncaged(err)
}
