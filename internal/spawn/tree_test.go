package spawn

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestProcessesAreReadAsTheKernelWritesThem(t *testing.T) {
	for _, tt := range []struct {
		name, stat string
		want       task
		ok         bool
	}{
		{"plain", "12 (sh) S 3 12 11 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 1 0 9 0", task{12, 3, 11, 'S', 1240 * time.Millisecond}, true},
		{"a name with all that is hard", "12 (a) S 9 (b)) R 3 12 11 0 -1 4194304 1 2 3 4 0 0 0 0 20 0", task{12, 3, 11, 'R', 0}, true},
		{"cut", "12 (sh) S 3 12", task{}, false},
		{"no number", "12 (sh) S x 12 11 0 -1 4194304 1 2 3 4 0 0 0 0 20 0", task{}, false},
		{"nothing", "", task{}, false},
	} {
		got, ok := parseTask([]byte(tt.stat))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v, %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestAProcessDescendsFromItsParents(t *testing.T) {
	all, err := tasks()
	if err != nil {
		t.Fatal(err)
	}
	me := func(t task) bool { return t.pid == os.Getpid() }
	if !slices.ContainsFunc(descend(all, os.Getppid()), me) || slices.ContainsFunc(descend(all, os.Getpid()), me) {
		t.Errorf("this process, %d, does not descend from its parent, or does from itself", os.Getpid())
	}
}

// What a busy machine has not let run is not what a target has left behind.
func TestWhatCouldNotRunHasNotHadItsGrace(t *testing.T) {
	const grace = 100 * time.Millisecond
	for _, tt := range []struct {
		name string
		left []task
		want bool
	}{
		{"asleep, with a server of copies that waits", []task{{state: 'S'}, {state: 'S', used: time.Hour}}, false},
		{"stopped", []task{{state: 'T'}}, false},
		{"runnable", []task{{state: 'S'}, {state: 'R', used: 20 * time.Millisecond}}, true},
		{"at work", []task{{state: 'S'}, {state: 'R', used: grace}}, false},
		{"ending", []task{{state: 'X'}}, true},
		{"to be reaped", []task{{state: 'S'}, {state: 'Z'}}, true},
		{"at a disk", []task{{state: 'D'}}, true},
		{"nothing", nil, false},
	} {
		if got := stalled(tt.left, grace); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Each that is seen has only begun, and the init, which reaps them, tells what they used.
func TestWhatForksWithoutEndHasHadItsGrace(t *testing.T) {
	const grace = 100 * time.Millisecond
	var r reprieve
	reaped := time.Second // before
	for range 2 {
		if !r.given([]task{{state: 'S', used: reaped}, {state: 'R'}, {state: 'R'}}, grace) {
			t.Fatal("no reprieve for what has not run")
		}
	}
	reaped += grace * time.Duration(runtime.NumCPU())
	if r.given([]task{{state: 'S', used: reaped}, {state: 'R'}, {state: 'R'}}, grace) {
		t.Error("a reprieve for what has used all processors for as long as its grace")
	}
}

// Without rights there is no pid namespace, and still nothing outlives Wait.
func TestATreeInNoNamespaceIsKilledWhole(t *testing.T) {
	const daemons = "setsid sleep 86397 & setsid sh -c 'setsid sleep 86397 & exit' & "
	for _, tt := range []struct {
		name, command string
		timedOut      bool
		left          bool
	}{
		{"one that hangs", daemons + "trap '' TERM; sleep 86397; sleep 86397", true, false},
		{"what is left behind", daemons + "sleep 0.1", false, true},
		{"one that forks all the time", "f() { (sleep 0.01 & f) & }; f; f; sleep 86397", true, false},
		{"one that kills its init", daemons + "sleep 0.1; kill -9 $PPID; sleep 86397", false, false},
	} {
		spec := &Spec{Init: true}
		spec.World.DieWithParent()
		spec.Target.DieWithParent()
		spec.Target.Call("setsid", unix.SYS_SETSID)
		limits := Limits{Timeout: 20 * time.Second, Grace: -1} // for what ends, however busy the machine is
		if tt.timedOut {
			limits.Timeout = 500 * time.Millisecond
		}
		st, err := start(t, spec, limits, tt.command)
		if err != nil || st.TimedOut != tt.timedOut || st.Left != tt.left {
			t.Errorf("%s: got %+v, %v, want timed out %v, left %v", tt.name, st, err, tt.timedOut, tt.left)
		}
		if out, _ := exec.Command("pgrep", "-f", "sleep 86397").Output(); len(out) > 0 {
			t.Errorf("%s: alive: %s", tt.name, out)
		}
	}
}
