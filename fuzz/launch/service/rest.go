package service

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A service is at rest when all of its threads sleep, none has run between two looks at all of them, and
// nothing is under way on a connection in between. Whoever had something to do would have been woken, and would run
// or want to. Zombies rest too, but for those of the init, and so does what is stopped.

// pulse is one look at a thread.
type pulse struct {
	ran    time.Duration // on a processor
	slices uint64        // how often it got one
	awake  bool
	dead   bool // a zombie
}

// settle waits until the service rests and what it has answered is read.
func (t *talker) settle() error {
	began, asleep := time.Now(), time.Time{}
	first, start := true, time.Duration(0)
	const shortest, slowest = 50 * time.Microsecond, 2 * time.Millisecond
	for wait := shortest; ; wait = min(2*wait, slowest) {
		// What is read wakes who waits for room. So the look comes first: who rests has said all by then.
		rest, idle, used := t.rests()
		read, err := t.listen()
		if err != nil {
			return err
		}
		if first {
			first, start = false, used
		}
		switch {
		case read || !idle:
			asleep = time.Time{}
		case asleep.IsZero():
			asleep = time.Now()
		case time.Since(asleep) > stuck:
			rest = true
			t.giveUp()
		}
		if rest && !read || t.overdue(used-start, time.Since(began)) {
			_, err := t.poll(0)
			return err
		}
		if _, err := t.poll(wait); err != nil {
			return err
		}
	}
}

// giveUp stops waiting for peers if it was they who were waited for: who is silent on purpose is so to the end.
func (t *talker) giveUp() {
	if t.peers != nil && t.peers() {
		t.peers = nil
	}
}

// stuck is for how long a service that sleeps is waited for to be given what is under way. What a service does not
// accept, or reads and does not answer, looks so, and so does one whose peers are silent: the kernel takes back its
// acknowledgement for up to 40 ms (TCP_DELACK_MIN).
const stuck = 200 * time.Millisecond

// rests reports whether the service rests, whether it does but for what is under way, and how long its threads
// have run so far.
func (t *talker) rests() (rest, idle bool, used time.Duration) {
	before, asleep := t.look()
	for _, p := range before {
		used += p.ran
	}
	if !asleep || len(before) == 0 {
		return false, false, used
	}
	delivered := t.delivered() && (t.peers == nil || !t.peers())
	after, asleep := t.look()
	if !asleep || len(after) != len(before) {
		return false, false, used
	}
	for tid, p := range after {
		if before[tid] != p {
			return false, false, used
		}
	}
	return delivered, true, used
}

// thread is a thread of the service with what /proc says of it, kept open: to open it takes longer than to read it.
type thread struct {
	pid, tid int
	fds      [3]int // of threadFiles, or -1
}

var threadFiles = [...]string{"stat", "schedstat", "children"}

// maxOpen bounds the threads whose files are kept open.
const maxOpen = 64

// look looks at all threads of the service.
func (t *talker) look() (threads map[int]pulse, asleep bool) {
	threads, asleep = make(map[int]pulse, len(t.threads)), true
	tops := t.tops()
	if t.main == 0 && len(tops) > 0 {
		t.main = tops[0]
	}
	for todo := tops; len(todo) > 0; todo = todo[1:] {
		pid := todo[0]
		of := t.tasks[pid]
		for tries := 0; ; tries++ {
			n, born := 0, []int(nil)
			for _, tid := range of {
				p, count, ok := t.pulse(pid, tid)
				if !ok {
					n = -1 // it has just ended
					break
				}
				n = count
				threads[tid] = p
				asleep = asleep && !p.awake
				born = append(born, t.children(pid, tid)...)
			}
			if n == len(of) && n > 0 {
				todo = append(todo, born...)
				if n == 1 && threads[pid].dead && slices.Contains(tops, pid) {
					asleep = false // the init is about to reap it, and may end then
				}
				break
			}
			// Its threads are others than they were, or it has ended.
			const enough = 3
			if tries == enough {
				asleep = false
				break
			}
			of = numbers(fmt.Sprintf("/proc/%d/task", pid))
			t.tasks[pid] = of
		}
		if len(of) == 0 {
			delete(t.tasks, pid)
		}
	}
	t.forget(threads)
	return threads, asleep
}

// forget closes what is open of threads that are gone.
func (t *talker) forget(alive map[int]pulse) {
	for tid, th := range t.threads {
		if _, ok := alive[tid]; !ok && tid != t.init {
			th.close()
			delete(t.threads, tid)
		}
	}
}

func (th *thread) close() {
	for _, fd := range th.fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// about reads one of the files of a thread. What is returned is valid until the next read.
func (t *talker) about(pid, tid, file int) []byte {
	if t.buf == nil {
		t.buf = make([]byte, 16<<10)
	}
	th := t.threads[tid]
	if th == nil {
		th = &thread{pid, tid, [3]int{-1, -1, -1}}
		if len(t.threads) >= maxOpen {
			defer th.close()
		} else {
			t.threads[tid] = th
		}
	}
	if th.fds[file] < 0 {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/task/%d/%s", pid, tid, threadFiles[file]), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		th.fds[file] = fd
	}
	n, err := unix.Pread(th.fds[file], t.buf, 0)
	if err != nil {
		return nil
	}
	return t.buf[:n]
}

// pulse is what a thread does, and how many threads its process has.
func (t *talker) pulse(pid, tid int) (p pulse, threads int, ok bool) {
	stat := t.about(pid, tid, 0)
	// The name stands in parentheses and may have any bytes, see proc_pid_stat(5).
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 18 {
		return p, 0, false
	}
	switch fields[0][0] {
	case 'Z':
		p.dead = true
	case 'S', 'I', 'T', 't':
	default:
		p.awake = true
	}
	threads, _ = strconv.Atoi(string(fields[17]))
	threads = max(threads, 1) // a zombie has none
	// Time on a processor, time in wait for one, and how often; see sched-stats in the kernel's documentation.
	if fields = bytes.Fields(t.about(pid, tid, 1)); len(fields) == 3 {
		ran, _ := strconv.ParseInt(string(fields[0]), 10, 64)
		p.ran = time.Duration(ran)
		p.slices, _ = strconv.ParseUint(string(fields[2]), 10, 64)
	}
	return p, threads, true
}

// tops are the children of the init, the oldest first: the service's first process, and what was left to the init.
func (t *talker) tops() []int { return t.children(t.init, t.init) }

// children are the processes that a thread has started, and those that it has adopted.
func (t *talker) children(pid, tid int) (pids []int) {
	for _, f := range bytes.Fields(t.about(pid, tid, 2)) {
		if pid, err := strconv.Atoi(string(f)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// numbers are the names in a directory that are numbers.
func numbers(dir string) (all []int) {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			all = append(all, n)
		}
	}
	return all
}
