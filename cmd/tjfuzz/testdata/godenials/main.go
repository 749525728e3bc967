// The victim of testdata/denials.c in Go, whose runtime has threads in any case. Go ends a
// program at a trap, so one is made in a process of its own, too.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// deadly is the signal of SYS_SCHED_GETPARAM.
var deadly = syscall.SIGSYS

func demand(holds bool, status int) {
	if !holds {
		os.Exit(status)
	}
}

func refused(nr, arg uintptr, with syscall.Errno) bool {
	_, _, e := syscall.Syscall(nr, arg, 0, 0)
	return e == with
}

// inProcess makes a call in a process of its own, and tells how that ended.
func inProcess(nr uintptr, arg int) syscall.WaitStatus {
	c := exec.Command("/proc/self/exe", "one", strconv.Itoa(int(nr)), strconv.Itoa(arg))
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		demand(false, 12)
	}
	return c.ProcessState.Sys().(syscall.WaitStatus)
}

// one makes a call in a thread that is not the first one, and waits until the thread is gone.
func one(nr, arg int) {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- syscall.Gettid()
		syscall.RawSyscall(uintptr(nr), uintptr(arg), 0, 0)
		os.Exit(6)
	}()
	for task := fmt.Sprintf("/proc/self/task/%d", <-tid); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(task); err != nil {
			return
		}
	}
}

func calls(thread, each, kills int) {
	for i := range each {
		demand(refused(syscall.SYS_GETPGID, 1, syscall.EACCES), 1)
		demand(refused(syscall.SYS_GETPGID, uintptr(thread*500000000+i), syscall.EACCES), 1)
		demand(refused(syscall.SYS_GETSID, 0, 0), 2)
	}
	for i := range kills {
		demand(inProcess(syscall.SYS_SCHED_GET_PRIORITY_MAX, i).ExitStatus() == 2, 3)
		demand(inProcess(syscall.SYS_SCHED_GET_PRIORITY_MIN, i) == 0, 4)
		demand(inProcess(syscall.SYS_SCHED_GETPARAM, i).Signal() == deadly, 13)
	}
}

// The main thread is the main goroutine's: it is not to be the one that ends.
func init() { runtime.LockOSThread() }

func main() {
	demand(syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) == nil, 11)
	a, _ := strconv.Atoi(os.Args[2])
	b, _ := strconv.Atoi(os.Args[3])
	if os.Args[1] == "one" {
		one(a, b)
		return
	}
	if len(os.Args) > 4 {
		n, _ := strconv.Atoi(os.Args[4])
		deadly = syscall.Signal(n)
	}
	var all sync.WaitGroup
	if os.Args[1] == "threads" {
		for i := range 4 {
			all.Go(func() {
				runtime.LockOSThread()
				calls(i+1, a, b)
			})
		}
	}
	for range a {
		demand(errors.Is(syscall.Mkdir("/no/such/directory", 0o700), syscall.ENOSPC), 5)
	}
	if os.Args[1] == "single" {
		calls(0, a, b)
	}
	all.Wait()
}
