package spawn

import (
	"bytes"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// task is what /proc says of a process, see proc_pid_stat(5).
type task struct {
	pid, parent, session int
	state                byte          // as in R, running or runnable
	used                 time.Duration // by it and by what it has waited for
}

// parseTask reads a line of /proc/PID/stat.
func parseTask(stat []byte) (t task, ok bool) {
	// The name stands in parentheses and may have any bytes.
	before, _, ok := bytes.Cut(stat, []byte(" ("))
	end := bytes.LastIndexByte(stat, ')')
	if !ok || end < 0 {
		return t, false
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 15 {
		return t, false
	}
	number := func(b []byte) int {
		n, err := strconv.Atoi(string(b))
		ok = ok && err == nil
		return n
	}
	t = task{pid: number(before), parent: number(fields[1]), session: number(fields[3]), state: fields[0][0]}
	const tick = time.Second / 100    // USER_HZ
	for _, f := range fields[11:15] { // utime stime cutime cstime
		t.used += time.Duration(number(f)) * tick
	}
	return t, ok
}

// tasks lists the processes that /proc shows.
func tasks() ([]task, error) {
	names, err := readNames("/proc")
	if err != nil {
		return nil, err
	}
	var all []task
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended
		}
		if t, ok := parseTask(stat); ok {
			all = append(all, t)
		}
	}
	return all, nil
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// descend returns those of the processes that descend from one of them.
func descend(all []task, from int) []task {
	children := map[int][]task{}
	for _, t := range all {
		children[t.parent] = append(children[t.parent], t)
	}
	found := children[from]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

// CPUTime is what the child and all that descends from it have used so far, for
// Limits.Used where nothing better counts it. With a Forker that is more than what this
// run has used, by what UsedBy says of the Forker before. Each call looks at all processes of the
// machine.
func (p *Process) CPUTime() time.Duration {
	all, _ := tasks()
	return used(p.family(all))
}

// family is the child and all that descends from it.
func (p *Process) family(all []task) []task {
	family := descend(all, p.Pid)
	for _, t := range all {
		if t.pid == p.Pid {
			family = append(family, t)
		}
	}
	return family
}

// used is the CPU time that processes and what they have waited for have used.
func used(tasks []task) (sum time.Duration) {
	for _, t := range tasks {
		sum += t.used
	}
	return sum
}

// UsedBy is the CPU time that a process and what it has waited for have used.
func UsedBy(pid int) time.Duration {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	t, _ := parseTask(stat)
	return t.used
}

// remains is what is left of the target. The calling thread may be where there is no /proc.
func (p *Process) remains() []task {
	read := make(chan []task)
	go func() {
		all, _ := tasks()
		read <- all
	}()
	return p.family(<-read)
}

// mostReprieves is how often the grace of what a busy machine keeps from ending begins anew.
const mostReprieves = 50

// reprieve is the time that is given beyond its grace to what a target has left behind.
type reprieve struct {
	times int
	used  time.Duration // by what was left when the grace was over for the first time
}

// given begins the grace anew for what may be about to end, but for want of a processor. What
// forks all the time is young whenever it is looked at: so all together may use, from the first
// time on, no more than all processors could have given them in their grace.
func (r *reprieve) given(left []task, grace time.Duration) bool {
	now := used(left)
	if r.times == 0 {
		r.used = now
	}
	if r.times == mostReprieves || now-r.used >= grace*time.Duration(runtime.NumCPU()) || !stalled(left, grace) {
		return false
	}
	r.times++
	return true
}

// stalled reports whether something can run, or has to be reaped, that has not used as much time
// as it may.
func stalled(left []task, grace time.Duration) bool {
	waits := false
	for _, t := range left {
		switch t.state {
		case 'R', 'D', 'Z', 'X':
			// One that has run for as long is at work.
			waits = waits || t.used < grace
		}
	}
	return waits
}

// scattered reports whether what descends from the child has to be looked for.
func (p *Process) scattered() bool {
	return p.spec.Init && p.spec.Namespaces&unix.CLONE_NEWPID == 0
}

// killTree kills what descends from the child. It may not find what is born
// meanwhile; the init, which is spared, ends when nothing is left.
func (p *Process) killTree() {
	all, _ := tasks()
	stopped := map[int]bool{}
	for {
		// What is stopped cannot fork, so there is an end to this.
		before := len(stopped)
		for _, t := range descend(all, p.Pid) {
			if !stopped[t.pid] {
				stopped[t.pid] = true
				_ = unix.Kill(t.pid, unix.SIGSTOP)
			}
		}
		if len(stopped) == before {
			break
		}
		all, _ = tasks()
	}
	for pid := range stopped {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// killStrays kills what a target whose init was killed has left to this process: its
// children in sessions of others, for a target starts one.
func killStrays() {
	own, err := unix.Getsid(0)
	for err == nil {
		all, _ := tasks()
		strays := slices.DeleteFunc(all, func(t task) bool { return t.parent != os.Getpid() || t.session == own })
		if len(strays) == 0 {
			return
		}
		for _, t := range strays {
			_ = unix.Kill(t.pid, unix.SIGKILL)
			_, _ = unix.Wait4(t.pid, nil, unix.WALL, nil)
		}
	}
}
