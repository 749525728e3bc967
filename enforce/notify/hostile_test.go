package notify

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tjfuzz/tjfuzz/internal/testenv"
)

// A caller is killed while somebody thinks about its call, and another process gets its
// number before the answer. Nothing is read of that process, and nothing is done to it,
// whatever the answer is.
func TestAnAnswerDoesNotReachWhoeverHasTheCallersNumberNow(t *testing.T) {
	testenv.Require(t, testenv.Root) // a number cannot be chosen otherwise
	program := testenv.Compile(t, "testdata/victim.c", "-pthread", "-static", "-no-pie")
	for name, answer := range map[string]Answer{
		"continue": {Kind: Continue},
		"errno":    {Kind: Errno, Errno: unix.EACCES},
		"value":    {Kind: Value, Value: 3},
		"open":     {Kind: Open, file: &file{path: "/etc/passwd"}},
		"kill":     {Kind: Kill},
	} {
		t.Run(name, func(t *testing.T) {
			asked, think := make(chan *Call), make(chan struct{})
			s := startProgram(t, t.Context(), decide(func(c *Call) (Answer, func(context.Context) Answer) {
				if c.ID.NR != unix.SYS_OPENAT {
					return Answer{Kind: Continue}, nil
				}
				return Answer{}, func(context.Context) Answer {
					asked <- c
					<-think
					return answer
				}
			}), program, "open", "/of/the/caller")
			c := <-asked
			if got, ok := c.text(c.Args[1]); !ok || got != "/of/the/caller" {
				t.Fatalf("the caller's path is %q, %v", got, ok)
			}
			s.kill()
			<-s.status // its number is free

			impostor := exec.CommandContext(t.Context(), program, "impostor", strconv.Itoa(c.TID))
			impostor.Stderr = os.Stderr
			in, err := impostor.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := impostor.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := impostor.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "here\n" {
				t.Fatalf("no process got the number %d: %q, %v", c.TID, line, err)
			}
			// What could be read, were nobody to ask whether the caller still waits.
			if got, ok := c.text(c.Args[1]); !ok || got != "/of/the/impostor" {
				t.Fatalf("the impostor's path is %q, %v: it is no test of what is read", got, ok)
			}
			if pid, comm := c.Process(); pid != 0 || comm != "" {
				t.Errorf("process %d, %q of an impostor", pid, comm)
			}
			if paths, ok := c.paths(); ok {
				t.Errorf("%q of an impostor", paths)
			}
			if e := c.Event(); c.Valid() || e.PID != 0 || e.Texts != nil {
				t.Errorf("%+v of an impostor", e)
			}
			close(think)
			if counts := <-s.counts; counts.Gone+counts.Answered != counts.Received || counts.Received != 1 {
				t.Errorf("%+v, want one call, answered or gone", counts)
			} else if name != "kill" && counts.Gone != 1 { // who is to be killed need not be there to hear of it
				t.Errorf("%+v, want one that is gone", counts)
			}
			in.Close()
			if _ = impostor.Wait(); impostor.ProcessState.ExitCode() != 7 {
				t.Errorf("the impostor ended with %v, want exit status 7", impostor.ProcessState)
			}
		})
	}
}

// agentOnly is a variable of the environment of an agent that its victim is to outlive.
const agentOnly = "TJFUZZ_AGENT"

// An agent is killed that has got calls and not answered them: they fail with ENOSYS, as
// do later ones, and nothing hangs.
func TestCallsOfAKilledAgentFail(t *testing.T) {
	const callers = 4
	if os.Getenv(agentOnly) != "" {
		s := start(t, t.Context(), others(func(*Call) (Answer, func(context.Context) Answer) {
			return Answer{}, func(ctx context.Context) Answer {
				fmt.Println("asked")
				<-ctx.Done()
				return Answer{}
			}
		}), "tell", strconv.Itoa(callers))
		<-s.status
		return
	}
	agent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	agent.Env = append(os.Environ(), agentOnly+"=yes")
	agent.Stderr = os.Stderr
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < callers && lines.Scan(); {
		if lines.Text() == "asked" {
			n++
		}
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The victim has the other end of the pipe too, so this reads until that has ended.
	var came []string
	for lines.Scan() {
		came = append(came, lines.Text())
	}
	_ = agent.Wait()
	want := slices.Repeat([]string{strconv.Itoa(-int(unix.ENOSYS))}, callers)
	if !slices.Equal(came, want) {
		t.Errorf("the calls came to %q, want %q", came, want)
	}
}

// More calls than an agent may think about at once wait in the kernel, and all are answered.
func TestMoreCallsThanAnAgentThinksAboutAreAnswered(t *testing.T) {
	const callers = maxWaiting + 40
	var thinking atomic.Int32
	full := make(chan struct{})
	s := start(t, t.Context(), others(func(*Call) (Answer, func(context.Context) Answer) {
		return Answer{}, func(context.Context) Answer {
			if thinking.Add(1) == maxWaiting {
				close(full)
			}
			<-full
			return Answer{Kind: Value, Value: 42}
		}
	}), "calls", "1", strconv.Itoa(callers))
	if status := <-s.status; status != 0 {
		t.Errorf("the program ended with %#x", status)
	}
	if counts := <-s.counts; counts.Gone != 0 || counts.Answered != counts.Received || thinking.Load() != callers {
		t.Errorf("%+v, of %d that were thought about; want %d", counts, thinking.Load(), callers)
	}
}

// All threads of a target wait for answers when it is killed: the agent learns that nobody is
// left, and what it answers later reaches nobody.
func TestATargetKilledWithCallsInFlightEndsTheServe(t *testing.T) {
	const callers = 4
	asked, think := make(chan struct{}), make(chan struct{})
	s := start(t, t.Context(), others(func(*Call) (Answer, func(context.Context) Answer) {
		return Answer{}, func(context.Context) Answer {
			asked <- struct{}{}
			<-think
			return Answer{Kind: Continue}
		}
	}), "tell", strconv.Itoa(callers))
	for range callers {
		<-asked
	}
	s.kill()
	if status := <-s.status; status != unix.WaitStatus(unix.SIGKILL) {
		t.Errorf("the target ended with %#x", status)
	}
	close(think)
	if counts := <-s.counts; counts.Gone != callers {
		t.Errorf("%+v, want %d that are gone", counts, callers)
	}
}
